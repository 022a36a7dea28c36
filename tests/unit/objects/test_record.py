"""Object records: one encoding each, newer fields kept, damage noticed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.record import (
    ChecksumValue,
    Inline,
    Listed,
    ObjectRecord,
    Single,
    total_size,
)

VECTORS = Path(__file__).parents[2] / "vectors"

IDS = st.binary(min_size=32, max_size=32)
# What arrives in headers: any bytes, read as UTF-8 with the rest escaped.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=4)
CONTENTS = st.one_of(
    st.binary(max_size=64).map(Inline),
    st.builds(Single, IDS, st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1)),
    st.builds(Listed, IDS, st.integers(0, 15)),
)
CHECKSUMS = st.builds(
    ChecksumValue,
    st.sampled_from(["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "XXHASH3"]),
    st.sampled_from(["FULL_OBJECT", "COMPOSITE"]),
    st.binary(min_size=4, max_size=64),
)
RECORDS = st.builds(
    ObjectRecord,
    size=st.integers(0, 2**64 - 1),
    mtime_ms=st.integers(0, 2**44),
    md5=st.just(b"") | st.binary(min_size=16, max_size=16),
    parts=st.integers(0, 10_000),
    content=CONTENTS,
    headers=st.dictionaries(
        st.sampled_from(["content-type", "expires", "x-amz-storage-class", "x-new"]), TEXTS
    ),
    metadata=MAPS,
    tags=MAPS,
    checksums=st.lists(CHECKSUMS, max_size=3, unique_by=lambda c: (c.algorithm, c.kind)).map(tuple),
    part_table=st.none() | IDS,
    unknown=st.dictionaries(st.integers(13, 255), st.binary(max_size=300), max_size=3),
)


@given(RECORDS)
def test_a_record_comes_back_and_has_one_encoding(record):
    data = record.encode()
    back = ObjectRecord.decode(memoryview(data))
    assert back.encode() == data
    assert total_size([data, data]) == 2 * record.size
    assert replace(back, checksums=()) == replace(record, checksums=())
    assert set(back.checksums) == set(record.checksums)
    turned = {name: record.metadata[name] for name in reversed(record.metadata)}
    assert replace(record, metadata=turned).encode() == data


@given(RECORDS, st.data())
def test_damage_is_an_error_of_ours(record, data):
    encoded = bytearray(record.encode())
    cut = data.draw(st.integers(0, len(encoded) - 1))
    flip = data.draw(st.integers(0, len(encoded) - 1))
    for damaged in (encoded[:cut], _with(encoded, flip, data.draw(st.integers(0, 255)))):
        with contextlib.suppress(Corrupt):
            ObjectRecord.decode(bytes(damaged)).encode()


def _with(data, index, value):
    changed = bytearray(data)
    changed[index] = value
    return changed


def test_bytes_that_are_not_utf8_survive():
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    record = ObjectRecord(0, 0, bytes(16), metadata={"title": name})
    back = ObjectRecord.decode(record.encode())
    assert back.metadata["title"].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_etag_tells_of_parts():
    md5 = bytes(range(16))
    assert ObjectRecord(0, 0, md5).etag() == "000102030405060708090a0b0c0d0e0f"
    assert ObjectRecord(0, 0, md5, parts=12).etag() == "000102030405060708090a0b0c0d0e0f-12"


def test_a_newer_version_is_refused_by_name():
    with pytest.raises(Corrupt) as caught:
        ObjectRecord.decode(b"\x02\x01\x00\x02\x00\x05\x00")
    assert caught.value.reason is Reason.UNKNOWN_FORMAT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\x01\x00\x02\x00",  # no content
        b"\x01\x01\x00\x02\x00\x05\x00\x05\x00",  # a field twice
        b"\x01\x02\x00\x01\x00\x05\x00",  # out of order
        b"\x01\x01\x01\x00\x02\x00\x05\x00",  # a number with a zero at its end
        b"\x01\x01\x00\x02\x00\x05\x00\x07\x21" + bytes(33),  # two contents
        b"\x01\x01\x00\x02\x00\x05\x80\x00",  # a length not in its shortest form
    ],
)
def test_what_is_not_canonical_is_refused(data):
    with pytest.raises(Corrupt):
        ObjectRecord.decode(data)


def test_what_does_not_fit_is_refused():
    for record in (
        ObjectRecord(-1, 0, bytes(16)),
        ObjectRecord(1 << 64, 0, bytes(16)),
        ObjectRecord(0, 0, bytes(15)),
        ObjectRecord(0, 0, bytes(16), content=Single(bytes(32), 0, 1 << 32)),
        ObjectRecord(0, 0, bytes(16), content=Listed(b"short", 0)),
        ObjectRecord(0, 0, bytes(16), content=Listed(bytes(32), 16)),
        ObjectRecord(0, 0, bytes(16), unknown={3: b""}),
        ObjectRecord(0, 0, bytes(16), metadata={"x": "\ud800"}),
    ):
        with pytest.raises(Invalid):
            record.encode()


def golden() -> dict[str, ObjectRecord]:
    """The records whose bytes are fixed in tests/vectors/record_*.hex."""
    chunk, other = bytes(range(32)), bytes(range(32, 64))
    md5 = bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")
    return {
        "record_empty": ObjectRecord(0, 1_700_000_000_123, md5),
        "record_inline": ObjectRecord(
            3, 1_700_000_000_123, md5, content=Inline(b"abc"), headers={"content-type": "text/csv"}
        ),
        "record_single": ObjectRecord(
            65_536,
            1_700_000_000_123,
            md5,
            content=Single(chunk, 0, 65_536),
            headers={"x-own": "1", "content-type": "image/jpeg", "cache-control": "no-cache"},
            metadata={"label": "Katze \u00fc", "b": "2"},
            checksums=(
                ChecksumValue("SHA256", "FULL_OBJECT", other),
                ChecksumValue("CRC64NVME", "FULL_OBJECT", bytes(range(8))),
            ),
        ),
        "record_listed": ObjectRecord(
            10 * 1024**3,
            1_700_000_000_123,
            md5,
            parts=1280,
            content=Listed(chunk, 2),
            tags={"team": "vision", "cost": ""},
            checksums=(ChecksumValue("CRC32C", "COMPOSITE", b"\x01\x02\x03\x04"),),
            part_table=other,
            unknown={200: b"from a newer writer"},
        ),
    }


@pytest.mark.parametrize("name", golden())
def test_golden(name):
    data = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    assert golden()[name].encode() == data
    assert ObjectRecord.decode(data).encode() == data
