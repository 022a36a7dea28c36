"""The whole gateway inside this process: a data directory, a listener, and boto3 in front of it.

The server's loop runs in a thread of its own, so that synchronous clients can be used as they are.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from gateway.assembly import Assembly
from gateway.clock import Clock
from gateway.s3.auth import Authenticator
from gateway.server.listener import Listener
from gateway.versions.views import Buckets

T = TypeVar("T")

# botocore leaves the socket of a request that was refused early to the garbage collector.
LEFT_SOCKETS = "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"

_CLIENTS: list[Any] = []


class Stack:
    """A running gateway."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Assembly) -> None:
        self._loop = loop
        self.app = app
        self.listeners: list[Listener] = []

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def listen(
        self,
        buckets: Buckets | None = None,
        authenticator: Authenticator | None = None,
        domain: str = "",
    ) -> str:
        """Open another listener; return its `host:port`."""
        handler = self.app.s3_handler(buckets, authenticator, domain)
        listener = self.app.listener(handler, "127.0.0.1", 0)
        host, port = self.run(listener.start())
        self.listeners.append(listener)
        return f"{host}:{port}"


@contextmanager
def stack(
    directory: Path, *, clock: Clock | None = None, prepare: Callable[[Stack], None] | None = None
) -> Iterator[Stack]:
    """Open a data directory, and close all that was opened on it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        app = asyncio.run_coroutine_threadsafe(
            Assembly.open(str(directory), clock=clock), loop
        ).result(60)
        running = Stack(loop, app)
        try:
            if prepare is not None:
                prepare(running)
            yield running
        finally:
            for listener in running.listeners:
                running.run(listener.close())
            running.run(app.close())
            while _CLIENTS:
                _CLIENTS.pop().close()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def client(address: str, access_key: str = "AK", secret: str = "SK", **config: Any) -> Any:
    """Return a boto3 client that neither retries nor guesses."""
    region = config.pop("region_name", "us-east-1")
    style = config.pop("addressing_style", "path")
    found = boto3.client(
        "s3",
        endpoint_url=f"http://{address}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        region_name=region,
        config=Config(
            retries={"max_attempts": 0},
            s3={"addressing_style": style},
            connect_timeout=10,
            read_timeout=30,
            **config,
        ),
    )
    _CLIENTS.append(found)
    return found


def raw(address: str, data: bytes, *, timeout_s: float = 20) -> bytes:
    """Send bytes on a connection of their own and return the one answer, head and body."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.sendall(data)
        return read_answer(connection, head_only=data.startswith(b"HEAD "))


def read_answer(connection: socket.socket, *, head_only: bool = False) -> bytes:
    """Read one answer: the head, and as much body as it announces."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        if not piece:
            return got
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return read_answer(connection, head_only=head_only) if not body else got
    if head_only:
        return got
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    ]
    length = lengths[0] if lengths else 0
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body
