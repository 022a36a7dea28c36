"""How long a peer may keep us waiting, and the one timer a connection has for it.

A deadline moves with every request, so arming a loop timer for each would cost more than the wait
it guards. A `Watch` keeps one timer: moving the deadline later only stores a number, and when the
timer fires too early it arms itself again for the rest. Only a deadline nearer than the armed one
touches the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from gateway import limits


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The waits of one listener, in seconds; the defaults are those of `limits`."""

    head_s: float = limits.HEAD_READ_TIMEOUT_S
    idle_s: float = limits.IDLE_TIMEOUT_S
    body_stall_s: float = limits.BODY_STALL_TIMEOUT_S
    body_rate_min: float = limits.BODY_RATE_MIN  # bytes a second over body_rate_window_s
    body_rate_window_s: float = limits.BODY_RATE_WINDOW_S
    body_crowded_s: float = limits.BODY_CROWDED_S  # while others wait for an arena
    body_crowded_rate_min: float = limits.BODY_CROWDED_RATE_MIN
    write_stall_s: float = limits.WRITE_STALL_TIMEOUT_S
    linger_s: float = limits.LINGER_TIMEOUT_S
    abort_grace_s: float = limits.ABORT_GRACE_S


class Watch:
    """One deadline and at most one armed timer; calls back once the deadline has passed."""

    __slots__ = ("_callback", "_loop", "_timer", "_when", "deadline_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None
        self._when = inf
        self.deadline_s = inf  # loop time; infinite when nothing is awaited

    def expect_within(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now, in place of the one before."""
        deadline_s = self._loop.time() + seconds
        self.deadline_s = deadline_s
        if deadline_s < self._when:
            self._arm(deadline_s)

    def clear(self) -> None:
        """Await nothing; an armed timer is left to find that out by itself."""
        self.deadline_s = inf

    def stop(self) -> None:
        """Drop the timer for good."""
        self.deadline_s = inf
        self._when = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._when = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._when = inf
        deadline_s = self.deadline_s
        if deadline_s == inf:
            return
        if self._loop.time() < deadline_s:
            self._arm(deadline_s)
        else:
            self.deadline_s = inf
            self._callback()
