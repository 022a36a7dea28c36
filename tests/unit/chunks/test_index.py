"""The index as a file: growth, the clean flag, readers, and files that are not ours."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from gateway.chunks.index import HEADER_SIZE, SLOTS_MIN, Index
from gateway.errors import Corrupt, NotFound, Reason, Unavailable

SOURCE = random.Random(1)
IDS = [SOURCE.randbytes(32) for _ in range(5000)]
PLACES = [(number, number * 2, number * 3) for number in range(5000)]
INSTANCE = bytes(range(16))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "index")


def test_puts_and_gets(path: str) -> None:
    with Index.create(path, 5000, instance=INSTANCE) as index:
        assert len(index) == 0
        assert not index.was_clean
        assert index.capacity >= 5000
        index.put_many(IDS[:3000], PLACES[:3000])
        assert len(index) == 3000
        assert index.get_many(IDS) == [*PLACES[:3000], *[None] * 2000]
        assert index.get(IDS[7]) == (7, 14, 21)
        assert index.get(IDS[4000]) is None
        index.put_many(IDS[:2], [(9, 9, 9), (8, 8, 8)])
        assert len(index) == 3000
        assert index.get_many(IDS[:2]) == [(9, 9, 9), (8, 8, 8)]
        index.put_many([], [])
        assert index.get_many([]) == []
        assert index.instance == INSTANCE


def test_grows_into_a_larger_file_of_the_same_name(path: str) -> None:
    with Index.create(path, 1, instance=INSTANCE) as index:
        before = os.stat(path)
        for start in range(0, 5000, 100):
            index.put_many(IDS[start : start + 100], PLACES[start : start + 100])
            assert len(index) <= index.capacity
        assert index.get_many(IDS) == PLACES
        assert index.instance == INSTANCE
        assert os.stat(path).st_ino != before.st_ino
        assert os.stat(path).st_size > before.st_size
    assert os.listdir(os.path.dirname(path)) == ["index"]


def test_grows_at_once_as_far_as_a_batch_needs(path: str) -> None:
    with Index.create(path, 1) as index:
        index.put_many(IDS, PLACES)
        assert index.get_many(IDS) == PLACES


def test_the_clean_flag(path: str) -> None:
    with Index.create(path, 100) as index:
        index.put_many(IDS[:50], PLACES[:50])
        index.mark_clean()
    with Index.open(path) as index:
        assert index.was_clean
        assert len(index) == 50
        assert index.get_many(IDS[:50]) == PLACES[:50]
    with Index.open(path) as index:
        assert not index.was_clean, "opening for writing clears it"
        assert len(index) == 50
        index.mark_clean()
        index.put_many(IDS[50:60], PLACES[50:60])
    with Index.open(path) as index:
        assert not index.was_clean, "so does a put"
        assert len(index) == 60
        index.mark_clean()
    with Index.open(path, readonly=True) as reader:
        assert reader.was_clean
    with Index.open(path) as index:
        assert index.was_clean, "opening for reading does not"


def test_an_unclean_index_is_counted_anew(path: str) -> None:
    with Index.create(path, 100) as index:
        index.put_many(IDS[:50], PLACES[:50])
    with open(path, "r+b") as file:
        file.seek(64 + 8)
        file.write(struct.pack("<Q", 2**63))
    with Index.open(path) as index:
        assert len(index) == 50


def test_readers_follow_growth_and_replacement(path: str) -> None:
    with Index.create(path, 1) as index, Index.open(path, readonly=True) as reader:
        index.put_many(IDS[:10], PLACES[:10])
        assert reader.get(IDS[3]) == PLACES[3]
        index.put_many(IDS, PLACES)
        assert reader.get_many(IDS) == PLACES
        assert len(reader) == 5000
        with Index.create(path, 10) as anew:
            anew.put_many(IDS[:1], PLACES[:1])
            assert reader.get_many(IDS[:2]) == [PLACES[0], None]
        for refused in (reader.mark_clean, lambda: reader.put_many(IDS[:1], PLACES[:1])):
            with pytest.raises(TypeError):
                refused()


def test_a_bad_batch_adds_nothing(path: str) -> None:
    with Index.create(path, 10) as index:
        with pytest.raises(OverflowError):
            index.put_many(IDS[:2], [(1, 1, 1), (2**32, 0, 0)])
        with pytest.raises(ValueError, match="16 bytes"):
            index.put_many([IDS[0], b"short"], PLACES[:2])
        assert len(index) == 0
        assert index.get(IDS[0]) is None


def test_close_twice(path: str) -> None:
    index = Index.create(path, 10)
    index.close()
    index.close()


def test_a_missing_file(path: str) -> None:
    with pytest.raises(NotFound) as caught:
        Index.open(path)
    assert caught.value.reason is Reason.NO_SUCH_FILE


def test_a_directory_that_is_missing_or_in_the_way(path: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Index.create(str(tmp_path / "nowhere" / "index"), 10)
    os.mkdir(path)
    with pytest.raises(Unavailable) as caught:
        Index.create(path, 10)
    assert caught.value.reason is Reason.IO_ERROR
    assert os.listdir(tmp_path) == ["index"], "the half-made file is gone"


def foreign(path: str) -> None:
    before = Path(path).read_bytes()
    with pytest.raises(Corrupt) as caught:
        Index.open(path)
    assert caught.value.reason is Reason.UNKNOWN_FORMAT
    assert Path(path).read_bytes() == before, "what is not ours is not touched"


def test_every_byte_of_the_fixed_header_is_guarded(path: str) -> None:
    Index.create(path, 10).close()
    good = Path(path).read_bytes()
    for at in range(52):
        Path(path).write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        foreign(path)


def test_other_versions_and_sizes_are_refused(path: str) -> None:
    Index.create(path, 10).close()
    good = Path(path).read_bytes()
    for data in (b"", b"x", good[:4095], good[:4096], good[:-1], good + b"\0", bytes(len(good))):
        Path(path).write_bytes(data)
        foreign(path)


def test_a_header_that_lies_consistently_is_refused(path: str) -> None:
    """The checksum is right, the sizes are impossible: bounds are checked all the same."""
    from gateway.digests import crc32c

    Index.create(path, 10).close()
    good = Path(path).read_bytes()
    layout = struct.Struct("<8sIIIIQ16s")
    for field, value in (
        (1, 2),
        (2, 8192),
        (3, 16),
        (5, 0),
        (5, 1023),
        (5, 512),
        (5, 2**63),
        (5, 2048),
    ):
        fields = list(layout.unpack_from(good))
        fields[field] = value
        head = layout.pack(*fields)
        Path(path).write_bytes(head + struct.pack("<I", crc32c(head)) + good[len(head) + 4 :])
        foreign(path)


def test_the_header_is_a_format(path: str) -> None:
    """docs/formats/index.md."""
    with Index.create(path, 10, instance=INSTANCE) as index:
        index.put_many(IDS[:3], PLACES[:3])
        index.mark_clean()
    data = Path(path).read_bytes()
    assert len(data) == HEADER_SIZE + SLOTS_MIN * 32
    assert data[:48] == b"SGINDEX\0" + struct.pack("<IIIIQ", 1, 4096, 32, 0, 1024) + INSTANCE
    assert data[64:80] == struct.pack("<IIQ", 1, 0, 3)
    assert data[80:4096] == bytes(4016)


def test_an_instance_has_16_bytes(path: str) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Index.create(path, 10, instance=b"short")
    with Index.create(path, 10) as index:
        assert len(index.instance) == 16
