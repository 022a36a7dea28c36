"""One connection: a protocol that receives, and one task that answers request after request.

The two halves meet in a few fields. The protocol (`get_buffer`, `buffer_updated`, …) is called by
the loop and only moves bytes and wakes waiters. The task takes a head out of the inbox, calls the
handler, sends its response, and looks at what is left of the body before it goes on. So requests
that were pipelined are answered in order, and while one is being answered the socket is read no
further than the inbox is long.

What must hold:

* A handler is never cancelled because its client left: it may be in the middle of a commit. It
  learns of it when it reads the body; its answer is dropped.
* After an answer the connection goes on only at a known place in the stream: the rest of an unread
  body is swallowed when it is short, and otherwise the connection ends. It ends with its sending
  side first and a while of swallowing, or the client might find its answer destroyed by a reset.
* The task outlives the transport: memory lent to a handler comes back when both are done.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from gateway import limits
from gateway.clock import Clock
from gateway.errors import Busy, Invalid, Reason, SidegateError
from gateway.server.arenas import Arenas
from gateway.server.body import Body
from gateway.server.faults import Fault, fault_of, render_fault
from gateway.server.flow import Flow
from gateway.server.inbox import Inbox
from gateway.server.request_ids import RequestIds
from gateway.server.response import DateHeader, close_stream, send
from gateway.server.sink import Discard, Sink
from gateway.server.timeouts import Timeouts, Watch
from gateway.wire.http import CONTINUE, Head, find_head_end, parse_head
from gateway.wire.messages import EmptyBody, Handler, Request, Response

_log = logging.getLogger(__name__)

_NO_BODY = EmptyBody()
_ERRORS = 300  # statuses from here on are no plain success


class _Next(enum.Enum):
    """How a connection goes on after a request."""

    REQUEST = "the next request"
    CLOSE = "close: all that was sent to us is read"
    LINGER = "close the sending side, swallow what the client still sends, close"
    ABORT = "cut: the client must see that something is missing"


@dataclass(eq=False)
class Site:
    """What the connections of one listener share."""

    handler: Handler
    arenas: Arenas
    clock: Clock
    ids: RequestIds
    timeouts: Timeouts
    secure: bool
    connections_max: int
    draining: bool = False
    connections: set[Connection] = field(default_factory=set)
    on_empty: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.date = DateHeader(self.clock)


class Connection(asyncio.BufferedProtocol):
    """One client's connection, from accept to close."""

    __slots__ = (
        "_body",
        "_discard",
        "_ended",
        "_eof",
        "_flow",
        "_head_waiter",
        "_held",
        "_in_watch",
        "_inbox",
        "_lost",
        "_out_watch",
        "_peer",
        "_refused",
        "_sink",
        "_site",
        "_task",
        "_timed_out",
        "_transport",
    )

    _transport: asyncio.Transport
    _flow: Flow
    _in_watch: Watch
    _out_watch: Watch
    _task: asyncio.Task[None]

    def __init__(self, site: Site) -> None:
        self._site = site
        self._inbox = Inbox(site.arenas)
        self._sink: Sink | None = None
        self._body: Body | None = None
        self._discard: Discard | None = None
        self._head_waiter: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._held = False
        self._eof = False
        self._lost = False
        self._timed_out = False
        self._refused = False
        self._peer = ""

    # --- called by the loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection on, or send it away when there are too many."""
        loop = asyncio.get_running_loop()
        site = self._site
        self._transport = cast("asyncio.Transport", transport)
        count = len(site.connections)
        if count >= site.connections_max + limits.REFUSALS_MAX:
            self._lost = True
            self._transport.abort()
            return
        self._refused = count >= site.connections_max
        self._in_watch = Watch(loop, self._in_overdue)
        self._out_watch = Watch(loop, self._out_overdue)
        self._flow = Flow(self._transport, loop, self._out_watch, site.timeouts.write_stall_s)
        self._peer = _render_peer(transport.get_extra_info("peername"))
        self._ended = loop.create_future()
        site.connections.add(self)
        self._task = loop.create_task(self._run())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return where the next bytes go."""
        sink = self._sink
        return self._inbox.room() if sink is None else sink.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Note that bytes arrived, and wake who waits for them."""
        sink = self._sink
        if sink is not None:
            sink.received(nbytes)
            return
        inbox = self._inbox
        first = inbox.start == inbox.end
        inbox.end += nbytes
        waiter = self._head_waiter
        if waiter is not None:
            # A head ends where a line ends: not every byte of a slow one is worth a look.
            if (
                first or inbox.full or inbox.block.find(b"\n", inbox.end - nbytes, inbox.end) >= 0
            ) and not waiter.done():
                waiter.set_result(None)
        elif self._body is not None and self._body.reading_inbox:
            self._body.inbox_grew(nbytes)
        if inbox.full:
            self.hold()

    def eof_received(self) -> bool:
        """Note that the client sends no more; it may still read, unless over TLS."""
        self._eof = True
        self._no_more()
        return not self._site.secure

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note that the connection is gone."""
        if self._ended is None:
            return
        self._lost = self._eof = True
        self._flow.lose()
        self._no_more()
        if not self._ended.done():
            self._ended.set_result(None)

    def pause_writing(self) -> None:
        """Hold the response back."""
        self._flow.pause()

    def resume_writing(self) -> None:
        """Let the response go on."""
        self._flow.resume()

    def _no_more(self) -> None:
        if self._body is not None:
            self._body.lose()
        if self._discard is not None:
            self._discard.stop()
        if self._head_waiter is not None and not self._head_waiter.done():
            self._head_waiter.set_result(None)

    def _in_overdue(self) -> None:
        if self._body is not None and self._body.waiting:
            self._body.overdue()
        elif self._head_waiter is not None:
            self._timed_out = True
            if not self._head_waiter.done():
                self._head_waiter.set_result(None)
        elif self._discard is not None:
            self._discard.stop()

    def _out_overdue(self) -> None:
        if not self._flow.waiting or self._flow.stalled():
            self._transport.abort()

    # --- called by the body (its Link) ----------------------------------------------------------

    def receive_into(self, sink: Sink | None) -> None:
        """Receive into `sink`, or into the inbox, from now on."""
        self._sink = sink
        if sink is None and self._inbox.full:
            self.hold()
        elif self._held and not self._eof and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    def hold(self) -> None:
        """Receive nothing for now."""
        if not self._held and not self._eof and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def send_continue(self) -> None:
        """Ask the client for the body."""
        self._flow.write(CONTINUE)

    # --- called by the listener -----------------------------------------------------------------

    def retire(self) -> None:
        """End after the request under way; at once when there is none."""
        if self._head_waiter is not None and not self._head_waiter.done():
            self._head_waiter.set_result(None)

    def abort(self) -> None:
        """Cut the connection; the handler goes on and learns of it."""
        if not self._lost:
            self._transport.abort()

    @property
    def task(self) -> asyncio.Task[None]:
        """The task that serves it; done when nothing of the connection is left."""
        return self._task

    # --- the task -------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            if self._refused:
                end = await self._answer_fault(Fault.TOO_MANY)
            else:
                end = await self._serve()
            await self._end(end)
        except Exception:
            _log.exception("connection from %s failed", self._peer)
        finally:
            if not self._lost:
                self._transport.abort()
            self._in_watch.stop()
            self._out_watch.stop()
            if self._body is not None:
                self._body.close()
            self._inbox.close()
            site = self._site
            site.connections.discard(self)
            if not site.connections and site.on_empty is not None:
                site.on_empty()

    async def _serve(self) -> _Next:
        """Answer requests until the last; tell how to end."""
        while True:
            try:
                head = await self._next_head()
            except SidegateError as error:
                return await self._answer_fault(fault_of(error), error.line())
            if head is None:
                return _Next.CLOSE
            result = await self._exchange(head)
            if result is not _Next.REQUEST:
                return result

    async def _next_head(self) -> Head | None:
        """Return the next head, or None when no more will come.

        Raises:
            Invalid: the bytes are no head that is accepted here.
            Busy(TIMEOUT): it did not come to its end in time.
        """
        inbox = self._inbox
        watch = self._in_watch
        timing = False
        while True:
            if inbox.available:
                end = find_head_end(inbox.block, inbox.start, inbox.end)
                if end is not None and end - inbox.start <= limits.HEAD_SIZE_MAX:
                    watch.clear()
                    raw = bytes(inbox.view[inbox.start : end])
                    inbox.consume(len(raw))
                    return parse_head(raw)
                if inbox.available >= limits.HEAD_SIZE_MAX:
                    raise Invalid(Reason.BAD_ARGUMENT, "the head is too large", status=431)
                if not timing:
                    timing = True
                    watch.expect_within(self._site.timeouts.head_s)
                if inbox.full:
                    small = inbox.available < limits.HEAD_BLOCK_SIZE // 2
                    inbox.reserve(limits.HEAD_BLOCK_SIZE if small else limits.HEAD_SIZE_MAX)
            elif self._site.draining:
                return None
            else:
                watch.expect_within(self._site.timeouts.idle_s)
            if self._eof or not await self._more_of_head():
                return None

    async def _more_of_head(self) -> bool:
        """Wait until there is something new; tell whether to look at it.

        Raises:
            Busy(TIMEOUT): a head has begun and did not come to its end in time.
        """
        if self._held:
            self.receive_into(None)
        self._head_waiter = asyncio.get_running_loop().create_future()
        try:
            await self._head_waiter
        finally:
            self._head_waiter = None
        if self._timed_out and self._inbox.available:
            raise Busy(Reason.TIMEOUT, "the request's head took too long")
        return not self._timed_out

    async def _exchange(self, head: Head) -> _Next:
        """Answer one request."""
        site = self._site
        body: Body | None = None
        if head.length != 0:
            body = self._body = Body(
                head.length,
                head.expect_continue,
                self._inbox,
                site.arenas,
                self,
                self._in_watch,
                site.timeouts,
            )
        request = Request(
            head.method,
            head.target,
            head.headers,
            body or _NO_BODY,
            site.ids.next(),
            self._peer,
            site.secure,
        )
        response = await self._handle(request, body)
        if self._lost:
            await close_stream(response)
            return _Next.ABORT
        unread = 0 if body is None else body.unread()
        close = (
            response.close
            or not head.keep_alive
            or site.draining
            or self._eof
            or unread is None
            or unread > limits.EARLY_ERROR_DRAIN_MAX
        )
        if body is None and head.expect_continue:
            # Botocore asks also when the body is empty, and takes an answer that comes without 100
            # for the first line of the next one on this connection: give it, or end the connection.
            if response.status < _ERRORS:
                self.send_continue()
            else:
                close = True
        if not await self._send(response, request, close=close, chunking=head.version != b"1.0"):
            return _Next.ABORT
        if body is not None:
            left = body.settle()
            self._body = None
            if unread is None or (close and unread):
                return _Next.LINGER
            if left and not await self._swallow(left):
                return _Next.ABORT
            self.receive_into(None)
        if close:
            return _Next.LINGER if self._inbox.available else _Next.CLOSE
        return _Next.REQUEST

    async def _handle(self, request: Request, body: Body | None) -> Response:
        """Call the handler; whatever it raises becomes an answer."""
        try:
            return await self._site.handler(request)
        except Exception as error:
            if body is not None and error is body.failure:
                return render_fault(fault_of(error), request.id, error.message, close=True)
            _log.exception("request %s failed", request.id)
            return render_fault(Fault.INTERNAL, request.id, close=False)

    async def _send(
        self, response: Response, request: Request, *, close: bool, chunking: bool
    ) -> bool:
        """Send a response; one that fails before its first byte is replaced by a fault."""
        date = self._site.date.value()
        head_only = request.method == b"HEAD"
        answer = response
        while True:
            try:
                return await send(
                    self._flow,
                    answer,
                    date=date,
                    head_only=head_only,
                    close=close,
                    chunking=chunking,
                )
            except Exception:
                _log.exception("the response to request %s failed", request.id)
                if answer is not response:
                    return False
                answer = render_fault(Fault.INTERNAL, request.id, close=close)

    async def _answer_fault(self, fault: Fault, detail: str = "") -> _Next:
        """Answer bytes that never became a request."""
        response = render_fault(fault, self._site.ids.next(), detail, close=True)
        date = self._site.date.value()
        whole = await send(
            self._flow, response, date=date, head_only=False, close=True, chunking=False
        )
        return _Next.LINGER if whole else _Next.ABORT

    # --- the rest of a body, and the end ---------------------------------------------------------

    async def _swallow(self, left: int) -> bool:
        """Receive `left` bytes that nobody wants; tell whether they all came in time."""
        discard = Discard(self._site.arenas.scratch, self, left)
        await self._discard_with(discard, self._site.timeouts.body_stall_s)
        return discard.complete

    async def _discard_with(self, discard: Discard, seconds: float) -> None:
        if self._eof:
            return
        self._discard = discard
        self.receive_into(discard)
        self._in_watch.expect_within(seconds)
        try:
            await discard.done
        finally:
            self._discard = None
            self._in_watch.clear()

    async def _end(self, end: _Next) -> None:
        """Close the connection and wait until it is gone."""
        if end is _Next.ABORT:
            self.abort()
        elif end is _Next.LINGER and not self._lost:
            self._inbox.consume(self._inbox.available)
            if self._transport.can_write_eof() and not self._transport.is_closing():
                with suppress(OSError):  # reset meanwhile
                    self._transport.write_eof()
            discard = Discard(self._site.arenas.scratch, self, None)
            await self._discard_with(discard, self._site.timeouts.linger_s)
        if not self._lost:
            self._transport.close()
            self._out_watch.expect_within(self._site.timeouts.write_stall_s)
        if self._ended is not None:
            await self._ended


def _render_peer(name: object) -> str:
    """Return a socket's peer as text: host and port, or nothing for a socket without a name."""
    if isinstance(name, tuple) and len(name) >= 2:
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return ""
