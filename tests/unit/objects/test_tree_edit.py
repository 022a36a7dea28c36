"""A tree behaves as a dictionary, and the same entries make the same root, whatever happened."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree_nodes import MemoryNodes, record

from gateway.errors import Invalid
from gateway.objects.boundary import NODE_SIZE_MAX, NODE_SIZE_MIN, entry_size
from gateway.objects.edit import EMPTY

# Keys of a small space that meet often; notes make entries large, so that few make a deep tree.
KEYS = st.builds(lambda a, b: b"%d/%d" % (a, b), st.integers(0, 40), st.integers(0, 8))
VALUES = st.builds(
    lambda size, note: record(size, "n" * note),
    st.integers(0, 1 << 40),
    st.sampled_from([0, 3, 300, 900, 2500, 20_000, 70_000]),
)
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | VALUES, max_size=40), min_size=1, max_size=8)


def apply(model, changes):
    for key, value in changes.items():
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BATCHES)
def test_edits_equal_a_build_from_nothing(batches):
    nodes = MemoryNodes()
    tree, model = EMPTY, {}
    for changes in batches:
        tree = nodes.edit(tree.root, changes.items())
        apply(model, changes)
        assert tree == nodes.build(model.items())
        assert nodes.entries(tree.root) == sorted(model.items())
        assert tree.objects == len(model)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1 << 30), st.integers(1, 4000), st.integers(1, 60))
def test_large_histories_do_not_matter(seed, count, batch):
    rng = random.Random(seed)
    nodes = MemoryNodes()
    model = {}
    for _ in range(count):
        key = b"train/class%05d/img_%08d.jpg" % (rng.randrange(300), rng.randrange(10**8))
        model[key] = record(rng.randrange(10**7))
    straight = nodes.build(model.items())
    assert straight.bytes == sum(
        int.from_bytes(value[3 : 3 + value[2]], "little") for value in model.values()
    )
    # The same set by way of other sets: some left out at first, some there that must go again.
    extra = {
        key + b"~%d" % i: record(i)
        for i, key in enumerate(rng.sample(sorted(model), len(model) // 5))
    }
    late = dict(rng.sample(sorted(model.items()), len(model) // 3))
    early = {key: value for key, value in model.items() if key not in late} | extra
    early |= {key: record(7, "x" * 50) for key in rng.sample(sorted(early), len(early) // 4)}
    tree = nodes.build(early.items())
    changes = [(key, None) for key in extra] + list(late.items())
    changes += [(key, model[key]) for key in early if key in model]
    rng.shuffle(changes)
    for start in range(0, len(changes), max(1, len(changes) // batch)):
        part = changes[start : start + max(1, len(changes) // batch)]
        tree = nodes.edit(tree.root, part)
    assert tree == straight


def test_few_changes_write_few_nodes():
    rng = random.Random(3)
    nodes = MemoryNodes()
    entries = {
        b"train/class%05d/img_%08d.jpg" % (i // 500, i): record(i, "n" * 60) for i in range(40_000)
    }
    tree = nodes.build(entries.items())
    depth = nodes.node(tree.root).level + 1
    assert depth == 3
    for _ in range(20):
        key = rng.choice(sorted(entries))
        before = nodes.stored
        changed = nodes.edit(tree.root, [(key, record(5, "n" * 61))])
        assert nodes.stored - before <= depth + 3
        assert nodes.edit(changed.root, [(key, entries[key])]) == tree
    before = nodes.stored
    assert nodes.edit(tree.root, [(b"absent", None)]) == tree
    assert nodes.edit(tree.root, [(key, entries[key])]) == tree
    assert nodes.stored == before


def test_sizes_of_nodes_keep_to_the_rule():
    nodes = MemoryNodes()
    tree = nodes.build((b"images/%06d.png" % i, record(i, "n" * (i % 90))) for i in range(30_000))
    leaves = [node for node in nodes.nodes(tree.root) if node.level == 0]
    sizes = [
        sum(entry_size(k, v) for k, v in zip(n.keys, n.values(0, len(n.keys)), strict=True))
        for n in leaves
    ]
    assert all(NODE_SIZE_MIN <= size < NODE_SIZE_MAX + 256 for size in sizes[:-1])
    assert 15_500 < sum(sizes) / len(sizes) < 18_000
    assert tree.objects == 30_000
    assert tree.bytes == sum(range(30_000))


def test_root_of_few_entries_is_their_leaf_and_of_none_is_none():
    nodes = MemoryNodes()
    tree = nodes.build([(b"a", record(3)), (b"b", record(4))])
    assert (tree.objects, tree.bytes) == (2, 7)
    assert nodes.node(tree.root).level == 0
    assert nodes.edit(tree.root, [(b"a", None), (b"b", None), (b"c", None)]) == EMPTY
    assert nodes.build([]) == EMPTY


def test_a_tree_that_shrinks_loses_levels():
    nodes = MemoryNodes()
    entries = {b"%08d" % i: record(i, "n" * 200) for i in range(20_000)}
    tree = nodes.build(entries.items())
    assert nodes.node(tree.root).level == 2
    small = nodes.edit(tree.root, [(key, None) for key in entries if key != b"00012345"])
    assert small == nodes.build([(b"00012345", entries[b"00012345"])])
    assert nodes.node(small.root).level == 0


def test_changes_out_of_order_are_refused():
    from gateway.objects.edit import edit

    nodes = MemoryNodes()
    with pytest.raises(Invalid):
        nodes.run(edit(None, [(b"b", record()), (b"a", record())]))
    with pytest.raises(Invalid):
        nodes.run(edit(None, [(b"a", record()), (b"a", None)]))
