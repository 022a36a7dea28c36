"""Request bodies: from the socket into memory that is lent to the handler, window by window.

A small body is received beside its head, in the connection's inbox, and handed on from there. A
larger one, or one of unknown length, gets an arena: the socket fills one half while the handler
works on the other, and is held back when both are taken. HTTP chunked framing is taken away where
the bytes lie. Nothing is received for a handler that has not asked: what arrives before that
stays within the inbox, and the rest with the kernel.

A window belongs to the handler until its next `read`, and the arena to the request until the
handler is done: memory that a thread may still be reading is never given to another connection,
not even when the client is gone.

An arena is lent to clients that send. While others wait for one, a client that has sent nothing
for `limits.BODY_CROWDED_S`, or less than `limits.BODY_CROWDED_RATE_MIN` on the average, is told to
try again: a few hundred sleeping clients must not keep all others from uploading.

Bytes after the end of a body belong to the next request; they are left in the inbox, or put there.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway import limits
from gateway.errors import Busy, Invalid, Reason, SidegateError
from gateway.server.arenas import Arena, Arenas
from gateway.server.inbox import Inbox
from gateway.server.sink import Link
from gateway.server.timeouts import Timeouts, Watch
from gateway.wire.http import ChunkedDecoder

_INBOX = 2  # beside the halves 0 and 1: where a window may lie
_NOWHERE = -1
_CHUNKED_ROOM_MIN = 4 * limits.KIB  # a half with less room counts as full: no tiny receives


class Body:
    """The body of one request: a `wire.messages.RequestBody` and a `Sink`.

    Args:
        length: Content-Length; None when chunked.
        expecting: whether the client waits for `100 Continue`.
        inbox: holds the bytes that came with the head.
        arenas: where memory for a large body comes from.
        link: the connection.
        watch: the connection's timer for what it receives.
        timeouts: how long the client may take.
    """

    __slots__ = (
        "_arena",
        "_arenas",
        "_arrived",
        "_busy",
        "_complete",
        "_decoder",
        "_expecting",
        "_failure",
        "_fill",
        "_filling",
        "_heard_s",
        "_inbox",
        "_left",
        "_length",
        "_lent",
        "_link",
        "_loop",
        "_reading_inbox",
        "_ready",
        "_started",
        "_timeouts",
        "_wait_began_s",
        "_waited_s",
        "_waiter",
        "_watch",
    )

    def __init__(
        self,
        length: int | None,
        expecting: bool,
        inbox: Inbox,
        arenas: Arenas,
        link: Link,
        watch: Watch,
        timeouts: Timeouts,
    ) -> None:
        self._length = length
        self._expecting = expecting
        self._inbox = inbox
        self._arenas = arenas
        self._link = link
        self._watch = watch
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._decoder = ChunkedDecoder() if length is None else None
        self._left = length or 0  # of a known length: not yet taken from the inbox or the socket
        self._started = False
        self._complete = False
        self._failure: SidegateError | None = None
        self._arena: Arena | None = None
        self._ready: deque[tuple[int, memoryview]] = deque()
        self._busy = [False, False]  # halves that are ready or lent
        self._lent = _NOWHERE
        self._filling = _NOWHERE  # the half that receives
        self._fill = 0
        self._reading_inbox = False
        self._waiter: asyncio.Future[None] | None = None
        self._wait_began_s = 0.0
        self._waited_s = 0.0  # for the client, in this window of its rate
        self._heard_s = 0.0
        self._arrived = 0  # bytes in this window of its rate

    # --- for the handler ------------------------------------------------------------------------

    @property
    def length(self) -> int | None:
        """Bytes announced by Content-Length; None when the body is chunked."""
        return self._length

    async def read(self) -> memoryview | None:
        """Return the next window, or None after the last: see `wire.messages.RequestBody`.

        Windows of a large body are half an arena (of a chunked one up to 4 KiB less).

        Raises:
            Invalid(INCOMPLETE_BODY): the client went away or framed the body wrongly.
            Busy(TIMEOUT): it sent nothing, or too slowly, for too long.
        """
        if self._lent != _NOWHERE:
            self._take_back()
        if not self._started:
            self._started = True
            await self._start()
        while not self._ready:
            if self._complete:
                return None
            await self._wait()
        self._lent, window = self._ready.popleft()
        return window

    async def _start(self) -> None:
        inbox = self._inbox
        length = self._length
        if length is not None and length <= limits.SMALL_BODY_MAX:
            if inbox.available < length:
                inbox.reserve(length)
                self._reading_inbox = True
                self._invite()
                self._link.receive_into(None)
                while inbox.available < length:
                    await self._wait()
                self._reading_inbox = False
            self._left = 0
            self._complete = True
            self._ready.append((_INBOX, inbox.lend(length)))
            return
        early = b""
        if self._decoder is not None and 0 < inbox.available <= limits.SMALL_BODY_MAX:
            if self._decode_inbox(self._decoder):
                return
            early = bytes(inbox.view[inbox.start : self._fill])
            inbox.consume(inbox.available)
            self._expecting = False
        self._arena = await self._arenas.acquire()
        self._check()
        self._arena.view[: len(early)] = early
        self._filling, self._fill = 0, len(early)
        self._invite()
        self._pull()

    def _decode_inbox(self, decoder: ChunkedDecoder) -> bool:
        """Decode what lies in the inbox; tell whether that was all, and make it the one window.

        Otherwise its payload ends at `_fill`, and all of it was consumed.
        """
        inbox = self._inbox
        try:
            decoded = decoder.decode(inbox.view, inbox.start, inbox.end)
        except Invalid as error:
            raise self._misframed(error) from error
        if not decoded.done:
            self._fill = decoded.payload_end
            return False
        self._complete = True
        payload_size = decoded.payload_end - inbox.start
        rest = decoded.consumed_end - decoded.payload_end
        if payload_size:
            self._ready.append((_INBOX, inbox.lend(payload_size)))
        inbox.consume(rest)
        return True

    def _invite(self) -> None:
        """Send `100 Continue` when it is awaited; some bytes already here make it pointless."""
        if self._expecting:
            self._expecting = False
            if not self._inbox.available:
                self._link.send_continue()

    # --- halves of the arena --------------------------------------------------------------------

    def room(self) -> memoryview:
        """Return the part of the current half where the next bytes of this body go."""
        arena = self._arena
        if arena is None or self._filling == _NOWHERE:
            raise RuntimeError("a body receives only while it has room")
        end = (self._filling + 1) * arena.half_size
        if self._decoder is None:
            end = min(end, self._fill + self._left)
        return arena.view[self._fill : end]

    def received(self, count: int) -> None:
        """Take `count` bytes that the socket put into `room()`."""
        arena = self._arena
        if arena is None:
            raise RuntimeError("a body receives only while it has an arena")
        end = self._fill + count
        surplus = self._account(count)
        if surplus:
            self._inbox.append(arena.view[end - surplus : end])
        self._steer()

    def _pull(self) -> None:
        """Move what the inbox holds of this body into the arena, then receive the rest there."""
        inbox = self._inbox
        while inbox.available and self._filling != _NOWHERE and self._failure is None:
            room = self.room()
            count = min(len(room), inbox.available)
            room[:count] = inbox.view[inbox.start : inbox.start + count]
            inbox.consume(count - self._account(count))
        if self._filling != _NOWHERE:
            self._link.receive_into(self)
        self._steer()

    def _account(self, count: int) -> int:
        """Count `count` bytes at `_fill` in; return how many of them are the next request's."""
        arena = self._arena
        if arena is None:
            raise RuntimeError("a body receives only while it has an arena")
        self._arrived += count
        end = (self._filling + 1) * arena.half_size
        surplus = 0
        if self._decoder is None:
            self._fill += count
            self._left -= count
            self._complete = self._left == 0
            full = self._fill == end
        else:
            try:
                decoded = self._decoder.decode(arena.view, self._fill, self._fill + count)
            except Invalid as error:
                self._misframed(error)
                return 0
            surplus = self._fill + count - decoded.consumed_end
            self._fill = decoded.payload_end
            self._complete = decoded.done
            full = end - self._fill < _CHUNKED_ROOM_MIN
        if self._complete or full:
            self._push(arena)
        return surplus

    def _push(self, arena: Arena) -> None:
        """Make the current half a window, and go on in the other if that is free."""
        half = self._filling
        base = half * arena.half_size
        if self._fill > base:
            self._busy[half] = True
            self._ready.append((half, arena.view[base : self._fill]))
        self._filling = _NOWHERE
        if not self._complete and not self._busy[1 - half]:
            self._filling = 1 - half
            self._fill = self._filling * arena.half_size

    def _steer(self) -> None:
        """Tell the connection what to do next, and the reader that there is something."""
        if self._complete:
            self._link.receive_into(None)
        elif self._filling == _NOWHERE or self._failure is not None:
            self._link.hold()
        if self._ready or self._complete or self._failure is not None:
            self._wake()
        elif self._waiter is not None:
            self._heard_s = self._loop.time()

    def _take_back(self) -> None:
        place, self._lent = self._lent, _NOWHERE
        if place == _INBOX:
            self._inbox.take_back()
            return
        self._busy[place] = False
        arena = self._arena
        if arena is not None and self._filling == _NOWHERE and not self._complete:
            self._filling = place
            self._fill = place * arena.half_size
            if self._failure is None:
                self._pull()

    # --- waiting for the client -----------------------------------------------------------------

    async def _wait(self) -> None:
        self._check()
        self._wait_began_s = self._heard_s = self._loop.time()
        self._waiter = self._loop.create_future()
        window_left_s = self._timeouts.body_rate_window_s - self._waited_s
        self._watch_for(min(self._timeouts.body_stall_s, max(0.0, window_left_s)))
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._watch.clear()
            self._waited_s += self._loop.time() - self._wait_began_s
        if not self._ready:
            self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    @property
    def failure(self) -> SidegateError | None:
        """What `read` raises, once the client has failed."""
        return self._failure

    @property
    def waiting(self) -> bool:
        """Whether the handler waits for the client."""
        return self._waiter is not None

    @property
    def reading_inbox(self) -> bool:
        """Whether the body is being received beside its head."""
        return self._reading_inbox

    def inbox_grew(self, count: int) -> None:
        """Note that `count` bytes of a body received in the inbox have arrived."""
        self._arrived += count
        if self._inbox.available >= (self._length or 0):
            self._wake()
        else:
            self._heard_s = self._loop.time()

    def overdue(self) -> None:
        """Judge a client whose time is up: fail, or watch on."""
        now_s = self._loop.time()
        times = self._timeouts
        stall_left_s = self._heard_s + times.body_stall_s - now_s
        waited_s = self._waited_s + now_s - self._wait_began_s
        if stall_left_s <= 0:
            self._time_out(f"no byte of the body for {times.body_stall_s:g} s")
            return
        if self._arena is not None and self._arenas.waiting:
            silent_s = now_s - self._heard_s
            dripping = self._arrived < times.body_crowded_rate_min * waited_s
            if silent_s >= times.body_crowded_s or (waited_s >= times.body_crowded_s and dripping):
                self._time_out("the body comes too slowly while other uploads wait for memory")
                return
        if waited_s >= times.body_rate_window_s:
            if self._arrived < times.body_rate_min * waited_s:
                self._time_out(f"the body came at less than {times.body_rate_min:g} bytes a second")
                return
            self._arrived = 0
            self._wait_began_s = now_s
            self._waited_s = waited_s = 0.0
        self._watch_for(min(stall_left_s, times.body_rate_window_s - waited_s))

    def _watch_for(self, seconds: float) -> None:
        """Be judged in `seconds`; sooner when it holds what others may come to wait for."""
        if self._arena is not None:
            seconds = min(seconds, self._timeouts.body_crowded_s)
        self._watch.expect_within(seconds)

    def _time_out(self, message: str) -> None:
        self._failure = Busy(Reason.TIMEOUT, message, "send the body faster")
        self._link.hold()
        self._wake()

    def _misframed(self, error: Invalid) -> Invalid:
        failure = Invalid(Reason.INCOMPLETE_BODY, error.message, error.hint)
        self._failure = failure
        return failure

    def lose(self) -> None:
        """Note that no more bytes will come."""
        if self._complete or self._failure is not None:
            return
        self._failure = Invalid(
            Reason.INCOMPLETE_BODY, "the client went away before the end of the body"
        )
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- afterwards -----------------------------------------------------------------------------

    def unread(self) -> int | None:
        """Return how many bytes of the body are still to come from the client.

        None means that nobody knows, or that waiting for them makes no sense: framing broken or
        not yet ended, or a client that was never asked to go on and may well not.
        From now on `100 Continue` is not sent any more.
        """
        expecting, self._expecting = self._expecting, False
        if self._complete:
            return 0
        if self._failure is not None:
            return None
        if self._decoder is None:
            missing = max(0, self._left - self._inbox.available)
        elif not self._started and self._chunked_at_hand() is not None:
            return 0
        else:
            return None
        return None if missing and expecting and not self._inbox.available else missing

    def settle(self) -> int:
        """End the reader's part: free the memory, drop what is at hand of the rest.

        Returns the bytes still to come, as `unread` announced them.
        """
        self.close()
        if self._complete or self._failure is not None:
            return 0
        if self._decoder is None:
            count = min(self._left, self._inbox.available)
            self._left -= count
        else:
            count = self._chunked_at_hand() or 0
        if count:
            self._inbox.consume(count)
        return self._left

    def close(self) -> None:
        """Give the memory back; nothing lent may be touched any more."""
        if self._lent == _INBOX or any(place == _INBOX for place, _ in self._ready):
            self._inbox.take_back()
        self._lent = self._filling = _NOWHERE
        self._ready.clear()
        if self._arena is not None:
            self._arenas.release(self._arena)
            self._arena = None

    def _chunked_at_hand(self) -> int | None:
        """Return the size, framing included, of a chunked body that lies whole in the inbox."""
        inbox = self._inbox
        if not 0 < inbox.available <= limits.SMALL_BODY_MAX:
            return None
        copy = memoryview(bytearray(inbox.view[inbox.start : inbox.end]))
        try:
            decoded = ChunkedDecoder().decode(copy, 0, len(copy))
        except Invalid:
            return None
        return decoded.consumed_end if decoded.done else None
