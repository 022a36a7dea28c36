"""The port through which the engine touches the file system.

Every call of the engine that reads or changes a file is one of these, so that an adapter can
record them, or make the n-th one fail. Handles are opaque integers. All calls block; callers that
serve an event loop make them in a thread. Nothing here is durable before `fdatasync` (contents)
or `fsync_dir` (names) returned.

Errors are translated by the adapter: `NotFound(NO_SUCH_FILE)`, `Conflict(ALREADY_EXISTS)`,
`Unavailable(DISK_FULL | READ_ONLY_STORE | IO_ERROR)`.
"""

from __future__ import annotations

import enum
import mmap
from collections.abc import Sequence
from typing import NamedTuple, NewType, Protocol

Handle = NewType("Handle", int)


class Mode(enum.Enum):
    """How a file is opened."""

    READ = "read"
    WRITE = "read and write, must exist"
    CREATE = "read and write, must not exist"


class Stat(NamedTuple):
    """What `stat` tells: apparent size, and bytes that the file holds on disk."""

    size: int
    allocated: int


class Files(Protocol):
    """The calls. Offsets and sizes are bytes; paths are absolute or relative to the process."""

    def open(self, path: str, mode: Mode, *, direct: bool = False) -> Handle:
        """Open a file.

        `direct` asks for transfers that pass by the page cache; where the file system has none,
        the file is opened as usual. Buffers, offsets and sizes of a direct handle must be
        multiples of 4 KiB.
        """
        ...

    def close(self, handle: Handle) -> None:
        """Release a handle; never fails."""
        ...

    def pread(self, handle: Handle, into: memoryview, offset: int) -> int:
        """Read from `offset` until `into` is full or the file ends; return the bytes read."""
        ...

    def pwrite(self, handle: Handle, data: memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""
        ...

    def fallocate(self, handle: Handle, offset: int, length: int) -> None:
        """Reserve blocks for a range without changing the size; a hint where unsupported."""
        ...

    def ftruncate(self, handle: Handle, size: int) -> None:
        """Set the size: cut, or extend by a hole."""
        ...

    def fdatasync(self, handle: Handle) -> None:
        """Make contents and size durable. After an error nothing is known: never retried."""
        ...

    def next_data(self, handle: Handle, offset: int) -> int | None:
        """Return where data begins at or after `offset`, or None when only holes follow."""
        ...

    def map(self, handle: Handle) -> mmap.mmap:
        """Map the whole of a file as long as it is now (a byte or more), read-only."""
        ...

    def load(self, mapped: mmap.mmap, offset: int, length: int) -> bool:
        """Read a range of a map from disk and enter its pages, as far as they are not there.

        Returns whether all of it is: False where the system cannot do so, where the file is
        shorter by now, or cannot be read. Unlike touching the map, this never ends in a signal;
        `pread` of the same range then tells what is wrong.
        """
        ...

    def stat(self, path: str) -> Stat | None:
        """Return sizes of a file, or None when there is none."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing what was there."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a file; absent is well."""
        ...

    def mkdir(self, path: str) -> None:
        """Make a directory; present is well."""
        ...

    def list(self, path: str) -> Sequence[str]:
        """Return the names in a directory, sorted."""
        ...

    def fsync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        ...
