"""The threads in which large views are cut, named and checked, beside the event loop.

An executor's futures do three times the work of what is needed here: one waiter, on one loop, that
always stays until the end. For views are lent to a call, and must not be given back to anybody
while it still looks at them.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Turn(Generic[_T]):
    """One call: made by a thread, awaited on the loop."""

    __slots__ = ("call", "ended", "failure", "result", "waiter")

    def __init__(self, call: Callable[[], _T]) -> None:
        self.call = call
        self.ended = False  # set on the loop, as `waiter` is
        self.waiter: asyncio.Future[None] | None = None
        self.failure: BaseException | None = None
        self.result: list[_T] = []

    def make(self) -> None:
        """Make the call."""
        try:
            self.result.append(self.call())
        except BaseException as error:  # for whoever waits
            self.failure = error

    def end(self) -> None:
        """Tell who waits."""
        self.ended = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Threads:
    """A few threads that take calls in the order in which they come; they belong to one loop."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turns: queue.SimpleQueue[_Turn[object] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"sidegate-chunks-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Make a call in a thread and return what it returns, or raise what it raises.

        A cancellation is put off until the call has ended: what it was given is free then.
        """
        turn: _Turn[_T] = _Turn(lambda: call(*args, **kwargs))
        self._turns.put(turn)  # type: ignore[arg-type]
        cancelled: asyncio.CancelledError | None = None
        while not turn.ended:
            turn.waiter = self._loop.create_future()
            try:
                await turn.waiter
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        if turn.failure is not None:
            raise turn.failure
        return turn.result[0]

    def close(self) -> None:
        """Let all calls that were taken end, and the threads after them; blocks."""
        for _ in self._threads:
            self._turns.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (turn := self._turns.get()) is not None:
            turn.make()
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(turn.end)
            del turn
