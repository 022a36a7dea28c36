"""The life of a serving process: its event loop, the signals that end it, and the end itself.

SIGTERM and SIGINT ask once for a graceful end: listeners stop accepting, requests under way
finish. Asking a second time cuts them short. Signal handlers only set an event; everything else
happens in the order in which the code that waits for it stands.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

import uvloop

from gateway import limits

T = TypeVar("T")

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drainable(Protocol):
    """What can end gracefully: a listener."""

    async def drain(self, timeout_s: float = limits.DRAIN_TIMEOUT_S) -> None:
        """Accept nothing new, finish what is under way within `timeout_s` seconds."""
        ...


class StopSignals:
    """SIGTERM and SIGINT as events, while entered (`with StopSignals() as stop:`).

    Enter it in the main thread, inside a running loop.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._insisted = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            self._loop.add_signal_handler(number, self.ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            for number in _STOP_SIGNALS:
                self._loop.remove_signal_handler(number)

    def ask(self) -> None:
        """Do what a signal does: ask for the end; the second time, insist on it."""
        if self._asked.is_set():
            self._insisted.set()
        self._asked.set()

    async def asked(self) -> None:
        """Wait until the end is asked for."""
        await self._asked.wait()

    async def insisted(self) -> None:
        """Wait until it is asked for again."""
        await self._insisted.wait()


async def drain_all(
    listeners: Sequence[Drainable],
    stop: StopSignals | None = None,
    timeout_s: float = limits.DRAIN_TIMEOUT_S,
) -> None:
    """Drain all listeners at once; a second signal leaves them no more time.

    Args:
        listeners: what to drain.
        stop: where a second signal shows; None when nobody can insist.
        timeout_s: how long requests under way may take.
    """
    draining = asyncio.gather(*(listener.drain(timeout_s) for listener in listeners))
    if stop is None:
        await draining
        return
    insisting = asyncio.ensure_future(stop.insisted())
    try:
        await asyncio.wait((draining, insisting), return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            await draining
        else:
            draining.cancel()
            await asyncio.gather(*(listener.drain(0.0) for listener in listeners))
    finally:
        insisting.cancel()


def run(main: Coroutine[object, object, T]) -> T:
    """Run `main` to its end on a fresh uvloop and return what it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
