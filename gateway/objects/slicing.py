"""A range of an object as an object of its own, without touching its data.

An entry of a manifest is a range of a chunk, and a manifest's children may be of any lower level,
so a range needs new manifests only on the way to its first and its last byte: two a level at the
most, whatever lies between is taken over as it is. None of them is higher than the one it was cut
from, however often ranges are made of ranges.
"""

from __future__ import annotations

from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.errors import Corrupt, Reason
from gateway.objects.manifest import Child, Manifest, encode_children, encode_entries
from gateway.objects.reader import Reader
from gateway.objects.record import Content, Listed, Single


class Slicer:
    """Cuts ranges out of what manifests list."""

    def __init__(self, chunks: ChunkStore, reader: Reader) -> None:
        self._chunks = chunks
        self._reader = reader

    async def slice(
        self, domain: Domain, content: Listed, start: int, end: int
    ) -> tuple[Content, int]:
        """Return the content of bytes `start` to before `end`, one or more, and the ticket.

        Raises:
            Corrupt: a manifest on the way is missing or damaged.
        """
        manifest = await self._reader.manifest(domain, content.manifest_id)
        if end > manifest.bytes:
            raise Corrupt(
                Reason.DAMAGED, f"manifest {content.manifest_id.hex()} holds too few bytes"
            )
        manifest, start, end = await self._descend(domain, manifest, start, end)
        if manifest.level == 0:
            entries = manifest.entries(start, end)
            if len(entries) == 1:
                return Single(*entries[0]), 0
        top, ticket = await self._cut(domain, manifest, start, end)
        return Listed(top.id, top.level), ticket

    async def _descend(
        self, domain: Domain, manifest: Manifest, start: int, end: int
    ) -> tuple[Manifest, int, int]:
        """Return the lowest manifest that holds the whole range, and where it lies in that."""
        while manifest.level:
            found = manifest.children(start, end)
            if len(found) > 1:
                break
            ((index, start, end),) = found
            manifest = await self._child(domain, manifest, index)
        return manifest, start, end

    async def _cut(
        self, domain: Domain, manifest: Manifest, start: int, end: int
    ) -> tuple[Child, int]:
        """Return a manifest of the range, stored if it is a new one, and the ticket."""
        if end - start == manifest.bytes:
            return Child(manifest.id, manifest.bytes, manifest.level), 0
        ticket = 0
        if manifest.level == 0:
            data = encode_entries(manifest.entries(start, end))
        else:
            known = manifest.all_children()
            children: list[Child] = []
            for index, first, last in manifest.children(start, end):
                child = known[index]
                if last - first < child.bytes:
                    below = await self._descend(
                        domain, await self._child(domain, manifest, index), first, last
                    )
                    child, stored_by = await self._cut(domain, *below)
                    ticket = max(ticket, stored_by)
                children.append(child)
            data = encode_children(children, manifest.level)
        stored = await self._chunks.put(domain, RecordKind.MANIFEST, data)
        return Child(stored.id, end - start, manifest.level), max(ticket, stored.ticket)

    async def _child(self, domain: Domain, manifest: Manifest, index: int) -> Manifest:
        child = await self._reader.manifest(domain, manifest.entry_id(index))
        return manifest.check_child(index, child)
