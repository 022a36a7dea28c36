"""Bytes that have arrived and are not yet consumed: heads, small bodies, the next request.

An inbox is one block with a consumed front. The socket receives straight into its free end, heads
are parsed where they lie, and a small body is handed to its reader as a view of the block itself.
The block is taken with the first byte and given back when the last is consumed, unless a view of
it is lent out. Bytes move only when the free end runs out.
"""

from __future__ import annotations

from gateway import limits
from gateway.server.arenas import Arenas


class Inbox:
    """A growing window on one block; never holds less than what was received."""

    __slots__ = ("_arenas", "_block", "_lent", "end", "start", "view")

    def __init__(self, arenas: Arenas) -> None:
        self._arenas = arenas
        self._block: bytearray | None = None
        self.view = memoryview(b"")  # all of the block; what is in use is `[start, end)`
        self._lent = False
        self.start = 0  # first byte not consumed
        self.end = 0  # one past the last byte received

    @property
    def block(self) -> bytearray:
        """The bytes themselves; those in use are `[start, end)`."""
        if self._block is None:
            self._adopt(self._arenas.take_block(limits.HEAD_BLOCK_SIZE))
        return self._block  # type: ignore[return-value]

    @property
    def available(self) -> int:
        """Bytes received and not consumed."""
        return self.end - self.start

    @property
    def full(self) -> bool:
        """Whether nothing can be received before something is consumed or the inbox grows."""
        return self._block is not None and self.end == len(self._block)

    def room(self) -> memoryview:
        """Return the free end, for the socket to receive into; empty when full."""
        if self._block is None:
            self._adopt(self._arenas.take_block(limits.HEAD_BLOCK_SIZE))
            return self.view
        return self.view[self.end :]

    def consume(self, count: int) -> None:
        """Forget the first `count` bytes."""
        self.start += count
        if self.start == self.end:
            self.rest()

    def lend(self, count: int) -> memoryview:
        """Return the first `count` bytes as a writable view, consumed, until `take_back`."""
        view = self.view[self.start : self.start + count]
        self.start += count
        self._lent = True
        return view

    def take_back(self) -> None:
        """End the loan: the block may be reused."""
        self._lent = False
        if self.start == self.end:
            self.rest()

    def rest(self) -> None:
        """Give the block back, when nothing is in it and nothing is lent."""
        if self._lent or self._block is None:
            return
        if self.start == self.end:
            self._drop()

    def reserve(self, size: int) -> None:
        """Make sure that `size` bytes, those at hand included, fit without another move."""
        if self._block is not None and self.start + size <= len(self._block):
            return
        held = self.view[self.start : self.end]
        if self._block is not None and size <= len(self._block) and not self._lent:
            # Slice assignment between overlapping parts of one buffer moves as memmove does.
            self.view[: len(held)] = held
            self.start, self.end = 0, len(held)
            return
        block = self._arenas.take_block(size)
        block[: len(held)] = held
        count = len(held)
        del held
        self._drop()
        self._adopt(block)
        self.end = count

    def append(self, data: memoryview) -> None:
        """Add bytes that were received elsewhere (beyond a chunked body's end)."""
        self.reserve(self.available + len(data))
        self.block[self.end : self.end + len(data)] = data
        self.end += len(data)

    def close(self) -> None:
        """Forget everything and give the block back."""
        self._lent = False
        self._drop()

    def _adopt(self, block: bytearray) -> None:
        self._block = block
        self.view = memoryview(block)

    def _drop(self) -> None:
        block = self._block
        if block is not None:
            self._block = None
            self.view = memoryview(b"")
            self._arenas.give_block(block, reusable=not self._lent)
        self.start = self.end = 0
