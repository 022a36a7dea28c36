"""Moves of heads, for those who wait for them.

Each is a row of the outbox, written in the unit that moved the head: what was promised to a writer
is never missed by a waiter, whatever crashes between. Nothing here calls upward; a waiter asks for
what came after the last move that it knows.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.metadata.base import DeleteWhere, Unit
from gateway.metadata.schema import COUNTER, OUTBOX
from gateway.versions.branches import OUTBOX_COUNTER
from gateway.versions.model import Move
from gateway.versions.rows import move_of, number
from gateway.versions.state import State

STEP: Final = 1000  # moves handed out in one go
PRUNE: Final = 500  # rows removed in one unit


class Moves:
    """The outbox."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moved = asyncio.Event()

    def notify(self) -> None:
        """Wake those who wait: a head has moved."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def list_moves(self, after: int) -> list[Move]:
        """Return the moves above `after`, in their order; a thousand at most."""
        async with self._state.metadata.snapshot() as rows:
            return [move_of(row) for row in await rows.scan(OUTBOX, after=after, limit=STEP)]

    async def wait_moves(self, after: int) -> list[Move]:
        """Return the moves above `after`, in their order; wait until there is one."""
        while True:
            moved = self._moved
            moves = await self.list_moves(after)
            if moves:
                return moves
            await moved.wait()

    async def last_move(self) -> int:
        """Return the number of the last move there was; 0 before the first."""
        async with self._state.metadata.snapshot() as rows:
            row = await rows.get(COUNTER, (OUTBOX_COUNTER,))
        return 0 if row is None else number(row["value"])

    async def prune_moves(self, upto: int) -> None:
        """Forget the moves up to and including `upto`: nobody will ask for them again."""
        while True:
            async with self._state.metadata.snapshot() as rows:
                if not await rows.scan(OUTBOX, until=upto + 1, limit=1):
                    return
            await self._state.metadata.commit(
                Unit([DeleteWhere(OUTBOX, (), up_to=upto, limit=PRUNE)])
            )
