"""Trees in a real chunk store: what they hold, across domains, restarts and forgotten caches."""

from __future__ import annotations

import random

import pytest
from object_store import DOMAIN, open_store

from gateway.chunks.chunk import Domain
from gateway.errors import Corrupt
from gateway.objects.record import Inline, ObjectRecord
from gateway.objects.trees import Trees


def record(size: int, note: str = "") -> ObjectRecord:
    metadata = {"note": note} if note else {}
    return ObjectRecord(size, 1_700_000_000_000, bytes(16), content=Inline(b""), metadata=metadata)


def entries_of(count: int) -> dict[bytes, ObjectRecord]:
    return {b"train/%04d/%08d.jpg" % (i // 300, i): record(i, "n" * (i % 50)) for i in range(count)}


async def test_a_tree_is_a_dictionary(tmp_path):
    rng = random.Random(2)
    model = entries_of(3000)
    async with open_store(tmp_path) as (store, chunks):
        trees = store.trees
        tree = await trees.edit(DOMAIN, None, sorted(model.items()))
        for _ in range(5):
            changes = dict.fromkeys(rng.sample(sorted(model), 100))
            changes |= {
                b"new/%d" % rng.randrange(1000): record(rng.randrange(99)) for _ in range(9)
            }
            tree = await trees.edit(DOMAIN, tree.root, sorted(changes.items()))
            for key, value in changes.items():
                if value is None:
                    del model[key]
                else:
                    model[key] = value
        await store.durable(tree.ticket)
        assert tree.objects == len(model)
        assert tree.bytes == sum(value.size for value in model.values())
        # From the store, without what is in memory.
        trees = Trees(chunks, cache_size=1)
        assert await trees.totals(DOMAIN, tree.root) == (tree.objects, tree.bytes)
        cursor = trees.cursor(DOMAIN, tree.root)
        assert await cursor.take(10**6) == sorted(model.items())
        assert await cursor.next() is None
        for key in rng.sample(sorted(model), 20):
            assert await trees.get(DOMAIN, tree.root, key) == model[key]
            await cursor.seek(key)
            assert await cursor.next() == (key, model[key])
        for key in (b"", b"absent", b"zzz"):
            assert await trees.get(DOMAIN, tree.root, key) is None


async def test_differences(tmp_path):
    async with open_store(tmp_path) as (store, _):
        trees = store.trees
        model = entries_of(2000)
        first = await trees.edit(DOMAIN, None, sorted(model.items()))
        keys = sorted(model)
        changes = [(keys[5], None), (keys[900], record(1)), (b"zz", record(2))]
        second = await trees.edit(DOMAIN, first.root, changes)
        found = [change async for change in trees.diff(DOMAIN, first.root, second.root)]
        assert found == [
            (keys[5], model[keys[5]], None),
            (keys[900], model[keys[900]], record(1)),
            (b"zz", None, record(2)),
        ]
        back = [change async for change in trees.diff(DOMAIN, second.root, None)]
        assert len(back) == 2000
        assert [c async for c in trees.diff(DOMAIN, first.root, first.root)] == []


async def test_the_empty_tree(tmp_path):
    async with open_store(tmp_path) as (store, _):
        trees = store.trees
        assert await trees.edit(DOMAIN, None, []) == (None, 0, 0, 0)
        assert await trees.edit(DOMAIN, None, [(b"k", None)]) == (None, 0, 0, 0)
        assert await trees.get(DOMAIN, None, b"k") is None
        assert await trees.totals(DOMAIN, None) == (0, 0)
        assert await trees.cursor(DOMAIN, None).next() is None


async def test_unchanged_trees_are_not_written_again(tmp_path):
    async with open_store(tmp_path) as (store, chunks):
        model = sorted(entries_of(3000).items())
        first = await store.trees.edit(DOMAIN, None, model)
        await store.durable(first.ticket)
        before = chunks.stats().payload_bytes
        assert (await store.trees.edit(DOMAIN, first.root, model[100:200])).root == first.root
        assert (await store.trees.edit(DOMAIN, None, model)).root == first.root
        again = await store.trees.edit(DOMAIN, first.root, [])
        await store.durable(again.ticket)
        assert chunks.stats().payload_bytes == before


async def test_a_root_of_another_domain_is_refused(tmp_path):
    async with open_store(tmp_path) as (store, chunks):
        tree = await store.trees.edit(DOMAIN, None, [(b"k", record(1))])
        await store.durable(tree.ticket)
        other = Domain.from_salt("other", b"\x01" * 32)
        with pytest.raises(Corrupt):
            await Trees(chunks).get(other, tree.root, b"k")
        with pytest.raises(Corrupt):
            await store.trees.get(DOMAIN, bytes(32), b"k")
