"""The one place that builds adapters and wires layers.

`Assembly.open` turns a data directory into a working store: what a command that needs no server
uses, and what tests start from. `serve_forever` puts listeners on it. Each step that opens
something says at once how it is closed, so that a failure half way leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from gateway import limits
from gateway.access.keys import Credentials
from gateway.admin import calls
from gateway.admin.handler import AdminHandler, Services
from gateway.backends.directory import DataDirectory, Served
from gateway.backends.local import LocalFiles
from gateway.chunks.store import ChunkStore
from gateway.clock import Clock, SystemClock
from gateway.config import Address, Serve
from gateway.entropy import Entropy, SystemEntropy
from gateway.errors import Reason, SidegateError, Unavailable
from gateway.metadata.sqlite import SqliteMetadata
from gateway.objects.store import ObjectStore
from gateway.pipelines.executors.process import ProcessExecutor
from gateway.pipelines.service import Pipelines
from gateway.s3.auth import Authenticator, KeyAuthenticator, OpenAuthenticator
from gateway.s3.handler import S3Handler
from gateway.server.arenas import Arenas
from gateway.server.lifecycle import StopSignals, drain_all, run
from gateway.server.listener import Listener
from gateway.versions.store import Versions
from gateway.versions.views import Buckets
from gateway.wire.messages import Handler

_LOCK_PATIENCE_S = 2.0  # a command that looks whether a server runs holds the lock for a moment
_LOCK_RETRY_S = 0.05
_YOUNG_OBJECTS = 20_000  # between collections of the youngest; Python's own is 700


class Assembly:
    """A data directory with everything that works on it; made by `open`."""

    def __init__(self, directory: DataDirectory, clock: Clock, entropy: Entropy) -> None:
        self.directory = directory
        self.clock = clock
        self.entropy = entropy
        self.arenas = Arenas()
        self.metadata: SqliteMetadata
        self.chunks: ChunkStore
        self.objects: ObjectStore
        self.versions: Versions
        self.pipelines: Pipelines
        self._stack = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        data: str,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        job_listen: str = "127.0.0.1",
        job_advertise: str | None = None,
        patience_s: float = _LOCK_PATIENCE_S,
    ) -> Assembly:
        """Open a data directory, making it where it is not there, and recover what a crash left.

        Raises:
            Unavailable(LOCKED): another process holds it, for longer than `patience_s`.
            Unavailable, Invalid, Corrupt: as `DataDirectory.open` and the stores say.
        """
        clock = clock or SystemClock()
        entropy = entropy or SystemEntropy()
        directory = await _take(data, entropy, patience_s)
        assembly = cls(directory, clock, entropy)
        assembly._stack.callback(directory.close)
        try:
            await assembly._build(job_listen, job_advertise)
        except BaseException:
            await assembly.close()
            raise
        return assembly

    async def _build(self, job_listen: str, job_advertise: str | None) -> None:
        stack, directory = self._stack, self.directory
        self.metadata = SqliteMetadata.open(directory.of("metadata.sqlite"))
        stack.push_async_callback(self.metadata.close)
        self.chunks = await ChunkStore.open(
            directory.path, LocalFiles(), self.metadata, self.clock, self.entropy
        )
        stack.push_async_callback(self.chunks.close)
        self.objects = ObjectStore(self.chunks)
        stack.callback(self.objects.close)
        self.versions = await Versions.create(self.metadata, self.objects, self.clock, self.entropy)
        stack.push_async_callback(self.versions.close)
        self.versions.start()
        self.pipelines = Pipelines(
            self.versions,
            self.metadata,
            self.clock,
            self.entropy,
            ProcessExecutor(directory.of("jobs"), os.environ),
            JobGateways(self),
            directory.path,
            job_listen=job_listen,
            job_advertise=job_advertise,
        )
        stack.push_async_callback(self.pipelines.close)

    @property
    def token(self) -> str:
        """The token of the admin API."""
        return self.directory.token

    def admin_handler(self) -> Handler:
        """Return the handler of the admin API."""
        return AdminHandler(Services(self.versions, self.pipelines), self.token, calls.ACTIONS)

    def s3_handler(
        self,
        buckets: Buckets | None = None,
        authenticator: Authenticator | None = None,
        domain: str = "",
    ) -> Handler:
        """Return an S3 handler: of every branch, or of a job's buckets."""
        return S3Handler(
            self.versions,
            buckets or self.versions.buckets,
            authenticator or OpenAuthenticator(),
            self.clock,
            domain=domain,
        )

    def listener(self, handler: Handler, host: str, port: int) -> Listener:
        """Return a listener that is not started yet."""
        return Listener(
            handler, host, port, clock=self.clock, entropy=self.entropy, arenas=self.arenas
        )

    async def close(self) -> None:
        """Close everything, the last opened first."""
        await self._stack.aclose()


class JobGateway:
    """A job's gateway that is listening."""

    def __init__(self, listener: Listener, url: str) -> None:
        self._listener = listener
        self.url = url

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests, and wait for those under way, `timeout_s` at most."""
        await self._listener.drain(timeout_s)

    async def close(self) -> None:
        """Close the port and every connection."""
        await self._listener.close()


class JobGateways:
    """Opens the gateways of jobs in this process."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly

    async def open(self, buckets: Buckets, host: str, port: int) -> JobGateway:
        """Listen for one job; no authentication is asked for."""
        handler = self._assembly.s3_handler(buckets)
        listener = self._assembly.listener(handler, host, port)
        return JobGateway(listener, _url(await listener.start()))


async def _take(data: str, entropy: Entropy, patience_s: float) -> DataDirectory:
    """Take hold of a data directory; wait a little for who holds it."""
    waited = 0.0
    while True:
        try:
            return DataDirectory.open(data, entropy)
        except Unavailable as error:
            if error.reason is not Reason.LOCKED or waited >= patience_s:
                raise
        await asyncio.sleep(_LOCK_RETRY_S)
        waited += _LOCK_RETRY_S


def _url(bound: tuple[str, int]) -> str:
    return f"http://{Address(*bound)}"


Ready = Callable[[str, str], None]


def serve_forever(data: str, settings: Serve, credentials: Credentials | None, ready: Ready) -> int:
    """Serve until SIGTERM or SIGINT, then drain; return the exit code.

    Args:
        data: the data directory.
        settings: checked settings.
        credentials: the keys that are accepted; None: every request is allowed.
        ready: called once with the S3 and admin URLs, when both answer.

    Raises:
        SidegateError: it could not be started.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    return run(_serve(data, settings, credentials, ready))


async def _serve(data: str, settings: Serve, credentials: Credentials | None, ready: Ready) -> int:
    _raise_open_files()
    with StopSignals() as stop:
        assembly = await Assembly.open(
            data, job_listen=settings.job_listen, job_advertise=settings.job_advertise
        )
        try:
            _settle_collector()
            listeners = await _listen(assembly, settings, credentials, ready)
            try:
                if settings.pipelines:
                    await assembly.pipelines.start()
                await stop.asked()
            finally:
                await drain_all(listeners, stop, limits.DRAIN_TIMEOUT_S)
        finally:
            await assembly.close()
    return 0


def _raise_open_files() -> None:
    """Allow as many open files as the system lets us: connections, and two for each pack."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _settle_collector() -> None:
    """Keep what is loaded out of every collection, and collect seldom.

    Nothing on the way of a request makes reference cycles; a full collection with warm caches would
    stop the loop for 15 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


async def _listen(
    assembly: Assembly, settings: Serve, credentials: Credentials | None, ready: Ready
) -> list[Listener]:
    """Start both listeners, announce them, and return them; on failure none is left."""
    authenticator = KeyAuthenticator(credentials) if credentials else OpenAuthenticator()
    s3 = assembly.listener(
        assembly.s3_handler(None, authenticator, settings.domain),
        settings.listen.host,
        settings.listen.port,
    )
    admin = assembly.listener(
        assembly.admin_handler(), settings.admin_listen.host, settings.admin_listen.port
    )
    started: list[Listener] = []
    urls: list[str] = []
    try:
        for listener in (s3, admin):
            urls.append(_url(await listener.start()))
            started.append(listener)
    except SidegateError:
        for listener in started:
            await listener.close()
        raise
    assembly.directory.announce(Served(urls[0], urls[1], os.getpid()))
    ready(urls[0], urls[1])
    return started
