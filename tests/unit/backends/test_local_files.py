"""How the local adapter names what the kernel says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.backends.files import Mode
from gateway.backends.local import LocalFiles, translate
from gateway.errors import Conflict, NotFound, Reason, SidegateError, Unavailable


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (errno.ENOENT, NotFound, Reason.NO_SUCH_FILE),
        (errno.EEXIST, Conflict, Reason.ALREADY_EXISTS),
        (errno.ENOSPC, Unavailable, Reason.DISK_FULL),
        (errno.EDQUOT, Unavailable, Reason.DISK_FULL),
        (errno.EROFS, Unavailable, Reason.READ_ONLY_STORE),
        (errno.EACCES, Unavailable, Reason.READ_ONLY_STORE),
        (errno.EPERM, Unavailable, Reason.READ_ONLY_STORE),
        (errno.EIO, Unavailable, Reason.IO_ERROR),
        (errno.ESTALE, Unavailable, Reason.IO_ERROR),
    ],
)
def test_errors_are_translated(code: int, kind: type[SidegateError], reason: Reason) -> None:
    error = translate(OSError(code, os.strerror(code)), "write", "/data/file")
    assert isinstance(error, kind)
    assert error.reason is reason
    assert "/data/file" in error.line()


def test_a_full_device_is_a_full_disk() -> None:
    files = LocalFiles()
    handle = files.open("/dev/full", Mode.WRITE)
    with pytest.raises(Unavailable) as caught:
        files.pwrite(handle, memoryview(b"x"), 0)
    assert caught.value.reason is Reason.DISK_FULL
    files.close(handle)


def test_a_bound_on_file_size_is_a_full_disk(tmp_path: Path) -> None:
    files = LocalFiles()
    handle = files.open(f"{tmp_path}/file", Mode.CREATE)
    with pytest.raises(Unavailable) as caught:
        files.fallocate(handle, 0, 1 << 60)
    assert caught.value.reason is Reason.DISK_FULL
    files.close(handle)


def test_a_handle_that_is_closed_is_an_error(tmp_path: Path) -> None:
    files = LocalFiles()
    handle = files.open(f"{tmp_path}/file", Mode.CREATE)
    files.close(handle)
    for call in (
        lambda: files.pread(handle, memoryview(bytearray(1)), 0),
        lambda: files.fdatasync(handle),
        lambda: files.ftruncate(handle, 1),
        lambda: files.map(handle),
    ):
        with pytest.raises(Unavailable):
            call()
