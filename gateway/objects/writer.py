"""Writing an object: one pass over a body that is seen a view at a time.

Each view goes to the MD5 pool and to the chunk store, which has the checksums that the source asks
for look at it, then cuts, names, deduplicates and appends. Both work at once, and the view is given
back when both are done with it. What
was promised about the body is checked after the last view and before anything of it is named: a
body that breaks a promise leaves nothing but bytes that nobody refers to.

A body of up to `limits.SMALL_SIZE_MAX` takes a short way: it is gathered, hashed where it is,
without a change of thread, and stored as one record, or in the object record itself when it is
tiny (`limits.INLINE_SIZE_MAX`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from gateway import digests, limits
from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.errors import Reason, TooLarge
from gateway.objects.digest_pool import DigestPool
from gateway.objects.manifest import Build, Child, build_list
from gateway.objects.record import EMPTY, ChecksumValue, Content, Inline, Listed, Single
from gateway.objects.source import Source

_EMPTY_MD5 = digests.md5(b"")


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """A body taken in. `ticket` is to be waited for before a record of it is named anywhere."""

    content: Content
    size: int  # bytes
    md5: bytes
    checksums: tuple[ChecksumValue, ...]
    new_bytes: int  # of the body, that the store did not have
    dedup_bytes: int  # of the body, that it had
    ticket: int  # 0: nothing to wait for


class Writer:
    """Writes bodies into a chunk store; any number at once."""

    def __init__(self, chunks: ChunkStore, pool: DigestPool) -> None:
        self._chunks = chunks
        self._pool = pool

    async def write(self, domain: Domain, source: Source) -> WrittenObject:
        """Take in a body.

        Raises:
            Invalid: the source's check failed; nothing is stored that can be seen.
            Unavailable: the store cannot take it (disk full, closing).
        """
        names = source.algorithms
        head = bytearray()
        while (view := await source.read()) is not None:
            if len(head) + len(view) > limits.SMALL_SIZE_MAX:
                return await self._write_large(domain, source, names, head, view)
            head += view  # a view is valid until the next read only
        return await self._write_small(domain, source, names, bytes(head))

    async def _write_small(
        self, domain: Domain, source: Source, names: Iterable[str], data: bytes
    ) -> WrittenObject:
        size = len(data)
        md5 = digests.md5(data) if data else _EMPTY_MD5
        found: dict[str, bytes] = {}
        for name in names:
            checksum = digests.new_checksum(name)
            checksum.update(data)
            found[name] = checksum.digest()
        checksums = source.check(size, md5, found)
        if size <= limits.INLINE_SIZE_MAX:
            content: Content = Inline(data) if data else EMPTY
            return WrittenObject(content, size, md5, checksums, size, 0, 0)
        stored = await self._chunks.put(domain, RecordKind.SMALL, data)
        new = min(stored.new_bytes, size)
        content = Single(stored.id, 0, size)
        return WrittenObject(content, size, md5, checksums, new, size - new, stored.ticket)

    async def _write_large(
        self,
        domain: Domain,
        source: Source,
        names: Iterable[str],
        head: bytearray,
        view: memoryview,
    ) -> WrittenObject:
        stream = _Stream(self._chunks, self._pool, domain, names)
        try:
            if head:
                await stream.feed(memoryview(head))
            await stream.feed(view)
            while (more := await source.read()) is not None:
                await stream.feed(more)
            md5, found = stream.digests()
            checksums = source.check(stream.size, md5, found)
            written = await stream.chunks.finish()
        except BaseException:
            stream.chunks.abort()
            raise
        finally:
            stream.end()
        entries = written.entries
        if len(entries) == 1:
            content: Content = Single(entries[0].id, entries[0].offset, entries[0].length)
            ticket = written.ticket
        else:
            top, ticket = await store_manifests(self._chunks, domain, build_list(entries))
            content = Listed(top.id, top.level)
            ticket = max(ticket, written.ticket)
        return WrittenObject(
            content,
            stream.size,
            md5,
            checksums,
            written.new_bytes,
            written.dedup_bytes,
            ticket,
        )


async def store_manifests(chunks: ChunkStore, domain: Domain, build: Build) -> tuple[Child, int]:
    """Store the manifests that a build yields; return the topmost, and the ticket of all."""
    ticket = 0
    try:
        data = next(build)
        while True:
            stored = await chunks.put(domain, RecordKind.MANIFEST, data)
            ticket = max(ticket, stored.ticket)
            data = build.send(stored.id)
    except StopIteration as stop:
        top: Child = stop.value
        return top, ticket


class _Stream:
    """A large body under way: its chunks, its MD5 and its checksums."""

    def __init__(
        self, chunks: ChunkStore, pool: DigestPool, domain: Domain, names: Iterable[str]
    ) -> None:
        self._md5 = digests.Md5()
        self._checksums = {name: digests.new_checksum(name) for name in names}
        self._pool = pool
        looks = [checksum.update for checksum in self._checksums.values()]
        self.chunks = chunks.writer(domain, looks)
        self.size = 0

    async def feed(self, view: memoryview) -> None:
        """Have everybody take a view; return when all are done with it."""
        self.size += len(view)
        if self.size > limits.OBJECT_SIZE_MAX:
            raise TooLarge(Reason.OBJECT_TOO_LARGE, "a body larger than any object")
        beside = self._pool.submit(self._md5, view)
        try:
            await self.chunks.write(view)
        finally:
            failure = await _settle(beside)
        if failure is not None:
            raise failure

    def end(self) -> None:
        """Expect no more views."""
        self._pool.forget(self._md5)

    def digests(self) -> tuple[bytes, dict[str, bytes]]:
        """Return the MD5 and the checksums by name."""
        found = {name: checksum.digest() for name, checksum in self._checksums.items()}
        return self._md5.digest(), found


async def _settle(future: asyncio.Future[None]) -> BaseException | None:
    """Return what failed when it is done: another thread looks at the view until then.

    A cancellation of the waiting task is put off until it is.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    failure = future.exception()
    if cancelled is not None:
        raise cancelled
    return failure
