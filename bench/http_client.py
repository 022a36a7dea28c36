"""A load client that costs little itself: raw sockets, one epoll loop, requests made in advance.

Heads are rendered and signed once and replayed; bodies are sent from one block per connection in
which every 32 KiB carry a stamp that is never the same twice, so that a store that looks for
known content finds none. Responses are read only as far as needed to find their end.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB

_BLOCK_SIZE = MIB
_STAMP_EVERY = 32 * KIB
_STAMP_SIZE = 64
_RECEIVE_SIZE = MIB
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Keys:
    """What requests are signed with."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"


@dataclass(frozen=True)
class Call:
    """One request: its head, ready to send, and how many fresh bytes follow it."""

    head: bytes
    body_size: int = 0
    answers_head: bool = False  # HEAD: the answer announces a length and has no body


@dataclass
class Tally:
    """What a load came to."""

    calls: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        if not self.latencies_s:
            return 0.0
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def call(
    method: str,
    host: str,
    path: str,
    *,
    keys: Keys | None = None,
    body: bytes = b"",
    body_size: int = 0,
) -> Call:
    """Render one request with path-style address; `body_size` bytes are made up when it is sent."""
    size = body_size or len(body)
    headers = {"host": host}
    if size or method in {"PUT", "POST"}:
        headers["content-length"] = str(size)
    if keys is not None:
        payload = hashlib.sha256(body).hexdigest() if not body_size else "UNSIGNED-PAYLOAD"
        headers |= _signature(method, path, host, payload, keys)
    elif body_size:
        headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
    return Call(head, body_size, method == "HEAD")


def _signature(method: str, path: str, host: str, payload: str, keys: Keys) -> dict[str, str]:
    """Return the headers of Signature Version 4 for a path without query or odd characters."""
    now = time.gmtime()
    date, stamp = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ", now)
    signed = "host;x-amz-content-sha256;x-amz-date"
    canonical = (
        f"{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{stamp}\n\n"
        f"{signed}\n{payload}"
    )
    scope = f"{date}/{keys.region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = b"AWS4" + keys.secret_key.encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return {
        "x-amz-date": stamp,
        "x-amz-content-sha256": payload,
        "authorization": f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={key.hex()}",
    }


class FreshBytes:
    """A block of noise, stamped anew each time it is used: content that was never seen before."""

    _counter = int.from_bytes(os.urandom(6), "big") << 32

    def __init__(self) -> None:
        self._block = bytearray(os.urandom(_BLOCK_SIZE))

    def next(self, size: int) -> memoryview:
        """Return `size` fresh bytes, a block at most; those given before are overwritten."""
        block = self._block
        size = min(size, _BLOCK_SIZE)
        for at in range(0, size, _STAMP_EVERY):
            FreshBytes._counter += 1
            stamp = FreshBytes._counter.to_bytes(16, "little")
            block[at : at + _STAMP_SIZE] = stamp * (_STAMP_SIZE // len(stamp))
        return memoryview(block)[:size]


class _Connection:
    """One request at a time, from its first byte sent to its answer's last byte received."""

    def __init__(self, address: tuple[str, int], buffer: memoryview) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._buffer = buffer
        self._fresh = FreshBytes()
        self._call = Call(b"")
        self._out = memoryview(b"")
        self._body_left = 0
        self._head = b""
        self._answer_left = -1
        self.began_s = 0.0
        self.sent = self.received = 0

    def begin(self, request: Call) -> bool:
        """Start a request; tell whether the socket took all of it."""
        self._call = request
        self._out = memoryview(request.head)
        self._body_left = request.body_size
        self._head = b""
        self._answer_left = -1
        self.began_s = time.perf_counter()
        return self.push()

    def push(self) -> bool:
        """Send what the socket takes; tell whether that was all."""
        while True:
            while self._out:
                try:
                    count = self.socket.send(self._out)
                except BlockingIOError:
                    return False
                self.sent += count
                self._out = self._out[count:]
            if not self._body_left:
                return True
            self._out = self._fresh.next(self._body_left)
            self._body_left -= len(self._out)

    def pull(self) -> bool:
        """Receive what is there; tell whether the answer is whole."""
        while True:
            try:
                count = self.socket.recv_into(self._buffer)
            except BlockingIOError:
                return False
            if not count:
                raise ConnectionError(f"the server closed after {self._head[:300]!r}")
            self.received += count
            if self._answer_left < 0:
                count = self._take_head(bytes(self._buffer[:count]))
                if self._answer_left < 0:
                    continue
            self._answer_left -= count
            if self._answer_left <= 0:
                return True
            if count < len(self._buffer) // 2:
                return False

    def _take_head(self, data: bytes) -> int:
        """Look for the end of the answer's head; return the bytes of its body that came along."""
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return 0
        if self._head[9:10] != b"2":
            raise ValueError(f"the server answered {self._head[:600]!r}")
        found = _LENGTH.search(self._head, 0, end)
        has_body = found is not None and not self._call.answers_head
        self._answer_left = int(found[1]) if found is not None and has_body else 0
        return len(self._head) - end - 4


def load(
    address: tuple[str, int],
    connections: int,
    make: Callable[[int], Call],
    *,
    calls: int | None = None,
    seconds: float | None = None,
) -> Tally:
    """Keep `connections` busy for `seconds`, or until `calls` requests were answered.

    Args:
        address: of the server.
        connections: how many requests at once.
        make: gives the request of a number (0, 1, 2, …): best from a prepared list.
        calls: how many requests in all; None for as many as there is time for.
        seconds: how long; None for as long as it takes.
    """
    buffer = memoryview(bytearray(_RECEIVE_SIZE))
    poll = select.epoll()
    pool = {}
    for _ in range(connections if calls is None else min(connections, calls)):
        connection = _Connection(address, buffer)
        pool[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    tally = Tally()
    started = time.perf_counter()
    deadline = started + seconds if seconds is not None else float("inf")
    begun = 0

    def begin(number: int, connection: _Connection) -> None:
        nonlocal begun
        whole = connection.begin(make(begun))
        begun += 1
        poll.modify(number, select.EPOLLIN if whole else select.EPOLLIN | select.EPOLLOUT)

    for number, connection in pool.items():
        begin(number, connection)
    busy = len(pool)
    while busy:
        for number, events in poll.poll(30):
            connection = pool[number]
            if events & select.EPOLLOUT and connection.push():
                poll.modify(number, select.EPOLLIN)
            if not events & ~select.EPOLLOUT or not connection.pull():
                continue
            now = time.perf_counter()
            tally.latencies_s.append(now - connection.began_s)
            tally.calls += 1
            if now < deadline and (calls is None or begun < calls):
                begin(number, connection)
            else:
                busy -= 1
    tally.seconds = time.perf_counter() - started
    for connection in pool.values():
        tally.sent += connection.sent
        tally.received += connection.received
        connection.socket.close()
    poll.close()
    return tally


def once(address: tuple[str, int], requests: Sequence[Call]) -> None:
    """Send requests one after another on one connection; every answer must be a success."""
    if requests:
        load(address, 1, lambda number: requests[number], calls=len(requests))
