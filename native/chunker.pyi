# ruff: noqa: PYI021  (the docstrings of an extension live in its stub, where editors look)
"""Content-defined cuts of a stream, without hashing it (`native.ingest` does both at once)."""

from typing_extensions import Buffer

class Scanner:
    """The state of one stream; the rule of the cuts is docs/formats/chunker.md."""

    def __init__(self, table: bytes, size_min: int, size_max: int, threshold: int) -> None:
        """Start a stream.

        Args:
            table: 256 little-endian words of 64 bits.
            size_min: Bytes of the smallest chunk, 64 or more.
            size_max: Bytes of the largest chunk.
            threshold: A chunk ends where the hash of the last 64 bytes is below it.
        """

    @property
    def pending(self) -> int:
        """Bytes since the last cut."""

    def feed(self, data: Buffer) -> list[int]:
        """Return the offsets in `data` behind each chunk that ends in it, ascending.

        Runs without the interpreter lock. Chunks do not depend on how a stream is split.
        """
