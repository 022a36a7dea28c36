"""The memory that requests arrive in: blocks for heads, arenas for bodies.

A *block* is a small bytearray (`limits.HEAD_BLOCK_SIZE`, or `limits.HEAD_SIZE_MAX` for the few that
outgrow it). A connection has one only while bytes of a head or of a small body lie in it: an idle
connection has none.

An *arena* is `limits.ARENA_SIZE` of anonymous memory in two halves: while the handler works on one,
the socket fills the other. All arenas of a process come out of one budget; when it is used up,
uploads wait their turn, first come first served, and the network holds back their clients. A few
free arenas are kept, for their pages are already there; the rest goes back to the system, so that
a burst leaves no mark on the resident size.

Everything here belongs to one event loop: no locks.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from contextlib import suppress

from gateway import limits

_FREE_BLOCKS_MAX = 64  # 1 MiB of small blocks; more connections than that are rarely mid-head


class Arena:
    """Two halves of writable memory, each a window of body; one huge page, where there are any."""

    __slots__ = ("_memory", "half_size", "view")

    def __init__(self, size: int) -> None:
        self.half_size = size // 2
        self._memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        self.view = memoryview(self._memory)

    def discard(self) -> None:
        """Give the pages back to the system at once: the bytes are lost, the arena can be used.

        A view of it may outlive its request for as long as the collector takes; the pages do not.
        """
        self._memory.madvise(mmap.MADV_DONTNEED)


class Arenas:
    """The budget of one process: hands out blocks and arenas, and takes them back.

    Args:
        budget: bytes of all arenas together; at least one arena.
        arena_size: bytes of one; even.
    """

    def __init__(
        self, budget: int = limits.ARENA_BUDGET, arena_size: int = limits.ARENA_SIZE
    ) -> None:
        if arena_size < 2 or arena_size % 2 or budget < arena_size:
            raise ValueError("an arena has two equal halves, and a budget holds at least one")
        self._arena_size = arena_size
        self._count_max = budget // arena_size
        self._free: list[Arena] = []
        self._waiters: deque[asyncio.Future[Arena]] = deque()
        self._small: list[bytearray] = []
        self._large: list[bytearray] = []
        self.arenas_used = 0
        self.blocks_used = 0
        self.scratch = memoryview(bytearray(limits.HEAD_SIZE_MAX))  # for bytes nobody wants

    @property
    def waiting(self) -> int:
        """Uploads that wait for an arena."""
        return sum(not waiter.done() for waiter in self._waiters)

    async def acquire(self) -> Arena:
        """Return an arena, its bytes undefined; wait while the budget is used up."""
        if self.arenas_used < self._count_max:
            self.arenas_used += 1
            return self._free.pop() if self._free else Arena(self._arena_size)
        waiter: asyncio.Future[Arena] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release(waiter.result())  # handed over in the same turn as the cancel
            raise

    def release(self, arena: Arena) -> None:
        """Take an arena back: the upload that waits longest gets it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(arena)
                return
        self.arenas_used -= 1
        if len(self._free) < limits.ARENAS_FREE_MAX:
            self._free.append(arena)
        else:
            arena.discard()

    def take_block(self, size: int) -> bytearray:
        """Return a block of at least `size` bytes, its contents undefined.

        Sizes above `limits.HEAD_SIZE_MAX` are made to measure and not kept.
        """
        self.blocks_used += 1
        if size <= limits.HEAD_BLOCK_SIZE:
            return self._small.pop() if self._small else bytearray(limits.HEAD_BLOCK_SIZE)
        if size <= limits.HEAD_SIZE_MAX:
            return self._large.pop() if self._large else bytearray(limits.HEAD_SIZE_MAX)
        return bytearray(size)

    def give_block(self, block: bytearray, *, reusable: bool = True) -> None:
        """Take a block back; one of which somebody still holds a view is not `reusable`."""
        self.blocks_used -= 1
        if not reusable:
            return
        size = len(block)
        if size == limits.HEAD_BLOCK_SIZE:
            if len(self._small) < _FREE_BLOCKS_MAX:
                self._small.append(block)
        elif size == limits.HEAD_SIZE_MAX and len(self._large) < _FREE_BLOCKS_MAX // 4:
            self._large.append(block)
