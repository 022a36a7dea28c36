"""Reading the bytes of an object: from its record to views of stored chunks.

Nothing is copied: the views are slices of what the chunk store maps. A short range comes as a list
(without suspension when its chunks have been read before), a long one as a stream that locates
about `limits.READ_STEP_SIZE` at a time, so that a slow reader holds little.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from gateway import limits
from gateway.chunks.chunk import Domain, Entry, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.cache import Cache
from gateway.objects.manifest import Manifest, decode_manifest, locate
from gateway.objects.record import Inline, ObjectRecord, Single

Views = Sequence[memoryview] | AsyncIterator[memoryview]


class Reader:
    """Reads objects and manifests of a chunk store."""

    def __init__(self, chunks: ChunkStore, cache_size: int = limits.MANIFEST_CACHE_SIZE) -> None:
        self._chunks = chunks
        self._manifests: Cache[Manifest] = Cache(cache_size)

    async def open(self, domain: Domain, record: ObjectRecord, start: int, end: int) -> Views:
        """Return the bytes from `start` to before `end` of an object.

        Args:
            domain: that the object is stored in.
            record: of the object.
            start: 0 or more.
            end: `record.size` at the most.

        Returns:
            A sequence of views, or for a long range an iterator of views, to be closed with
            `aclose` when left early.

        Raises:
            Invalid(BAD_ARGUMENT): not a range of the object.
            Corrupt: a chunk or manifest is missing or damaged; the iterator raises it too.
        """
        if not 0 <= start <= end <= record.size:
            raise Invalid(
                Reason.BAD_ARGUMENT, f"bytes {start} to {end} of an object of {record.size}"
            )
        if start == end:
            return ()
        content = record.content
        if isinstance(content, Inline):
            if len(content.data) != record.size:
                raise Corrupt(Reason.DAMAGED, "an object's record holds too few bytes")
            return (memoryview(content.data)[start:end],)
        if isinstance(content, Single):
            if content.length != record.size:
                raise Corrupt(Reason.DAMAGED, "an object's chunk holds too few bytes")
            return await self._read([Entry(content.id, content.offset + start, end - start)])
        if end - start > limits.READ_STEP_SIZE:
            await self.manifest(domain, content.manifest_id)  # while it can still be an error
            return self._stream(domain, content.manifest_id, start, end)
        entries: list[Entry] = []
        async for some in self._locate(domain, content.manifest_id, start, end):
            entries += some
        return await self._read(entries)

    async def manifest(self, domain: Domain, manifest_id: bytes) -> Manifest:
        """Return a decoded manifest, checked against its id.

        Raises:
            Corrupt: it is missing, damaged, or another one.
        """
        manifest = self._manifests.get(manifest_id)
        if manifest is None:
            (view,) = await self._chunks.read((manifest_id,))
            if domain.name(RecordKind.MANIFEST, view) != manifest_id:
                raise Corrupt(
                    Reason.DAMAGED,
                    f"what is stored as manifest {manifest_id.hex()} has another id",
                    manifest=manifest_id,
                )
            manifest = decode_manifest(manifest_id, view)
            self._manifests.put(manifest)
        return manifest

    async def _stream(
        self, domain: Domain, manifest_id: bytes, start: int, end: int
    ) -> AsyncIterator[memoryview]:
        async for entries in self._locate(domain, manifest_id, start, end):
            for step in _steps(entries):
                for view in await self._read(step):
                    yield view

    async def _locate(
        self, domain: Domain, manifest_id: bytes, start: int, end: int
    ) -> AsyncIterator[list[Entry]]:
        """Yield the entries of a range, as many at a time as one manifest holds."""
        steps = locate(manifest_id, start, end)
        answer: Manifest | None = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration:
                return
            if isinstance(need, bytes):
                answer = await self.manifest(domain, need)
            else:
                yield need
                answer = None

    async def _read(self, entries: Sequence[Entry]) -> list[memoryview]:
        """Return the bytes of the entries: a view of each, or fewer where chunks lie together."""
        ids = [entry.id for entry in entries]
        if len(ids) > 1 and not any(entry.offset for entry in entries):
            runs = await self._chunks.read_runs(ids)
            if sum(map(len, runs)) == sum(entry.length for entry in entries):
                return runs
            # Some chunk is listed, or asked for, in part only.
        views = await self._chunks.read(ids)
        trimmed: list[memoryview] = []
        for (chunk_id, offset, length), view in zip(entries, views, strict=True):
            if offset + length > len(view):
                raise Corrupt(
                    Reason.DAMAGED,
                    f"chunk {chunk_id.hex()} has {len(view)} bytes, fewer than it is listed with",
                    chunk=chunk_id,
                )
            whole = offset == 0 and length == len(view)
            trimmed.append(view if whole else view[offset : offset + length])
        return trimmed


async def stream_of(views: Views) -> AsyncGenerator[memoryview]:
    """Yield the views one by one, whether they are a list or a stream; closes a stream."""
    if isinstance(views, Sequence):
        for view in views:
            yield view
        return
    try:
        async for view in views:
            yield view
    finally:
        close = getattr(views, "aclose", None)
        if close is not None:
            await close()


def _steps(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut a list of entries into pieces of about `limits.READ_STEP_SIZE` bytes."""
    start = size = 0
    for index, entry in enumerate(entries, start=1):
        size += entry.length
        if size >= limits.READ_STEP_SIZE:
            yield entries[start:index]
            start, size = index, 0
    if start < len(entries):
        yield entries[start:]
