"""Cursors and diffs against a sorted dictionary; equal subtrees stay unread."""

from __future__ import annotations

import random
from bisect import bisect_left

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree_nodes import MemoryNodes, record

from gateway.objects.cursor import Position

KEYS = st.builds(lambda a, b: b"%d/%d" % (a, b), st.integers(0, 40), st.integers(0, 8))
VALUES = st.builds(
    lambda size, note: record(size, "n" * note),
    st.integers(0, 3),
    st.sampled_from([0, 300, 900, 2500, 20_000]),
)
ENTRIES = st.dictionaries(KEYS, VALUES, max_size=80)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ENTRIES, st.lists(st.tuples(KEYS | st.just(b"") | st.just(b"\xff"), st.integers(0, 9))))
def test_a_position_behaves_as_an_index_into_a_sorted_list(entries, moves):
    nodes = MemoryNodes()
    tree = nodes.build(entries.items())
    rows = sorted(entries.items())
    keys = [key for key, _ in rows]
    position = Position(tree.root)
    assert nodes.run(position.take(3)) == rows[:3]
    for key, count in moves:
        nodes.run(position.seek(key))
        at = bisect_left(keys, key)
        assert nodes.run(position.take(count)) == rows[at : at + count]
        assert nodes.run(position.take(2)) == rows[at + count : at + count + 2]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ENTRIES, ENTRIES)
def test_a_diff_is_that_of_two_dictionaries(first, second):
    nodes = MemoryNodes()
    a, b = nodes.build(first.items()), nodes.build(second.items())
    expected = [
        (key, first.get(key), second.get(key))
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    ]
    assert nodes.diff(a.root, b.root) == expected


def test_a_diff_reads_what_differs_and_little_else():
    rng = random.Random(5)
    nodes = MemoryNodes()
    entries = {b"train/%05d/%08d" % (i // 500, i): record(i, "n" * 60) for i in range(40_000)}
    tree = nodes.build(entries.items())
    assert nodes.diff(tree.root, tree.root) == []
    changed = dict(rng.sample(sorted(entries.items()), 5))
    other = nodes.edit(tree.root, [(key, None) for key in changed])
    nodes.fetched = 0
    assert nodes.diff(tree.root, other.root) == [(k, v, None) for k, v in sorted(changed.items())]
    # Root, five inner nodes and five leaves on either side, and a neighbour where a cut moved.
    assert nodes.fetched <= 2 * (1 + 5 * 4)
    nodes.fetched = 0
    assert nodes.diff(None, tree.root)[17] == (
        *sorted((k, None, v) for k, v in entries.items())[17],
    )


def test_seeking_reads_one_path():
    nodes = MemoryNodes()
    entries = {b"%08d" % i: record(i, "n" * 60) for i in range(40_000)}
    tree = nodes.build(entries.items())
    position = Position(tree.root)
    nodes.fetched = 0
    nodes.run(position.seek(b"00020000"))
    assert nodes.fetched == 3
    assert nodes.run(position.take(1)) == [(b"00020000", entries[b"00020000"])]
    nodes.run(position.seek(b"00020001"))
    assert nodes.fetched == 3
