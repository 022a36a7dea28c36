"""What tests of the store stand on: a data directory, its parts, and disks that fail on purpose."""

from __future__ import annotations

import mmap
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.backends.files import Files, Handle, Mode, Stat
from gateway.backends.local import LocalFiles
from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.chunks.writer import Sizes
from gateway.clock import ManualClock
from gateway.entropy import SystemEntropy
from gateway.errors import Reason, Unavailable
from gateway.limits import KIB, MIB
from gateway.metadata.sqlite import SqliteMetadata

DOMAIN = Domain.from_salt("d", bytes(range(32)))
SMALL_SIZES = Sizes(segment=2 * MIB, extent=256 * KIB, buffers=2)
CHANGES = ("open", "pwrite", "fallocate", "ftruncate", "fdatasync", "rename", "fsync_dir")


class FaultyFiles:
    """The real file system, whose changes can be made to fail.

    `plan` is asked before each changing call with its number (from 0) and name, and returns the
    error to raise, or None. A failed pwrite leaves half of its bytes behind.
    """

    def __init__(self) -> None:
        self.inner: Files = LocalFiles()
        self.plan: Callable[[int, str], Exception | None] = lambda number, call: None
        self.calls: list[str] = []

    def _ask(self, call: str) -> None:
        error = self.plan(len(self.calls), call)
        self.calls.append(call)
        if error is not None:
            raise error

    def open(self, path: str, mode: Mode, *, direct: bool = False) -> Handle:
        if mode is not Mode.READ:
            self._ask("open")
        return self.inner.open(path, mode, direct=direct)

    def close(self, handle: Handle) -> None:
        self.inner.close(handle)

    def pread(self, handle: Handle, into: memoryview, offset: int) -> int:
        return self.inner.pread(handle, into, offset)

    def pwrite(self, handle: Handle, data: memoryview, offset: int) -> None:
        try:
            self._ask("pwrite")
        except Unavailable:
            half = len(data) // 2 // 4096 * 4096
            self.inner.pwrite(handle, data[:half], offset)
            raise
        self.inner.pwrite(handle, data, offset)

    def fallocate(self, handle: Handle, offset: int, length: int) -> None:
        self._ask("fallocate")
        self.inner.fallocate(handle, offset, length)

    def ftruncate(self, handle: Handle, size: int) -> None:
        self._ask("ftruncate")
        self.inner.ftruncate(handle, size)

    def fdatasync(self, handle: Handle) -> None:
        self._ask("fdatasync")
        self.inner.fdatasync(handle)

    def next_data(self, handle: Handle, offset: int) -> int | None:
        return self.inner.next_data(handle, offset)

    def map(self, handle: Handle) -> mmap.mmap:
        return self.inner.map(handle)

    def load(self, mapped: mmap.mmap, offset: int, length: int) -> bool:
        return self.inner.load(mapped, offset, length)

    def stat(self, path: str) -> Stat | None:
        return self.inner.stat(path)

    def rename(self, old: str, new: str) -> None:
        self._ask("rename")
        self.inner.rename(old, new)

    def unlink(self, path: str) -> None:
        self.inner.unlink(path)

    def mkdir(self, path: str) -> None:
        self.inner.mkdir(path)

    def list(self, path: str) -> Sequence[str]:
        return self.inner.list(path)

    def fsync_dir(self, path: str) -> None:
        self._ask("fsync_dir")
        self.inner.fsync_dir(path)


def full(call: str) -> Unavailable:
    return Unavailable(Reason.DISK_FULL, f"cannot {call}: no space left")


def broken(call: str) -> Unavailable:
    return Unavailable(Reason.IO_ERROR, f"cannot {call}: input/output error")


@asynccontextmanager
async def opened(
    directory: str, files: Files | None = None, sizes: Sizes = SMALL_SIZES
) -> AsyncIterator[ChunkStore]:
    metadata = SqliteMetadata.open(f"{directory}/metadata.sqlite")
    try:
        store = await ChunkStore.open(
            directory, files or LocalFiles(), metadata, ManualClock(), SystemEntropy(), sizes=sizes
        )
        try:
            yield store
        finally:
            await store.close()
    finally:
        await metadata.close()


async def keep(store: ChunkStore, data: bytes, kind: RecordKind = RecordKind.SMALL) -> bytes:
    """Store a record durably; return its id."""
    stored = await store.put(DOMAIN, kind, data)
    await store.durable(stored.ticket)
    return stored.id


async def take(store: ChunkStore, data: bytes, step: int = MIB) -> list[bytes]:
    """Store a stream durably; return the ids of its pieces."""
    writer = store.writer(DOMAIN)
    for at in range(0, len(data), step):
        await writer.write(memoryview(data)[at : at + step])
    written = await writer.finish()
    await store.durable(written.ticket)
    assert sum(entry.length for entry in written.entries) == written.size == len(data)
    return [entry.id for entry in written.entries]


async def whole(store: ChunkStore, ids: Sequence[bytes]) -> bytes:
    return b"".join(await store.read(ids))


def segments(directory: str) -> list[str]:
    return sorted(os.listdir(f"{directory}/segments"))


def patch(path: str, offset: int, change: Callable[[bytearray], Any], size: int = 1) -> None:
    """Change bytes of a file in place."""
    with open(path, "r+b") as file:
        file.seek(offset)
        data = bytearray(file.read(size))
        change(data)
        file.seek(offset)
        file.write(data)


def flip(data: bytearray) -> None:
    data[0] ^= 0x40
