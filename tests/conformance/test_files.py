"""What every adapter of the file-system port does, on each kind of file system there is."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backends.files import Files, Mode
from gateway.backends.local import LocalFiles
from gateway.errors import Conflict, NotFound, Unavailable

BLOCK = 4096
PLACES = ["disk", "memory"]


@pytest.fixture(params=["local"])
def files(request: pytest.FixtureRequest) -> Files:
    return {"local": LocalFiles}[request.param]()


@pytest.fixture(params=PLACES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(tmp_path)
        return
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no file system in memory here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield place


def aligned(data: bytes) -> memoryview:
    memory = mmap.mmap(-1, max(len(data), BLOCK))
    memory[: len(data)] = data
    return memoryview(memory)[: len(data)]


def read(files: Files, path: str, size: int, offset: int = 0) -> bytes:
    handle = files.open(path, Mode.READ)
    into = memoryview(bytearray(size))
    count = files.pread(handle, into, offset)
    files.close(handle)
    return bytes(into[:count])


@pytest.mark.parametrize("direct", [False, True])
def test_what_is_written_is_read(files: Files, home: str, direct: bool) -> None:
    path = f"{home}/file"
    handle = files.open(path, Mode.CREATE, direct=direct)
    files.pwrite(handle, aligned(b"a" * BLOCK + b"b" * BLOCK), BLOCK)
    files.fdatasync(handle)
    files.close(handle)
    assert read(files, path, 4 * BLOCK) == bytes(BLOCK) + b"a" * BLOCK + b"b" * BLOCK
    assert read(files, path, 2, 2 * BLOCK - 1) == b"ab"
    assert read(files, path, 5, 3 * BLOCK) == b""
    handle = files.open(path, Mode.WRITE, direct=direct)
    files.pwrite(handle, aligned(b"c" * BLOCK), 0)
    files.close(handle)
    assert read(files, path, 1) == b"c"


def test_modes_say_what_must_be_there(files: Files, home: str) -> None:
    for mode in (Mode.READ, Mode.WRITE):
        with pytest.raises(NotFound):
            files.open(f"{home}/absent", mode)
    files.close(files.open(f"{home}/file", Mode.CREATE))
    for direct in (False, True):
        with pytest.raises(Conflict):
            files.open(f"{home}/file", Mode.CREATE, direct=direct)


def test_a_handle_for_reading_does_not_write(files: Files, home: str) -> None:
    files.close(files.open(f"{home}/file", Mode.CREATE))
    handle = files.open(f"{home}/file", Mode.READ)
    with pytest.raises(Unavailable):
        files.pwrite(handle, memoryview(b"x"), 0)
    files.close(handle)


def test_reserving_changes_no_size_and_cutting_does(files: Files, home: str) -> None:
    path = f"{home}/file"
    handle = files.open(path, Mode.CREATE)
    files.fallocate(handle, 0, 1 << 20)
    stat = files.stat(path)
    assert stat is not None
    assert stat.size == 0
    files.ftruncate(handle, 100_000)
    stat = files.stat(path)
    assert stat is not None
    assert stat.size == 100_000
    assert read(files, path, 10, 99_995) == bytes(5)
    files.close(handle)
    assert files.stat(f"{home}/absent") is None


def test_holes_can_be_skipped(files: Files, home: str) -> None:
    handle = files.open(f"{home}/file", Mode.CREATE)
    files.ftruncate(handle, 1 << 24)
    assert files.next_data(handle, 0) in {None, 0}
    files.pwrite(handle, memoryview(b"x"), 1 << 23)
    found = files.next_data(handle, 0)
    assert found is not None
    assert found <= 1 << 23
    assert files.next_data(handle, 1 << 25) in {None, 1 << 25}
    files.close(handle)


@pytest.mark.parametrize("direct", [False, True])
def test_a_map_shows_what_is_written_later(files: Files, home: str, direct: bool) -> None:
    path = f"{home}/file"
    handle = files.open(path, Mode.CREATE)
    files.ftruncate(handle, 16 * BLOCK)
    reader = files.open(path, Mode.READ)
    view = memoryview(files.map(reader))
    assert view.readonly
    assert len(view) == 16 * BLOCK
    writer = files.open(path, Mode.WRITE, direct=direct)
    for number in range(16):
        data = bytes([number + 1]) * BLOCK
        files.pwrite(writer, aligned(data), number * BLOCK)
        files.fdatasync(writer)
        # The page before was touched, so that reading ahead may have met this one.
        assert view[number * BLOCK : (number + 1) * BLOCK] == data
    for one in (handle, reader, writer):
        files.close(one)
    assert view[0] == 1


@pytest.mark.parametrize("direct", [False, True])
def test_a_range_of_a_map_is_loaded_or_not_but_never_a_signal(
    files: Files, home: str, direct: bool
) -> None:
    handle = files.open(f"{home}/file", Mode.CREATE, direct=direct)
    data = os.urandom(16 * BLOCK)
    files.pwrite(handle, aligned(data), 0)
    files.fdatasync(handle)
    reader = files.open(f"{home}/file", Mode.READ)
    mapped = files.map(reader)
    for offset, length in ((0, 16 * BLOCK), (5000, 100), (BLOCK - 1, 2), (15 * BLOCK, BLOCK)):
        if files.load(mapped, offset, length):
            assert mapped[offset : offset + length] == data[offset : offset + length]
    assert not files.load(mapped, 16 * BLOCK, 1)
    assert not files.load(mapped, 0, 16 * BLOCK + 1)
    files.ftruncate(handle, 8 * BLOCK)
    assert not files.load(mapped, 0, 16 * BLOCK)
    assert not files.load(mapped, 12 * BLOCK, 100)
    files.close(handle)
    files.close(reader)
    mapped.close()  # nothing holds on to it


def test_names(files: Files, home: str) -> None:
    files.mkdir(f"{home}/inner")
    files.mkdir(f"{home}/inner")
    for name in ("b", "a"):
        handle = files.open(f"{home}/inner/{name}", Mode.CREATE)
        files.pwrite(handle, memoryview(name.encode()), 0)
        files.close(handle)
    assert list(files.list(f"{home}/inner")) == ["a", "b"]
    files.rename(f"{home}/inner/a", f"{home}/inner/b")
    files.fsync_dir(f"{home}/inner")
    assert list(files.list(f"{home}/inner")) == ["b"]
    assert read(files, f"{home}/inner/b", 1) == b"a"
    files.unlink(f"{home}/inner/b")
    files.unlink(f"{home}/inner/b")
    assert list(files.list(f"{home}/inner")) == []
    with pytest.raises(NotFound):
        files.list(f"{home}/absent")
    with pytest.raises(NotFound):
        files.rename(f"{home}/absent", f"{home}/other")
    handle = files.open(f"{home}/plain", Mode.CREATE)
    with pytest.raises(Conflict):
        files.mkdir(f"{home}/plain")
    files.close(handle)
    files.close(handle)  # closing never fails
