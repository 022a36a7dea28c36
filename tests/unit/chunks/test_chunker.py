"""The chunker as the store uses it: its parameters, frozen cuts, any split."""

from __future__ import annotations

import hashlib
import random

import blake3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import limits
from gateway.chunks.chunker import GEAR_SIZE, THRESHOLD, Cutter, gear_table

GEAR = gear_table(bytes(range(32)))
KEY = bytes(range(32, 64))
DATA = hashlib.shake_256(b"what the golden cuts are of").digest(3_000_000)
WHOLE_SIZE = 700_000

GOLDEN_GEAR = "8d61b01fe0bf8f467692d562fb44b02303c0b6df98f3e54776279f11fbba310f"
GOLDEN_SIZES = [74216, 58330, 68523, 63215, 33649, 41327]
GOLDEN = "78b07ee77230af606f93ed70f0b424c19225fbb50e3538a8c29f8090ba4441af"


def cut(data: bytes, bounds: list[int], gear: bytes = GEAR) -> list[tuple[bytes, bytes]]:
    """Feed a stream in pieces, from one window that is overwritten after each."""
    cutter = Cutter(gear, KEY)
    window = bytearray(len(data))
    found = []
    edges = [0, *bounds, len(data)]
    for number in range(len(edges) - 1):
        start, end = edges[number], edges[number + 1]
        view = memoryview(window)[: end - start]
        view[:] = data[start:end]
        found += [
            (chunk_id, bytes(chunk))
            for chunk_id, chunk in cutter.feed(view, final=number == len(edges) - 2)
        ]
        cutter.release()
        view[:] = bytes(len(view))
    assert cutter.pending == 0
    return found


WHOLE = cut(DATA[:WHOLE_SIZE], [])


def test_the_cuts_are_frozen() -> None:
    """Other cuts would store every stream anew: a change here is a new chunker, not a fix."""
    assert hashlib.sha256(GEAR).hexdigest() == GOLDEN_GEAR
    chunks = cut(DATA, [])
    assert [len(chunk) for _, chunk in chunks[:6]] == GOLDEN_SIZES
    text = "".join(f"{len(chunk)} {name.hex()}\n" for name, chunk in chunks)
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


def test_sizes_and_ids() -> None:
    assert THRESHOLD == 2**64 // 32768
    chunks = cut(DATA, [])
    assert b"".join(chunk for _, chunk in chunks) == DATA
    assert all(name == blake3.blake3(chunk, key=KEY).digest() for name, chunk in chunks)
    sizes = [len(chunk) for _, chunk in chunks]
    assert all(limits.CHUNK_SIZE_MIN <= size <= limits.CHUNK_SIZE_MAX for size in sizes[:-1])
    assert 0.7 * limits.CHUNK_SIZE_AVG < len(DATA) / len(sizes) < 1.4 * limits.CHUNK_SIZE_AVG


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, WHOLE_SIZE), max_size=20))
def test_cuts_do_not_depend_on_how_bytes_arrive(bounds: list[int]) -> None:
    assert cut(DATA[:WHOLE_SIZE], sorted(bounds)) == WHOLE


@pytest.mark.parametrize("step", [999, 16_384, 65_536, 262_144, 262_145])
def test_even_pieces(step: int) -> None:
    assert cut(DATA[:WHOLE_SIZE], list(range(step, WHOLE_SIZE, step))) == WHOLE


def test_an_edit_moves_few_cuts() -> None:
    """Of T8 in the test plan: after an edit the cuts are the old ones again within three chunks."""
    source = random.Random(1)
    back = 0
    for _ in range(40):
        at = source.randrange(200_000, 1_500_000)
        edited = DATA[:at] + source.randbytes(source.randrange(1, 50)) + DATA[at:]
        before = {name for name, _ in cut(DATA, [])}
        new = [name for name, _ in cut(edited, []) if name not in before]
        back += len(new) <= 3
    assert back >= 38


def test_low_entropy_is_cut_at_the_largest_size_or_the_smallest() -> None:
    sizes = {len(chunk) for _, chunk in cut(bytes(1 << 20), [])}
    assert sizes in ({limits.CHUNK_SIZE_MAX}, {limits.CHUNK_SIZE_MIN})


def test_domains_cut_apart() -> None:
    other = gear_table(bytes(32))
    assert len(GEAR) == len(other) == GEAR_SIZE
    one = {name for name, _ in WHOLE}
    two = {name for name, _ in cut(DATA[:WHOLE_SIZE], [], other)}
    assert not one & two


def test_short_streams() -> None:
    assert cut(b"", []) == []
    assert [len(chunk) for _, chunk in cut(b"x", [])] == [1]
    least = limits.CHUNK_SIZE_MIN
    assert [len(chunk) for _, chunk in cut(DATA[: least - 1], [5, 100])] == [least - 1]


def test_views_hold_until_release_and_order_is_kept() -> None:
    cutter = Cutter(GEAR, KEY)
    cutter.feed(memoryview(DATA)[:1000], final=False)
    assert cutter.pending == 1000
    with pytest.raises(RuntimeError):
        cutter.feed(memoryview(DATA)[1000:2000], final=False)
    cutter.release()
    cutter.release()
    cuts = cutter.feed(memoryview(DATA)[1000:500_000], final=True)
    assert b"".join(bytes(found.data) for found in cuts) == DATA[:500_000]
    cutter.release()
    assert cutter.pending == 0
