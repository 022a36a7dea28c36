"""A real object store in a directory, and bodies to write into it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway import digests
from gateway.backends.local import LocalFiles
from gateway.chunks.chunk import Domain
from gateway.chunks.store import ChunkStore
from gateway.clock import ManualClock
from gateway.entropy import SeededEntropy
from gateway.metadata.sqlite import SqliteMetadata
from gateway.objects.record import ChecksumValue, ObjectRecord
from gateway.objects.store import ObjectStore
from gateway.objects.writer import WrittenObject

DOMAIN = Domain.from_salt("d", bytes(range(32)))


@asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[tuple[ObjectStore, ChunkStore]]:
    metadata = SqliteMetadata.open(str(directory / "metadata.sqlite"))
    try:
        chunks = await ChunkStore.open(
            str(directory), LocalFiles(), metadata, ManualClock(), SeededEntropy(1)
        )
        store = ObjectStore(chunks)
        try:
            yield store, chunks
        finally:
            store.close()
            await chunks.close()
    finally:
        await metadata.close()


class Body:
    """A body in given pieces; every view is overwritten once the next one is asked for."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        algorithms: Iterable[str] = (),
        check: Callable[[int, bytes, Mapping[str, bytes]], None] | None = None,
    ) -> None:
        self.algorithms = frozenset(algorithms)
        self._pieces = iter(pieces)
        self._check = check
        self._lent = bytearray()
        self.seen = hashlib.md5()

    async def read(self) -> memoryview | None:
        self._lent[:] = b"\xee" * len(self._lent)
        piece = next(self._pieces, None)
        if piece is None:
            return None
        self.seen.update(piece)
        self._lent = bytearray(piece)
        return memoryview(self._lent)

    def check(self, size: int, md5: bytes, found: Mapping[str, bytes]) -> tuple[ChecksumValue, ...]:
        assert md5 == self.seen.digest()
        assert found.keys() == self.algorithms
        if self._check is not None:
            self._check(size, md5, found)
        return tuple(
            ChecksumValue(name, "FULL_OBJECT", value) for name, value in sorted(found.items())
        )


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def record_of(written: WrittenObject) -> ObjectRecord:
    return ObjectRecord(
        written.size, 0, written.md5, content=written.content, checksums=written.checksums
    )


async def read(store: ObjectStore, record: ObjectRecord, start: int, end: int) -> bytes:
    views = await store.open(DOMAIN, record, start, end)
    if isinstance(views, AsyncIterator):
        return b"".join([bytes(view) async for view in views])
    return b"".join(views)


def checksums_of(data: bytes, names: Iterable[str]) -> tuple[ChecksumValue, ...]:
    found = []
    for name in sorted(names):
        state = digests.new_checksum(name)
        state.update(data)
        found.append(ChecksumValue(name, "FULL_OBJECT", state.digest()))
    return tuple(found)
