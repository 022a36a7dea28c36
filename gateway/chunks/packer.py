"""An extent being filled: records gather in a buffer until they are written together. Pure.

The buffer is `room for the header | payload`. How large the header becomes is known only when the
extent is closed, so it is laid *before* the payload then, its end where the payload begins or at
the block boundary before it. A short payload is moved down to its header instead, which saves a
block: a lone small object costs one block of disk, not two.

`encode` may be called again for another place in another file: after a failed write, the same
extent goes to the next segment.
"""

from __future__ import annotations

from gateway import digests
from gateway.chunks.pack import (
    HEADER_SIZE,
    RECORD_SIZE,
    Header,
    Location,
    Span,
    Superblock,
    align,
    encode_header,
    encode_record,
)
from gateway.limits import KIB

RECORDS_MAX = 4095  # header and records then fill 256 KiB exactly
ROOM = HEADER_SIZE + RECORDS_MAX * RECORD_SIZE
COMPACT_MAX = 128 * KIB  # moving so much takes 10 us; a block saved is worth it


class Extent:
    """One extent. `ticket` numbers extents in the order in which they become durable.

    Not safe for threads by itself: `reserve` is called under the log's lock; what `place` is given
    was reserved before, so that several may run at once.
    """

    __slots__ = (
        "_at", "_records", "_table", "buffer", "capacity", "filling", "size", "ticket",
    )  # fmt: skip

    def __init__(self, buffer: memoryview, ticket: int) -> None:
        self.buffer = buffer
        self._records: list[tuple[int, int, int, int, bytes]] = []
        self._table = bytearray()
        self._at = ROOM  # where the payload begins in the buffer
        self.capacity = len(buffer) - ROOM
        self.size = 0  # of the payload
        self.ticket = ticket
        self.filling = 0  # reservations whose bytes are not in place yet

    def __len__(self) -> int:
        return len(self._records)

    def fits(self, size: int) -> bool:
        """Tell whether a record of `size` bytes has room."""
        return self.size + size <= self.capacity and len(self._records) < RECORDS_MAX

    def reserve(self, kind: int, record_id: bytes, size: int, crc: int) -> int:
        """Add a record whose bytes are still to be placed; return where they go."""
        offset = self.size
        self._records.append((kind, offset, size, crc, record_id))
        self._table += encode_record(kind, offset, size, crc, record_id)
        self.size = offset + size
        return offset

    def place(self, offset: int, data: bytes | memoryview) -> None:
        """Copy the bytes of a reserved record."""
        at = ROOM + offset
        self.buffer[at : at + len(data)] = data

    def ids(self) -> list[bytes]:
        """Return the ids of the records, in order."""
        return [record[4] for record in self._records]

    def _crc(self) -> int:
        if self.size <= COMPACT_MAX:
            return digests.crc32c(self.buffer[self._at : self._at + self.size])
        crc = 0
        for _, _, size, part, _ in self._records:
            crc = digests.combine_crc32c(crc, part, size)
        return crc

    def encode(
        self, superblock: Superblock, offset: int, seq: int, prev_crc: int
    ) -> tuple[memoryview, Span]:
        """Lay the header before the payload; return the bytes to write at `offset`, and the span.

        The bytes are a multiple of a block, begin on a block of the buffer, and stay valid until
        the extent is dropped. Nothing may be reserved any more.
        """
        header_size = HEADER_SIZE + len(self._table)
        compact = self.size <= COMPACT_MAX
        start = header_size if compact else align(header_size)
        if compact and self._at == ROOM and start != ROOM:
            self.buffer[start : start + self.size] = self.buffer[ROOM : ROOM + self.size]
            self._at = start
        first = self._at - start
        whole = align(start + self.size)
        span = Span(offset, whole, offset + start, self.size, self._crc(), 0, len(self._records))
        head = encode_header(superblock, Header(span, seq, prev_crc, header_size), self._table)
        span = span._replace(header_crc=int.from_bytes(head[-4:], "little"))
        buffer = self.buffer
        buffer[first : first + HEADER_SIZE] = head
        buffer[first + HEADER_SIZE : first + header_size] = self._table
        buffer[first + header_size : self._at] = bytes(start - header_size)
        end = self._at + self.size
        buffer[end : first + whole] = bytes(first + whole - end)
        return buffer[first : first + whole], span

    def locations(self, span: Span, number: int) -> list[Location]:
        """Return where the records lie in the file, once it is known where the extent does."""
        start = span.payload_offset
        return [
            Location(record_id, start + offset, size, number, position, kind)
            for position, (kind, offset, size, _, record_id) in enumerate(self._records)
        ]
