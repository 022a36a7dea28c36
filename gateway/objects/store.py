"""The objects layer: bodies in, bodies out, and trees of objects.

What `versions` calls. Objects are values here: a record says everything about one, and whoever
holds it can read the object. Nothing of what is written is named by this layer; the caller waits
for the ticket (`durable`) before it names a record or a root in a row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway import limits
from gateway.chunks.chunk import Domain, Entry, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.cache import Cache
from gateway.objects.digest_pool import DigestPool
from gateway.objects.manifest import Build, Child, build_above, build_list
from gateway.objects.parts import Part, PartTable, decode_parts, encode_parts
from gateway.objects.reader import Reader, Views
from gateway.objects.record import (
    EMPTY,
    LEVEL_MAX,
    ChecksumValue,
    Content,
    Inline,
    Listed,
    ObjectRecord,
    Single,
)
from gateway.objects.rereading import Rereader
from gateway.objects.slicing import Slicer
from gateway.objects.source import Source
from gateway.objects.trees import Trees
from gateway.objects.writer import Writer, WrittenObject, store_manifests

# What the layer above needs of the one below, so that it does not reach past this one.
__all__ = ["Domain", "ObjectStore", "Part", "WrittenObject"]

# Parts higher than this are taken apart before they go below a new manifest. It leaves a level
# for the parts and more for a list of them that must be cut.
_PART_LEVEL_MAX = LEVEL_MAX - 4


class ObjectStore:
    """Objects over a chunk store, which stays the caller's to close, after this."""

    def __init__(self, chunks: ChunkStore) -> None:
        self._chunks = chunks
        self._pool = DigestPool()
        self._writer = Writer(chunks, self._pool)
        self._reader = Reader(chunks)
        self._slicer = Slicer(chunks, self._reader)
        self._rereader = Rereader(chunks, self._pool)
        self._tables: Cache[PartTable] = Cache(limits.PART_TABLE_CACHE_SIZE)
        self.trees = Trees(chunks)

    def domain(self, domain_id: str, salt: bytes) -> Domain:
        """Return the dedup domain of that name, its keys derived from its 32-byte salt."""
        return Domain.from_salt(domain_id, salt)

    async def write(self, domain: Domain, source: Source) -> WrittenObject:
        """Take in a body; memory stays bounded whatever its size.

        Raises:
            Invalid: what the source's check found wrong; nothing is stored that can be seen.
            Unavailable: the store cannot take it (disk full, closing).
        """
        return await self._writer.write(domain, source)

    async def open(self, domain: Domain, record: ObjectRecord, start: int, end: int) -> Views:
        """Return the bytes from `start` to before `end` of an object; see `Reader.open`."""
        return await self._reader.open(domain, record, start, end)

    async def concat(self, domain: Domain, records: Sequence[ObjectRecord]) -> tuple[Content, int]:
        """Return the content of objects one after the other, and the ticket to wait for.

        No data is read or written, but for parts that are held in their records. Takes time with
        the number of parts, not with their size.

        Args:
            domain: that all of them are stored in.
            records: one or more; their data is durable.
        """
        filled = [record for record in records if record.size]
        if not filled:
            return EMPTY, 0
        if len(filled) == 1:
            return filled[0].content, 0
        if all(isinstance(record.content, Inline) for record in filled):
            data = b"".join([r.content.data for r in filled if isinstance(r.content, Inline)])
            if len(data) <= limits.INLINE_SIZE_MAX:
                return Inline(data), 0
        ticket = 0
        pieces: list[Entry | Child] = []
        for record in filled:
            content = record.content
            if isinstance(content, Listed):
                part = Child(content.manifest_id, record.size, content.level)
                pieces += await self._lowered(domain, part)
            elif isinstance(content, Single):
                pieces.append(Entry(content.id, content.offset, content.length))
            else:
                stored = await self._chunks.put(domain, RecordKind.SMALL, content.data)
                ticket = max(ticket, stored.ticket)
                pieces.append(Entry(stored.id, 0, len(content.data)))
        top, manifests = await store_manifests(self._chunks, domain, _build_mixed(pieces))
        return Listed(top.id, top.level), max(ticket, manifests)

    async def _lowered(self, domain: Domain, part: Child) -> list[Child]:
        """Return a part, or what it lists if it is too high to go below another manifest."""
        if part.level <= _PART_LEVEL_MAX:
            return [part]
        manifest = await self._reader.manifest(domain, part.id)
        if manifest.level <= _PART_LEVEL_MAX:
            return [part._replace(level=manifest.level)]
        found: list[Child] = []
        for child in manifest.all_children():
            found += await self._lowered(domain, child)
        return found

    async def slice(
        self, domain: Domain, record: ObjectRecord, start: int, end: int
    ) -> tuple[Content, int]:
        """Return the content of the bytes `start` to before `end`, and the ticket to wait for.

        It names the same chunks: no data is read or written. At most two manifests a level are
        written, and none when the range is the whole, or within one chunk.

        Raises:
            Invalid(BAD_ARGUMENT): not a range of the object.
            Corrupt: a manifest is missing or damaged.
        """
        if not 0 <= start <= end <= record.size:
            raise Invalid(
                Reason.BAD_ARGUMENT, f"bytes {start} to {end} of an object of {record.size}"
            )
        content = record.content
        if start == end:
            return EMPTY, 0
        if end - start == record.size:
            return content, 0
        if isinstance(content, Inline):
            return Inline(content.data[start:end]), 0
        if isinstance(content, Single):
            return Single(content.id, content.offset + start, end - start), 0
        return await self._slicer.slice(domain, content, start, end)

    async def digest(
        self,
        domain: Domain,
        record: ObjectRecord,
        start: int,
        end: int,
        names: Collection[str] = (),
    ) -> tuple[bytes, tuple[ChecksumValue, ...]]:
        """Return the MD5 and the named checksums of the bytes `start` to before `end`.

        They are read once, in bounded memory.

        Raises:
            Invalid(BAD_ARGUMENT): not a range of the object.
            Corrupt: a chunk or manifest is missing or damaged.
        """
        views = await self._reader.open(domain, record, start, end)
        return await self._rereader.digest(views, end - start, names)

    async def put_parts(self, domain: Domain, parts: Sequence[Part]) -> tuple[bytes, int]:
        """Store a part table; return its id, for `ObjectRecord.part_table`, and the ticket."""
        stored = await self._chunks.put(domain, RecordKind.PARTS, encode_parts(parts))
        return stored.id, stored.ticket

    async def get_parts(self, domain: Domain, table_id: bytes) -> PartTable:
        """Return a part table.

        Raises:
            Corrupt: it is missing, damaged, or another one.
        """
        table = self._tables.get(table_id)
        if table is None:
            (view,) = await self._chunks.read((table_id,))
            if domain.name(RecordKind.PARTS, view) != table_id:
                raise Corrupt(Reason.DAMAGED, f"what is stored as {table_id.hex()} has another id")
            table = PartTable(table_id, decode_parts(view))
            self._tables.put(table)
        return table

    async def durable(self, ticket: int) -> None:
        """Return when everything up to `ticket` is durable; at once for 0.

        Raises:
            Unavailable: it could not be made durable; nothing is promised.
        """
        if ticket:
            await self._chunks.durable(ticket)

    def close(self) -> None:
        """End the digest thread; uploads still under way fail."""
        self._pool.close()


def _build_mixed(pieces: Sequence[Entry | Child]) -> Build:
    """Store manifests of entries and manifests in turn; neighbouring entries share one."""
    children: list[Child] = []
    run: list[Entry] = []
    for piece in pieces:
        if isinstance(piece, Entry):
            run.append(piece)
            continue
        if run:
            children.append((yield from build_list(run)))
            run = []
        children.append(piece)
    if run:
        children.append((yield from build_list(run)))
    return (yield from build_above(children))
