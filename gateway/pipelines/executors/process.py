"""The executor that runs user code as processes of this machine.

Each attempt has a folder of its own with `tmp`, `home` and `pfs`; where the kernel allows
(`isolation`), the user code sees the first as /tmp and the last as /pfs. It starts in /tmp/work. It
gets its own session and, mostly, its own pid namespace, so that its end is the end of all it
started. It is kept from accidents, not from malice: it runs as the user of this process and may
read what that user may.

`transform.image` means nothing here; the programs are those of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Mapping

from gateway import limits
from gateway.errors import Reason, Unavailable
from gateway.pipelines.executors.base import Execution, Outcome, Task, Workspace
from gateway.pipelines.executors.isolation import (
    PFS,
    TMP,
    Isolation,
    binds,
    candidates,
    copy_named_files,
)

_FOLDERS = {"tmp": 0o1777, "tmp/work": 0o755, "home": 0o700, "pfs": 0o755}
_LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
_PIPE_WINDOW = 64 * limits.KIB
_LAST_WORDS_S = 5.0  # for what is left in a pipe whose writers are dead


class ProcessExecutor:
    """Runs attempts as local processes."""

    def __init__(
        self,
        directory: str,
        environ: Mapping[str, str],
        *,
        grace_s: float = limits.JOB_STOP_GRACE_S,
        isolation: Isolation | None = None,
    ) -> None:
        """Make an executor.

        Args:
            directory: where the folders of attempts are made.
            environ: this process's environment; only PATH and LANG are taken.
            grace_s: from SIGTERM to SIGKILL.
            isolation: how to keep attempts apart; found out at the first attempt when not given.
        """
        self._directory = os.path.realpath(directory)
        self._path = environ.get("PATH") or os.defpath
        self._lang = environ.get("LANG") or "C.UTF-8"
        self._grace_s = grace_s
        self._isolation = isolation
        self._probing = asyncio.Lock()

    async def prepare(self, job: str, attempt: str) -> Workspace:
        """Make the empty folders of an attempt."""
        isolation = await self._probe()
        directory = os.path.join(self._directory, job, attempt)
        try:
            await asyncio.to_thread(_make_folders, directory)
        except OSError as error:
            raise _unavailable(error, directory) from error
        return self._workspace(directory, isolation)

    def _workspace(self, directory: str, isolation: Isolation) -> Workspace:
        pfs = os.path.join(directory, "pfs")
        variables = {
            "PATH": self._path,
            "LANG": self._lang,
            "HOME": os.path.join(directory, "home"),
            "TMPDIR": _seen_tmp(directory, isolation),
        }
        seen = PFS if isolation.pfs else pfs
        if not isolation.pfs:
            variables["PFS_ROOT"] = pfs
        return Workspace(directory, pfs, seen, variables, isolation.notices)

    async def start(
        self, workspace: Workspace, task: Task, on_output: Callable[[], None]
    ) -> Execution:
        """Start a command in its workspace."""
        isolation = await self._probe()
        return await self._start(isolation, workspace, task, on_output)

    async def _start(
        self,
        isolation: Isolation,
        workspace: Workspace,
        task: Task,
        on_output: Callable[[], None],
    ) -> ProcessExecution:
        folders = {name: os.path.join(workspace.directory, name) for name in _FOLDERS}
        status_read, status_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        plan_path = os.path.join(workspace.directory, "plan.json")
        path = task.variables.get("PATH", self._path)
        if os.path.isabs(task.argv[0]):
            path = os.path.dirname(task.argv[0]) + os.pathsep + path
        plan = {
            "argv": task.argv,
            "cwd": task.working_dir
            or os.path.join(_seen_tmp(workspace.directory, isolation), "work"),
            "binds": binds(isolation, folders, path),
            "proc": isolation.pids,
            "status": status_write,
            "lifeline": lifeline_read,
        }
        try:
            if isolation.mounts:
                await asyncio.to_thread(copy_named_files, task.argv, folders["tmp"])
            stdin, log = await asyncio.to_thread(_open_files, plan_path, plan, task)
            try:
                process = await asyncio.create_subprocess_exec(
                    *isolation.prefix,
                    sys.executable,
                    "-I",
                    "-S",
                    _LAUNCHER,
                    plan_path,
                    stdin=stdin,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    env=dict(task.variables),
                    cwd="/",
                    start_new_session=True,
                    pass_fds=(status_write, lifeline_read),
                )
            except BaseException:
                os.close(log)
                raise
            finally:
                os.close(stdin)
        except OSError as error:
            os.close(status_read)
            os.close(lifeline_write)
            raise _unavailable(error, workspace.directory) from error
        except BaseException:
            os.close(status_read)
            os.close(lifeline_write)
            raise
        finally:
            os.close(status_write)
            os.close(lifeline_read)
        pipes = (status_read, lifeline_write)
        return ProcessExecution(process, log, pipes, on_output, self._grace_s)

    async def _probe(self) -> Isolation:
        """Find out how attempts can be kept apart: try each way on an empty attempt."""
        async with self._probing:
            if self._isolation is None:
                directory = os.path.join(self._directory, f"probe-{os.getpid()}")
                for each in candidates():
                    if not each.mounts or await self._works(each, directory):
                        self._isolation = each
                        break
                await asyncio.to_thread(_remove_tree, directory)
            if self._isolation is None:
                raise Unavailable(Reason.IO_ERROR, "no way to start a process was found")
            return self._isolation

    async def _works(self, isolation: Isolation, directory: str) -> bool:
        try:
            await asyncio.to_thread(_make_folders, directory)
        except OSError as error:
            raise _unavailable(error, directory) from error
        workspace = self._workspace(directory, isolation)
        log_path = os.path.join(directory, "log")
        task = Task(("true",), b"", workspace.variables, "", log_path)
        execution = await self._start(isolation, workspace, task, lambda: None)
        return (await execution.wait(30.0)).exit_code == 0

    async def remove(self, workspace: Workspace) -> None:
        """Remove the folders of an attempt, and of its job when that has no other."""
        await asyncio.to_thread(_remove_tree, workspace.directory)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(workspace.directory))

    async def clear(self) -> None:
        """Remove the folders of every attempt: nobody runs any."""
        await asyncio.to_thread(_remove_tree, self._directory)


class ProcessExecution:
    """One command under way."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        log: int,
        pipes: tuple[int, int],
        on_output: Callable[[], None],
        grace_s: float,
    ) -> None:
        self._process = process
        self._log = log
        self._status, self._lifeline = pipes
        self._on_output = on_output
        self._grace_s = grace_s
        self._stopped = self._timed_out = False
        self._pump = asyncio.create_task(self._keep_output())
        self._ending: asyncio.Task[None] | None = None
        self._outcome: Outcome | None = None

    async def wait(self, timeout_s: float | None = None) -> Outcome:
        """Wait for the end of the command, bounded by `timeout_s`."""
        if self._outcome is not None:
            return self._outcome
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self._timed_out = True
            await self._end()
        except asyncio.CancelledError:
            self._stopped = True
            await asyncio.shield(self._end())
            await self._collect()
            self._outcome = self._read_outcome()
            raise
        await self._collect()
        self._outcome = self._read_outcome()
        return self._outcome

    async def stop(self) -> None:
        """End the command and everything it started."""
        self._stopped = True
        await self._end()

    async def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_once())
        await asyncio.shield(self._ending)

    async def _end_once(self) -> None:
        """SIGTERM, a grace, then the launcher kills what is left, then SIGKILL to the group."""
        for step in (self._terminate, self._cut_lifeline):
            if self._process.returncode is not None:
                return
            step()
            try:
                async with asyncio.timeout(self._grace_s):
                    await self._process.wait()
            except TimeoutError:
                continue
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _cut_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    async def _keep_output(self) -> None:
        """Append what is printed to the log, `limits.LOG_SIZE_MAX` at most."""
        stream = self._process.stdout
        if stream is None:
            return
        left, dropped = limits.LOG_SIZE_MAX - os.fstat(self._log).st_size, 0
        while data := await stream.read(_PIPE_WINDOW):
            kept = data[: max(left, 0)]
            dropped += len(data) - len(kept)
            left -= len(kept)
            try:
                _write_all(self._log, kept)
            except OSError:  # a full disk must not stop the user code: it may be about to end
                dropped, left = dropped + len(kept), 0
            self._on_output()
        if dropped:
            with contextlib.suppress(OSError):
                words = f"\nsidegate: {dropped} more bytes were printed and not kept\n"
                _write_all(self._log, words.encode())
            self._on_output()

    async def _collect(self) -> None:
        """Take in the last output and give every descriptor back."""
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._pump
        except TimeoutError:
            pass
        finally:
            self._cut_lifeline()
            os.close(self._log)

    def _read_outcome(self) -> Outcome:
        os.set_blocking(self._status, False)
        try:
            words = os.read(self._status, 8192).decode("utf-8", "replace").splitlines()
        except BlockingIOError:
            words = []
        os.close(self._status)
        if self._timed_out:
            return Outcome(None, "it took too long", timed_out=True)
        if self._stopped:
            return Outcome(None, "it was stopped", stopped=True)
        error = next((each for each in words if each.startswith("error ")), None)
        if error is not None:
            code = self._process.returncode if "started" in words else None
            return Outcome(code, error.removeprefix("error "))
        if "started" not in words:
            return Outcome(None, "the launcher could not start; the log may say why")
        code = self._process.returncode
        return Outcome(code if code is None or code >= 0 else 128 - code)


def _seen_tmp(directory: str, isolation: Isolation) -> str:
    """Return what the user code calls its `tmp`."""
    return TMP if isolation.mounts else os.path.join(directory, "tmp")


def _make_folders(directory: str) -> None:
    _remove_tree(directory)
    os.makedirs(directory, mode=0o700)
    for name, mode in _FOLDERS.items():
        path = os.path.join(directory, name)
        os.mkdir(path)
        os.chmod(path, mode)  # whatever the umask says


def _open_files(plan_path: str, plan: Mapping[str, object], task: Task) -> tuple[int, int]:
    """Write the plan; return the descriptors of standard input, to be read, and of the log."""
    with open(plan_path, "w", encoding="utf-8") as file:
        json.dump(plan, file)
    path = os.path.join(os.path.dirname(plan_path), "stdin")
    with open(path, "wb") as file_in:
        file_in.write(task.stdin)
    log = os.open(task.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), log
    except OSError:
        os.close(log)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _remove_tree(directory: str) -> None:
    """Remove a tree, also what user code has made unwritable; what resists stays."""

    def make_writable(_call: object, path: str, _error: object) -> None:
        parent = os.path.dirname(path)
        with contextlib.suppress(OSError):
            os.chmod(parent, stat.S_IRWXU)
            os.chmod(path, stat.S_IRWXU)
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)

    shutil.rmtree(directory, onerror=make_writable)


def _unavailable(error: OSError, directory: str) -> Unavailable:
    what = error.strerror or str(error)
    if error.errno in {28, 122}:  # ENOSPC, EDQUOT
        return Unavailable(Reason.DISK_FULL, f"cannot prepare {directory}: {what}", "make room")
    return Unavailable(Reason.IO_ERROR, f"cannot prepare {directory}: {what}")
