"""The gateway of one datum attempt: its own port, its own buckets, its own life.

What a gateway host is, is said here and bound in `assembly` (`server` and `s3` are not known to
this package). A sidecar opens one for exactly the job's buckets, counts what passes, and is sealed
when the user code has ended: new requests are refused at once, those under way get
`limits.JOB_DRAIN_S`, then the port is closed. Whether the output counts is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from gateway import limits
from gateway.pipelines.job import Traffic
from gateway.pipelines.spec import Spec
from gateway.versions.model import Listing, ObjectRecord
from gateway.versions.views import Buckets, BucketView, JobBuckets

OUT = "out"
_REACHABLE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


class GatewayHandle(Protocol):
    """A gateway that is listening."""

    @property
    def url(self) -> str:
        """Where it answers: `http://HOST:PORT`."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests at once, and wait for those under way, `timeout_s` at most."""
        ...

    async def close(self) -> None:
        """Close the port and every connection; a second time does nothing."""
        ...


class GatewayHost(Protocol):
    """What can open a gateway for given buckets."""

    async def open(self, buckets: Buckets, host: str, port: int) -> GatewayHandle:
        """Listen on a host; port 0 picks a free one. No authentication is asked for.

        Raises:
            Unavailable(PORT_IN_USE): it cannot listen there.
        """
        ...


class Counter:
    """Counts what passes through one bucket of a job: an access recorder."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def looked_up(self, key: bytes, record: ObjectRecord | None) -> None:  # noqa: ARG002
        """Count a lookup."""
        self.traffic.lookups += 1

    def read(self, key: bytes, record: ObjectRecord, start: int, end: int) -> None:  # noqa: ARG002
        """Count a read of bytes `start` to `end`."""
        self.traffic.gets += 1
        self.traffic.bytes_read += end - start

    def listed(self, prefix: bytes, delimiter: bytes, after: bytes, page: Listing) -> None:  # noqa: ARG002
        """Count a page of a listing."""
        self.traffic.lists += 1

    def wrote(self, key: bytes, record: ObjectRecord | None) -> None:
        """Count a write or a deletion; the first keys written are kept."""
        if record is None:
            self.traffic.deletes += 1
            return
        self.traffic.puts += 1
        self.traffic.bytes_written += record.size
        if len(self.traffic.written) < limits.WRITTEN_KEYS_MAX:
            self.traffic.written.append(key.decode("utf-8", "replace"))


def job_views(
    spec: Spec, pinned: Mapping[str, BucketView], output: BucketView | None
) -> dict[str, BucketView]:
    """Return the buckets of an attempt, each with a counter: S3 inputs, and `out` if it has it."""
    views = {
        each.name: replace(
            pinned[each.name], name=each.name, writable=False, recorder=Counter(Traffic())
        )
        for each in spec.inputs
        if each.s3
    }
    if spec.s3_out and output is not None:
        views[OUT] = replace(output, name=OUT, writable=True, recorder=Counter(Traffic()))
    return views


class Sidecar:
    """One attempt's gateway, listening."""

    def __init__(
        self, handle: GatewayHandle, views: Mapping[str, BucketView], advertise: str | None
    ) -> None:
        self._handle = handle
        self._views = views
        self._advertise = advertise

    @classmethod
    async def open(
        cls,
        host: GatewayHost,
        spec: Spec,
        views: Mapping[str, BucketView],
        listen: str,
        advertise: str | None,
    ) -> Sidecar:
        """Open a gateway for these buckets on a free port.

        The older form of specs called the output by the pipeline's name; that name is an alias of
        `out`, unless an input has it.
        """
        aliases = {spec.name: OUT} if OUT in views and spec.name not in views else {}
        handle = await host.open(JobBuckets(views, aliases), listen, 0)
        return cls(handle, views, advertise)

    @property
    def url(self) -> str:
        """What `S3_ENDPOINT` says."""
        scheme, _, address = self._handle.url.partition("://")
        host, _, port = address.rpartition(":")
        name = self._advertise or _REACHABLE.get(host, host)
        if ":" in name and not name.startswith("["):
            name = f"[{name}]"
        return f"{scheme}://{name}:{port}"

    async def seal(self) -> None:
        """Refuse what is new, wait for what is under way, and close the port."""
        try:
            await self._handle.drain(limits.JOB_DRAIN_S)
        finally:
            await self._handle.close()

    async def close(self) -> None:
        """Close the port at once."""
        await self._handle.close()

    def traffic(self) -> dict[str, dict[str, Any]]:
        """Return what passed, by bucket."""
        return {
            name: view.recorder.traffic.document()
            for name, view in self._views.items()
            if isinstance(view.recorder, Counter)
        }
