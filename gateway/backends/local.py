"""The file-system port on the machine's own file system.

Direct transfers are tried where asked for and dropped silently where the file system refuses them
(tmpfs, some network file systems). Reservations are hints: a file system without `fallocate` is
served all the same, and a full disk then shows at the write.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.backends.files import Handle, Mode, Stat
from gateway.errors import Conflict, NotFound, Reason, Unavailable

_FLAGS = {
    Mode.READ: os.O_RDONLY,
    Mode.WRITE: os.O_RDWR,
    Mode.CREATE: os.O_RDWR | os.O_CREAT | os.O_EXCL,
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_RESERVE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
_TRANSFER_MAX = 1 << 30  # one system call moves 2 GiB - 4 KiB at most

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.fallocate.restype = ctypes.c_int
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.madvise.restype = ctypes.c_int
_POPULATE_READ = 22  # MADV_POPULATE_READ of asm-generic/mman-common.h, since Linux 5.14


class _Buffer(ctypes.Structure):
    """Py_buffer: the way to the address of a map that is read-only."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_python = ctypes.pythonapi
_python.PyObject_GetBuffer.argtypes = (ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int)
_python.PyBuffer_Release.argtypes = (ctypes.POINTER(_Buffer),)
_python.PyBuffer_Release.restype = None


@contextmanager
def _translated(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate(error, what, name) from error


def translate(error: OSError, what: str, name: str) -> Exception:
    """Return the error of this project that stands for an OSError."""
    code = error.errno
    text = f"cannot {what} {name}: {os.strerror(code) if code else error}"
    if code == errno.ENOENT:
        return NotFound(Reason.NO_SUCH_FILE, text, path=name)
    if code == errno.EEXIST:
        return Conflict(Reason.ALREADY_EXISTS, text, path=name)
    if code in _FULL:
        return Unavailable(Reason.DISK_FULL, text, "free some space", path=name)
    if code in _READ_ONLY:
        return Unavailable(Reason.READ_ONLY_STORE, text, "check its permissions", path=name)
    return Unavailable(Reason.IO_ERROR, text, "see the kernel's log for the device", path=name)


class LocalFiles:
    """The real thing."""

    def open(self, path: str, mode: Mode, *, direct: bool = False) -> Handle:
        """Open a file; `direct` only where the file system has it."""
        flags = _FLAGS[mode] | os.O_CLOEXEC
        with _translated("open", path):
            if direct:
                try:
                    return Handle(os.open(path, flags | os.O_DIRECT, 0o600))
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    if mode is Mode.CREATE and os.path.exists(path):
                        # Some kernels create the file before they refuse the flag.
                        flags &= ~os.O_EXCL
            return Handle(os.open(path, flags, 0o600))

    def close(self, handle: Handle) -> None:
        """Release a handle; never fails."""
        try:
            os.close(handle)
        except OSError:
            # Whatever must be durable was synced before: close promises nothing here.
            return

    def pread(self, handle: Handle, into: memoryview, offset: int) -> int:
        """Read until `into` is full or the file ends."""
        done = 0
        with _translated("read", f"handle {handle}"):
            while done < len(into):
                count = os.preadv(handle, [into[done : done + _TRANSFER_MAX]], offset + done)
                if count == 0:
                    break
                done += count
        return done

    def pwrite(self, handle: Handle, data: memoryview, offset: int) -> None:
        """Write all of `data`, however often the kernel stops short."""
        done = 0
        with _translated("write", f"handle {handle}"):
            while done < len(data):
                done += os.pwrite(handle, data[done : done + _TRANSFER_MAX], offset + done)

    def fallocate(self, handle: Handle, offset: int, length: int) -> None:
        """Reserve blocks, the size unchanged; silently nothing where unsupported."""
        while _libc.fallocate(handle, _KEEP_SIZE, offset, length) != 0:
            code = ctypes.get_errno()
            if code in _NO_RESERVE:
                return
            if code != errno.EINTR:
                error = OSError(code, os.strerror(code))
                raise translate(error, "reserve space in", f"handle {handle}")

    def ftruncate(self, handle: Handle, size: int) -> None:
        """Set the size."""
        with _translated("resize", f"handle {handle}"):
            os.ftruncate(handle, size)

    def fdatasync(self, handle: Handle) -> None:
        """Make contents and size durable."""
        with _translated("sync", f"handle {handle}"):
            os.fdatasync(handle)

    def next_data(self, handle: Handle, offset: int) -> int | None:
        """Return where data begins at or after `offset`; `offset` where that cannot be told."""
        try:
            return os.lseek(handle, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            return offset

    def map(self, handle: Handle) -> mmap.mmap:
        """Map the whole of a file, read-only."""
        with _translated("map", f"handle {handle}"):
            return mmap.mmap(handle, 0, mmap.MAP_SHARED, mmap.PROT_READ)

    def load(self, mapped: mmap.mmap, offset: int, length: int) -> bool:
        """Read and enter the pages of a range, without the interpreter lock (`mmap` keeps it)."""
        start = offset // mmap.PAGESIZE * mmap.PAGESIZE
        buffer = _Buffer()
        _python.PyObject_GetBuffer(mapped, ctypes.byref(buffer), 0)  # keeps the map from closing
        try:
            if offset + length > buffer.len:
                return False
            size = offset + length - start
            while _libc.madvise(buffer.buf + start, size, _POPULATE_READ) != 0:
                if ctypes.get_errno() not in (errno.EINTR, errno.EAGAIN):
                    return False
        finally:
            _python.PyBuffer_Release(ctypes.byref(buffer))
        return True

    def stat(self, path: str) -> Stat | None:
        """Return sizes of a file, or None when there is none."""
        with _translated("stat", path):
            try:
                found = os.stat(path)
            except FileNotFoundError:
                return None
        return Stat(found.st_size, found.st_blocks * 512)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing what was there."""
        with _translated("rename", old):
            os.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove a file; absent is well."""
        with _translated("remove", path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    def mkdir(self, path: str) -> None:
        """Make a directory; present is well."""
        with _translated("make directory", path):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                if not os.path.isdir(path):
                    raise

    def list(self, path: str) -> Sequence[str]:
        """Return the names in a directory, sorted."""
        with _translated("list", path):
            return sorted(os.listdir(path))

    def fsync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        with _translated("sync directory", path):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
