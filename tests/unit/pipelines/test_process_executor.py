"""The process executor on this machine: private folders, exact environment, certain ends."""

import asyncio
import dataclasses
import os

import pytest

from gateway import limits
from gateway.pipelines.executors.base import Task
from gateway.pipelines.executors.isolation import candidates
from gateway.pipelines.executors.process import ProcessExecutor

WAYS = candidates()


@pytest.fixture(params=range(len(WAYS)), ids=lambda at: WAYS[at].name)
async def executor(request, tmp_path):
    way = WAYS[request.param]
    made = ProcessExecutor(str(tmp_path / "jobs"), os.environ, grace_s=1.0, isolation=way)
    if way.mounts and not await made._works(way, str(tmp_path / "probe")):
        pytest.skip("this machine does not allow it")
    return made


async def run(executor, tmp_path, script, *, timeout_s=60.0, **variables):
    workspace = await executor.prepare("job", "1")
    task = Task(
        ("sh",),
        script.encode(),
        {**workspace.variables, **variables},
        "",
        str(tmp_path / "log"),
    )
    execution = await executor.start(workspace, task, lambda: None)
    outcome = await execution.wait(timeout_s)
    return workspace, outcome, (tmp_path / "log").read_text()


async def test_environment_is_exact_and_folders_are_private(executor, tmp_path, monkeypatch):
    monkeypatch.setenv("SIDEGATE_ROOT_SECRET_KEY", "secret")
    before = set(os.listdir("/tmp"))
    workspace, outcome, log = await run(
        executor,
        tmp_path,
        'env | cut -d= -f1 | sort; echo "$HOME" > $TMPDIR/sidegate-was-here; pwd; cat "$WHERE/x"',
        WHERE=workspace_pfs(executor),
    )
    assert outcome.exit_code == 1, log  # there is no x
    names = set(log.split())
    assert {"PATH", "LANG", "HOME", "TMPDIR", "WHERE"} <= names
    assert "SIDEGATE_ROOT_SECRET_KEY" not in names
    assert os.path.exists(os.path.join(workspace.directory, "tmp", "sidegate-was-here"))
    assert not os.path.exists("/tmp/sidegate-was-here")
    assert os.path.join(workspace.variables["TMPDIR"], "work") in log
    assert {each for each in os.listdir("/tmp") if "sidegate" in each} <= before
    await executor.remove(workspace)
    assert not os.path.exists(workspace.directory)


def workspace_pfs(executor):
    return "/pfs" if executor._isolation.pfs else "/nowhere"


async def test_files_go_in_and_out_through_pfs(executor, tmp_path):
    workspace = await executor.prepare("job", "1")
    os.makedirs(os.path.join(workspace.pfs, "in"))
    with open(os.path.join(workspace.pfs, "in", "a"), "w") as file:
        file.write("hello")
    task = Task(
        ("sh", "-c", 'cp "$1/in/a" "$1/b"', "sh", workspace.pfs_seen),
        b"",
        workspace.variables,
        "",
        str(tmp_path / "log"),
    )
    outcome = await (await executor.start(workspace, task, lambda: None)).wait()
    assert outcome.exit_code == 0
    with open(os.path.join(workspace.pfs, "b")) as file:
        assert file.read() == "hello"


async def test_exit_codes_and_signals(executor, tmp_path):
    _, outcome, _ = await run(executor, tmp_path, "exit 3")
    assert (outcome.exit_code, outcome.reason) == (3, "")
    _, outcome, _ = await run(executor, tmp_path, "kill -SEGV $$")
    assert outcome.exit_code == 128 + 11


async def test_a_command_that_is_not_there_is_named(executor, tmp_path):
    workspace = await executor.prepare("job", "1")
    task = Task(("no-such-program",), b"", workspace.variables, "", str(tmp_path / "log"))
    outcome = await (await executor.start(workspace, task, lambda: None)).wait()
    assert "no-such-program: not found on PATH" in outcome.reason
    task = dataclasses.replace(task, argv=("true",), working_dir="/no/such/folder")
    outcome = await (await executor.start(workspace, task, lambda: None)).wait()
    assert outcome.exit_code is None
    assert "/no/such/folder" in outcome.reason


async def test_children_left_behind_are_killed(executor, tmp_path):
    marker = tmp_path / "jobs" / "job" / "1" / "tmp" / "alive"
    _, outcome, _ = await run(
        executor,
        tmp_path,
        # The fifo is opened by a child in a session of its own, which then waits for ever.
        'mkfifo "$TMPDIR/f"; setsid sh -c \'echo x > "$TMPDIR/f"; echo > "$TMPDIR/alive"; '
        'exec sleep 600\' & read x < "$TMPDIR/f"; exit 0',
    )
    assert outcome.exit_code == 0
    del marker
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
        except OSError:
            continue
        assert f"HOME={tmp_path}".encode() not in environ


async def test_timeout_kills_even_what_ignores_sigterm(executor, tmp_path):
    _, outcome, log = await run(
        executor, tmp_path, "trap '' TERM; echo ready; sleep 600; sleep 600", timeout_s=0.7
    )
    assert outcome.timed_out
    assert outcome.exit_code is None
    del log


async def test_stop_ends_a_run(executor, tmp_path):
    workspace = await executor.prepare("job", "1")
    printed = asyncio.Event()
    task = Task(("sh",), b"echo begun\nsleep 600\n", workspace.variables, "", str(tmp_path / "log"))
    execution = await executor.start(workspace, task, printed.set)
    await printed.wait()
    waiting = asyncio.create_task(execution.wait())
    await execution.stop()
    outcome = await waiting
    assert outcome.stopped
    assert (tmp_path / "log").read_text() == "begun\n"


async def test_log_is_bounded(executor, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LOG_SIZE_MAX", 1000)
    _, outcome, log = await run(executor, tmp_path, "head -c 5000 /dev/zero | tr '\\0' x")
    assert outcome.exit_code == 0
    assert log == "x" * 1000 + "\nsidegate: 4000 more bytes were printed and not kept\n"


async def test_the_best_way_is_found_by_trying(tmp_path):
    executor = ProcessExecutor(str(tmp_path / "jobs"), os.environ)
    workspace = await executor.prepare("job", "1")
    assert os.listdir(workspace.pfs) == []
    assert os.listdir(tmp_path / "jobs") == ["job"]
    await executor.clear()
    assert not (tmp_path / "jobs").exists()


async def test_programs_and_scripts_below_tmp_stay_visible(executor, tmp_path):
    programs = tmp_path / "env" / "bin"
    programs.mkdir(parents=True)
    tool = programs / "tool"
    tool.write_text('#!/bin/sh\ncat "$(dirname "$0")/../data"; cat "$1"; echo changed > "$1"\n')
    tool.chmod(0o755)
    (tmp_path / "env" / "data").write_text("beside\n")
    script = tmp_path / "script"
    script.write_text("named\n")
    workspace = await executor.prepare("job", "1")
    log = tmp_path / "log"
    variables = workspace.variables | {"PATH": f"{programs}:{os.environ['PATH']}"}
    task = Task(("tool", str(script)), b"", variables, "", str(log))
    outcome = await (await executor.start(workspace, task, lambda: None)).wait()
    assert outcome.exit_code == 0, log.read_text()
    task = dataclasses.replace(task, argv=(str(tool), str(script)), variables=workspace.variables)
    outcome = await (await executor.start(workspace, task, lambda: None)).wait()
    assert outcome.exit_code == 0, log.read_text()
    if executor._isolation.mounts:
        assert log.read_text() == "beside\nnamed\nbeside\nnamed\n"
        assert script.read_text() == "named\n"
