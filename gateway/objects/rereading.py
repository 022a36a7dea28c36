"""Digests of bytes that are stored already.

The views are of mapped, unchanging bytes. Nobody has to wait for them before they are let go, so a
reader that is cancelled just leaves: what is being hashed then is hashed in vain.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing

from gateway import digests, limits
from gateway.chunks.store import ChunkStore
from gateway.errors import Corrupt, Reason
from gateway.objects.digest_pool import DigestPool
from gateway.objects.reader import Views, stream_of
from gateway.objects.record import ChecksumValue


class Rereader:
    """Hashes what is read: the MD5 in the pool, checksums beside it in a thread."""

    def __init__(self, chunks: ChunkStore, pool: DigestPool) -> None:
        self._chunks = chunks
        self._pool = pool

    async def digest(
        self, views: Views, size: int, names: Collection[str]
    ) -> tuple[bytes, tuple[ChecksumValue, ...]]:
        """Return the MD5 and the checksums of these views, in one pass, a view at a time.

        Args:
            views: an iterator is closed at the end, whatever happens.
            size: of all of them, in bytes.
            names: of the checksums.

        Raises:
            Corrupt: what the views raise, or they are not as many bytes.
        """
        md5 = digests.Md5()
        checksums = {name: digests.new_checksum(name) for name in names}

        def look(view: memoryview) -> None:
            for checksum in checksums.values():
                checksum.update(view)

        seen = 0
        try:
            async with aclosing(stream_of(views)) as stream:
                async for view in stream:
                    seen += len(view)
                    if size <= limits.SMALL_SIZE_MAX:  # quicker than a change of thread
                        md5.update(view)
                        look(view)
                        continue
                    beside = self._pool.submit(md5, view)
                    if checksums:
                        await self._chunks.in_thread(look, view)
                    await beside
        finally:
            self._pool.forget(md5)
        if seen != size:
            raise Corrupt(Reason.DAMAGED, f"{seen} bytes were read of a range of {size}")
        return md5.digest(), tuple(
            ChecksumValue(name, "FULL_OBJECT", checksum.digest())
            for name, checksum in sorted(checksums.items())
        )
