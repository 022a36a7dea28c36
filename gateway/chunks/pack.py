"""The extent log on disk, as bytes: superblock, extent, record, footer. Pure.

A *segment* is `superblock | extent | extent | ...`; a *pack* is a segment that was sealed with a
*footer* and never changes again. `docs/formats/segment.md` is the byte table of what is encoded
here. All integers are little-endian. Whatever was read from disk is checked before it is used:
a decoder returns a value whose offsets and lengths lie inside what they index, or None when the
bytes are not one (a scan decides what that means).

An extent is one group commit: header, 64 bytes for each record, payload. The records of an extent
lie back to back in its payload, so that consecutive chunks of an object are adjacent bytes.
`uuid`, `life`, `seq` and the checksum of the header before tie an extent to its place: bytes of
another file, or of an earlier life of this one, are never taken for it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from gateway import digests
from gateway.limits import EXTENT_SIZE_MAX, KIB, SEGMENT_SIZE_MAX

VERSION = 1
BLOCK = 4 * KIB  # alignment of extents and footer; what direct transfers ask for
CLASS_DATA = 1

SUPERBLOCK_SIZE = BLOCK
HEADER_SIZE = 64
RECORD_SIZE = 64
TRAILER_SIZE = 256
ENTRY_SIZE = 48
SPAN_SIZE = 32

_SUPER_MAGIC = b"SIDEGSEG"
_EXTENT_MAGIC = b"SGEX"
_FOOTER_MAGIC = b"SIDEGPAK"

_SUPER = struct.Struct("<8sHBB4x16sQIIQ")
_EXTENT = struct.Struct("<4sIQQQIIIIIHHII")
_RECORD = struct.Struct("<BBHIIII32s12x")
ENTRY = struct.Struct("<32sIIIHBx")
_SPAN = struct.Struct("<IIIIIIII")
_TRAILER = struct.Struct("<8sHBBI16sQIIIIIIIIQQ32s")
_U32 = struct.Struct("<I")

EXTENT_MAGIC = _EXTENT_MAGIC


def align(size: int) -> int:
    """Round up to a multiple of a block."""
    return (size + BLOCK - 1) & -BLOCK


class Superblock(NamedTuple):
    """What a segment says of itself."""

    uuid: bytes  # 16
    life: int  # 1 at first; rises if the file is ever used again
    segment: int  # its number, as in the file's name
    klass: int
    created_ms: int


class Span(NamedTuple):
    """Where an extent lies in its file, and what its payload must sum to."""

    offset: int  # of the header, in the file
    size: int  # header, records, payload and padding: a multiple of a block
    payload_offset: int  # in the file
    payload_size: int
    payload_crc: int
    header_crc: int
    records: int


class Header(NamedTuple):
    """An extent's header: its span, and its place in the chain."""

    span: Span
    seq: int
    prev_crc: int
    header_size: int  # header and records together


class Record(NamedTuple):
    """A record's place in the payload of its extent, and its name."""

    kind: int
    offset: int
    size: int
    crc: int
    id: bytes


class Location(NamedTuple):
    """A record of a pack: its id, where its bytes lie in the file, which extent and record."""

    id: bytes
    offset: int
    size: int
    extent: int
    record: int
    kind: int


class Trailer(NamedTuple):
    """The last 256 bytes of a pack: where its footer's sections lie, and what they sum to."""

    uuid: bytes
    life: int
    segment: int
    klass: int
    footer_offset: int
    entries: int  # count
    entries_crc: int
    spans: int  # count
    spans_crc: int
    filter_size: int
    size: int  # of the file
    payload_bytes: int
    digest: bytes  # 32: chain over superblock and all headers

    @property
    def spans_offset(self) -> int:
        """Return where the extents table begins in the file."""
        return self.footer_offset + self.entries * ENTRY_SIZE


# --- superblock --------------------------------------------------------------------------------
def encode_superblock(superblock: Superblock) -> bytes:
    """Return the 4,096 bytes of a superblock."""
    uuid, life, segment, klass, created_ms = superblock
    body = _SUPER.pack(_SUPER_MAGIC, VERSION, klass, 0, uuid, life, segment, 0, created_ms)
    body = body.ljust(SUPERBLOCK_SIZE - 4, b"\0")
    return body + _U32.pack(digests.crc32c(body))


def decode_superblock(data: bytes | memoryview) -> Superblock | None:
    """Return the superblock, or None when the bytes are not a sound one of this version."""
    if len(data) != SUPERBLOCK_SIZE:
        return None
    magic, version, klass, _, uuid, life, segment, _, created_ms = _SUPER.unpack_from(data)
    if magic != _SUPER_MAGIC or version != VERSION:
        return None
    if _U32.unpack_from(data, SUPERBLOCK_SIZE - 4)[0] != digests.crc32c(data[:-4]):
        return None
    return Superblock(uuid, life, segment, klass, created_ms)


def superblock_version(data: bytes | memoryview) -> int | None:
    """Return the format version that the bytes claim, or None when they are no superblock."""
    if len(data) < _SUPER.size or bytes(data[:8]) != _SUPER_MAGIC:
        return None
    return int(_SUPER.unpack_from(data)[1])


# --- extents -----------------------------------------------------------------------------------
def encode_record(kind: int, offset: int, size: int, crc: int, record_id: bytes) -> bytes:
    """Return the 64 bytes of a record that is stored raw."""
    return _RECORD.pack(kind, 0, 0, size, size, offset, crc, record_id)


def encode_header(
    superblock: Superblock, header: Header, records: bytes | bytearray | memoryview
) -> bytes:
    """Return the 64 bytes of an extent's header; its checksum covers them and the records."""
    span = header.span
    body = _EXTENT.pack(
        _EXTENT_MAGIC,
        header.header_size,
        int.from_bytes(superblock.uuid[:8], "little"),
        superblock.life,
        header.seq,
        header.prev_crc,
        span.records,
        span.payload_offset - span.offset,
        span.payload_size,
        span.payload_crc,
        VERSION,
        0,
        0,
        0,
    )[:-4]
    return body + _U32.pack(header_crc(body, records))


def header_crc(head: bytes | memoryview, records: bytes | bytearray | memoryview) -> int:
    """Return the checksum of a header (its first 60 bytes) and of its records."""
    return digests.crc32c(records, digests.crc32c(head[: HEADER_SIZE - 4]))


def decode_header(
    data: bytes | memoryview, offset: int, limit: int, superblock: Superblock
) -> Header | None:
    """Return an extent's header, or None when the 64 bytes cannot be one of this segment.

    `offset` is where the bytes lie in the file and `limit` where the file ends: sizes that reach
    outside are refused. The checksum is not judged here, for it covers the records too; see
    `decode_records`.
    """
    if len(data) < HEADER_SIZE:
        return None
    magic, size, uuid, life, seq, prev, count, start, length, crc, version, _, _, own = (
        _EXTENT.unpack_from(data)
    )
    if magic != _EXTENT_MAGIC or version != VERSION:
        return None
    if uuid != int.from_bytes(superblock.uuid[:8], "little") or life != superblock.life:
        return None
    if count == 0 or size != HEADER_SIZE + count * RECORD_SIZE or start < size:
        return None
    whole = align(start + length)
    if whole > EXTENT_SIZE_MAX or offset + whole > min(limit, SEGMENT_SIZE_MAX):
        return None
    span = Span(offset, whole, offset + start, length, crc, own, count)
    return Header(span, seq, prev, size)


def decode_records(data: bytes | memoryview, header: Header) -> list[Record] | None:
    """Return the records of an extent, or None when checksum or any of their bounds is wrong.

    `data` begins with the header and holds `header.header_size` bytes or more.
    """
    view = memoryview(data)
    if len(view) < header.header_size:
        return None
    table = view[HEADER_SIZE : header.header_size]
    if header_crc(view[:HEADER_SIZE], table) != header.span.header_crc:
        return None
    found = []
    end = 0
    for kind, codec, _, raw, size, offset, crc, record_id in _RECORD.iter_unpack(table):
        if codec != 0 or raw != size or offset != end:
            return None  # a codec of a later version, or records that do not lie back to back
        end = offset + size
        found.append(Record(kind, offset, size, crc, record_id))
    if end != header.span.payload_size:
        return None
    return found


# --- footer ------------------------------------------------------------------------------------
def chain(digest: bytes, head: bytes | bytearray | memoryview) -> bytes:
    """Return the pack's digest after one more block of headers: BLAKE3 keyed by the one before.

    It begins with 32 zero bytes, takes in the superblock and then each extent's header and
    records. Those hold the checksums of all payload and the ids of all chunks, so that this names
    the whole file without hashing its payload a second time.
    """
    return digests.blake3_keyed(digest, head)


def encode_entry(location: Location) -> bytes:
    """Return the 48 bytes of a record in the footer."""
    return ENTRY.pack(*location)


def encode_span(span: Span) -> bytes:
    """Return the 32 bytes of an extent in the footer."""
    return _SPAN.pack(*span, 0)


def encode_footer(
    superblock: Superblock,
    footer_offset: int,
    entries: bytes,
    table: bytes,
    payload_bytes: int,
    digest: bytes,
) -> bytes:
    """Return the footer: entries sorted by id, extents, padding, trailer. Block-sized.

    `entries` are encoded entries in any order, `table` encoded spans in file order.
    """
    sections = b"".join(
        sorted(entries[at : at + ENTRY_SIZE] for at in range(0, len(entries), ENTRY_SIZE))
    )
    size = align(len(sections) + len(table) + TRAILER_SIZE)
    body = _TRAILER.pack(
        _FOOTER_MAGIC,
        VERSION,
        superblock.klass,
        0,
        superblock.segment,
        superblock.uuid,
        superblock.life,
        footer_offset,
        len(entries) // ENTRY_SIZE,
        digests.crc32c(sections),
        len(table) // SPAN_SIZE,
        digests.crc32c(table),
        0,
        0,
        0,
        footer_offset + size,
        payload_bytes,
        digest,
    ).ljust(TRAILER_SIZE - 4, b"\0")
    trailer = body + _U32.pack(digests.crc32c(body))
    return (sections + table).ljust(size - TRAILER_SIZE, b"\0") + trailer


def decode_trailer(data: bytes | memoryview, size: int) -> Trailer | None:
    """Return the trailer of a file of `size` bytes, or None when the bytes are not a sound one."""
    if len(data) != TRAILER_SIZE or size > SEGMENT_SIZE_MAX * 2:
        return None
    if _U32.unpack_from(data, TRAILER_SIZE - 4)[0] != digests.crc32c(data[:-4]):
        return None
    fields = _TRAILER.unpack_from(data)
    magic, version, klass, _, segment, uuid, life, start, entries, entries_crc = fields[:10]
    spans, spans_crc, filter_size, _, _, whole, payload, digest = fields[10:]
    if magic != _FOOTER_MAGIC or version != VERSION or whole != size:
        return None
    sections = entries * ENTRY_SIZE + spans * SPAN_SIZE + filter_size
    if start < SUPERBLOCK_SIZE or start % BLOCK or start + sections + TRAILER_SIZE > size:
        return None
    return Trailer(
        uuid, life, segment, klass, start, entries, entries_crc, spans, spans_crc,
        filter_size, whole, payload, digest,
    )  # fmt: skip


def decode_spans(data: bytes | memoryview, trailer: Trailer) -> list[Span] | None:
    """Return the extents of a pack in file order, or None when damaged."""
    if len(data) != trailer.spans * SPAN_SIZE or digests.crc32c(data) != trailer.spans_crc:
        return None
    found = []
    end = SUPERBLOCK_SIZE
    for offset, size, start, length, crc, own, count, _ in _SPAN.iter_unpack(data):
        if offset != end or start < offset + HEADER_SIZE or start + length > offset + size:
            return None
        end = offset + size
        found.append(Span(offset, size, start, length, crc, own, count))
    if end != trailer.footer_offset:
        return None
    return found


def decode_entries(data: bytes | memoryview, trailer: Trailer) -> list[Location] | None:
    """Return the records of a pack, sorted by id, or None when damaged."""
    if len(data) != trailer.entries * ENTRY_SIZE or digests.crc32c(data) != trailer.entries_crc:
        return None
    found = [Location._make(fields) for fields in ENTRY.iter_unpack(data)]
    for _, offset, size, _, _, _ in found:
        if offset < SUPERBLOCK_SIZE or offset + size > trailer.footer_offset:
            return None
    return found
