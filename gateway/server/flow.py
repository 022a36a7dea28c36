"""Writing held back to the pace of the reader.

The transport queues what the socket does not take at once; above `limits.WRITE_HIGH_WATER` it says
stop, and whoever produces the bytes waits here until `limits.WRITE_LOW_WATER` is reached. So no
response is ever queued whole, whatever its size. A reader so fast that the queue never fills gets
`limits.WRITE_TURN_MAX` before the other connections have a turn. Views go to the transport as they
are, gathered into one system call up to `limits.WRITE_SLICE_MAX`: nothing is copied on the way to
the kernel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway import limits
from gateway.errors import Reason, Unavailable
from gateway.server.timeouts import Watch


class Flow:
    """The outgoing side of one connection.

    A reader that takes nothing for `stall_s` is cut off: the transport is aborted.
    """

    __slots__ = (
        "_gone",
        "_loop",
        "_paused",
        "_queued_before",
        "_stall_s",
        "_transport",
        "_unbroken",
        "_waiter",
        "_watch",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        stall_s: float,
    ) -> None:
        transport.set_write_buffer_limits(limits.WRITE_HIGH_WATER, limits.WRITE_LOW_WATER)
        self._transport = transport
        self._loop = loop
        self._watch = watch
        self._stall_s = stall_s
        self._paused = False
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._queued_before = 0
        self._unbroken = 0  # about so many bytes written since others had a turn

    @property
    def gone(self) -> bool:
        """Whether nobody can read any more."""
        return self._gone

    @property
    def paused(self) -> bool:
        """Whether more is queued than the reader should be given."""
        return self._paused

    @property
    def waiting(self) -> bool:
        """Whether a writer is held back."""
        return self._waiter is not None

    @property
    def queued(self) -> int:
        """Bytes that the socket has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Queue a few bytes; they are sent at once when the socket takes them."""
        if not self._gone:
            self._transport.write(data)

    async def write_views(self, views: Iterable[memoryview]) -> None:
        """Send views in order, waiting for the reader as needed.

        Raises:
            Unavailable(CLIENT_GONE): the connection was lost.
        """
        batch: list[memoryview] = []
        size = 0
        for view in views:
            count = len(view)
            if size + count > limits.WRITE_SLICE_MAX and batch:
                await self._put(batch)
                batch, size = [], 0
            if count <= limits.WRITE_SLICE_MAX:
                batch.append(view)
                size += count
                continue
            for at in range(0, count, limits.WRITE_SLICE_MAX):
                await self._put([view[at : at + limits.WRITE_SLICE_MAX]])
        if batch:
            await self._put(batch)

    async def drain(self) -> None:
        """Wait until the queue is short enough for more.

        Raises:
            Unavailable(CLIENT_GONE): the connection was lost.
        """
        if self._paused and not self._gone:
            self._unbroken = 0
            self._waiter = self._loop.create_future()
            self._queued_before = self.queued
            self._watch.expect_within(self._stall_s)
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._watch.clear()
        if self._gone:
            raise Unavailable(Reason.CLIENT_GONE, "the client closed the connection")

    async def _put(self, batch: list[memoryview]) -> None:
        if self._paused or self._gone:
            await self.drain()
        self._unbroken += limits.WRITE_SLICE_MAX
        if self._unbroken > limits.WRITE_TURN_MAX:
            self._unbroken = 0
            await asyncio.sleep(0)
            if self._gone:
                await self.drain()
        if len(batch) == 1:
            self._transport.write(batch[0])
        else:
            self._transport.writelines(batch)
        if self._paused:
            await self.drain()

    # --- called by the connection ---------------------------------------------------------------

    def pause(self) -> None:
        """Note that the queue is full."""
        self._paused = True

    def resume(self) -> None:
        """Note that the queue is short again."""
        self._paused = False
        self._wake()

    def lose(self) -> None:
        """Note that the connection is gone."""
        self._gone = True
        self._wake()

    def stalled(self) -> bool:
        """Tell whether the reader took nothing since last asked; watch on when it did."""
        queued = self.queued
        if queued >= self._queued_before:
            return True
        self._queued_before = queued
        self._watch.expect_within(self._stall_s)
        return False

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
