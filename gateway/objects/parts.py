"""The part table of an object completed from parts: what each part was.

S3 answers `partNumber` reads and GetObjectAttributes from it. It is a record of its own, named by
the object record, so that leaves of the tree stay small. The byte table is in
`docs/formats/object.md`.

Whoever reads an object by its parts counts them from 1, without gaps: the third part of an object
completed from parts 2, 7 and 9 is the one that was uploaded as 9.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from gateway.errors import Corrupt, Reason
from gateway.objects.record import ChecksumValue, decode_checksums, encode_checksums

MAGIC: Final = b"SP"
VERSION: Final = 1

_HEADER: Final = struct.Struct("<2sBBI")
_PART: Final = struct.Struct("<IQ16sI")


@dataclass(frozen=True, slots=True)
class Part:
    """One part, as it was uploaded."""

    number: int  # 1 to `limits.PART_NUMBER_MAX`
    size: int  # bytes
    md5: bytes
    checksums: tuple[ChecksumValue, ...] = ()


class PartTable:
    """The parts of one object, in order, and where they lie in it."""

    __slots__ = ("_ends", "id", "parts", "weight")

    def __init__(self, table_id: bytes, parts: Sequence[Part]) -> None:
        self.id = table_id
        self.parts = parts
        self.weight = 300 * len(parts) + 100  # bytes of memory, roughly
        self._ends = list(accumulate(part.size for part in parts))

    def range_of(self, position: int) -> tuple[int, int]:
        """Return the first byte of the part at `position` (0 is the first), and the one behind."""
        end = self._ends[position]
        return end - self.parts[position].size, end

    def find(self, start: int, end: int) -> Part | None:
        """Return the part that is bytes `start` to before `end`, one or more; None if none is."""
        position = bisect_right(self._ends, start)
        if position < len(self.parts) and self.range_of(position) == (start, end):
            return self.parts[position]
        return None


def encode_parts(parts: Sequence[Part]) -> bytes:
    """Return the canonical bytes of a part table; parts in ascending order of number."""
    out = [_HEADER.pack(MAGIC, VERSION, 0, len(parts))]
    for part in parts:
        checksums = encode_checksums(part.checksums)
        out.append(_PART.pack(part.number, part.size, part.md5, len(checksums)))
        out.append(checksums)
    return b"".join(out)


def decode_parts(data: bytes | memoryview) -> list[Part]:
    """Return what `encode_parts` encoded.

    Raises:
        Corrupt(UNKNOWN_FORMAT): a version or flag that this reader does not know.
        Corrupt(DAMAGED): not a part table.
    """
    data = bytes(data)
    if len(data) < _HEADER.size or data[:2] != MAGIC:
        raise Corrupt(Reason.DAMAGED, "not a part table")
    _, version, flags, count = _HEADER.unpack_from(data)
    if version != VERSION or flags:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"a part table of version {version}, flags {flags}",
            "a newer release may have written it",
        )
    parts: list[Part] = []
    position = _HEADER.size
    try:
        for _ in range(count):
            number, size, md5, length = _PART.unpack_from(data, position)
            position += _PART.size
            checksums = decode_checksums(data[position : position + length])
            position += length
            parts.append(Part(number, size, md5, checksums))
    except struct.error as error:
        raise Corrupt(Reason.DAMAGED, "a part table is cut off") from error
    if position != len(data):
        raise Corrupt(Reason.DAMAGED, "a part table's sizes do not add up")
    return parts
