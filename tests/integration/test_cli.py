"""The command line as its user meets it: results, one-line errors, exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.served import CLEAN, ROOT, running, sidegate

SPEC = ROOT / "demo/pipeline.json"


def failing(*arguments: str, data: Path, code: int, says: str) -> None:
    """Run a command that must fail: with this code, and one line that says this."""
    done = sidegate(*arguments, data=data, check=False)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_repo_its_files_and_its_history(data: Path, tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/one.txt").write_text("one")
    (tmp_path / "in/sub/two words.txt").write_text("two")
    sidegate("repo", "create", "r", "--description", "a repo", data=data)
    sidegate("file", "put", "-r", "r@master:base", str(tmp_path / "in"), data=data)
    first = json.loads(sidegate("--json", "commit", "inspect", "r@master", data=data).stdout)
    assert first["objects"] == 2
    assert first["bytes"] == 6
    assert first["state"] == "finished"

    sidegate("file", "put", "r@master:base/one.txt", "-", data=data, input="three")
    sidegate("file", "rm", "r@master:base/sub/two words.txt", data=data)
    diff = sidegate("--json", "commit", "diff", "r@master^^", "r@master", data=data).stdout
    changes = [json.loads(line) for line in diff.splitlines()]
    assert [(entry["change"], entry["path"]) for entry in changes] == [
        ("changed", "base/one.txt"),
        ("removed", "base/sub/two words.txt"),
    ]
    assert sidegate("file", "cat", "r@master:base/one.txt", data=data).stdout == "three"
    old = f"r@{first['commit'][:8]}:base/one.txt"
    assert sidegate("file", "cat", old, data=data).stdout == "one"
    sidegate("file", "get", "-r", f"r@{first['commit']}:base", str(tmp_path / "out"), data=data)
    assert (tmp_path / "out/sub/two words.txt").read_text() == "two"
    sidegate("file", "cp", "r@master:base/one.txt", "r@master:copy", data=data)
    listed = sidegate("--json", "file", "ls", "-r", "r@master", data=data).stdout.splitlines()
    assert [json.loads(line)["path"] for line in listed] == ["base/one.txt", "copy"]
    listed = sidegate("--json", "file", "ls", "r@master", data=data).stdout.splitlines()
    assert [json.loads(line)["path"] for line in listed] == ["base/", "copy"]


def test_the_same_output_with_and_without_a_server(data: Path) -> None:
    sidegate("repo", "create", "r", data=data)
    sidegate("file", "put", "r@master:a", "-", data=data, input="x")
    commands = [
        ("repo", "list"),
        ("branch", "list", "r"),
        ("commit", "list", "r"),
        ("file", "ls", "r@master"),
        ("--json", "commit", "inspect", "r@master"),
        ("pipeline", "list"),
        ("job", "list"),
    ]
    alone = [sidegate(*command, data=data).stdout for command in commands]
    with running(data):
        assert [sidegate(*command, data=data).stdout for command in commands] == alone
    assert sidegate("commit", "list", "r", data=data).stdout.count("\n") == 2


def test_an_open_commit_is_seen_only_when_finished(data: Path) -> None:
    sidegate("repo", "create", "r", data=data)
    opened = sidegate("commit", "start", "r@master", "-m", "by hand", data=data).stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{32}", opened)
    sidegate("file", "put", "r@master:a", "-", data=data, input="x")
    inspected = json.loads(sidegate("--json", "commit", "inspect", f"r@{opened}", data=data).stdout)
    assert inspected["state"] == "open"
    assert sidegate("commit", "finish", "r@master", data=data).stdout.strip() == opened
    inspected = json.loads(sidegate("--json", "commit", "inspect", "r@master", data=data).stdout)
    assert (inspected["commit"], inspected["message"]) == (opened, "by hand")
    sidegate("commit", "start", "r@master", data=data)
    sidegate("file", "rm", "r@master:a", data=data)
    sidegate("commit", "discard", "r@master", data=data)
    assert sidegate("file", "cat", "r@master:a", data=data).stdout == "x"


def test_branches_are_made_moved_and_deleted(data: Path) -> None:
    sidegate("repo", "create", "r", data=data)
    first = sidegate("file", "put", "r@master:a", "-", data=data, input="1").stdout.strip()
    second = sidegate("file", "put", "r@master:a", "-", data=data, input="2").stdout.strip()
    sidegate("branch", "create", "r@dev", "--from", "r@master^", data=data)
    assert sidegate("file", "cat", "r@dev:a", data=data).stdout == "1"
    failing(*("branch", "move", "r@dev", second, "--expect", second), data=data, code=4, says="dev")
    sidegate("branch", "move", "r@dev", second, "--expect", first, data=data)
    assert sidegate("file", "cat", "r@dev:a", data=data).stdout == "2"
    sidegate("branch", "delete", "r@dev", data=data)
    failing("branch", "inspect", "r@dev", data=data, code=3, says="dev")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["frobnicate"], 2, "frobnicate"),
        (["repo", "frobnicate"], 2, "frobnicate"),
        (["repo", "create"], 2, "required"),
        (["repo", "create", "a b"], 2, "a b"),
        (["repo", "inspect", "nothing"], 3, "nothing"),
        (["repo", "create", "noproject/r"], 3, "noproject"),
        (["file", "cat", "nothing@master:x"], 3, "nothing"),
        (["file", "put", "nothing@master", "/nonexistent/file"], 3, "/nonexistent/file"),
        (["commit", "inspect", "nothing@master"], 3, "nothing"),
        (["job", "inspect", "0" * 32], 3, "job"),
        (["pipeline", "inspect", "nothing"], 3, "nothing"),
        (["run", "/nonexistent/spec.json"], 3, "/nonexistent/spec.json"),
        (["serve", "--listen", "nonsense"], 2, "nonsense"),
        (["serve", "--listen", "0.0.0.0:0"], 2, "--insecure"),
        (["serve", "--auth", "keys"], 2, "SIDEGATE_ROOT_ACCESS_KEY"),
        (["--url", "http://127.0.0.1:1", "repo", "list"], 5, "token"),
        (["--url", "ftp://x", "repo", "list"], 2, "ftp://x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_said_in_one_line(
    data: Path, arguments: list[str], code: int, says: str
) -> None:
    failing(*arguments, data=data, code=code, says=says)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("{", "line 1"),
        ('{"pipeline": {"name": "p"}, "s3_out": tru}', "line 1"),
        ('{"pipeline": {"name": "p"}}', "transform"),
        (
            (
                '{"pipeline":{"name":"p"},"transform":{"cmd":["sh"]},'
                '"input":{"pfs":{"repo":"r","glob":"/*","s3":true}}}'
            ),
            "$.input.pfs.glob",
        ),
        (
            (
                '{"pipeline":{"name":"p"},"transform":{"cmd":["sh"]},"s3_outt":true,'
                '"input":{"pfs":{"repo":"r","glob":"/"}}}'
            ),
            "s3_out",
        ),
    ],
)
def test_a_broken_spec_is_refused_with_the_place(data: Path, spec: str, says: str) -> None:
    done = sidegate("run", "-", data=data, check=False, input=spec)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_spec_of_a_missing_repo_is_refused(data: Path) -> None:
    failing("run", str(SPEC), data=data, code=3, says="labresults")
    assert sidegate("pipeline", "list", data=data).stdout == ""


def test_a_port_in_use_and_a_directory_in_use(data: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failing("serve", "--listen", f"127.0.0.1:{port}", data=data, code=6, says=str(port))
    with running(data):
        failing("serve", "--listen", "127.0.0.1:0", data=data, code=6, says="held by another")


def test_directories_that_are_not_ours(data: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("precious")
    failing("repo", "list", data=foreign, code=2, says="thesis.tex")
    assert [path.name for path in foreign.iterdir()] == ["thesis.tex"]
    failing("repo", "list", data=foreign / "thesis.tex", code=2, says="not a directory")
    sidegate("repo", "list", data=data)
    (data / "format").write_text("sidegate data directory, format 99\n")
    failing("repo", "list", data=data, code=1, says="format 99")


NAMESPACES = (
    shutil.which("unshare") is not None
    and subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"], check=False
    ).returncode
    == 0
)
needs_namespaces = pytest.mark.skipif(
    not NAMESPACES, reason="this machine allows no mount namespaces, which the small disk is in"
)


def inside(mount: str, script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace where `$DATA` was mounted by `mount`."""
    (tmp_path / "mounted").mkdir()
    return subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
            f'{mount} "$DATA" || exit 99\n{script}',
        ],
        env=CLEAN
        | {
            "HOME": str(tmp_path),
            "DATA": str(tmp_path / "mounted"),
            "SIDEGATE": f"{sys.executable} -m gateway --data {tmp_path}/mounted/data",
            "PYTHONPATH": str(ROOT),
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@needs_namespaces
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(96 * 1024 * 1024))
    done = inside(
        "mount -t tmpfs -o size=64m tmpfs",
        "set -e\n"
        "$SIDEGATE repo create r\n"
        "printf kept | $SIDEGATE file put r@master:small -\n"
        "code=0; $SIDEGATE file put r@master:large large || code=$?\n"
        "echo code $code\n"
        "$SIDEGATE file cat r@master:small\n"
        "$SIDEGATE file ls -r r@master\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "code 6" in done.stdout
    assert "kept" in done.stdout
    assert "large" not in done.stdout
    assert "space" in done.stderr
    assert "Traceback" not in done.stderr


@needs_namespaces
def test_a_read_only_directory_is_named(tmp_path: Path) -> None:
    done = inside("mount -t tmpfs -o ro tmpfs", "$SIDEGATE repo list", tmp_path)
    assert done.returncode == 6, done.stderr
    assert "mounted" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_written_again_as_it_was_is_no_difference(data: Path) -> None:
    sidegate("repo", "create", "r", data=data)
    sidegate("file", "put", "r@master:same", "-", data=data, input="same")
    sidegate("file", "put", "r@master:same", "-", data=data, input="same")
    sidegate("file", "put", "r@master:other", "-", data=data, input="other")
    newest = sidegate("--json", "commit", "list", "r@master", data=data).stdout.splitlines()
    first = json.loads(newest[-1])["commit"]
    diff = sidegate("commit", "diff", f"r@{first}", "r@master", data=data).stdout
    assert diff == "+ other  5 B\n1 added, 0 changed, 0 removed; 1 the same\n"


def test_a_put_of_many_files_is_whole_or_not_at_all(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_text("a")
    (root / "sub/b").write_text("b")
    (root / "link").symlink_to("a")
    (root / "folder").symlink_to("sub")
    sidegate("repo", "create", "r", data=data)
    put = ("file", "put", "-r", "r@master", str(root))

    (root / "z").symlink_to("nowhere")
    failing(*put, data=data, code=3, says="leads nowhere")
    (root / "z").unlink()
    (root / "z").symlink_to(".")
    failing(*put, data=data, code=2, says="in a circle")
    (root / "z").unlink()
    os.mkfifo(root / "z")
    failing(*put, data=data, code=2, says="neither a file nor a directory")
    (root / "z").unlink()
    odd = os.fsencode(root) + b"/n\xe9"
    Path(os.fsdecode(odd)).write_text("x")
    failing(*put, data=data, code=2, says="is not UTF-8")
    os.unlink(odd)
    failing("commit", "inspect", "r@master", data=data, code=3, says="has no commit")

    assert r"n\udce9" not in sidegate(*put, data=data).stdout
    listed = sidegate("--json", "file", "ls", "-r", "r", data=data).stdout.splitlines()
    assert [json.loads(line)["path"] for line in listed] == ["a", "folder/b", "link", "sub/b"]


def test_a_server_that_refuses_a_body_half_way_is_heard(data: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(40_000_000))
    sidegate("repo", "create", "r", data=data)
    refused = ("file", "put", "nosuch@master:big", str(big))
    failing(*refused, data=data, code=3, says="there is no repo nosuch")
    with running(data):
        failing(*refused, data=data, code=3, says="there is no repo nosuch")


def test_what_is_wrong_with_a_path_is_said_in_words(data: Path, tmp_path: Path) -> None:
    key = "k" * 300
    sidegate("repo", "create", "r", data=data)
    sidegate("file", "put", f"r@master:{key}", "-", data=data, input="x")
    out = str(tmp_path / "out")
    failing("file", "get", "-r", "r@master", out, data=data, code=6, says="name too long")
    failing("file", "get", "r@master", out, data=data, code=2, says="names no file")
    failing("file", "cat", "r@master:", data=data, code=2, says="names no file")
    failing("file", "get", "-r", "r@master", "-", data=data, code=2, says="needs a directory")
    failing("file", "cat", "r@master:nö", data=data, code=3, says="there is no 'nö' in bucket r")


def test_wrong_servers_and_tokens(data: Path) -> None:
    for url in ("http://127.0.0.1:99999", "http://127.0.0.1:x", "ftp://127.0.0.1"):
        failing("--url", url, "repo", "list", data=data, code=2, says="not the URL of an admin")
    failing("--data", "", "repo", "list", data=data, code=2, says="--data is empty")
    sidegate("repo", "list", data=data)
    (data / "admin-token").write_text("x\ny")
    failing("--url", "http://127.0.0.1:1", "repo", "list", data=data, code=5, says="no token has")


def test_a_table_in_pages_has_one_head(data: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(1001):
        (tmp_path / f"in/{number:04d}").write_text("")
    sidegate("repo", "create", "r", data=data)
    with running(data):
        sidegate("file", "put", "-r", "r@master", str(tmp_path / "in"), data=data)
        lines = sidegate("file", "ls", "r", data=data).stdout.splitlines()
    assert len(lines) == 1002
    assert sum(line.startswith("TYPE") for line in lines) == 1


def test_a_job_is_told_in_words_and_as_a_record(data: Path, tmp_path: Path) -> None:
    sidegate("repo", "create", "in", data=data)
    sidegate("file", "put", "in@master:x", "-", data=data, input="x")
    spec = {
        "pipeline": {"name": "p"},
        "input": {"pfs": {"repo": "in", "glob": "/", "s3": True}},
        "transform": {
            "cmd": ["sh"],
            "stdin": [r"printf '1 of 2\r2 of 2\rdone\n'; ls -l /proc/self/fd; cat no-such"],
        },
        "s3_out": True,
        "datum_tries": 1,
    }
    (tmp_path / "p.json").write_text(json.dumps(spec))
    held = os.open("/dev/null", os.O_RDONLY)  # the code must not get what we were started with
    os.set_inheritable(held, True)
    done = sidegate("run", str(tmp_path / "p.json"), data=data, check=False, pass_fds=(held,))
    os.close(held)
    assert done.returncode == 1
    assert done.stderr.startswith("done\n")
    numbers = [int(n) for n in re.findall(r" (\d+) -> ", done.stderr)]
    assert numbers == [0, 1, 2, 3]  # 3 is the folder that ls reads
    assert "s3://in: not used" in done.stdout
    assert "output commit" not in done.stdout
    job = json.loads(sidegate("--json", "job", "list", data=data).stdout)
    assert job["state"] == "failure"
    assert job["output_commit"] is None
    assert job["inputs"][0]["repo"] == "in"
