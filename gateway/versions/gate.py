"""A gate before the staged rows of a branch: writers pass together, a finisher closes it.

Folding takes as long as there are rows. Writers go on meanwhile; only for the last step, when what
they added since is folded and the head moves, they are held for a moment, so that a finisher never
loses the race for good. Correctness does not rest on the gate (the unit of work says what it
expects); progress does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Any number inside, or one alone."""

    __slots__ = ("__weakref__", "_closer", "_empty", "_inside", "_open")

    def __init__(self) -> None:
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closer = asyncio.Lock()

    async def enter(self) -> None:
        """Wait until the gate is open, and go in; `leave` must follow."""
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()

    def leave(self) -> None:
        """Go out."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Keep others out, wait until those inside have left, and be alone."""
        async with self._closer:
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()
