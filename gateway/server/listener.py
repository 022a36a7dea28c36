"""A listening socket and the connections it accepted.

One `Listener` serves one handler on one address: the global gateway, the admin API and each job's
gateway have one each, and share a process's `Arenas`. It is started once and drained or closed
once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

from gateway import limits
from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import Denied, Invalid, Reason, SidegateError, Unavailable
from gateway.server.arenas import Arenas
from gateway.server.connection import Connection, Site
from gateway.server.request_ids import RequestIds
from gateway.server.timeouts import Timeouts
from gateway.wire.messages import Handler

_BACKLOG = 1024
_PORT_MAX = 65_535


class Listener:
    """Accepts connections on one address and has a handler answer their requests.

    Args:
        handler: answers every request.
        host: name or address to bind.
        port: TCP port; 0 lets the system pick one.
        clock: for the Date header.
        entropy: for request ids.
        arenas: memory for bodies, shared by the process; None makes a budget of its own.
        tls: with it the listener speaks TLS only.
        timeouts: how long peers may take.
        connections_max: how many at once; more are answered 503 SlowDown.
    """

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        *,
        clock: Clock,
        entropy: Entropy,
        arenas: Arenas | None = None,
        tls: ssl.SSLContext | None = None,
        timeouts: Timeouts | None = None,
        connections_max: int = limits.CONNECTIONS_MAX,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._site = Site(
            handler,
            arenas or Arenas(),
            clock,
            RequestIds(entropy),
            timeouts or Timeouts(),
            tls is not None,
            connections_max,
            on_empty=self._empty.set,
        )

    @property
    def connections(self) -> int:
        """Connections that are open, or of which a handler is still at work."""
        return len(self._site.connections)

    @property
    def arenas(self) -> Arenas:
        """The memory its bodies come from."""
        return self._site.arenas

    async def start(self) -> tuple[str, int]:
        """Bind, listen and accept; return the address and port that were bound.

        Raises:
            Unavailable(PORT_IN_USE): another process listens there.
            Denied(NOT_ALLOWED): the port is reserved for the system.
            Invalid(BAD_ARGUMENT): the host cannot be resolved, or is not of this machine.
        """
        if not 0 <= self._port <= _PORT_MAX:  # uvloop would take the low 16 bits of it
            raise self._translate(OverflowError("no such port"))
        loop = asyncio.get_running_loop()
        seconds = self._site.timeouts.head_s
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._site),
                self._host,
                self._port,
                backlog=_BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=seconds if self._tls is not None else None,
            )
        except OSError as error:
            raise self._translate(error) from error
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def drain(self, timeout_s: float = limits.DRAIN_TIMEOUT_S) -> None:
        """Accept nothing new, close idle connections, and wait for requests under way.

        They are answered with `Connection: close`. After `timeout_s` seconds connections are cut;
        a handler then has `abort_grace_s` more to finish what it must not leave half done. May be
        called again with a shorter time while it runs.
        """
        if self._server is not None:
            self._server.close()
        self._site.draining = True
        for connection in list(self._site.connections):
            connection.retire()
        if not await self._emptied(timeout_s):
            for connection in list(self._site.connections):
                connection.abort()
            await self._emptied(self._site.timeouts.abort_grace_s)

    async def close(self) -> None:
        """Stop at once: cut connections, cancel handlers that are still at work after that."""
        await self.drain(0.0)
        tasks = [connection.task for connection in self._site.connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _emptied(self, timeout_s: float) -> bool:
        """Wait until no connection is left, at most `timeout_s`; tell whether that came true."""
        if not self._site.connections:
            return True
        self._empty.clear()
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return not self._site.connections
        return True

    def _translate(self, error: Exception) -> SidegateError:
        where = f"{self._host}:{self._port}"
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            return Unavailable(
                Reason.PORT_IN_USE,
                f"port {self._port} of {self._host} is in use",
                "stop what listens there, or choose another port (0 picks a free one)",
                address=where,
            )
        if number in {errno.EACCES, errno.EPERM}:
            return Denied(
                Reason.NOT_ALLOWED,
                f"this user may not listen on {where}",
                "choose a port above 1023",
                address=where,
            )
        if isinstance(error, (socket.gaierror, OverflowError)) or number in {
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,
        }:
            return Invalid(
                Reason.BAD_ARGUMENT,
                f"cannot listen on {where}: {error}",
                "give a name or address of this machine and a port up to 65535",
                address=where,
            )
        return Unavailable(Reason.IO_ERROR, f"cannot listen on {where}: {error}", "", address=where)
