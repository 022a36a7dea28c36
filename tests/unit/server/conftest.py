"""A listener on a real socket, on both event loops, and a client that speaks raw bytes.

Every test ends with a check that all memory came back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import uvloop

from gateway.clock import ManualClock
from gateway.entropy import SeededEntropy
from gateway.server.arenas import Arenas
from gateway.server.listener import Listener
from gateway.server.timeouts import Timeouts
from gateway.wire.messages import Handler


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Client:
    """One connection, bytes in and bytes out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False) -> Answer:
        block = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = block[:-4].split(b"\r\n")
        headers: dict[bytes, bytes] = {}
        for line in lines:
            name, _, value = line.partition(b": ")
            assert name.lower() not in headers
            headers[name.lower()] = value
        status = int(first.split()[1])
        body = b""
        if head or status in {100, 204, 304}:
            pass
        elif b"content-length" in headers:
            body = await self.reader.readexactly(int(headers[b"content-length"]))
        elif headers.get(b"transfer-encoding") == b"chunked":
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        else:
            body = await self.reader.read()
        return Answer(status, headers, body)

    async def ask(self, data: bytes, *, head: bool = False) -> Answer:
        await self.send(data)
        return await self.answer(head=head)

    async def at_end(self) -> bool:
        """Whether the server closes without another byte (a reset counts)."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Close with a reset instead of a goodbye."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Served:
    listener: Listener
    arenas: Arenas
    host: str
    port: int
    clients: list[Client]

    async def connect(self, tls: ssl.SSLContext | None = None, **options: int) -> Client:
        """Open a connection; `rcvbuf` bounds what the kernel takes for a slow reader."""
        sock = socket.socket()
        if "rcvbuf" in options:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["rcvbuf"])
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (self.host, self.port))
        except OSError:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(
            sock=sock,
            ssl=tls,
            server_hostname="localhost" if tls else None,
            limit=options.get("limit", 1 << 20),
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def quiet(self) -> None:
        """Wait until no connection is left."""
        for _ in range(1000):
            if not self.listener.connections:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("a connection stays open")


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    started: list[Served] = []

    async def start(
        handler: Handler,
        *,
        timeouts: Timeouts | None = None,
        arenas: Arenas | None = None,
        tls: ssl.SSLContext | None = None,
        connections_max: int = 100,
    ) -> Served:
        arenas = arenas or Arenas()
        listener = Listener(
            handler,
            "127.0.0.1",
            0,
            clock=ManualClock(),
            entropy=SeededEntropy(),
            arenas=arenas,
            tls=tls,
            timeouts=timeouts,
            connections_max=connections_max,
        )
        host, port = await listener.start()
        served = Served(listener, arenas, host, port, [])
        started.append(served)
        return served

    yield start
    for served in started:
        for client in served.clients:
            await client.close()
        await served.listener.close()
        assert served.listener.connections == 0
        assert served.arenas.arenas_used == 0
        assert served.arenas.blocks_used == 0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    subprocess.run(
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            f" -keyout {key} -out {cert} -subj /CN=localhost"
            " -addext subjectAltName=DNS:localhost"
        ).split(),
        check=True,
        capture_output=True,
    )
    return key, cert
