"""One stream on its way into the store: cut, named, compared with what is known, appended.

Up to `limits.SMALL_SIZE_MAX` bytes are held back, for a stream that ends so soon is one record and
is never cut. Beyond that each view goes through one native call that cuts and names (in a thread
when it is large), and what the store does not know yet is copied into the extent that fills. So a
view may be used again as soon as `write` returned, also when it was cancelled: the thread is
waited for, since a chunk whose bytes changed between naming and copying would lie under a name
that is not its own.

Others may look at the bytes on the way (`looks`: the checksums that a client asks for). They do so
in the same turn of the thread, before the cuts: a turn costs more than most of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

from gateway import digests
from gateway.chunks.chunk import Domain, Entry, RecordKind, Stored, Written
from gateway.chunks.chunker import Cut, Cutter
from gateway.chunks.writer import Incoming, LogWriter
from gateway.limits import SMALL_SIZE_MAX

INLINE_MAX = SMALL_SIZE_MAX  # so much is cut and named in 40 us: less than a thread costs

Look = Callable[[memoryview], None]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Floor(Protocol):
    """What a stream needs of the store."""

    log: LogWriter

    def known_many(self, ids: Sequence[bytes]) -> list[bool]:
        """Tell for each id whether it is stored, durable, and nothing is known against it."""
        ...

    async def put(self, domain: Domain, kind: RecordKind, data: bytes | memoryview) -> Stored:
        """Store one record."""
        ...

    async def in_thread(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call in a thread, and wait for its end even when cancelled."""
        ...


class ChunkWriter:
    """Takes one stream in. Not shared: one task writes, then calls `finish` or `abort` once."""

    def __init__(self, floor: Floor, domain: Domain, looks: Sequence[Look] = ()) -> None:
        self._floor = floor
        self._domain = domain
        self._looks = looks
        self._held = bytearray()
        self._cutter: Cutter | None = None
        self._entries: list[Entry] = []
        self._size = 0
        self._new_bytes = 0
        self._ticket = 0

    async def write(self, view: memoryview) -> None:
        """Take the next bytes; the view may be reused once this returned.

        Held back while the disk is behind. Raises what `ChunkStore.put` raises.
        """
        self._size += len(view)
        if self._cutter is None:
            if self._size <= SMALL_SIZE_MAX:
                self._held += view
                for look in self._looks:
                    look(view)
                return
            self._cutter = Cutter(self._domain.gear, self._domain.chunk_key)
            if self._held:
                held, self._held = self._held, bytearray()
                await self._feed(memoryview(held), (), final=False)
        await self._feed(view, self._looks, final=False)

    async def finish(self) -> Written:
        """End the stream; return its pieces and the ticket that makes them durable.

        Nothing is durable yet. An empty stream has no pieces and ticket 0.
        """
        if self._cutter is not None:
            await self._feed(memoryview(b""), (), final=True)
            self._cutter = None
        elif self._size:
            held, self._held = self._held, bytearray()
            stored = await self._floor.put(self._domain, RecordKind.SMALL, bytes(held))
            self._entries.append(Entry(stored.id, 0, self._size))
            self._new_bytes, self._ticket = stored.new_bytes, stored.ticket
        return Written(
            self._entries, self._size, self._new_bytes, self._size - self._new_bytes, self._ticket
        )

    def abort(self) -> None:
        """Drop the stream. What was appended of it stays, as garbage that dedup may find."""
        self._cutter = None
        self._held = bytearray()
        self._entries = []

    async def _feed(self, view: memoryview, looks: Sequence[Look], *, final: bool) -> None:
        cutter = self._cutter
        if cutter is None:
            return
        try:
            if len(view) <= INLINE_MAX:
                left = self._take_in(view, looks, final)
            else:
                left = await self._floor.in_thread(self._take_in, view, looks, final)
            while left:
                await self._floor.log.room(len(left[0].data))
                left = self._append(left)
        finally:
            cutter.release()

    def _take_in(self, view: memoryview, looks: Sequence[Look], final: bool) -> list[Incoming]:
        """Cut, name, compare and append; return what found no room. Runs in any thread."""
        for look in looks:
            look(view)
        if self._cutter is None:
            return []
        cuts = self._cutter.feed(view, final)
        if not cuts:
            return []
        return self._append(self._unknown(cuts))

    def _unknown(self, cuts: list[Cut]) -> list[Incoming]:
        crc32c = digests.crc32c
        fresh = []
        for (chunk_id, data), known in zip(
            cuts, self._floor.known_many([cut[0] for cut in cuts]), strict=True
        ):
            self._entries.append(Entry(chunk_id, 0, len(data)))
            if not known:
                fresh.append(Incoming(RecordKind.CHUNK, chunk_id, data, crc32c(data)))
        return fresh

    def _append(self, records: list[Incoming]) -> list[Incoming]:
        if not records:
            return records
        taken = self._floor.log.append_many(records)
        for record, (ticket, new) in zip(records, taken, strict=False):
            self._ticket = max(self._ticket, ticket)
            if new:
                self._new_bytes += len(record.data)
        return records[len(taken) :]
