"""What is SQLite's own: whose file it is, what it refuses, what a full disk does."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gateway.errors import Corrupt, Reason, Unavailable
from gateway.metadata import schema, sql, sqlite
from gateway.metadata.base import Delete, Expect, Insert, Next, Put, Unit
from gateway.metadata.schema import COUNTER, META, STAGING
from gateway.metadata.sqlite import GROUP_MAX, LOG_SIZE_MAX, SqliteMetadata
from gateway.metadata.sqlite_file import translate
from gateway.metadata.sqlite_ops import needs_savepoint


def staged(n: int, size: int = 10) -> Unit:
    return Unit([Put(STAGING, {"scope": "s", "path": b"%d" % n, "seq": n, "record": bytes(size)})])


async def count(store: SqliteMetadata) -> int:
    async with store.snapshot() as rows:
        return len(await rows.scan(STAGING))


async def test_rows_outlive_the_store(tmp_path):
    path = str(tmp_path / "m.sqlite")
    store = SqliteMetadata.open(path)
    await store.commit(Unit([Put(META, {"name": "format", "value": b"1"})]))
    await store.close()
    store = SqliteMetadata.open(path)
    async with store.snapshot() as rows:
        assert (await rows.get(META, ("format",)))["value"] == b"1"
    await store.close()
    assert not (tmp_path / "m.sqlite-wal").exists()


async def test_the_log_does_not_grow_without_bound_while_readers_come_and_go(tmp_path):
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    for n in range(0, 3000, 100):
        await asyncio.gather(*[store.commit(staged(k % 50, 4000)) for k in range(n, n + 100)])
        async with store.snapshot() as rows:
            await rows.scan(STAGING, limit=1)
    assert (tmp_path / "m.sqlite-wal").stat().st_size < 16 << 20
    await store.close()


async def test_more_units_than_a_group_takes(tmp_path):
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    await asyncio.gather(*[store.commit(staged(n)) for n in range(3 * GROUP_MAX + 1)])
    assert await count(store) == 3 * GROUP_MAX + 1
    await store.close()


async def test_a_full_disk_fails_what_it_fails_and_the_store_goes_on(tmp_path):
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    await store.commit(staged(0))
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 20}")
    outcomes = await asyncio.gather(
        *[store.commit(staged(n, 50_000)) for n in range(1, 30)], return_exceptions=True
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert failed
    for error in failed:
        assert isinstance(error, Unavailable)
        assert error.reason is Reason.DISK_FULL
    assert await count(store) == 1 + len(outcomes) - len(failed)
    store._writer.execute("PRAGMA max_page_count = 1000000")
    await asyncio.gather(*[store.commit(staged(n, 50_000)) for n in range(1, 30)])
    assert await count(store) == 30
    await store.close()


async def test_a_commit_that_cannot_be_synced_fails_its_group(tmp_path):
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    await store.commit(staged(0))
    # Another connection in a transaction keeps the writer from beginning one.
    other = sqlite3.connect(tmp_path / "m.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._writer.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(Unavailable) as held:
        await store.commit(staged(1))
    assert held.value.reason is Reason.LOCKED
    other.execute("COMMIT")
    other.close()
    await store.commit(staged(2))
    assert await count(store) == 2
    await store.close()


def test_files_that_are_not_ours_are_refused(tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(os.urandom(20_000))
    with pytest.raises(Corrupt) as damaged:
        SqliteMetadata.open(str(garbage))
    assert damaged.value.reason is Reason.DAMAGED
    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE t (a)")
    other.close()
    with pytest.raises(Corrupt) as unknown:
        SqliteMetadata.open(str(foreign))
    assert unknown.value.reason is Reason.UNKNOWN_FORMAT
    with sqlite3.connect(foreign) as other:
        assert other.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)
    other.close()


async def test_a_newer_schema_is_refused(tmp_path):
    path = str(tmp_path / "m.sqlite")
    await SqliteMetadata.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    other.close()
    with pytest.raises(Corrupt) as newer:
        SqliteMetadata.open(path)
    assert newer.value.reason is Reason.UNKNOWN_FORMAT


async def test_damage_is_an_error_and_not_an_answer(tmp_path):
    path = tmp_path / "m.sqlite"
    store = SqliteMetadata.open(str(path))
    await asyncio.gather(*[store.commit(staged(n, 2000)) for n in range(200)])
    await store.close()
    data = bytearray(path.read_bytes())
    data[40 * 4096 :] = os.urandom(len(data) - 40 * 4096)
    path.write_bytes(data)
    store = SqliteMetadata.open(str(path))
    with pytest.raises(Corrupt) as damaged:
        await count(store)
    assert damaged.value.reason is Reason.DAMAGED
    await store.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(Unavailable):
        SqliteMetadata.open(str(tmp_path / "missing" / "m.sqlite"))


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (sqlite3.SQLITE_FULL, Unavailable, Reason.DISK_FULL),
        (sqlite3.SQLITE_READONLY, Unavailable, Reason.READ_ONLY_STORE),
        (sqlite3.SQLITE_READONLY_DBMOVED, Unavailable, Reason.READ_ONLY_STORE),
        (sqlite3.SQLITE_IOERR_FSYNC, Unavailable, Reason.IO_ERROR),
        (sqlite3.SQLITE_CANTOPEN, Unavailable, Reason.IO_ERROR),
        (sqlite3.SQLITE_CORRUPT, Corrupt, Reason.DAMAGED),
        (sqlite3.SQLITE_NOTADB, Corrupt, Reason.DAMAGED),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Unavailable, Reason.LOCKED),
    ],
)
def test_errors_are_translated_by_their_code(code, kind, reason):
    error = sqlite3.OperationalError("it")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_IT"
    told = translate(error, "/data/m")
    assert type(told) is kind
    assert told.reason is reason
    assert "/data/m" in told.message


def test_savepoints_are_for_units_that_can_fail_half_way():
    put = Put(STAGING, {"scope": "s", "path": b"", "seq": 1})
    bump = Next(COUNTER, ("c",), "value", "n")
    expect = Expect(COUNTER, ("c",), None)
    insert = Insert(COUNTER, {"name": "c"})
    delete = Delete(COUNTER, ("c",))
    for ops in ([], [put], [expect, bump, put], [expect, expect, insert, put, delete]):
        assert not needs_savepoint(ops)
    for ops in ([put, bump], [bump, bump], [put, expect], [delete, insert]):
        assert needs_savepoint(ops)


def test_the_documented_statements_are_those_that_are_run():
    page = (Path(__file__).parents[3] / "docs/formats/metadata.md").read_text()
    documented = page.partition("```sql\n")[2].partition("```")[0].split(";\n")
    run = [text for table in schema.TABLES for text in sql.create_statements(table)]
    assert [" ".join(text.split()) for text in documented if text] == [
        text.replace("IF NOT EXISTS ", "").replace(" (", " ( ", 1).replace(") STRICT", " ) STRICT")
        if text.startswith("CREATE TABLE")
        else text.replace("IF NOT EXISTS ", "")
        for text in run
    ]


async def test_the_log_does_not_grow_without_bound_under_readers_that_overlap(tmp_path):
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    done = asyncio.Event()

    async def reader(turns: int) -> None:
        while not done.is_set():
            async with store.snapshot() as rows:
                for _ in range(turns):
                    await rows.scan(STAGING, limit=1)
                    await asyncio.sleep(0)

    readers = [asyncio.create_task(reader(20 + 7 * n)) for n in range(8)]
    for n in range(0, 20_000, 500):
        await asyncio.gather(*[store.commit(staged(k % 50, 4000)) for k in range(n, n + 500)])
    size = (tmp_path / "m.sqlite-wal").stat().st_size
    done.set()
    await asyncio.gather(*readers)
    assert size < LOG_SIZE_MAX + (16 << 20)  # 80 MiB were written
    await store.close()


async def test_a_snapshot_that_stays_does_not_stop_the_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "LOG_SIZE_MAX", 1 << 20)
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    await store.commit(staged(0))
    async with store.snapshot() as rows:
        for n in range(1, 500):
            await store.commit(staged(n, 4000))
        async with store.snapshot() as present:
            assert len(await present.scan(STAGING, limit=1000)) == 500
        assert len(await rows.scan(STAGING, limit=1000)) == 1
    await store.close()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), MemoryError()])
async def test_the_store_outlives_a_group_that_cannot_be_undone(tmp_path, monkeypatch, error):
    store = SqliteMetadata.open(str(tmp_path / "m.sqlite"))
    real = store._cursor

    class Broken:
        def execute(self, text: str, *values: object) -> object:
            if not text.startswith("BEGIN"):
                raise error
            return real.execute(text, *values)

    store._cursor = Broken()
    for n in range(2):
        with pytest.raises(Unavailable):
            await store.commit(staged(n))
    store._cursor = real
    with suppress(Unavailable):  # the open transaction is undone by the first group that can
        await store.commit(staged(3))
    await store.commit(staged(4))
    assert await count(store) in {1, 2}
    await store.close()


def test_a_file_of_an_unfinished_version_is_refused_and_left_alone(tmp_path):
    path = str(tmp_path / "rows")
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA application_id = 0x53474D44")
        made.execute("PRAGMA user_version = 1")
        made.execute("CREATE TABLE part (upload TEXT, number INTEGER)")
        made.commit()
    before = Path(path).read_bytes()
    with pytest.raises(Corrupt, match="table part differs in") as refused:
        SqliteMetadata.open(path)
    assert refused.value.reason is Reason.UNKNOWN_FORMAT
    assert Path(path).read_bytes() == before
