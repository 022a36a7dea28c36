"""The bytes of the extent log: golden vectors, round trips, and refusal of anything unsound."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import digests
from gateway.chunks import pack
from gateway.chunks.appender import Chain
from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.packer import COMPACT_MAX, RECORDS_MAX, ROOM, Extent
from gateway.limits import KIB

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
SUPERBLOCK = pack.Superblock(bytes(range(16)), 1, 7, pack.CLASS_DATA, 1_700_000_000_000)
DOMAIN = Domain.from_salt("vectors", bytes(range(32)))
BODIES = [
    (RecordKind.SMALL, b"The quick brown fox jumps over the lazy dog"),
    (RecordKind.CHUNK, bytes(range(256)) * 20),
    (RecordKind.NODE, b"\0"),
]


def extent_of(bodies: list[tuple[RecordKind, bytes]], capacity: int = 64 * KIB) -> Extent:
    extent = Extent(memoryview(bytearray(ROOM + pack.align(capacity))), 1)
    for kind, data in bodies:
        assert extent.fits(len(data))
        crc = digests.crc32c(data)
        extent.place(extent.reserve(kind, DOMAIN.name(kind, data), len(data), crc), data)
    return extent


def small_pack() -> bytes:
    """A pack of two extents, as `docs/formats/segment.md` walks through it."""
    block = pack.encode_superblock(SUPERBLOCK)
    chain = Chain.begin(block)
    out = bytearray(block)
    payload = 0
    for number, bodies in enumerate([BODIES, [(RecordKind.PARTS, b"parts")]]):
        extent = extent_of(bodies)
        data, span = extent.encode(SUPERBLOCK, chain.end, chain.seq, chain.prev_crc)
        head = data[: pack.HEADER_SIZE + pack.RECORD_SIZE * len(extent)]
        chain.add(span, head, extent.locations(span, number))
        payload += span.payload_size
        out += data
    out += pack.encode_footer(
        SUPERBLOCK, chain.end, bytes(chain.entries), bytes(chain.spans), payload, chain.digest
    )
    return bytes(out)


def golden(name: str) -> bytes:
    """Read a vector: hex of runs, `zeros N` for runs of zeros, `#` comments."""
    out = b""
    for line in (VECTORS / name).read_text().splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["zeros"]:
            out += bytes(int(words[1]))
        else:
            out += bytes.fromhex("".join(words))
    return out


def test_a_pack_has_the_bytes_of_the_vector() -> None:
    assert small_pack() == golden("segment_pack.hex")


def test_the_keys_of_a_domain_do_not_change() -> None:
    lines = [
        f"{name} {getattr(DOMAIN, name).hex()}"
        for name in ("chunk_key", "manifest_key", "node_key", "parts_key")
    ]
    lines.append(f"gear {DOMAIN.gear[:64].hex()}")
    lines += [f"id_of_{kind.name} {DOMAIN.name(kind, b'sidegate').hex()}" for kind in RecordKind]
    assert lines == (VECTORS / "segment_domain.txt").read_text().splitlines()


def test_the_vector_decodes_to_what_went_in() -> None:
    image = golden("segment_pack.hex")
    assert pack.decode_superblock(image[:4096]) == SUPERBLOCK
    trailer = pack.decode_trailer(image[-256:], len(image))
    assert trailer is not None
    spans = pack.decode_spans(
        image[trailer.spans_offset : trailer.spans_offset + trailer.spans * pack.SPAN_SIZE], trailer
    )
    assert spans is not None
    entries = pack.decode_entries(image[trailer.footer_offset : trailer.spans_offset], trailer)
    assert entries is not None
    assert entries == sorted(entries)
    by_id = {entry.id: image[entry.offset : entry.offset + entry.size] for entry in entries}
    assert by_id == {
        DOMAIN.name(kind, data): data for kind, data in [*BODIES, (RecordKind.PARTS, b"parts")]
    }
    prev = 0
    for seq, span in enumerate(spans, 1):
        header = pack.decode_header(image[span.offset :], span.offset, len(image), SUPERBLOCK)
        assert header is not None
        assert (header.span, header.seq, header.prev_crc) == (span, seq, prev)
        prev = span.header_crc
        records = pack.decode_records(image[span.offset :], header)
        assert records is not None
        payload = image[span.payload_offset : span.payload_offset + span.payload_size]
        assert digests.crc32c(payload) == span.payload_crc
        for record in records:
            part = payload[record.offset : record.offset + record.size]
            assert digests.crc32c(part) == record.crc
            assert by_id[record.id] == part


def test_a_lone_small_record_takes_one_block() -> None:
    data, span = extent_of([(RecordKind.SMALL, b"x" * 1000)]).encode(SUPERBLOCK, 4096, 1, 0)
    assert len(data) == span.size == 4096


@given(
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=60),
    offset=st.integers(1, 1000),
    seq=st.integers(1, 2**63),
)
def test_extents_of_any_sizes_come_back(sizes: list[int], offset: int, seq: int) -> None:
    source = random.Random(len(sizes))
    bodies = [(RecordKind.CHUNK, source.randbytes(size)) for size in sizes]
    extent = extent_of(bodies, sum(sizes))
    at = offset * pack.BLOCK
    first = bytes(extent.encode(SUPERBLOCK, at, seq, 99)[0])
    data, span = extent.encode(SUPERBLOCK, at, seq, 99)
    assert first == bytes(data)  # it may be asked for again
    assert len(data) % pack.BLOCK == 0
    header = pack.decode_header(data, at, at + len(data), SUPERBLOCK)
    assert header is not None
    assert header.span == span
    assert (header.seq, header.prev_crc) == (seq, 99)
    records = pack.decode_records(data, header)
    assert records is not None
    payload = bytes(data[span.payload_offset - at :][: span.payload_size])
    assert payload == b"".join(body for _, body in bodies)
    assert digests.crc32c(payload) == span.payload_crc
    assert [record.size for record in records] == sizes
    assert not any(data[span.payload_offset - at + span.payload_size :])
    # One byte less of file, and it is none.
    assert pack.decode_header(data, at, at + len(data) - 1, SUPERBLOCK) is None


def test_payload_above_the_compact_size_is_block_aligned() -> None:
    size = COMPACT_MAX // 2 + 1
    bodies = [(RecordKind.CHUNK, random.Random(n).randbytes(size)) for n in range(2)]
    _, span = extent_of(bodies, 2 * size).encode(SUPERBLOCK, 4096, 1, 0)
    assert span.payload_offset % pack.BLOCK == 0
    payload = b"".join(body for _, body in bodies)
    assert span.payload_crc == digests.crc32c(payload)


def test_an_extent_is_full_of_bytes_or_of_records() -> None:
    extent = extent_of([], 8192)
    assert extent.fits(8192)
    assert not extent.fits(8193)
    for number in range(RECORDS_MAX):
        extent.reserve(1, number.to_bytes(32, "big"), 1, 0)
    assert not extent.fits(1)
    data, span = extent.encode(SUPERBLOCK, 4096, 1, 0)
    assert span.records == RECORDS_MAX
    assert pack.decode_header(data, 4096, 1 << 28, SUPERBLOCK) is not None


@given(st.integers(0, 4095), st.integers(1, 255))
def test_any_changed_byte_of_a_superblock_is_noticed(at: int, change: int) -> None:
    data = bytearray(pack.encode_superblock(SUPERBLOCK))
    data[at] ^= change
    assert pack.decode_superblock(data) is None


@given(st.integers(0, 255), st.integers(1, 255))
def test_any_changed_byte_of_a_trailer_is_noticed(at: int, change: int) -> None:
    image = golden("segment_pack.hex")
    data = bytearray(image[-256:])
    data[at] ^= change
    assert pack.decode_trailer(data, len(image)) is None


@given(st.data())
def test_any_changed_byte_of_a_header_or_record_is_noticed(data: st.DataObject) -> None:
    image = bytearray(golden("segment_pack.hex"))
    size = pack.HEADER_SIZE + len(BODIES) * pack.RECORD_SIZE
    at = data.draw(st.integers(0, size - 1))
    image[4096 + at] ^= data.draw(st.integers(1, 255))
    header = pack.decode_header(image[4096:], 4096, len(image), SUPERBLOCK)
    assert header is None or pack.decode_records(image[4096:], header) is None


@given(st.binary(max_size=600))
def test_decoders_take_anything(data: bytes) -> None:
    assert pack.decode_superblock(data) is None
    pack.superblock_version(data)
    assert pack.decode_trailer(data, len(data)) is None
    # With the right beginning, so that the fields behind it are judged.
    uuid = SUPERBLOCK.uuid[:8]
    guess = b"SGEX" + data[:4] + uuid + (1).to_bytes(8, "little") + data[4:]
    header = pack.decode_header(guess, 4096, 1 << 20, SUPERBLOCK)
    if header is not None:
        assert header.span.offset + header.span.size <= 1 << 20
        assert pack.decode_records(guess, header) is None


@pytest.mark.parametrize("short", [0, 1, 255, 4095])
def test_short_reads_are_refused(short: int) -> None:
    image = golden("segment_pack.hex")
    assert pack.decode_superblock(image[:short]) is None
    assert pack.decode_trailer(image[-256:], len(image) - 1) is None
