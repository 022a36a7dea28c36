"""How a command reaches the calls of the admin API: over HTTP, or in this process.

Both ways build the same request and read the same answer, so a command prints the same whether a
server holds the data directory or the command opened it itself.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlencode, urlsplit

from gateway import errors, limits
from gateway.errors import Reason, SidegateError, Unavailable
from gateway.wire.messages import EmptyBody, Handler, Request, RequestBody, Response

Record = dict[str, Any]

_KINDS: Mapping[str, type[SidegateError]] = {
    kind.kind.value: kind
    for kind in (
        errors.NotFound,
        errors.Conflict,
        errors.PreconditionFailed,
        errors.Invalid,
        errors.Denied,
        errors.TooLarge,
        errors.Busy,
        errors.Unsupported,
        errors.Corrupt,
        errors.Unavailable,
    )
}


class Client(Protocol):
    """The calls of the admin API."""

    async def call(self, name: str, **arguments: Any) -> Record:
        """Make a call and return its record; a failure is raised as the error it was there."""
        ...

    async def send(self, name: str, source: BinaryIO, **query: str) -> Record:
        """Send a file's bytes with a call and return its record."""
        ...

    def receive(self, name: str, **query: str) -> AsyncIterator[bytes]:
        """Make a call that answers with bytes, and yield them as they come."""
        ...

    async def close(self) -> None:
        """Let go of what the client holds."""
        ...


def _target(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


_PATHS = {"file.put": "/v1/file", "file.get": "/v1/file", "job.log": "/v1/log"}


def _raise_error(body: bytes, status: int) -> None:
    try:
        told = json.loads(body)["error"]
        kind = _KINDS[told["kind"]]
        reason = Reason(told["reason"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable(
            Reason.NO_SERVER, f"the server answered {status} without saying why"
        ) from None
    raise kind(reason, str(told["message"]), str(told.get("hint", "")))


class FileBody:
    """A request body that is read from a file, a window at a time."""

    length: int | None = None

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._window = bytearray(limits.ARENA_SIZE)

    async def read(self) -> memoryview | None:
        """Return the next window, or None at the end of the file."""
        view = memoryview(self._window)
        count = await asyncio.to_thread(_read_full, self._source, view)
        return view[:count] if count else None


def _read_full(source: BinaryIO, view: memoryview) -> int:
    """Read until the view is full or the file ends; return the bytes read."""
    filled = 0
    while filled < len(view):
        part = source.read(len(view) - filled)
        if not part:
            break
        view[filled : filled + len(part)] = part
        filled += len(part)
    return filled


class LocalClient:
    """Calls the admin handler in this process."""

    def __init__(self, handler: Handler, token: str) -> None:
        self._handler = handler
        self._authorization = (b"authorization", b"Bearer " + token.encode())

    async def call(self, name: str, **arguments: Any) -> Record:
        """Make a call and return its record."""
        body = _JsonBody(json.dumps(arguments).encode())
        response = await self._request(b"POST", f"/v1/{name}", body)
        return _record(await _collect(response), response.status)

    async def send(self, name: str, source: BinaryIO, **query: str) -> Record:
        """Send a file's bytes with a call and return its record."""
        response = await self._request(b"PUT", _target(_PATHS[name], query), FileBody(source))
        return _record(await _collect(response), response.status)

    async def receive(self, name: str, **query: str) -> AsyncIterator[bytes]:
        """Make a call that answers with bytes, and yield them as they come."""
        response = await self._request(b"GET", _target(_PATHS[name], query), EmptyBody())
        if response.status != 200:
            _raise_error(await _collect(response), response.status)
        async for part in _parts(response):
            yield part

    async def close(self) -> None:
        """Do nothing: who opened the store closes it."""

    async def _request(self, method: bytes, target: str, body: RequestBody) -> Response:
        return await self._handler(
            Request(method, target.encode("ascii"), [self._authorization], body, "0" * 16)
        )


class _JsonBody:
    def __init__(self, data: bytes) -> None:
        self.length: int | None = len(data)
        self._left: memoryview | None = memoryview(bytearray(data)) if data else None

    async def read(self) -> memoryview | None:
        left, self._left = self._left, None
        return left


async def _parts(response: Response) -> AsyncIterator[bytes]:
    body = response.body
    if body is None:
        return
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, AsyncIterator):
        async for view in body:
            yield bytes(view)
    else:
        for view in body:
            yield bytes(view)


async def _collect(response: Response) -> bytes:
    return b"".join([part async for part in _parts(response)])


def _record(body: bytes, status: int) -> Record:
    if status != 200:
        _raise_error(body, status)
    record: Record = json.loads(body)
    return record


class HttpClient:
    """Calls the admin API of a running server."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, name: str, **arguments: Any) -> Record:
        """Make a call and return its record."""
        body = json.dumps(arguments).encode()
        return await asyncio.to_thread(self._whole, "POST", f"/v1/{name}", body)

    async def send(self, name: str, source: BinaryIO, **query: str) -> Record:
        """Send a file's bytes with a call and return its record."""
        return await asyncio.to_thread(
            self._whole, "PUT", _target(_PATHS[name], query), _windows(source)
        )

    async def receive(self, name: str, **query: str) -> AsyncIterator[bytes]:
        """Make a call that answers with bytes, and yield them as they come."""
        response = await asyncio.to_thread(self._open, "GET", _target(_PATHS[name], query), None)
        try:
            if response.status != 200:
                _raise_error(await asyncio.to_thread(response.read), response.status)
            while part := await asyncio.to_thread(response.read1, limits.MIB):
                yield part
        except OSError as error:
            raise self._gone(error) from error
        finally:
            response.close()

    async def close(self) -> None:
        """Do nothing: each call has a connection of its own."""

    def _open(
        self, method: str, target: str, body: bytes | Iterator[bytes] | None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host, self._port)
        try:
            # A server that refuses a body answers before it has read it all: the answer counts.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body=body, headers=self._headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._gone(error) from error

    def _whole(self, method: str, target: str, body: bytes | Iterator[bytes] | None) -> Record:
        with self._open(method, target, body) as response:
            return _record(response.read(), response.status)

    def _gone(self, error: Exception) -> Unavailable:
        return Unavailable(
            Reason.NO_SERVER,
            f"no server answers at {self.url}: {error}",
            "start it with 'sidegate serve', or try again without one",
        )


def _windows(source: BinaryIO) -> Iterator[bytes]:
    while part := source.read(limits.MIB):
        yield part
