"""The real AWS CLI against a real server."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.served import AWS, Server, resident_kib, running, sidegate, tree

pytestmark = pytest.mark.skipif(not AWS.exists(), reason="`make test` installs the AWS CLI")

NAMES = [
    "plain.txt",
    "a b/with spaces.txt",
    "plus+and&amp/50%.txt",
    'quotes/it\'s "quoted".txt',
    "unicode/Ωμέγα 日本語 é.txt",
    "tilde~(1)*!.txt",
    "deep/er/and/deeper/file.bin",
    "empty",
    "semi;colon,comma=equals@at$dollar#hash",
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data") as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    source = random.Random(7)
    for number, name in enumerate(NAMES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty" else source.randbytes(1 + number * 7001))
    return root


def test_a_tree_goes_in_and_comes_back_byte_for_byte(
    server: Server, files: Path, tmp_path: Path
) -> None:
    server.aws("s3", "mb", "s3://trees")
    server.aws("s3", "cp", "--recursive", str(files), "s3://trees/in/")
    server.aws("s3", "cp", "--recursive", "s3://trees/in/", str(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(files)

    (files / "plain.txt").write_bytes(b"changed")
    (files / "empty").unlink()
    (files / "new").write_bytes(b"new")
    server.aws("s3", "sync", "--delete", str(files), "s3://trees/in/")
    server.aws("s3", "sync", "--delete", "s3://trees/in/", str(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(files)

    listed = server.aws("s3", "ls", "--recursive", "s3://trees/in/").stdout
    assert len(listed.splitlines()) == len(NAMES)
    assert "Ωμέγα 日本語 é.txt" in listed
    server.aws("s3", "mv", "s3://trees/in/new", "s3://trees/moved")
    assert "moved" in server.aws("s3", "ls", "s3://trees/").stdout
    server.aws("s3", "rm", "--recursive", "s3://trees/")
    assert server.aws("s3", "ls", "s3://trees/").stdout == ""
    server.aws("s3", "rb", "s3://trees")


@pytest.mark.parametrize("size", [3, 20 * 1024 * 1024])
def test_sizes_either_side_of_multipart(server: Server, tmp_path: Path, size: int) -> None:
    local = tmp_path / "local"
    local.write_bytes(random.Random(size).randbytes(size))
    server.aws("s3", "mb", "s3://sizes")
    server.aws("s3", "cp", str(local), "s3://sizes/object")
    server.aws("s3", "cp", "s3://sizes/object", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    # A commit is made of it by itself, and the commit's own bucket shows it.
    done = sidegate("branch", "inspect", "sizes@master", data=server.data)
    assert "master" in done.stdout


def test_a_large_object_is_copied_and_moved_without_its_data(
    server: Server, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    local.write_bytes(random.Random(4).randbytes(20 * 1024 * 1024))
    server.aws("s3", "mb", "s3://copies")
    server.aws("s3", "cp", str(local), "s3://copies/a dir/big+one")
    sidegate("commit", "start", "copies@master", data=server.data)
    server.aws("s3", "cp", "s3://copies/a dir/big+one", "s3://copies/copied")
    server.aws("s3", "mv", "s3://copies/copied", "s3://copies/moved")
    done = sidegate("commit", "finish", "copies@master", "--json", data=server.data)
    commit = json.loads(done.stdout)
    assert (commit["logical_bytes"], commit["new_bytes"]) == (40 * 1024 * 1024, 0)
    for key in ("a dir/big+one", "moved"):
        server.aws("s3", "cp", f"s3://copies/{key}", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == local.read_bytes()
    assert "copied" not in server.aws("s3", "ls", "s3://copies/").stdout


def test_a_gibibyte_in_bounded_memory(server: Server, tmp_path: Path) -> None:
    local = tmp_path / "large"
    block = random.Random(1).randbytes(1024 * 1024)
    with local.open("wb") as file:
        for number in range(1024):
            file.write(number.to_bytes(8) + block[8:])
    peak = Peak(server)
    server.aws("s3", "mb", "s3://large")
    server.aws("s3", "cp", "--no-progress", str(local), "s3://large/object")
    server.aws("s3", "cp", "--no-progress", "s3://large/object", str(tmp_path / "back"))
    assert peak.stop() < 150 * 1024
    for path in (local, tmp_path / "back"):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if path == local:
            expected = digest
        assert digest == expected


class Peak:
    """The most memory a server was seen to hold, sampled."""

    def __init__(self, server: Server) -> None:
        self._peak_kib = 0
        self._pid = server.process.pid
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(0.02):
            self._peak_kib = max(self._peak_kib, resident_kib(self._pid))

    def stop(self) -> int:
        """Stop sampling; return KiB."""
        self._stopping.set()
        self._thread.join()
        return self._peak_kib
