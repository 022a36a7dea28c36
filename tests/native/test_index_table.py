"""The hash table against a dict."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native.index import SLOT_SIZE, Table


def made(slots: int, start: int = 0) -> Table:
    return Table(bytearray(start + slots * SLOT_SIZE), start, slots, True)


def ident(number: int) -> bytes:
    return number.to_bytes(16, "little") + bytes(16)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 60) | st.integers(0, 2**128 - 1),
            st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
        ),
        max_size=60,
    )
)
def test_agrees_with_a_dict(entries: list[tuple[int, tuple[int, int, int]]]) -> None:
    table = made(64)
    model: dict[bytes, tuple[int, int, int]] = {}
    for number, place in entries:
        fresh = table.put_many([ident(number)], [place])
        assert fresh == (ident(number) not in model)
        model[ident(number)] = place
    assert table.count() == len(model)
    ids = [ident(number) for number in range(70)] + list(model)
    assert table.get_many(ids) == [model.get(name) for name in ids]
    assert [table.get(name) for name in ids] == [model.get(name) for name in ids]


def test_a_batch_with_repeats_takes_the_last() -> None:
    table = made(16)
    assert table.put_many([ident(1), ident(2), ident(1)], [(1, 1, 1), (2, 2, 2), (3, 3, 3)]) == 2
    assert table.get(ident(1)) == (3, 3, 3)


def test_the_zero_id_is_an_id_like_any_other() -> None:
    table = made(4)
    assert table.get(ident(0)) is None
    table.put_many([ident(0)], [(0, 0, 0)])
    assert table.get(ident(0)) == (0, 0, 0)


def test_a_full_table_says_so_and_still_answers() -> None:
    table = made(4)
    ids = [ident(number) for number in range(4)]
    table.put_many(ids, [(number, 0, 0) for number in range(4)])
    with pytest.raises(ValueError, match="full"):
        table.put_many([ident(9)], [(9, 9, 9)])
    assert table.get(ident(9)) is None
    assert table.put_many([ident(2)], [(7, 7, 7)]) == 0
    assert table.get_many(ids) == [(0, 0, 0), (1, 0, 0), (7, 7, 7), (3, 0, 0)]


def test_a_table_of_one_slot() -> None:
    table = made(1)
    table.put_many([ident(5)], [(1, 2, 3)])
    assert (table.get(ident(5)), table.get(ident(6))) == ((1, 2, 3), None)


def test_copies_into_a_larger_table() -> None:
    small, large = made(1024), made(4096)
    source = random.Random(1)
    ids = [source.randbytes(32) for _ in range(1000)]
    places = [(number, number * 3, number * 5) for number in range(1000)]
    small.put_many(ids, places)
    assert small.copy_into(large) == 1000
    assert large.get_many(ids) == places
    with pytest.raises(ValueError, match="full"):
        small.copy_into(made(512))


def test_the_slot_is_a_format() -> None:
    """docs/formats/index.md: where an entry lies, and how."""
    buffer = bytearray(16 * SLOT_SIZE)
    table = Table(buffer, 0, 16, True)
    name = bytes(range(16)) + bytes(16)
    table.put_many([name], [(0x11223344, 0x55667788, 0x99AABBCC)])
    low, high = struct.unpack("<QQ", name[:16])
    home = (((low ^ high) * 0x9E3779B97F4A7C15) % 2**64) >> 60
    assert buffer[home * 32 :][:32] == name[:16] + struct.pack(
        "<IIII", 0x11223344, 0x55667788, 0x99AABBCC, 2
    )
    table.put_many([name], [(1, 2, 0x99AABBCC)])
    assert struct.unpack_from("<IIII", buffer, home * 32 + 16) == (1, 2, 0x99AABBCC, 2)
    table.put_many([name], [(1, 2, 3)])
    assert struct.unpack_from("<IIII", buffer, home * 32 + 16) == (1, 2, 3, 4)


def test_a_slot_left_half_written_is_absent_and_is_taken_over() -> None:
    buffer = bytearray(16 * SLOT_SIZE)
    table = Table(buffer, 0, 16, True)
    table.put_many([ident(1)], [(1, 2, 3)])
    at = next(slot for slot in range(16) if buffer[slot * 32 + 28])
    struct.pack_into("<I", buffer, at * 32 + 28, 3)
    assert table.get(ident(1)) is None
    assert table.put_many([ident(1)], [(4, 5, 6)]) == 0
    assert table.get(ident(1)) == (4, 5, 6)


def test_refusals() -> None:
    table = made(16)
    for slots in (0, 3, 15, 1 << 41):
        with pytest.raises(ValueError, match="power of two"):
            Table(bytearray(512), 0, slots, True)
    with pytest.raises(ValueError, match="do not hold"):
        Table(bytearray(511), 0, 16, True)
    with pytest.raises(BufferError):
        Table(bytes(512), 0, 16, True)
    with pytest.raises(ValueError, match="16 bytes"):
        table.get(b"short")
    with pytest.raises(TypeError):
        table.get("text" * 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="locations"):
        table.put_many([ident(1)], [])
    with pytest.raises(OverflowError):
        table.put_many([ident(1), ident(2)], [(1, 1, 1), (2**32, 0, 0)])
    with pytest.raises(OverflowError):
        table.put_many([ident(1)], [(-1, 0, 0)])
    with pytest.raises(TypeError, match="reading"):
        Table(bytes(512), 0, 16, False).put_many([ident(1)], [(1, 1, 1)])
    assert table.count() == 0
