# ruff: noqa: PYI021  (the docstrings of an extension live in its stub, where editors look)
"""Cuts and chunk ids of a stream, in one pass over each piece of it."""

from typing_extensions import Buffer

class Stream:
    """The state of one stream; the rule of the cuts is docs/formats/chunker.md."""

    def __init__(
        self, table: bytes, key: bytes, size_min: int, size_max: int, threshold: int
    ) -> None:
        """Start a stream.

        Args:
            table: 256 little-endian words of 64 bits.
            key: 32 bytes, the key of the chunk ids.
            size_min: Bytes of the smallest chunk but the last, 64 or more.
            size_max: Bytes of the largest chunk.
            threshold: A chunk ends where the hash of its last 64 bytes is below it.
        """

    @property
    def pending(self) -> int:
        """Bytes that were fed and belong to no chunk yet."""

    def feed(self, view: Buffer, final: bool) -> list[tuple[bytes, memoryview]]:
        """Return (id, bytes) of each chunk that ends in `view`, and with `final` of the last.

        The bytes are slices of `view`, but for a first chunk that began in an earlier view: that is
        a slice of the carry. Both hold good until `release`. Runs without the interpreter lock.
        RuntimeError when the view before was not released.
        """

    def release(self) -> None:
        """Let go of the view that was fed; what is unfinished of it moves into the carry.

        After a final view the stream is as new.
        """
