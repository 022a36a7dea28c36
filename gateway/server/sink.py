"""Where a connection receives to while it is not its inbox, and what that place may ask of it.

Also the sink for bytes that nobody wants: the rest of a body that a handler did not read, and what
a client still sends to a connection that is about to close.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway import limits


class Sink(Protocol):
    """Where a connection receives to while it is not the inbox."""

    def room(self) -> memoryview:
        """Return where the next bytes go; never empty."""
        ...

    def received(self, count: int) -> None:
        """Note that `count` bytes were put into `room()`."""
        ...


class Link(Protocol):
    """What a body asks of its connection."""

    def receive_into(self, sink: Sink | None) -> None:
        """Receive into `sink`, or into the inbox, from now on."""
        ...

    def hold(self) -> None:
        """Receive nothing for now."""
        ...

    def send_continue(self) -> None:
        """Ask the client for the body."""
        ...


class Discard:
    """A sink for bytes nobody wants: `left` of them, or what comes when that is None.

    `done` is set when the last of them has come, and the connection receives into its inbox again;
    without an end, when more than `limits.LINGER_SIZE_MAX` have come or nothing more will.
    """

    __slots__ = ("_left", "_link", "_scratch", "_swallowed", "done")

    def __init__(self, scratch: memoryview, link: Link, left: int | None) -> None:
        self._scratch = scratch
        self._link = link
        self._left = left
        self._swallowed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def room(self) -> memoryview:
        """Return memory to be overwritten."""
        return self._scratch if self._left is None else self._scratch[: self._left]

    def received(self, count: int) -> None:
        """Count bytes that came."""
        if self._left is None:
            self._swallowed += count
            if self._swallowed > limits.LINGER_SIZE_MAX:
                self._link.hold()
                self.stop()
            return
        self._left -= count
        if not self._left:
            self._link.receive_into(None)
            self.stop()

    @property
    def complete(self) -> bool:
        """Whether all bytes of a known number have come."""
        return self._left == 0

    def stop(self) -> None:
        """Wait no longer."""
        if not self.done.done():
            self.done.set_result(None)
