"""What passes between a server and a handler: a request, a response, and the body of each.

`server` and the front doors (`s3`, `admin`) do not know each other; both know this module. A
request's target and header values are the raw bytes that arrived (signatures are computed over
them); names are lower case. Bodies are streams of views, so that no byte is copied on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]


class RequestBody(Protocol):
    """The bytes of a request after its head, HTTP framing (chunked) already removed.

    One reader, in order. A window is valid until the next call of `read`; it is writable, and the
    reader may change it (aws-chunked is decoded in place).
    """

    @property
    def length(self) -> int | None:
        """Bytes announced by Content-Length; None when the body is chunked."""
        ...

    async def read(self) -> memoryview | None:
        """Return the next window of 1 byte to `limits.ARENA_SIZE`, or None after the last one.

        The first call sends `100 Continue` when the client asked for it, so a handler checks all
        it can before. Windows are full (`limits.WINDOW_MIN` or more) but for the last, unless the
        client is slow.

        Raises:
            Invalid(INCOMPLETE_BODY): the client went away or framed the body wrongly.
            Busy(TIMEOUT): the client sent nothing, or too slowly, for too long.
        """
        ...


class EmptyBody:
    """A body of no bytes."""

    length: int | None = 0

    async def read(self) -> memoryview | None:
        """Return None: there is nothing."""
        return None


@dataclass(slots=True)
class Request:
    """One request, its head parsed and its body not yet read."""

    method: bytes
    target: bytes  # as it arrived: path, and query after the first `?`
    headers: Headers  # names lower case, values raw, in order, duplicates kept
    body: RequestBody
    id: str  # of this request: 16 upper-case hex digits, returned as x-amz-request-id
    peer: str = ""
    secure: bool = False
    index: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.index:
            index = self.index
            for name, value in self.headers:
                if name in index:
                    index[name] = index[name] + b"," + value
                else:
                    index[name] = value

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value (duplicates joined by `,`), or None; `name` in lower case."""
        return self.index.get(name)


# What a response body can be: nothing, bytes, views held in memory, or a stream of views. A view
# stays valid until the body has been written or closed.
ResponseBody = bytes | Sequence[memoryview] | AsyncIterator[memoryview] | None


@dataclass(slots=True)
class Response:
    """One response. The server adds Date, Server and Connection, and nothing else.

    `length` is the Content-Length announced; None only with a stream of unknown length, which is
    then sent chunked. A response to HEAD announces the length and carries no body.
    """

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: ResponseBody = None
    length: int | None = 0
    close: bool = False  # end the connection after this response


Handler = Callable[[Request], Awaitable[Response]]
"""Answers every request with a response; an exception that escapes is a fault: 500."""
