"""The content-addressed floor: bytes go in under the name they have, and come out by it.

What holds: a name is a keyed BLAKE3 of the bytes (`chunk.Domain`); bytes under a name never change;
what is known is not written again; nothing counts before its group commit (`writer`); an entry of
the index exists only for durable bytes; every byte served was compared with a checksum once in
this process (`segment`). The index is a cache of what the segments say (`rebuild`).

A damaged segment does not keep the store from opening: what is sound in it is served, what is not
is `Corrupt` to whoever reads it, `stats` and the log name it, nothing is appended to it, and bytes
that dedup would find in its unsound part are stored anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from gateway import digests
from gateway.backends.files import Files
from gateway.chunks import rebuild, recovery, registry
from gateway.chunks.appender import Appender
from gateway.chunks.chunk import Domain, RecordKind, Stored
from gateway.chunks.index import Index
from gateway.chunks.pack import CLASS_DATA, Location, Superblock
from gateway.chunks.recovery import Found, Recovered
from gateway.chunks.segment import Damage, Segment
from gateway.chunks.stream import ChunkWriter, Look
from gateway.chunks.threads import Threads
from gateway.chunks.writer import Incoming, LogWriter, Sizes
from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import Conflict, Corrupt, Invalid, Reason, Unavailable
from gateway.limits import KIB
from gateway.metadata.base import Metadata, Unit

THREADS = 2
THREAD_MIN = 256 * KIB  # reading or hashing less takes less than a thread's turn

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What the store holds. Sizes in bytes; `damage` is what opening and reading found."""

    chunks: int  # records in the index, of all kinds
    segments: int
    packs: int
    payload_bytes: int
    pending: int  # records that wait for their group commit
    damage: tuple[Damage, ...]


class ChunkStore:
    """The store of one data directory; belongs to one event loop. Made by `open`."""

    def __init__(
        self, files: Files, metadata: Metadata, clock: Clock, entropy: Entropy, directory: str
    ) -> None:
        self.log: LogWriter
        self._files = files
        self._metadata = metadata
        self._clock = clock
        self._entropy = entropy
        self._directory = f"{directory}/segments"
        self._index_path = f"{directory}/index"
        self._loop = asyncio.get_running_loop()
        self.threads = Threads(THREADS, self._loop)
        self._index: Index
        self._segments: dict[int, Segment] = {}
        self._damage: list[Damage] = []
        self._sizes = Sizes()
        self._next_number = 1
        self._unnamed: Appender | None = None  # a new segment whose row could not be written yet
        self._verifying: dict[tuple[int, int], asyncio.Future[None]] = {}
        self._closed = False

    @classmethod
    async def open(
        cls,
        directory: str,
        files: Files,
        metadata: Metadata,
        clock: Clock,
        entropy: Entropy,
        *,
        sizes: Sizes | None = None,
    ) -> ChunkStore:
        """Open or make the store of a data directory: `segments/` and `index` in it.

        Recovers what a crash left, goes on in the segment that was written last, and builds the
        index when it is missing or cannot be believed. One process at a time; the caller holds
        the directory's lock.

        Raises:
            Corrupt(UNKNOWN_FORMAT): a segment was written by a newer program.
            Unavailable: the directory cannot be read or written.
        """
        store = cls(files, metadata, clock, entropy, directory)
        store._sizes = sizes if sizes is not None else Sizes()
        try:
            await store._recover()
        except BaseException:
            store.threads.close()
            for segment in store._segments.values():
                segment.close()
            raise
        return store

    async def _recover(self) -> None:
        known, seal = await registry.load(self._metadata)
        recovered = await asyncio.to_thread(self._inspect, known)
        self._next_number = recovered.next_number
        self._segments = {item.segment.number: item.segment for item in recovered.found}
        active = await asyncio.to_thread(self._choose, recovered)
        await registry.reconcile(
            self._metadata, known, recovered.found, forget_index=seal is not None
        )
        # An index of before the damage knows of chunks that are gone: dedup must not believe it.
        believed = seal if not recovered.damage else None
        self._index, built = await asyncio.to_thread(
            rebuild.open_index, self._index_path, self._files, recovered.found, believed
        )
        self._damage = recovered.damage
        if built and recovered.found:
            _log.info("built the index of %d chunks", len(self._index))
        self.log = LogWriter(self._loop, self._sizes, active, self._roll, self._publish)
        for item in self.stats().damage:
            _log.error("damage: segment %s, offset %d: %s", item.segment, item.offset, item.what)

    def _inspect(self, known: dict[int, recovery.Known]) -> Recovered:
        self._files.mkdir(self._directory)
        self._files.fsync_dir(self._directory.rpartition("/")[0])
        # A killed process may have made or renamed a file and not come to this.
        self._files.fsync_dir(self._directory)
        return recovery.inspect(self._files, self._directory, known)

    def _choose(self, recovered: Recovered) -> Appender | None:
        """Go on in the youngest sound segment; seal the others, which a crash or error left."""
        young: Appender | None = None
        for item in reversed(recovered.found):
            chain = item.chain
            if chain is None or item.segment.damage or item.segment.name.endswith(".pack"):
                continue
            try:
                appender = Appender.resume(
                    self._files, self._directory, item.segment, chain,
                    size_max=self._sizes.segment, direct=self._sizes.direct,
                )  # fmt: skip
                if young is None and chain.end < self._sizes.segment:
                    young = appender
                else:
                    self._seal(appender, item)
            except Unavailable as error:
                # It stays as it is: readable, and sealed another time.
                _log.warning("segment %s: %s", item.segment.name, error.line())
        return young

    def _seal(self, appender: Appender, item: Found | None = None) -> bool:
        try:
            trailer = appender.seal()
        except Unavailable as error:
            _log.warning("segment %s is not sealed: %s", appender.segment.name, error.line())
            return False
        finally:
            appender.release()
        if item is not None:
            item.trailer, item.chain = trailer, None
        return True

    # --- called by the log's thread ------------------------------------------------------------
    def _roll(self, before: Appender | None) -> Appender:
        if before is not None:
            number, dead = before.segment.number, before.dead
            if dead:
                before.release()
            elif self._seal(before):
                length = before.length
                self._commit(Unit([registry.set_length(number, length, sealed=True)]))
        appender = self._unnamed or self._new_segment()
        # A row that may be there, or not, is put again: the file is not removed under it.
        self._unnamed = appender
        self._commit(Unit([registry.row_of(appender.segment.superblock, 0)]))
        self._unnamed = None
        self._segments[appender.segment.number] = appender.segment
        return appender

    def _new_segment(self) -> Appender:
        while True:
            superblock = Superblock(
                self._entropy.random_bytes(16),
                1,
                self._next_number,
                CLASS_DATA,
                self._clock.now_ms(),
            )
            try:
                appender = Appender.create(
                    self._files, self._directory, superblock,
                    size_max=self._sizes.segment, direct=self._sizes.direct,
                )  # fmt: skip
            except Conflict:
                self._next_number += 1  # the rest of an attempt that failed
                continue
            break
        self._next_number += 1
        return appender

    def _commit(self, unit: Unit) -> None:
        asyncio.run_coroutine_threadsafe(_done(self._metadata, unit), self._loop).result()

    def _publish(self, locations: Sequence[Location], segment: int) -> None:
        self._index.put_many(
            [location.id for location in locations],
            [(segment, location.offset, location.size) for location in locations],
        )

    # --- writing -------------------------------------------------------------------------------
    def writer(self, domain: Domain, looks: Sequence[Look] = ()) -> ChunkWriter:
        """Return a writer of one stream; each of `looks` is shown its views, in order, too."""
        return ChunkWriter(self, domain, looks)

    async def put(self, domain: Domain, kind: RecordKind, data: bytes | memoryview) -> Stored:
        """Take one record of 1 byte to just under 16 MiB; its bytes may be reused afterwards.

        It is not durable before `durable(ticket)`. Suspends only when no buffer is free, or to
        hash more than 256 KiB in a thread (`data` must not change meanwhile).

        Raises:
            TooLarge(LIMIT): it does not fit an extent.
            Unavailable(DISK_FULL | IO_ERROR | READ_ONLY_STORE): there is no room to take it.
        """
        if self._closed:
            raise _closed()
        size = len(data)
        if size < THREAD_MIN:
            if not size:
                raise Invalid(Reason.BAD_ARGUMENT, "a record has at least one byte")
            record_id = digests.blake3_keyed(domain.keys[kind], data)
        else:
            record_id = await self.in_thread(domain.name, kind, data)
        if self.has(record_id):
            return Stored(record_id, self.log.pending.get(record_id, 0), 0)
        record = Incoming(kind, record_id, data, digests.crc32c(data))
        taken = self.log.append(record)
        while taken is None:
            await self.log.room(size)
            taken = self.log.append(record)
        return Stored(record_id, taken[0], size if taken[1] else 0)

    async def durable(self, ticket: int) -> None:
        """Return when everything up to `ticket` is durable: 0 always is.

        Raises:
            Unavailable: it is not, and nothing is promised.
        """
        if ticket > self.log.durable:
            await self.log.wait(ticket)

    def has(self, record_id: bytes) -> bool:
        """Tell whether a record is stored, or waits for its group commit."""
        return self._known(self._index.get(record_id)) or record_id in self.log.pending

    def known_many(self, ids: Sequence[bytes]) -> list[bool]:
        """Tell for each id whether it is stored, durable, and nothing is known against it."""
        return [self._known(found) for found in self._index.get_many(ids)]

    def _known(self, found: tuple[int, int, int] | None) -> bool:
        if found is None:
            return False
        segment = self._segments.get(found[0])
        return segment is not None and segment.sound(found[1])

    async def in_thread(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call in the store's threads; when cancelled, wait for its end all the same.

        So the views that were given to it are not used any more once this returned or raised.
        """
        return await self.threads.run(call, *args, **kwargs)

    # --- reading -------------------------------------------------------------------------------
    async def read(self, ids: Sequence[bytes]) -> list[memoryview]:
        """Return the bytes of each record: read-only slices of mapped files, valid for ever.

        Suspends only where an extent is read for the first time in this process (in a thread when
        larger than 256 KiB), or a record still waits for its group commit.

        Raises:
            Corrupt(DAMAGED): a record is missing, or its bytes are not what was written.
            Unavailable: it could not be read.
        """
        if self._closed:
            raise _closed()
        views = []
        segments = self._segments
        for record_id, found in zip(ids, self._index.get_many(ids), strict=True):
            view = None
            if found is not None:
                segment = segments.get(found[0])
                if segment is not None:
                    view = segment.slice(found[1], found[2])
            if view is None:
                view = await self._fetch(record_id, found)
            views.append(view)
        return views

    async def read_runs(self, ids: Sequence[bytes]) -> list[memoryview]:
        """As `read`, but records that lie side by side in an extent come as one view.

        The views laid end to end are the records laid end to end.
        """
        if self._closed:
            raise _closed()
        located = self._index.get_many(ids)
        views: list[memoryview] = []
        first, count = 0, len(ids)
        while first < count:
            found = located[first]
            last = first + 1
            if found is None:
                views += await self.read(ids[first:last])
                first = last
                continue
            number, offset, length = found
            while last < count:
                after = located[last]
                if after is None or after[0] != number or after[1] != offset + length:
                    break
                length += after[2]
                last += 1
            segment = self._segments.get(number)
            view = segment.slice(offset, length) if segment is not None else None
            if view is None:
                # The first fetch of an extent verifies all of it.
                single = await self._fetch(ids[first], found)
                view = segment.slice(offset, length) if segment is not None else None
                if view is None:
                    views += [single, *await self.read(ids[first + 1 : last])]
                    first = last
                    continue
            views.append(view)
            first = last
        return views

    async def _fetch(self, record_id: bytes, found: tuple[int, int, int] | None) -> memoryview:
        ticket = self.log.pending.get(record_id)
        if ticket is not None:
            await self.durable(ticket)
        if ticket is not None or found is None:
            # It may have become durable between the two looks.
            found = self._index.get(record_id)
        if found is None:
            raise Corrupt(
                Reason.DAMAGED, f"chunk {record_id.hex()} is not in the store",
                "see `damage` for the segments that have lost something", chunk=record_id.hex(),
            )  # fmt: skip
        number, offset, length = found
        segment = self._segments.get(number)
        if segment is None:
            raise Corrupt(
                Reason.DAMAGED,
                f"segment {number:08x}, which holds chunk {record_id.hex()}, cannot be read",
                "restore the file from a copy of it",
                segment=f"{number:08x}", chunk=record_id.hex(),
            )  # fmt: skip
        view = segment.slice(offset, length)
        if view is None:
            extent, size = segment.find(offset, length)
            await self._verify(segment, extent, size)
            view = segment.slice(offset, length)
        if view is None:
            raise _closed()
        return view

    async def _verify(self, segment: Segment, extent: int, size: int) -> None:
        if size <= THREAD_MIN:
            segment.verify(extent)
            return
        key = (segment.number, extent)
        running = self._verifying.get(key)
        if running is None:
            running = self._loop.create_task(self.threads.run(segment.verify, extent))
            self._verifying[key] = running
            running.add_done_callback(lambda _: self._verifying.pop(key, None))
            # Everybody may be cancelled meanwhile; the error is noted at the segment all the same.
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(running)

    # --- upkeep --------------------------------------------------------------------------------
    def stats(self) -> StoreStats:
        """Return what the store holds, and what of it is damaged."""
        segments = self._segments.values()
        found = [item for segment in segments for item in segment.damage]
        packs = sum(segment.name.endswith(".pack") for segment in segments)
        return StoreStats(
            chunks=len(self._index),
            segments=len(segments) - packs,
            packs=packs,
            payload_bytes=sum(segment.payload_bytes for segment in segments),
            pending=len(self.log.pending),
            damage=tuple(dict.fromkeys(self._damage + found)),
        )

    async def close(self) -> None:
        """Make durable what was taken, state how far the log reaches, and let go of all files.

        Views that were handed out stay valid. Closing twice is well.
        """
        if self._closed:
            return
        self._closed = True
        await self.log.close()
        await asyncio.to_thread(self.threads.close)
        if self._unnamed is not None:
            self._unnamed.release()  # the next opening takes its file over
        try:
            await self._close_in_order()
        finally:
            self._index.close()
            for segment in self._segments.values():
                segment.close()

    async def _close_in_order(self) -> None:
        appender = self.log.appender
        active = None
        try:
            if appender is not None:
                if not appender.dead:
                    active = (appender.segment.number, appender.chain.end)
                    await asyncio.to_thread(appender.trim)
                appender.release()
            await asyncio.to_thread(self._index.mark_clean)
            # After damage the index is built anew: the files may have been restored by then.
            seal = None
            if not self.stats().damage:
                seal = await asyncio.to_thread(registry.seal_of, self._index)
            await registry.close(self._metadata, active, seal)
        except Unavailable as error:
            # All of this only makes the next opening quicker.
            _log.warning("the store was not closed in order: %s", error.line())


def _closed() -> Unavailable:
    return Unavailable(Reason.SHUTTING_DOWN, "the store is closed")


async def _done(metadata: Metadata, unit: Unit) -> None:
    await metadata.commit(unit)
