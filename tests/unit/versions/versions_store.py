"""Versions over real parts in a directory, and shorthands to use them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.backends.local import LocalFiles
from gateway.chunks.store import ChunkStore
from gateway.clock import ManualClock
from gateway.entropy import SystemEntropy
from gateway.metadata.sqlite import SqliteMetadata
from gateway.objects.record import ChecksumValue
from gateway.objects.store import ObjectStore
from gateway.versions.model import Condition, ObjectAttributes, ObjectInfo, PutResult
from gateway.versions.store import Versions
from gateway.versions.views import BucketView

PLAIN = ObjectAttributes({"content-type": "text/plain"}, {"who": "me"}, {"t": "1"})


class Body:
    """A body of bytes held in memory."""

    def __init__(self, data: bytes, algorithms: Iterable[str] = (), step: int = 1 << 20) -> None:
        self.algorithms = frozenset(algorithms)
        self._pieces = iter([data[at : at + step] for at in range(0, len(data), step)])

    async def read(self) -> memoryview | None:
        piece = next(self._pieces, None)
        return None if piece is None else memoryview(bytearray(piece))

    def check(self, size: int, md5: bytes, found: Mapping[str, bytes]) -> tuple[ChecksumValue, ...]:
        return tuple(
            ChecksumValue(name, "FULL_OBJECT", value) for name, value in sorted(found.items())
        )


class Parts:
    """Everything below and the versions, and the clock that they go by."""

    def __init__(self, metadata: SqliteMetadata, objects: ObjectStore, clock: ManualClock) -> None:
        self.metadata = metadata
        self.objects = objects
        self.clock = clock
        self.versions: Versions

    async def put(
        self,
        view: BucketView,
        key: bytes,
        data: bytes = b"x",
        condition: Condition | None = None,
    ) -> PutResult:
        return await self.versions.put(view, key, PLAIN, Body(data), condition)

    async def read(self, view: BucketView, key: bytes) -> bytes:
        info = await self.versions.head(view, key)
        return await self.body(view, info)

    async def body(self, view: BucketView, info: ObjectInfo) -> bytes:
        views = await self.versions.open(view, info, 0, info.record.size)
        if isinstance(views, AsyncIterator):
            data = b"".join([bytes(part) async for part in views])
        else:
            data = b"".join(views)
        assert info.record.parts or hashlib.md5(data).digest() == info.record.md5
        return data

    async def bucket(self, name: str) -> BucketView:
        await self.versions.buckets.create(name)
        return await self.versions.buckets.resolve(name)

    async def keys(self, view: BucketView) -> list[bytes]:
        return [key async for key, _ in self.versions.walk(view)]


@asynccontextmanager
async def open_parts(directory: Path, clock: ManualClock | None = None) -> AsyncIterator[Parts]:
    """Open a data directory; a directory of an earlier run is gone on with."""
    clock = clock or ManualClock()
    metadata = SqliteMetadata.open(str(directory / "metadata.sqlite"))
    try:
        entropy = SystemEntropy()
        chunks = await ChunkStore.open(str(directory), LocalFiles(), metadata, clock, entropy)
        objects = ObjectStore(chunks)
        try:
            parts = Parts(metadata, objects, clock)
            parts.versions = await Versions.create(metadata, objects, clock, entropy)
            yield parts
            await parts.versions.close(flush=False)
        finally:
            objects.close()
            await chunks.close()
    finally:
        await metadata.close()
