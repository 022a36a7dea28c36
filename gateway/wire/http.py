"""HTTP/1.1 as bytes and values: where a head ends, what it says, chunked framing, response heads.

h11 judges request heads and nothing else: it never sees a body, and response heads are formatted
by hand (both are tested byte for byte against h11). This is the only module that imports it.

What must hold, because a proxy in front may read the same bytes:

* One message has one length. Content-Length with Transfer-Encoding, several lengths, any coding
  but `chunked`, and `chunked` in HTTP/1.0 are refused (RFC 9112 section 6.3).
* A line ends with CRLF. Bare LF, bare CR and folded header lines are refused, though RFC 9112
  allows tolerance, since two readers that differ here see two different requests.
* Header values are the bytes that were sent, trimmed of spaces and tabs: signatures are computed
  over them. Names are lower case.

Errors are `Invalid(BAD_ARGUMENT)` with the HTTP status to answer with in `data["status"]`. After
any of them the position in the stream is lost, so the connection has to be closed.
"""

from __future__ import annotations

import enum
import http
import mmap
import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

import h11

from gateway import limits
from gateway.errors import Invalid, Reason

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim response that asks for the body."""

LAST_CHUNK = b"0\r\n\r\n"
"""What ends a chunked response."""

_FIRST_BYTES = frozenset(
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_DIGITS = frozenset(b"0123456789")
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_CHUNK_SIZE_DIGITS_MAX = 16  # 2^64; no body is longer
_LENGTH_DIGITS_MAX = 19
_LINE_SIZE_USUAL = 128  # a chunk header with its signature fits


class Framing(enum.Enum):
    """How the end of a request's body is known."""

    NONE = "none"  # no body
    CONTENT_LENGTH = "content-length"
    CHUNKED = "chunked"


class Head(NamedTuple):
    """A request head.

    `length` is the body's length in bytes: 0 without a body, None when it is chunked.
    `expect_continue` is what the client asked for, also of an empty body: botocore does.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    framing: Framing
    length: int | None
    expect_continue: bool
    keep_alive: bool
    version: bytes = b"1.1"  # or 1.0


class Decoded(NamedTuple):
    """What became of a region: plain bytes before `payload_end`, unread ones from `consumed_end`.

    Unless `done`, all of the region was consumed.
    """

    payload_end: int
    consumed_end: int
    done: bool


def _refuse(message: str, status: int = 400, hint: str = "") -> NoReturn:
    raise Invalid(Reason.BAD_ARGUMENT, message, hint, status=status)


# --- request heads -----------------------------------------------------------------------------


def find_head_end(
    buffer: bytes | bytearray | memoryview | mmap.mmap, start: int, end: int
) -> int | None:
    """Return where the head that begins at `start` ends, blank line included, or None for more.

    Empty lines before the request line belong to the head (RFC 9112 section 2.2). When the bytes
    cannot be HTTP at all the answer is `end`, and `parse_head` says what is wrong with them.
    The caller bounds the size (`limits.HEAD_SIZE_MAX`).
    """
    if isinstance(buffer, memoryview):
        buffer = bytes(buffer[start:end])
        found = find_head_end(buffer, 0, len(buffer))
        return None if found is None else start + found
    begin = start
    while begin < end and buffer[begin] in {0x0D, 0x0A}:
        begin += 1
    if begin == end:
        return None
    if buffer[begin] not in _FIRST_BYTES:
        return end
    crlf = buffer.find(b"\n\r\n", begin, end)
    bare = buffer.find(b"\n\n", begin, end if crlf < 0 else crlf)
    if bare >= 0:
        return bare + 2
    return None if crlf < 0 else crlf + 3


def parse_head(data: bytes | bytearray | memoryview) -> Head:
    """Parse one whole request head, as delimited by `find_head_end`.

    Raises:
        Invalid: the head is malformed, ambiguous or of another protocol; `data["status"]`.
    """
    raw = bytes(data).lstrip(b"\r\n")
    _check_lines(raw)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HEAD_SIZE_MAX)
    try:
        connection.receive_data(raw)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        _refuse(f"malformed request: {error}", error.error_status_hint)
    if not isinstance(event, h11.Request):
        _refuse("malformed request: no complete head")
    if event.http_version not in {b"1.1", b"1.0"}:
        _refuse("only HTTP/1.1 is spoken here", 505)
    _check_target(event.method, event.target)

    # h11 has judged every line; the values are taken from the bytes, because it normalises some.
    headers: list[tuple[bytes, bytes]] = []
    lengths: list[bytes] = []
    codings = 0
    expect = connection_options = b""
    for line in raw[:-4].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip(b" \t")
        headers.append((name, value))
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings += 1
        elif name == b"connection":
            connection_options += b"," + value.lower()
        elif name == b"expect":
            expect = value.lower()
    current = event.http_version == b"1.1"
    framing, length = _framing(lengths, codings, current)
    return Head(
        event.method,
        event.target,
        headers,
        framing,
        length,
        current and expect == b"100-continue",
        current and b"close" not in (option.strip() for option in connection_options.split(b",")),
        event.http_version,
    )


def _check_lines(raw: bytes) -> None:
    """Refuse line ends that another reader may see differently, and unbounded numbers of lines."""
    if not raw or raw[0] not in _FIRST_BYTES:
        hint = "was it TLS, sent to a plain HTTP port?" if raw[:1] == b"\x16" else ""
        _refuse("malformed request: not HTTP", hint=hint)
    lines = raw.count(b"\r\n")
    if raw.count(b"\n") != lines or raw.count(b"\r") != lines:
        _refuse("malformed request: lines must end with CRLF")
    if raw.find(b"\r\n\r\n") != len(raw) - 4:
        _refuse("malformed request: not one whole head")
    if b"\r\n " in raw or b"\r\n\t" in raw:
        _refuse("malformed request: folded header lines are not accepted")
    if lines > limits.HEADER_COUNT_MAX + 2:
        _refuse("too many header fields", 431)


def _check_target(method: bytes, target: bytes) -> None:
    """Accept origin-form, absolute-form, and `*` for OPTIONS (RFC 9112 section 3.2)."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return
    if target[:8].lower().startswith((b"http://", b"https://")):
        return
    _refuse("malformed request: the target must be a path")


def _framing(lengths: list[bytes], codings: int, current: bool) -> tuple[Framing, int | None]:
    """Decide how the body ends; h11 has refused codings but `chunked` and lengths that differ."""
    if codings:
        if lengths:
            _refuse("both Content-Length and Transfer-Encoding")
        if not current:
            _refuse("Transfer-Encoding in HTTP/1.0")
        return Framing.CHUNKED, None
    if not lengths:
        return Framing.NONE, 0
    value = lengths[0].partition(b",")[0].strip(b" \t")
    if not value or len(value) > _LENGTH_DIGITS_MAX or not _DIGITS.issuperset(value):
        _refuse("bad Content-Length")
    return Framing.CONTENT_LENGTH, int(value)


# --- chunked request bodies --------------------------------------------------------------------


def find_line_end(view: memoryview, start: int, end: int) -> tuple[bytes, int]:
    """Return bytes from `start` on, and where in them the first LF is, or -1 when there is none.

    Without an LF the bytes are all up to `end`.
    """
    piece = bytes(view[start : min(end, start + _LINE_SIZE_USUAL)])
    newline = piece.find(b"\n")
    if newline < 0 and start + len(piece) < end:
        piece = bytes(view[start:end])
        newline = piece.find(b"\n")
    return piece, newline


class _State(enum.Enum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILER = 3
    DONE = 4


class ChunkedDecoder:
    """Takes HTTP chunked framing away, in place, from regions of any split.

    Chunk extensions and trailer fields are read, bounded and dropped.
    """

    __slots__ = ("_left", "_line", "_state", "_trailer_size")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._line = bytearray()  # a line of which the end has not arrived
        self._trailer_size = 0

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self._state is _State.DONE

    def decode(self, view: memoryview, start: int, end: int) -> Decoded:
        """Move the payload found in `view[start:end]` to the front of that region.

        Bytes after the end of the body are left alone, from `consumed_end` on.

        Raises:
            Invalid: the framing is wrong; the rest of the stream is meaningless.
        """
        position = out = start
        while position < end and self._state is not _State.DONE:
            if self._state is not _State.DATA:
                position = self._read_line(view, position, end)
                continue
            size = min(self._left, end - position)
            if out != position:
                view[out : out + size] = view[position : position + size]
            out += size
            position += size
            self._left -= size
            if not self._left:
                self._state = _State.DATA_END
                if end - position >= 2 and view[position] == 13 and view[position + 1] == 10:
                    position += 2
                    self._state = _State.SIZE
        return Decoded(out, position, self._state is _State.DONE)

    def _read_line(self, view: memoryview, position: int, end: int) -> int:
        """Take bytes up to the end of a line, and act on it when it is whole."""
        bound = 2 if self._state is _State.DATA_END else limits.CHUNK_HEADER_SIZE_MAX
        room = bound - len(self._line)
        piece, newline = find_line_end(view, position, min(end, position + room))
        if newline < 0:
            if len(piece) == room:
                _refuse("malformed chunked body: a line is too long")
            self._line += piece
            return position + len(piece)
        line = piece[: newline + 1]
        if self._line:
            line = bytes(self._line) + line
            self._line.clear()
        if not line.endswith(b"\r\n"):
            _refuse("malformed chunked body: lines must end with CRLF")
        self._take_line(line[:-2])
        return position + newline + 1

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            digits = line.partition(b";")[0].rstrip(b" \t")
            if not 0 < len(digits) <= _CHUNK_SIZE_DIGITS_MAX or not _HEX_DIGITS.issuperset(digits):
                _refuse("malformed chunked body: bad chunk size")
            self._left = int(digits, 16)
            self._state = _State.DATA if self._left else _State.TRAILER
        elif self._state is _State.DATA_END:
            if line:
                _refuse("malformed chunked body: a chunk is longer than announced")
            self._state = _State.SIZE
        elif line:
            self._trailer_size += len(line) + 2
            if self._trailer_size > limits.TRAILER_SIZE_MAX:
                _refuse("malformed chunked body: trailer too long")
            if b":" not in line:
                _refuse("malformed chunked body: bad trailer field")
        else:
            self._state = _State.DONE


# --- response heads ----------------------------------------------------------------------------

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
}
_known_names: set[bytes] = set()
_KNOWN_NAMES_MAX = 4096


def render_head(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    date: bytes,
    length: int | None = None,
    chunked: bool = False,
    close: bool = False,
) -> bytes:
    """Format a final response head, blank line included.

    Adds Date, Content-Length when `length` is given, `Transfer-Encoding: chunked` when `chunked`,
    and `Connection: close` when `close`; with neither length nor chunked there is no framing
    header (204, 304, or a body that ends with the connection). The other headers come first,
    unchanged and in order, and must not contain any of these.

    Raises:
        Invalid(BAD_ARGUMENT): a name is not a token, or a value contains CR, LF or NUL.
    """
    parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    for name, value in headers:
        if name not in _known_names:
            _check_name(name)
        parts.append(b"%b: %b\r\n" % (name, value))
    parts.append(b"Date: %b\r\n" % date)
    if close:
        parts.append(b"Connection: close\r\n")
    if length is not None:
        parts.append(b"Content-Length: %d\r\n" % length)
    elif chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    parts.append(b"\r\n")
    head = b"".join(parts)
    # One CR and one LF for each line: more means that a value brought its own.
    if head.count(b"\n") != len(parts) or head.count(b"\r") != len(parts) or b"\0" in head:
        raise Invalid(Reason.BAD_ARGUMENT, "a response header contains a control character")
    return head


def _check_name(name: bytes) -> None:
    if not _TOKEN.fullmatch(name):
        raise Invalid(Reason.BAD_ARGUMENT, f"{name!r} is not a header name")
    if len(_known_names) < _KNOWN_NAMES_MAX:
        _known_names.add(bytes(name))


def render_chunk_size(size: int) -> bytes:
    """Format the line before a chunk of a chunked response; the chunk is followed by CRLF."""
    return b"%x\r\n" % size
