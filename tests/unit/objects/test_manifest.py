"""Manifests: ranges as of a plain list of entries, local changes, parts of unlike heights."""

from __future__ import annotations

import contextlib
import struct
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.chunks.chunk import Entry
from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.manifest import (
    ENTRIES_MAX,
    Child,
    build_above,
    build_list,
    decode_manifest,
    encode_children,
    encode_entries,
    locate,
)

VECTORS = Path(__file__).parents[2] / "vectors"


def digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def entries_of(count: int, salt: bytes = b"") -> list[Entry]:
    return [
        Entry(digest(b"%b%d" % (salt, i)), i % 3 * 7, 1 + (i * 2_654_435_761) % 262_144)
        for i in range(count)
    ]


class MemoryManifests:
    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def build(self, steps) -> Child:
        answer = None
        try:
            while True:
                data = steps.send(answer)
                answer = digest(data)
                self.data[answer] = data
        except StopIteration as stop:
            return stop.value

    def locate(self, root: bytes, start: int, end: int) -> list[Entry]:
        found: list[Entry] = []
        steps = locate(root, start, end)
        answer = None
        try:
            while True:
                need = steps.send(answer)
                if isinstance(need, bytes):
                    answer = decode_manifest(need, self.data[need])
                else:
                    found += need
                    answer = None
        except StopIteration:
            return found


def cut(entries: list[Entry], start: int, end: int) -> list[Entry]:
    """The slow way."""
    found, at = [], 0
    for chunk, offset, length in entries:
        first, last = max(at, start), min(at + length, end)
        if first < last:
            found.append(Entry(chunk, offset + first - at, last - first))
        at += length
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99), st.integers(1, 50)), min_size=1),
    st.data(),
)
def test_a_range_is_that_of_the_list(rows, data):
    entries = [Entry(digest(b"%d" % n), offset, length) for n, offset, length in rows]
    manifests = MemoryManifests()
    top = manifests.build(build_list(entries))
    size = sum(entry.length for entry in entries)
    assert (top.bytes, top.level) == (size, 0)
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    assert manifests.locate(top.id, start, end) == cut(entries, start, end)
    with pytest.raises(Corrupt):
        manifests.locate(top.id, start, size + 1)


def test_a_long_list_is_a_tree_and_a_change_is_local():
    manifests = MemoryManifests()
    entries = entries_of(40_000)
    top = manifests.build(build_list(entries))
    assert top.level == 1
    lists = [decode_manifest(i, d) for i, d in manifests.data.items() if d[3] == 0]
    sizes = sorted(len(one.ends) for one in lists)
    assert 700 < sum(sizes) / len(sizes) < 1400
    assert sizes[-1] <= ENTRIES_MAX
    before = len(manifests.data)
    changed = [*entries[:20_000], Entry(digest(b"new"), 0, 5), *entries[20_001:]]
    other = manifests.build(build_list(changed))
    assert len(manifests.data) - before <= 3
    size = other.bytes
    for start, end in ((0, 1), (size - 1, size), (size // 2 - 10**8, size // 2 + 10**8), (0, size)):
        assert manifests.locate(other.id, start, end) == cut(changed, start, end)


def test_identical_chunks_make_bounded_lists():
    manifests = MemoryManifests()
    for name in (b"never cut", b"\x00"):
        entries = [Entry(digest(name) if name != b"\x00" else bytes(32), 0, 262_144)] * 10_000
        top = manifests.build(build_list(entries))
        assert manifests.locate(top.id, 262_143, 262_145) == [
            (entries[0].id, 262_143, 1),
            (entries[0].id, 0, 1),
        ]


def test_parts_of_unlike_heights_go_below_one_manifest():
    manifests = MemoryManifests()
    lists = [entries_of(count, b"%d/" % count) for count in (3, 20_000, 1, 700)]
    children = [manifests.build(build_list(entries)) for entries in lists]
    assert [child.level for child in children] == [0, 1, 0, 0]
    top = manifests.build(build_above(children))
    assert top.level == 2
    whole = [entry for entries in lists for entry in entries]
    size = sum(entry.length for entry in whole)
    assert top.bytes == size
    for start, end in ((0, size), (size - 500, size), (children[0].bytes - 1, size // 3)):
        assert manifests.locate(top.id, start, end) == cut(whole, start, end)


def test_ten_thousand_parts():
    manifests = MemoryManifests()
    children = [manifests.build(build_list(entries_of(2, b"%d/" % i))) for i in range(10_000)]
    before = len(manifests.data)
    top = manifests.build(build_above(children))
    assert len(manifests.data) - before < 20
    assert top.bytes == sum(child.bytes for child in children)
    found = manifests.locate(top.id, children[0].bytes, children[0].bytes + children[1].bytes)
    assert found == entries_of(2, b"1/")


def test_descent_is_bounded():
    leaf = encode_entries(entries_of(2))
    size = sum(entry.length for entry in entries_of(2))
    manifests = MemoryManifests()
    manifests.data[digest(leaf)] = leaf
    # A manifest that claims to be above one of its own level, and one that lies about sizes.
    same = encode_children([Child(digest(leaf), size, 0)], 1)
    manifests.data[digest(same)] = same
    loop = encode_children([Child(digest(same), size, 0)], 1)
    manifests.data[digest(loop)] = loop
    liar = encode_children([Child(digest(leaf), size + 1, 0)], 1)
    manifests.data[digest(liar)] = liar
    assert manifests.locate(digest(same), 0, size) == entries_of(2)
    for root in (loop, liar):
        with pytest.raises(Corrupt):
            manifests.locate(digest(root), 0, size)
    with pytest.raises(Invalid):
        manifests.build(build_above([Child(digest(leaf), 1, 15)] * 2))


@given(st.data())
def test_damage_is_an_error_of_ours(data):
    good = encode_entries(entries_of(data.draw(st.integers(1, 5))))
    cut_at = data.draw(st.integers(0, len(good) - 1))
    flipped = bytearray(good)
    flipped[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (good[:cut_at], good + b"x"):
        with pytest.raises(Corrupt):
            decode_manifest(bytes(32), damaged)
    with contextlib.suppress(Corrupt):
        decode_manifest(bytes(32), bytes(flipped))


def test_a_newer_manifest_is_refused_by_name():
    for index, value in ((2, 2), (3, 16)):
        newer = bytearray(encode_entries(entries_of(1)))
        newer[index] = value
        with pytest.raises(Corrupt) as caught:
            decode_manifest(bytes(32), bytes(newer))
        assert caught.value.reason is Reason.UNKNOWN_FORMAT


def golden() -> dict[str, bytes]:
    """The manifests whose bytes are fixed in tests/vectors/manifest_*.hex."""
    entries = entries_of(5)
    children = [Child(entry.id, entry.length * 1000, 0) for entry in entries]
    return {
        "manifest_list": encode_entries(entries),
        "manifest_tree": encode_children(children, 2),
    }


@pytest.mark.parametrize("name", golden())
def test_golden(name):
    data = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    assert golden()[name] == data
    assert data[:16] == struct.pack(
        "<2sBBIQ", b"SM", 1, data[3], 5, decode_manifest(bytes(32), data).bytes
    )


def test_golden_cuts():
    """Where a list of 20,000 is cut: fixed for ever."""
    manifests = MemoryManifests()
    top = manifests.build(build_list(entries_of(20_000)))
    assert top.id.hex() == (VECTORS / "manifest_root.txt").read_text().strip()
