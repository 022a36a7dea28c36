"""Where the bytes of an object come from, as the writer sees it.

Front doors implement it: they decode the framing and know what the client promised about the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.objects.record import ChecksumValue


class Source(Protocol):
    """A body: a stream of plain views with promises to be kept at its end."""

    @property
    def algorithms(self) -> frozenset[str]:
        """Checksums to compute beside the MD5: names of `gateway.digests.new_checksum`.

        Asked once, before the first `read`.
        """
        ...

    async def read(self) -> memoryview | None:
        """Return the next bytes, 1 or more, or None after the last; valid until the next call."""
        ...

    def check(
        self, size: int, md5: bytes, digests: Mapping[str, bytes]
    ) -> tuple[ChecksumValue, ...]:
        """Return the checksums to store; called once, after the last view.

        Args:
            size: bytes read in all.
            md5: of all bytes read, 16 bytes.
            digests: by algorithm, for each of `algorithms`.

        Raises:
            Invalid: something promised about the body does not hold; nothing is stored then.
        """
        ...
