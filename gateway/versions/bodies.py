"""An object that is here already, as the body of another write: for another domain's keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.objects.reader import Views, stream_of
from gateway.objects.record import ChecksumValue

_KNOWN: Final = frozenset({"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"})


class StoredBody:
    """Stored bytes as a `Source`, with nothing promised about them. Close it when done."""

    def __init__(self, views: Views, algorithms: Iterable[str]) -> None:
        """Take views of stored bytes, and the checksums to compute; unknown ones are left out."""
        self.algorithms = _KNOWN.intersection(algorithms)
        self._views = stream_of(views)

    async def read(self) -> memoryview | None:
        """Return the next bytes that are not none."""
        async for view in self._views:
            if view.nbytes:
                return view
        return None

    def check(
        self, size: int, md5: bytes, digests: Mapping[str, bytes]
    ) -> tuple[ChecksumValue, ...]:
        """Return the checksums computed: they are of the whole now."""
        del size, md5
        return tuple(
            ChecksumValue(name, "FULL_OBJECT", value) for name, value in sorted(digests.items())
        )

    async def aclose(self) -> None:
        """Let go of what is being read, also before its end."""
        await self._views.aclose()
