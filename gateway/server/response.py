"""Responses on their way out: which framing, which bytes, and what to do when a body breaks off.

A response held in memory has the length it has, whatever was announced. A stream that announced a
length must keep it: one byte more is never sent, and one less, or a failure midway, ends in an
aborted connection, because that is the only way left to tell the client that what it got is not
whole. Until the first byte of a stream is there nothing is sent, so a stream that fails at once
is still answered properly.

HEAD, 1xx, 204 and 304 carry no body (RFC 9110 section 6.4.1).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate

from gateway import limits
from gateway.clock import Clock
from gateway.errors import SidegateError
from gateway.server.flow import Flow
from gateway.wire.http import LAST_CHUNK, render_chunk_size, render_head
from gateway.wire.messages import Response

_log = logging.getLogger(__name__)

_SERVER = (b"Server", b"Sidegate")
_JOIN_MAX = 16 * limits.KIB  # copying so much is cheaper than a gathering write


class DateHeader:
    """The Date header's value, formatted once a second."""

    __slots__ = ("_clock", "_second", "_value")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._value = b""

    def value(self) -> bytes:
        """Return the time now as an IMF-fixdate."""
        second = self._clock.now_ms() // 1000
        if second != self._second:
            self._second = second
            self._value = formatdate(second, usegmt=True).encode()
        return self._value


async def send(
    flow: Flow, response: Response, *, date: bytes, head_only: bool, close: bool, chunking: bool
) -> bool:
    """Send one response, at the pace of its reader, and close its stream.

    Args:
        flow: the way out.
        response: what to send.
        date: value of the Date header.
        head_only: the request was HEAD.
        close: say that the connection ends after it.
        chunking: whether the client understands `Transfer-Encoding: chunked` (HTTP/1.1).

    Returns:
        Whether the client has, or will have, all of it; if not, the connection must be aborted.

    Raises:
        Exception: whatever the stream or the head's rendering raised, as long as nothing was sent.
    """
    body = response.body
    status = response.status
    headers = [*response.headers, _SERVER]
    bodiless = head_only or status < 200 or status in {204, 304}
    if body is None or isinstance(body, (bytes, list, tuple)):
        length = _length_in_memory(body, response, bodiless)
        head = render_head(status, headers, date=date, length=length, close=close)
        if bodiless or not body:
            flow.write(head)
        elif isinstance(body, bytes):
            await _send_views(flow, head, [memoryview(body)], len(body))
        else:
            await _send_views(flow, head, body, length or 0)
        return await _settled(flow)
    stream: AsyncIterator[memoryview] = body  # type: ignore[assignment]
    try:
        length = response.length
        chunked = length is None and not bodiless and chunking
        head = render_head(
            status,
            headers,
            date=date,
            length=None if status < 200 or status == 204 else length,
            chunked=chunked,
            close=close,
        )
        if bodiless:
            flow.write(head)
        elif not await _send_stream(flow, head, stream, length, chunked):
            return False
        return await _settled(flow)
    finally:
        await close_stream(response)


def _length_in_memory(
    body: bytes | Sequence[memoryview] | None, response: Response, bodiless: bool
) -> int | None:
    """Return the Content-Length of a body held in memory; None where none may stand."""
    if response.status < 200 or response.status == 204:
        return None
    if bodiless and not body:
        # What GET would say; a 304 need not say it, and must not say 0 (RFC 9110 section 8.6).
        return response.length if response.length or response.status != 304 else None
    if body is None:
        return 0
    return len(body) if isinstance(body, bytes) else sum(map(len, body))


async def _send_views(flow: Flow, head: bytes, views: Sequence[memoryview], length: int) -> None:
    if length <= _JOIN_MAX:
        flow.write(b"".join((head, *views)))
        return
    try:
        await flow.write_views([memoryview(head), *views])
    except SidegateError:
        return  # the client is gone, which `_settled` finds as well


async def _send_stream(
    flow: Flow, head: bytes, stream: AsyncIterator[memoryview], length: int | None, chunked: bool
) -> bool:
    sent = 0
    lead: list[memoryview] = [memoryview(head)]
    try:
        async for view in stream:
            count = len(view)
            if length is not None and sent + count > length:
                raise ValueError(f"a response announced {length} bytes and has more")
            if not count:
                continue
            if chunked:
                parts = [*lead, memoryview(render_chunk_size(count)), view, memoryview(b"\r\n")]
            else:
                parts = [*lead, view]
            lead = []
            sent += count
            await flow.write_views(parts)
        if length is not None and sent != length:
            raise ValueError(f"a response announced {length} bytes and has {sent}")
    except Exception:
        if flow.gone:
            return False
        if lead:
            raise
        _log.exception("a response broke off after %d bytes", sent)
        return False
    if lead:
        flow.write(head)
    if chunked:
        flow.write(LAST_CHUNK)
    return True


async def _settled(flow: Flow) -> bool:
    """Wait until the queue has room for the next response; tell whether the client is there."""
    if flow.gone:
        return False
    if not flow.paused:
        return True
    try:
        await flow.drain()
    except SidegateError:
        return False
    return True


async def close_stream(response: Response) -> None:
    """Close a response's stream, if it is one, whether it was sent or not."""
    aclose = getattr(response.body, "aclose", None)
    if aclose is None:
        return
    try:
        await aclose()
    except Exception:
        _log.exception("closing a response's stream failed")
