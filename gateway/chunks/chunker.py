"""Where a stream is cut into chunks, and what each chunk is called.

Cuts depend on content and on the secret of the dedup domain only, never on how the bytes arrived:
equal runs of bytes in two streams of a domain soon have equal chunks, and an observer of chunk
sizes without the secret cannot tell what was cut. docs/formats/chunker.md is the rule in full.

A `Cutter` decides and waits for nothing: bytes go in, finished chunks come out, in one native call
a view. It refuses to know sizes below which a stream is not worth cutting; that is the store's.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway import digests, limits
from native import ingest

GEAR_SIZE: Final = 256 * 8
GEAR_CONTEXT: Final = "sidegate 2025-11-21 gear table v1"

# After the smallest size, a byte in so many ends a chunk: the mean is CHUNK_SIZE_AVG.
THRESHOLD: Final = 2**64 // (limits.CHUNK_SIZE_AVG - limits.CHUNK_SIZE_MIN)


class Cut(NamedTuple):
    """A finished chunk: its id, and its bytes where they lie until `Cutter.release`."""

    id: bytes
    data: memoryview


def gear_table(salt: bytes) -> bytes:
    """Return the 256 words of 64 bits, little-endian, that a domain's secret salt stands for."""
    return digests.blake3_derive(GEAR_CONTEXT, salt, GEAR_SIZE)


class Cutter:
    """The cuts and chunk ids of one stream: an object, or a part of one.

    Call `feed` with each view in turn, use the cuts, call `release`; the view may be reused then.
    Memory: at most one chunk of CHUNK_SIZE_MAX is carried from view to view.
    """

    __slots__ = ("_stream",)

    def __init__(self, gear: bytes, id_key: bytes) -> None:
        self._stream = ingest.Stream(
            gear, id_key, limits.CHUNK_SIZE_MIN, limits.CHUNK_SIZE_MAX, THRESHOLD
        )

    @property
    def pending(self) -> int:
        """Bytes that were fed and belong to no cut yet."""
        return self._stream.pending

    def feed(self, view: memoryview, final: bool) -> list[Cut]:
        """Return the chunks that end in `view`, in order; with `final`, all that are left.

        Their bytes, laid end to end, are the stream so far, but for what is pending. They are
        slices of `view`, and for a first chunk that began in an earlier view a slice of the
        cutter's own memory: all are valid until `release`. Runs without the interpreter lock, so
        it may run in a thread; one thread at a time.

        Raises:
            RuntimeError: the cuts of the view before were not released.
        """
        return [Cut(*pair) for pair in self._stream.feed(view, final)]

    def release(self) -> None:
        """Let go of the view that was fed last, and of its cuts; keep what is pending.

        After a final view the cutter is as new. Without a view it does nothing.
        """
        self._stream.release()
