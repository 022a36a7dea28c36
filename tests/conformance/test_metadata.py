"""What every adapter of the `metadata` port does, written against the port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import Conflict, Reason, Unavailable
from gateway.metadata.base import (
    Bound,
    Delete,
    DeleteWhere,
    Expect,
    Insert,
    Metadata,
    Next,
    Put,
    Unit,
    Update,
)
from gateway.metadata.schema import COUNTER, OUTBOX, PART, REF, REPO, SCOPE, STAGING, TABLES
from gateway.metadata.sqlite import SqliteMetadata

ADAPTERS: list[Callable[[str], Metadata]] = [SqliteMetadata.open]


@pytest.fixture(params=ADAPTERS, ids=["sqlite"])
async def store(request, tmp_path):
    opened = request.param(str(tmp_path / "rows"))
    yield opened
    await opened.close()


async def get(store: Metadata, table, key):
    async with store.snapshot() as rows:
        return await rows.get(table, key)


async def scan(store: Metadata, table, prefix=(), **how):
    async with store.snapshot() as rows:
        return await rows.scan(table, prefix, **how)


def staged(path: bytes, seq: int = 1, scope: str = "s", record: bytes | None = b"r") -> Put:
    return Put(STAGING, {"scope": scope, "path": path, "seq": seq, "record": record})


REPO_ROW = {"id": "1", "project": "p", "name": "n", "description": "", "location": "", "created": 1}


async def test_every_table_takes_rows_and_gives_them_back(store):
    samples = {"TEXT": "t\u00e9\0", "INTEGER": -(1 << 62), "BLOB": b"\0\xff"}
    for table in TABLES:
        row = {name: samples[kind] for name, kind in table.columns.items()}
        await store.commit(Unit([Insert(table, row)]))
        key = tuple(row[name] for name in table.key)
        assert await get(store, table, key) == row
        only_key = {name: row[name] for name in table.key}
        await store.commit(Unit([Put(table, only_key)]))
        empty = dict.fromkeys(table.columns) | only_key
        assert await get(store, table, key) == empty
        await store.commit(Unit([Delete(table, key), Delete(table, key)]))
        assert await get(store, table, key) is None


async def test_a_unit_takes_effect_wholly_or_not_at_all(store):
    await store.commit(Unit([Insert(COUNTER, {"name": "c", "value": 1})]))
    with pytest.raises(Conflict) as raced:
        await store.commit(
            Unit(
                [
                    staged(b"a"),
                    Next(COUNTER, ("c",), "value", "n"),
                    Expect(COUNTER, ("c",), {"value": 1}),
                ]
            )
        )
    assert raced.value.reason is Reason.RACED
    assert await get(store, COUNTER, ("c",)) == {"name": "c", "value": 1}
    assert not await scan(store, STAGING)


async def test_expectations(store):
    await store.commit(Unit([Put(REF, {"repo": "r", "name": "b", "head": None, "ver": 3})]))
    key = ("r", "b")
    holds = [{"ver": 3}, {"head": None}, {"head": None, "ver": 3}, {}]
    for values in holds:
        await store.commit(Unit([Expect(REF, key, values)]))
        await store.commit(Unit([Update(REF, key, expect=values)]))
    await store.commit(Unit([Expect(REF, ("r", "x"), None)]))
    fails = [{"ver": 4}, {"head": "h"}, {"ver": None}, {"head": None, "ver": 4}, None]
    for values in fails:
        with pytest.raises(Conflict) as raced:
            await store.commit(Unit([Expect(REF, key, values), staged(b"a")]))
        assert raced.value.reason is Reason.RACED
    for op in (
        Expect(REF, ("r", "x"), {}),
        Update(REF, ("r", "x"), set={"ver": 1}),
        Update(REF, key, set={"ver": 9}, expect={"ver": 4}),
        Next(REF, ("r", "x"), "ver", "n"),
        Next(REF, key, "ver", "n", expect={"head": "h"}),
    ):
        with pytest.raises(Conflict):
            await store.commit(Unit([op, staged(b"a")]))
    assert (await get(store, REF, key))["ver"] == 3
    assert not await scan(store, STAGING)


async def test_insert_must_be_new_in_its_key_and_unique_indexes(store):
    await store.commit(Unit([Insert(REPO, REPO_ROW)]))
    for row in (REPO_ROW, {**REPO_ROW, "name": "other"}, {**REPO_ROW, "id": "2"}):
        with pytest.raises(Conflict) as taken:
            await store.commit(Unit([staged(b"a"), Insert(REPO, row)]))
        assert taken.value.reason is Reason.ALREADY_EXISTS
    with pytest.raises(Conflict):
        await store.commit(Unit([staged(b"a"), Put(REPO, {**REPO_ROW, "id": "2"})]))
    assert not await scan(store, STAGING)
    await store.commit(Unit([Put(REPO, {**REPO_ROW, "name": "renamed"})]))
    async with store.snapshot() as rows:
        assert await rows.find(REPO, "by_name", ("p", "n")) is None
        assert (await rows.find(REPO, "by_name", ("p", "renamed")))["id"] == "1"


async def test_update_and_next_set_add_and_bind(store):
    await store.commit(Unit([Insert(SCOPE, {"id": "s", "seq": 0, "writes": 5})]))
    bound = await store.commit(
        Unit(
            [
                Next(SCOPE, ("s",), "seq", "a", add={"writes": 2, "new_bytes": 7}, set={"auto": 1}),
                Next(SCOPE, ("s",), "seq", "b"),
                Put(OUTBOX, {"id": Bound("b"), "repo": "r", "time": Bound("a")}),
                Update(SCOPE, ("s",), set={"started": Bound("b")}, add={"writes": -1}),
            ]
        )
    )
    assert bound == {"a": 1, "b": 2}
    row = await get(store, SCOPE, ("s",))
    assert (row["seq"], row["writes"], row["new_bytes"], row["auto"]) == (2, 6, 7, 1)
    assert row["started"] == 2
    assert (await get(store, OUTBOX, (2,)))["time"] == 1


async def test_units_of_one_group_do_not_touch_each_other(store):
    await store.commit(Unit([Insert(COUNTER, {"name": "c", "value": 0})]))

    async def one(n: int) -> object:
        unit = Unit([staged(b"%03d" % n), Next(COUNTER, ("c",), "value", "n")])
        if n % 3 == 1:
            unit.add(Expect(COUNTER, ("c",), None))
        if n % 3 == 2:
            unit.add(Put(STAGING, {"scope": "s", "path": "text, not bytes", "seq": 1}))
        try:
            return (await store.commit(unit))["n"]
        except Conflict:
            return "conflict"
        except Exception:
            return "fault"

    outcomes = await asyncio.gather(*[one(n) for n in range(300)])
    good = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert sorted(good) == list(range(1, 101))
    assert outcomes.count("conflict") == outcomes.count("fault") == 100
    assert [row["path"] for row in await scan(store, STAGING)] == [
        b"%03d" % n for n in range(0, 300, 3)
    ]


async def test_of_many_that_expect_the_same_one_wins(store):
    await store.commit(Unit([Insert(COUNTER, {"name": "c", "value": 0})]))
    outcomes = await asyncio.gather(
        *[
            store.commit(Unit([Update(COUNTER, ("c",), add={"value": 1}, expect={"value": 0})]))
            for _ in range(20)
        ],
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19
    assert (await get(store, COUNTER, ("c",)))["value"] == 1


async def test_scans_are_ordered_and_bounded_by_bytes(store):
    paths = [b"a", b"a\x00", b"a\xff", b"b", b"\xff", b"\xff\xff"]
    unit = Unit([staged(path) for path in reversed(paths)])
    await store.commit(unit.add(staged(b"other", scope="t")))

    async def found(**how):
        return [row["path"] for row in await scan(store, STAGING, ("s",), **how)]

    assert await found() == paths
    assert await found(reverse=True) == paths[::-1]
    assert await found(after=b"a") == paths[1:]
    assert await found(start=b"a\x00") == paths[1:]
    assert await found(until=b"b") == paths[:3]
    assert await found(start=b"a\xff", until=b"\xff") == paths[2:4]
    assert await found(after=b"b", reverse=True) == paths[2::-1]
    assert await found(after=b"a", limit=2) == paths[1:3]
    assert await found(limit=0) == []
    assert await found(after=b"\xff\xff") == []
    assert [row["scope"] for row in await scan(store, STAGING, (), after="s")] == ["t"]
    assert len(await scan(store, STAGING, ("s", b"a"))) == 1


async def test_scans_of_an_index_break_ties_by_the_key(store):
    unit = Unit()
    for name, auto, started in [("c", 1, 5), ("a", 1, 5), ("b", 0, 9), ("d", 1, 2)]:
        unit.add(Insert(SCOPE, {"id": name, "auto": auto, "started": started}))
    await store.commit(unit)

    async def found(prefix=(), **how):
        return [row["id"] for row in await scan(store, SCOPE, prefix, index="by_auto", **how)]

    assert await found() == ["b", "d", "a", "c"]
    assert await found((1,)) == ["d", "a", "c"]
    assert await found((1,), reverse=True) == ["c", "a", "d"]
    assert await found((1,), start=3) == ["a", "c"]
    assert await found((1,), until=5) == ["d"]
    assert await found((1, 5), after="a") == ["c"]
    assert await found((None,)) == []


async def test_delete_where_is_bounded(store):
    def parts(upload: str, numbers) -> list[Put]:
        return [Put(PART, {"upload": upload, "number": n}) for n in numbers]

    await store.commit(Unit([*parts("u", range(10)), *parts("v", range(3))]))
    await store.commit(Unit([DeleteWhere(PART, ("u",), limit=4)]))
    assert [row["number"] for row in await scan(store, PART, ("u",))] == [4, 5, 6, 7, 8, 9]
    await store.commit(Unit([DeleteWhere(PART, ("u",), up_to=6)]))
    assert [row["number"] for row in await scan(store, PART, ("u",))] == [7, 8, 9]
    await store.commit(Unit([DeleteWhere(PART, ("u",), up_to=9, limit=1)]))
    assert [row["number"] for row in await scan(store, PART, ("u",))] == [8, 9]
    await store.commit(Unit([DeleteWhere(PART, ("u",))]))
    assert [row["upload"] for row in await scan(store, PART)] == ["v"] * 3
    await store.commit(Unit([Insert(SCOPE, {"id": name, "commit_id": "c"}) for name in ("x", "y")]))
    await store.commit(Unit([DeleteWhere(SCOPE, ("c",), index="by_commit", limit=1)]))
    assert [row["id"] for row in await scan(store, SCOPE)] == ["y"]


async def test_a_snapshot_is_of_one_moment(store):
    await store.commit(Unit([Insert(COUNTER, {"name": "c", "value": 1})]))
    async with store.snapshot() as before:
        await store.commit(Unit([Update(COUNTER, ("c",), set={"value": 2}), staged(b"a")]))
        async with store.snapshot() as after:
            assert (await before.get(COUNTER, ("c",)))["value"] == 1
            assert (await after.get(COUNTER, ("c",)))["value"] == 2
            await store.commit(Unit([Update(COUNTER, ("c",), set={"value": 3})]))
            assert (await after.get(COUNTER, ("c",)))["value"] == 2
        assert not await before.scan(STAGING)
    assert (await get(store, COUNTER, ("c",)))["value"] == 3


async def test_a_caller_that_goes_away_does_not_stop_the_others(store):
    tasks = [asyncio.create_task(store.commit(Unit([staged(b"%d" % n)]))) for n in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert {row["path"] for row in await scan(store, STAGING)} >= {b"0", b"2", b"3"}


async def test_what_waits_is_committed_before_the_store_closes(tmp_path):
    for adapter in ADAPTERS:
        path = str(tmp_path / adapter.__qualname__)
        store = adapter(path)
        tasks = [asyncio.create_task(store.commit(Unit([staged(b"%d" % n)]))) for n in range(9)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*tasks)
        await store.close()
        with pytest.raises(Unavailable) as closed:
            await store.commit(Unit([staged(b"x")]))
        assert closed.value.reason is Reason.SHUTTING_DOWN
        again = adapter(path)
        assert len(await scan(again, STAGING)) == 9
        await again.close()
