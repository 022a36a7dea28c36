"""The data directory: what lies where, which format it has, who holds it, and who serves it.

    format           the version of this layout, as text
    lock             held (flock) by the one process that has the directory open
    metadata.sqlite  the rows that change
    segments/        the extent log: *.seg being appended to, *.pack sealed
    index            the chunk index, a cache
    admin-token      what the admin API wants to be shown (0600)
    serve.json       where a running server answers; there only while it runs
    logs/            what the user code of jobs printed
    jobs/            private directories of running attempts

A directory of a newer format, or one that holds other things, is refused and not touched.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass

from gateway.entropy import Entropy
from gateway.errors import Corrupt, Invalid, Reason, SidegateError, Unavailable

FORMAT = 1
_FORMAT_TEXT = f"sidegate data directory, format {FORMAT}\n"
_OURS = {
    "format",
    "lock",
    "metadata.sqlite",
    "metadata.sqlite-wal",
    "metadata.sqlite-shm",
    "segments",
    "index",
    "admin-token",
    "serve.json",
    "logs",
    "jobs",
}


@dataclass(frozen=True, slots=True)
class Served:
    """Where a running server answers."""

    s3_url: str
    admin_url: str
    pid: int


class DataDirectory:
    """A data directory that this process holds."""

    def __init__(self, path: str, lock: int, token: str) -> None:
        self.path = path
        self.token = token
        self._lock = lock

    @classmethod
    def open(cls, path: str, entropy: Entropy) -> DataDirectory:
        """Make the directory if it is not there, check its format, and take hold of it.

        Raises:
            Unavailable(LOCKED): another process holds it.
            Unavailable(READ_ONLY_STORE | DISK_FULL | IO_ERROR): it cannot be written.
            Invalid(BAD_ARGUMENT): it is a file, or a directory of something else.
            Corrupt(UNKNOWN_FORMAT): a newer version made it.
        """
        try:
            _make(path)
            _refuse_foreign(path)
            lock = _take_lock(path)
        except OSError as error:
            raise _translated(path, error) from error
        try:
            _check_format(path)
            token = _token(path, entropy)
            for name in ("segments", "logs", "jobs"):
                os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
        except OSError as error:
            os.close(lock)
            raise _translated(path, error) from error
        except SidegateError:
            os.close(lock)
            raise
        return cls(path, lock, token)

    def of(self, name: str) -> str:
        """Return the path of something in the directory."""
        return os.path.join(self.path, name)

    def announce(self, served: Served) -> None:
        """Write where this process serves; readers see the whole of it or nothing."""
        unfinished = self.of("serve.json.part")
        with open(unfinished, "w", encoding="ascii") as file:
            json.dump(asdict(served), file)
        os.replace(unfinished, self.of("serve.json"))

    def close(self) -> None:
        """Withdraw the announcement and let go."""
        for name in ("serve.json", "serve.json.part"):
            try:
                os.unlink(self.of(name))
            except OSError:
                continue
        os.close(self._lock)


def _make(path: str) -> None:
    """Make a directory and those above it that are missing; their names are durable."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(os.path.abspath(path))
    if parent != path:
        _make(parent)
    os.makedirs(path, mode=0o700, exist_ok=True)
    _sync_directory(parent)


def _refuse_foreign(path: str) -> None:
    if not os.path.isdir(path):
        raise Invalid(Reason.BAD_ARGUMENT, f"{path} is not a directory", "give another --data")
    names = set(os.listdir(path))
    if "format" not in names and names - _OURS - {"format.part"}:
        other = min(names - _OURS)
        raise Invalid(
            Reason.BAD_ARGUMENT,
            f"{path} holds {other!r}, which is not Sidegate's, and has no format file",
            "give an empty or new directory as --data",
        )


def _take_lock(path: str) -> int:
    lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise Unavailable(
            Reason.LOCKED,
            f"{path} is held by another process (pid {holder})",
            "wait for it to end, or talk to it with --url",
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _check_format(path: str) -> None:
    """Check the format file; write it in a new directory, durably, before anything else."""
    name = os.path.join(path, "format")
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            text = file.read(200)
    except FileNotFoundError:
        unfinished = f"{name}.part"
        with open(unfinished, "w", encoding="ascii") as file:
            file.write(_FORMAT_TEXT)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, name)
        _sync_directory(path)
        return
    if text != _FORMAT_TEXT:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"{name} says {text.strip()!r}, and this version knows format {FORMAT}",
            "use the version of Sidegate that made the directory, or a newer one",
        )


def _token(path: str, entropy: Entropy) -> str:
    """Return the admin token, making it once."""
    token = read_token(path)
    if token:
        return token
    token = entropy.random_bytes(24).hex()
    name = os.path.join(path, "admin-token")
    unfinished = f"{name}.part"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, token.encode() + b"\n")
    finally:
        os.close(descriptor)
    os.replace(unfinished, name)
    return token


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(path: str, error: OSError) -> SidegateError:
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return Unavailable(
            Reason.READ_ONLY_STORE,
            f"cannot write in {error.filename or path}: {error.strerror}",
            "give a directory of your own as --data",
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Unavailable(Reason.DISK_FULL, f"no space left in {path}", "free some")
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return Invalid(Reason.BAD_ARGUMENT, f"{path} is not a directory", "give another --data")
    return Unavailable(Reason.IO_ERROR, f"cannot open {path}: {error.strerror}")


def read_token(path: str) -> str:
    """Return the admin token of a data directory, or nothing where there is none to read."""
    try:
        with open(os.path.join(path, "admin-token"), encoding="ascii") as file:
            return file.read(200).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read_served(path: str) -> Served | None:
    """Return where a running server answers for a data directory, or None.

    An announcement that a killed server left behind is not believed: nobody holds the lock then.
    """
    try:
        with open(os.path.join(path, "serve.json"), encoding="ascii") as file:
            served = Served(**json.load(file))
        lock = os.open(os.path.join(path, "lock"), os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError, TypeError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return served
    finally:
        os.close(lock)
    return None
