"""The first process of an attempt: mounts its private folders, runs the user code, ends the rest.

It runs as a script of its own (`python -I -S launch.py PLAN`), with nothing of the gateway in
memory, inside the namespaces that util-linux's `unshare` made. The plan is a JSON file:

    argv      the user's command          cwd       where it starts
    binds     [[folder, mount point], …], in order; `/tmp` first
    proc      mount a fresh /proc (there is a pid namespace)
    status    descriptor to report on: `started`, `exit N`, or `error TEXT`
    lifeline  descriptor that ends when the gateway does: then all is killed

The user code is not the first process of its pid namespace, because signals have no default action
there; this one is, and when it ends the kernel kills whatever is left. Without a pid namespace it
adopts orphans (`PR_SET_CHILD_SUBREAPER`) and kills them itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

MS_BIND = 4096
MS_REC = 16384
MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
PR_SET_CHILD_SUBREAPER = 36
CANNOT_START = 125  # as env(1), nice(1) and docker run say it

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None,
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount on {target}: {os.strerror(number)}")


def _prepare(plan: dict[str, Any]) -> None:
    """Mount what the plan says. Sources are opened first: a mount may hide them."""
    opened = [(os.open(source, os.O_PATH), target) for source, target in plan["binds"]]
    for descriptor, target in opened:
        if not os.path.lexists(target):
            os.makedirs(target, exist_ok=True)  # below a private /tmp, and nowhere else
        _mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
        os.close(descriptor)
    if plan["proc"]:
        _mount("proc", "/proc", "proc", MS_NOSUID_NODEV_NOEXEC)
    os.chdir(plan["cwd"])


def _close_others(*kept: int) -> None:
    """Close what was inherited besides the standard three: the user code has no business there."""
    edge = 3
    for descriptor in sorted(kept):
        os.closerange(edge, descriptor)
        edge = descriptor + 1
    os.closerange(edge, os.sysconf("SC_OPEN_MAX"))


def _exec(plan: dict[str, Any], status: int) -> NoReturn:
    """Become the user's command, in a child."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    argv: list[str] = plan["argv"]
    try:
        os.execvpe(argv[0], argv, os.environ)
    except OSError as error:
        missing = error.errno == errno.ENOENT
        what = "not found on PATH" if missing and "/" not in argv[0] else error.strerror
        os.write(status, f"error cannot run {argv[0]}: {what}\n".encode())
        os._exit(127 if missing else 126)


def _reap(main: int) -> int | None:
    """Collect the dead; return the exit code of the user code when it is among them."""
    code: int | None = None
    while True:
        try:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == main:
            code = os.waitstatus_to_exitcode(wait_status)
            code = 128 - code if code < 0 else code


def _kill_rest(*, own_namespace: bool) -> None:
    """Kill every process that is left below this one, and collect them."""
    if own_namespace and os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    for _ in range(1000):  # adopting takes a round for each generation
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                children = [int(each) for each in file.read().split()]
        except OSError:
            children = []
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0 if children else os.WNOHANG)
        except ChildProcessError:
            return
        if not children:
            return


def main() -> int:
    """Run the plan and return the exit code of the user code."""
    with open(sys.argv[1], encoding="utf-8") as file:
        plan: dict[str, Any] = json.load(file)
    status, lifeline = int(plan["status"]), int(plan["lifeline"])
    _close_others(status, lifeline)
    for descriptor in (status, lifeline):
        os.set_inheritable(descriptor, False)
    try:
        _prepare(plan)
    except OSError as error:
        what = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
        os.write(status, f"error cannot prepare its folders: {what}\n".encode())
        return CANNOT_START
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    waker, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.set_wakeup_fd(wakened)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)  # the group of the user code gets its own
    child = os.fork()
    if child == 0:
        _exec(plan, status)
    os.write(status, b"started\n")
    code: int | None = None
    while code is None:
        ready, _, _ = select.select([waker, lifeline], [], [])
        if lifeline in ready:
            code = 128 + signal.SIGKILL
            break
        os.read(waker, 4096)
        code = _reap(child)
    _kill_rest(own_namespace=bool(plan["proc"]))
    os.write(status, f"exit {code}\n".encode())
    return code


if __name__ == "__main__":
    sys.exit(main())
