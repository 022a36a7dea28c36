# ruff: noqa: PYI021  (the docstrings of an extension live in its stub, where editors look)
"""A hash table from 16-byte prefixes of ids to places, over a buffer that is given.

One writer; readers in any thread or process need no lock.
"""

from collections.abc import Iterable

from typing_extensions import Buffer

SLOT_SIZE: int

class Table:
    """The slots of one buffer; docs/formats/index.md is the layout."""

    def __init__(self, buffer: Buffer, start: int, slots: int, writable: bool) -> None:
        """Take `slots` slots, a power of two, that fill the buffer from byte `start` on.

        The buffer stays exported while the table lives. ValueError when the sizes do not fit.
        """

    @property
    def capacity(self) -> int:
        """Slots in all."""

    def get(self, id_: bytes) -> tuple[int, int, int] | None:
        """Return (segment, offset, length) of an id of 16 bytes or more, or None."""

    def get_many(self, ids: Iterable[bytes]) -> list[tuple[int, int, int] | None]:
        """Return what `get` returns for each id, in order; memory is fetched for many at once."""

    def put_many(self, ids: Iterable[bytes], locations: Iterable[tuple[int, int, int]]) -> int:
        """Insert or overwrite; return how many are new.

        Each number of a location fits 32 bits (OverflowError). ValueError when the table is full;
        what came before the entry that found no room is in.
        """

    def copy_into(self, other: Table) -> int:
        """Put every entry into another table with room; return how many. Without the lock."""

    def count(self) -> int:
        """Count the slots in use by looking at all of them. Without the lock."""
