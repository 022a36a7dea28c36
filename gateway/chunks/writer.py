"""Group commit: one thread writes an extent and syncs it while the next one fills.

There is no timer. An extent is written when it is full, or when somebody waits for it and the
disk is free; whoever arrives meanwhile shares the next one, and its sync. A *ticket* is the number
of the extent that a record went into. Extents become durable in the order of their numbers, so
that `wait(ticket)` waits for everything up to it, and the highest ticket of several stands for all.

Nothing that was accepted is ever dropped while the process lives. When an extent cannot be made
durable (the disk is full, or fails again in a fresh segment), whoever waits for it is told so at
once, and for none of its records does an entry of the index exist; but the extent stays in its
buffer, and the next call that waits, or that needs its buffer, tries again. So a ticket keeps its
meaning for those who hold a lower one as well, memory stays bounded, and the store goes on as soon
as there is room again.

Buffers are few. When all are taken the append finds no room, and `room` holds the caller back.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.chunks.appender import Appender, largest_record
from gateway.chunks.pack import Location, align
from gateway.chunks.packer import ROOM, Extent
from gateway.errors import Reason, SidegateError, TooLarge, Unavailable
from gateway.limits import EXTENT_FLUSH_SIZE, SEGMENT_SIZE_MAX

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large segments and extents become (bytes), how many extents are held in memory.

    `direct`: past the page cache; measured by `bench/engine.py`, see `docs/write-order.md`.
    """

    segment: int = SEGMENT_SIZE_MAX
    extent: int = EXTENT_FLUSH_SIZE
    buffers: int = 3
    direct: bool = True


class Incoming:
    """A record to append: its name and kind, its bytes and their checksum (CRC32C)."""

    __slots__ = ("crc", "data", "id", "kind")

    def __init__(self, kind: int, record_id: bytes, data: bytes | memoryview, crc: int) -> None:
        self.kind = kind
        self.id = record_id
        self.data = data
        self.crc = crc


class LogWriter:
    """The log's end: takes records from any thread, makes them durable in its own.

    `roll` seals what it is given (or None, or a dead one) and returns a fresh appender; `publish`
    enters durable records into the index. Both are called in the writer's thread and may block.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sizes: Sizes,
        appender: Appender | None,
        roll: Callable[[Appender | None], Appender],
        publish: Callable[[Sequence[Location], int], None],
    ) -> None:
        self.pending: dict[bytes, int] = {}
        self.durable = 0
        self.appender = appender
        self._loop = loop
        self._sizes = sizes
        self._roll = roll
        self._publish = publish
        self._lock = threading.Lock()
        self._queue: deque[Extent] = deque()  # full, or being written; the head is at it
        self._current: Extent | None = None
        self._number = 0
        self._wanted = 0
        # Where the head of the queue lies, while the index has not taken it: not written again.
        self._written: tuple[list[Location], int] | None = None
        self._free: list[memoryview] = []
        self._made = 0
        self._large = False  # a record of more than an extent's usual size is in memory
        # Each with the number of the attempt that was last begun when it came. Loop only.
        self._waiters: dict[int, list[tuple[asyncio.Future[None], int]]] = {}
        self._starved: list[tuple[asyncio.Future[None], int]] = []
        self._attempt = 0
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._signalled = False
        self._closing = False
        self._said = ""
        self._ended: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="sidegate-log", daemon=True)
        self._thread.start()

    # --- taking records, from any thread -------------------------------------------------------
    def append(self, record: Incoming) -> tuple[int, bool] | None:
        """Take a record; return its ticket and whether it is new, or None when there is no room.

        A record that waits for its group commit already is not taken again; its ticket is.
        """
        record_id, data = record.id, record.data
        with self._lock:
            ticket = self.pending.get(record_id)
            if ticket is not None:
                return ticket, False
            self._check_open()
            size = len(data)
            extent = self._current
            if extent is None or not extent.fits(size):
                extent = self._rotate(size)
                if extent is None:
                    return None
            extent.place(extent.reserve(record.kind, record_id, size, record.crc), data)
            ticket = self.pending[record_id] = extent.ticket
        return ticket, True

    def append_many(self, records: Sequence[Incoming]) -> list[tuple[int, bool]]:
        """Take records in order, as many as there is room for; return as `append` for each.

        Places are reserved under the lock and filled outside of it.
        """
        taken: list[tuple[int, bool]] = []
        places: list[tuple[Extent, int, bytes | memoryview]] = []
        try:
            with self._lock:
                self._check_open()
                for record in records:
                    ticket = self.pending.get(record.id)
                    if ticket is not None:
                        taken.append((ticket, False))
                        continue
                    size = len(record.data)
                    extent = self._current
                    if extent is None or not extent.fits(size):
                        extent = self._rotate(size)
                        if extent is None:
                            break
                    offset = extent.reserve(record.kind, record.id, size, record.crc)
                    extent.filling += 1
                    places.append((extent, offset, record.data))
                    self.pending[record.id] = extent.ticket
                    taken.append((extent.ticket, True))
        finally:
            self._fill(places)
        return taken

    def _fill(self, places: Sequence[tuple[Extent, int, bytes | memoryview]]) -> None:
        for extent, offset, data in places:
            extent.place(offset, data)
        if places:
            with self._lock:
                for extent, _, _ in places:
                    extent.filling -= 1
            self._signal()

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable(Reason.SHUTTING_DOWN, "the store is being closed")

    def _rotate(self, size: int) -> Extent | None:
        if self._current is not None:
            self._queue.append(self._current)
            self._current = None
            self._signal()
        buffer = self._buffer(size)
        if buffer is None:
            return None
        self._number += 1
        self._current = Extent(buffer, self._number)
        return self._current

    def _buffer(self, size: int) -> memoryview | None:
        if size > self._sizes.extent:
            if size > largest_record():
                raise TooLarge(
                    Reason.LIMIT, f"a record of {size} bytes; {largest_record()} is the most"
                )
            if self._large:
                return None
            self._large = True
            return _anonymous(ROOM + align(size))
        if self._free:
            return self._free.pop()
        if self._made == self._sizes.buffers:
            return None
        self._made += 1
        return _anonymous(ROOM + align(self._sizes.extent))

    def _has_room(self, size: int) -> bool:
        with self._lock:
            if self._current is not None and self._current.fits(size):
                return True
            if size > self._sizes.extent:
                return not self._large
            return bool(self._free) or self._made < self._sizes.buffers

    # --- waiting, on the loop ------------------------------------------------------------------
    async def wait(self, ticket: int) -> None:
        """Return when every extent up to `ticket` is durable.

        Raises:
            Unavailable: it could not be made durable now; nothing is promised.
        """
        if ticket > self.durable:
            if self._ended.done():
                raise Unavailable(
                    Reason.SHUTTING_DOWN, "the store was closed before it was durable"
                )
            future = self._loop.create_future()
            self._waiters.setdefault(ticket, []).append((future, self._attempt))
            self._wanted = max(self._wanted, ticket)
            self._signal()
            await future

    async def room(self, size: int) -> None:
        """Return when a record of `size` bytes may find room.

        Raises:
            Unavailable: the disk takes nothing, so that there is none.
        """
        if not self._has_room(size):
            self._check_open()
            future = self._loop.create_future()
            self._starved.append((future, self._attempt))
            self._signal()
            await future

    def _settle(self) -> None:
        durable = self.durable
        for ticket in [ticket for ticket in self._waiters if ticket <= durable]:
            for future, _ in self._waiters.pop(ticket):
                if not future.done():
                    future.set_result(None)
        starved, self._starved = self._starved, []
        for future, _ in starved:
            if not future.done():
                future.set_result(None)

    def _refuse(self, error: SidegateError, attempt: int) -> None:
        # An attempt says nothing to those who came when it had begun: the next one is theirs.
        starved = [item for item in self._starved if item[1] < attempt]
        self._starved = [item for item in self._starved if item[1] >= attempt]
        for ticket, items in list(self._waiters.items()):
            if ticket > self.durable:
                starved += [item for item in items if item[1] < attempt]
                self._waiters[ticket] = [item for item in items if item[1] >= attempt]
        for future, _ in starved:
            if not future.done():
                # One error for each: a shared one would gather the tracebacks of all.
                future.set_exception(
                    type(error)(error.reason, error.message, error.hint, **error.data)
                )

    # --- the writer's thread -------------------------------------------------------------------
    def _signal(self) -> None:
        if not self._signalled:
            self._signalled = True
            self._tokens.put(None)

    def _post(self, call: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            # The loop is closed, and whoever waited with it: there is nobody to tell.
            _log.debug("the event loop closed before the log did")

    def _run(self) -> None:
        while True:
            self._tokens.get()
            self._signalled = False
            while self._step():
                pass
            if self._closing:
                self._post(self._end)
                return

    def _end(self) -> None:
        self._ended.set_result(None)
        self._settle()
        self._refuse(Unavailable(Reason.SHUTTING_DOWN, "the store was closed"), self._attempt + 1)

    def _step(self) -> bool:
        extent = self._next()
        if extent is None:
            return False
        self._attempt += 1
        try:
            self._commit(extent)
        except SidegateError as error:
            if error.message != self._said:
                self._said = error.message  # once, however many ask while the disk stays full
                _log.error("an extent is not durable: %s", error.line())
            self._post(self._refuse, error, self._attempt)
            return False
        except Exception as error:
            _log.exception("an extent is not durable")
            self._post(
                self._refuse,
                Unavailable(Reason.IO_ERROR, f"the log failed: {error}"),
                self._attempt,
            )
            return False
        self._said = ""
        self._post(self._settle)
        return True

    def _next(self) -> Extent | None:
        with self._lock:
            if not self._queue:
                current = self._current
                if current is None or not len(current):
                    return None
                if self._wanted < current.ticket and not self._closing:
                    return None
                self._queue.append(current)
                self._current = None
            head = self._queue[0]
            return None if head.filling else head

    def _commit(self, extent: Extent) -> None:
        if self._written is None:
            locations = self._write(extent)
            self._written = locations, self.appender.segment.number if self.appender else 0
        locations, segment = self._written
        self._publish(locations, segment)
        self._written = None
        with self._lock:
            self._queue.popleft()
            for location in locations:
                self.pending.pop(location.id, None)
            if extent.capacity == align(self._sizes.extent):
                self._free.append(extent.buffer)
            else:
                self._large = False
            self.durable = extent.ticket

    def _write(self, extent: Extent) -> list[Location]:
        appender = self.appender
        if appender is not None and not appender.dead and appender.fits(extent):
            try:
                return appender.append(extent)
            except Unavailable as error:
                if not appender.failed():
                    raise
                _log.error("segment %s is dead: %s", appender.segment.name, error.line())
        # Either it is full, or dead: never synced again. The extent is whole in its buffer.
        self.appender = None
        self.appender = self._roll(appender)
        return self.appender.append(extent)

    async def close(self) -> None:
        """Make durable what was taken, as far as the disk allows, and end the thread."""
        if not self._closing:
            with self._lock:
                self._closing = True
            self._signal()
        await asyncio.shield(self._ended)
        self._thread.join()


def _anonymous(size: int) -> memoryview:
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
