"""Nodes and part tables: bytes as documented, damage noticed."""

from __future__ import annotations

import contextlib
import struct
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree_nodes import MemoryNodes, record

from gateway.errors import Corrupt, Invalid, Reason, TooLarge
from gateway.objects.boundary import ends_node
from gateway.objects.node import Node, decode_node, encode_node, find_in_leaf
from gateway.objects.parts import Part, decode_parts, encode_parts
from gateway.objects.record import ChecksumValue

VECTORS = Path(__file__).parents[2] / "vectors"
ID = bytes(32)

KEYS = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.builds(lambda n, tail: b"a/long/prefix/" * n + tail, st.integers(0, 20), st.binary()),
    ),
    unique=True,
    min_size=1,
    max_size=60,
).map(sorted)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(KEYS, st.data())
def test_a_leaf_comes_back(keys, data):
    values = [record(data.draw(st.integers(0, 2**57)), "n" * (len(key) % 7)) for key in keys]
    draft = encode_node(0, keys, values)
    node = decode_node(ID, draft.data)
    assert node.keys == tuple(keys)
    assert node.values(0, len(keys)) == values
    assert [node.value(i) for i in range(len(keys))] == values
    assert (node.objects, node.bytes) == (draft.objects, draft.bytes)
    assert encode_node(0, node.keys, values).data == draft.data
    for key, value in zip(keys, values, strict=True):
        assert find_in_leaf(ID, draft.data, key) == value
        for other in (key + b"\x00", key[:-1]):
            if other not in keys:
                assert find_in_leaf(ID, draft.data, other) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(KEYS, st.data())
def test_an_inner_node_comes_back_and_adds_up(keys, data):
    counts = [data.draw(st.integers(0, 2**50)) for _ in keys]
    values = [
        blake2b(key, digest_size=32).digest() + struct.pack("<QQ", count, 3 * count)
        for key, count in zip(keys, counts, strict=True)
    ]
    node = decode_node(ID, encode_node(3, keys, values).data)
    assert node.level == 3
    assert node.values(0, len(keys)) == values
    assert [node.child(i) for i in range(len(keys))] == [value[:32] for value in values]
    assert (node.objects, node.bytes) == (sum(counts), 3 * sum(counts))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(KEYS, st.data())
def test_damage_is_an_error_of_ours(keys, data):
    good = encode_node(0, keys, [record(5) for _ in keys]).data
    cut = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(0, len(good) - 1))
    flipped = bytearray(good)
    flipped[flip] ^= data.draw(st.integers(1, 255))
    for damaged in (good[:cut], good + b"x", bytes(flipped)):
        with contextlib.suppress(Corrupt):
            find_in_leaf(ID, damaged, keys[-1])
        with contextlib.suppress(Corrupt):
            decode_node(ID, damaged)


def test_keys_can_be_searched_in_place():
    """The restarts lead to every sixteenth key without those between: what the table promises."""
    keys = [b"k/%05d" % i for i in range(100)]
    data = encode_node(0, keys, [record(i) for i in range(100)]).data
    magic, version, level, flags, restart, prefix, count, block = struct.unpack_from(
        "<2sBBBBHII", data
    )
    assert (magic, version, level, flags, restart, count) == (b"SN", 1, 0, 0, 16, 100)
    restarts = struct.unpack_from("<7I", data, 32 + prefix)
    at = 32 + prefix + 28
    for index, offset in enumerate(restarts):
        shared, size = data[at + offset], data[at + offset + 1]
        rest = data[at + offset + 2 : at + offset + 2 + size]
        assert shared == 0
        assert data[32 : 32 + prefix] + rest == keys[16 * index]
    ends = struct.unpack_from("<100I", data, at + block)
    values = data[at + block + 400 :]
    assert values[ends[41] : ends[42]] == record(42)


def test_a_key_too_long_is_refused():
    with pytest.raises(Invalid) as caught:
        encode_node(0, [b"k" * 65_536], [record()])
    assert caught.value.reason is Reason.KEY_TOO_LONG
    with pytest.raises(TooLarge):
        encode_node(0, [b"a", b"b"], [record(2**63)] * 2)


def test_a_newer_node_is_refused_by_name():
    data = bytearray(encode_node(0, [b"k"], [record()]).data)
    for index in (2, 4):
        newer = bytearray(data)
        newer[index] = 9
        with pytest.raises(Corrupt) as caught:
            decode_node(ID, bytes(newer))
        assert caught.value.reason is Reason.UNKNOWN_FORMAT


def test_a_child_must_be_what_its_parent_says():
    nodes = MemoryNodes()
    tree = nodes.build((b"%06d" % i, record(i, "n" * 200)) for i in range(2000))
    root = nodes.node(tree.root)
    first = nodes.node(root.child(0))
    assert root.check_child(0, first) is first
    with pytest.raises(Corrupt):
        root.check_child(1, first)
    with pytest.raises(Corrupt):
        root.check_child(0, Node(ID, encode_node(1, first.keys, [bytes(48)] * len(first.keys))))


def test_golden_boundaries():
    """Which of these keys end a node: fixed for ever, on every machine."""
    ends = [i for i in range(3000) if ends_node(i % 3, b"key-%d" % i, 9000 + i, 9120 + i)]
    lines = (VECTORS / "tree_boundaries.txt").read_text().split()
    assert ends == [int(line) for line in lines]
    assert not ends_node(0, b"any", 0, 2047)
    assert ends_node(0, b"any", 65_500, 65_536)


def golden() -> dict[str, bytes]:
    """The nodes whose bytes are fixed in tests/vectors/tree_*.hex."""
    keys = [b"train/class%02d/img_%04d.jpg" % (i // 7, i) for i in range(40)]
    leaf = encode_node(0, keys, [record(i * 1000, "n" * (i % 3)) for i in range(40)])
    children = [
        blake2b(key, digest_size=32).digest() + struct.pack("<QQ", i, i * 1000)
        for i, key in enumerate(keys)
    ]
    return {
        "tree_leaf": leaf.data,
        "tree_inner": encode_node(2, keys, children).data,
        "tree_one": encode_node(0, [b"only"], [record(1)]).data,
    }


def golden_root() -> str:
    nodes = MemoryNodes()
    return nodes.build(
        (b"data/%07d" % i, record(i, "n" * (i % 31))) for i in range(20_000)
    ).root.hex()


@pytest.mark.parametrize("name", golden())
def test_golden_nodes(name):
    data = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    assert golden()[name] == data
    node = decode_node(ID, data)
    assert encode_node(node.level, node.keys, node.values(0, len(node.keys))).data == data


def test_golden_root():
    """A tree of 20,000 entries, by BLAKE2b for ids: all of the rule and the format at once."""
    assert golden_root() == (VECTORS / "tree_root.txt").read_text().strip()


PARTS = st.lists(
    st.builds(
        Part,
        st.integers(1, 10_000),
        st.integers(0, 2**40),
        st.binary(min_size=16, max_size=16),
        st.just(()) | st.just((ChecksumValue("CRC32", "FULL_OBJECT", b"abcd"),)),
    ),
    max_size=20,
)


@given(PARTS, st.data())
def test_part_tables_come_back(parts, data):
    encoded = encode_parts(parts)
    assert decode_parts(memoryview(encoded)) == parts
    with pytest.raises(Corrupt):
        decode_parts(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(Corrupt):
        decode_parts(encoded + b"x")


def test_golden_part_table():
    checksum = ChecksumValue("CRC32", "FULL_OBJECT", b"\x01\x02\x03\x04")
    parts = [Part(1, 8 << 20, bytes(range(16)), (checksum,)), Part(3, 5, bytes(16))]
    data = bytes.fromhex((VECTORS / "record_parts.hex").read_text())
    assert encode_parts(parts) == data
