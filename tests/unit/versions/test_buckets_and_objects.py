"""Buckets are made, written, read, listed and removed; readers see their own writes at once."""

from __future__ import annotations

import asyncio

import pytest
from versions_store import PLAIN, Body, open_parts

from gateway.errors import Conflict, Denied, Invalid, NotFound, PreconditionFailed, Reason
from gateway.ids import BranchName, ProjectName
from gateway.versions.model import Condition, ObjectAttributes

MASTER = BranchName("master")


async def test_an_object_is_seen_at_once_and_after_its_commit_is_finished(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("master.images")
        data = bytes(range(256)) * 1000
        put = await parts.put(view, b"a/b", data)
        assert put.new_bytes + put.dedup_bytes == len(data)
        info = await parts.versions.head(view, b"a/b")
        assert info.commit == put.commit
        assert info.record.headers == PLAIN.headers
        assert info.record.metadata == PLAIN.metadata
        assert await parts.body(view, info) == data
        done = await parts.versions.flush("images", MASTER)
        assert done is not None
        assert (done.id, done.objects, done.bytes) == (put.commit, 1, len(data))
        assert done.new_bytes == put.new_bytes
        assert (await parts.versions.head(view, b"a/b")).commit == put.commit
        assert await parts.read(view, b"a/b") == data
        pinned = await parts.versions.buckets.resolve(f"{put.commit}.images")
        assert not pinned.writable
        assert await parts.read(pinned, b"a/b") == data
        with pytest.raises(Denied) as refused:
            await parts.put(pinned, b"c")
        assert refused.value.reason is Reason.READ_ONLY


async def test_a_bare_repo_is_its_master_and_names_come_back_in_lists(tmp_path):
    async with open_parts(tmp_path) as parts:
        await parts.versions.create_project(ProjectName("vision"))
        await parts.bucket("images")
        await parts.bucket("dev.images")
        await parts.bucket("master.images.vision")
        names = [info.name for info in await parts.versions.buckets.list()]
        assert names == ["dev.images", "master.images", "master.images.vision"]
        view = await parts.versions.buckets.resolve("images")
        await parts.put(view, b"k")
        assert await parts.read(await parts.versions.buckets.resolve("master.images"), b"k") == b"x"
        with pytest.raises(Conflict) as taken:
            await parts.versions.buckets.create("images")
        assert taken.value.reason is Reason.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("absent", NotFound, Reason.NO_SUCH_BUCKET),
        ("dev.images", NotFound, Reason.NO_SUCH_BUCKET),
        ("master.images.nowhere", NotFound, Reason.NO_SUCH_BUCKET),
        ("0" * 32 + ".images", NotFound, Reason.NO_SUCH_BUCKET),
        ("back-3.master.images", NotFound, Reason.NO_SUCH_BUCKET),
        ("a.b.c.d", Invalid, Reason.BAD_NAME),
        ("im/ages", Invalid, Reason.BAD_NAME),
        ("", Invalid, Reason.BAD_NAME),
    ],
)
async def test_names_that_mean_nothing(tmp_path, name, kind, reason):
    async with open_parts(tmp_path) as parts:
        await parts.bucket("images")
        with pytest.raises(kind) as refused:
            await parts.versions.buckets.resolve(name)
        assert refused.value.reason is reason


async def test_a_bucket_needs_its_project_and_a_name_of_its_own(tmp_path):
    async with open_parts(tmp_path) as parts:
        with pytest.raises(NotFound) as missing:
            await parts.versions.buckets.create("master.images.nowhere")
        assert missing.value.reason is Reason.NO_SUCH_PROJECT
        for name in ("0" * 32 + ".images", "back-3.images", "a.b.c.d"):
            with pytest.raises(Invalid):
                await parts.versions.buckets.create(name)


async def test_an_empty_bucket_goes_and_its_repo_with_the_last(tmp_path):
    async with open_parts(tmp_path) as parts:
        buckets = parts.versions.buckets
        view = await parts.bucket("master.r")
        await parts.bucket("dev.r")
        await parts.put(view, b"k")
        with pytest.raises(Conflict) as full:
            await buckets.delete("master.r")
        assert full.value.reason is Reason.NOT_EMPTY
        await parts.versions.delete(view, b"k")
        await buckets.delete("master.r")
        with pytest.raises(NotFound):
            await parts.put(view, b"k")
        with pytest.raises(NotFound):
            await parts.versions.list_objects(view)
        await parts.versions.inspect_repo("r")
        await buckets.delete("dev.r")
        with pytest.raises(NotFound):
            await parts.versions.inspect_repo("r")
        with pytest.raises(NotFound):
            await buckets.delete("dev.r")
        again = await parts.bucket("master.r")
        assert await parts.keys(again) == []
        await parts.put(again, b"new")
        await parts.versions.flush("r", MASTER)


async def test_a_branch_that_is_held_or_protected_is_not_removed(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("master.r")
        await parts.versions.hold("r", MASTER, "pipeline p", "reads it")
        with pytest.raises(Conflict) as held:
            await parts.versions.buckets.delete("r")
        assert held.value.reason is Reason.IN_USE
        with pytest.raises(Conflict):
            await parts.versions.delete_repo("r")
        await parts.versions.release("r", MASTER, "pipeline p")
        await parts.versions.protect("r", MASTER, protected=True)
        for refused in (
            parts.versions.buckets.delete("r"),
            parts.put(view, b"k"),
            parts.versions.start_commit("r", MASTER),
        ):
            with pytest.raises(Denied) as denied:
                await refused
            assert denied.value.reason is Reason.PROTECTED
        assert not (await parts.versions.buckets.resolve("r")).writable
        await parts.versions.protect("r", MASTER, protected=False)
        await parts.versions.buckets.delete("r")


async def test_of_twenty_that_create_a_key_one_wins(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        condition = Condition(if_none_match=("*",))
        outcomes = await asyncio.gather(
            *[parts.put(view, b"lock", b"%d" % n, condition) for n in range(20)],
            return_exceptions=True,
        )
        won = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert len(won) == 1
        assert all(isinstance(outcome, PreconditionFailed) for outcome in lost)
        assert await parts.read(view, b"lock") == b"%d" % won[0]


async def test_compare_and_swap_by_etag_counts_right(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        await parts.put(view, b"n", b"0")

        async def add_one() -> None:
            while True:
                info = await parts.versions.head(view, b"n")
                seen = int(await parts.body(view, info))
                condition = Condition(if_match=(info.record.etag(),))
                try:
                    await parts.put(view, b"n", b"%d" % (seen + 1), condition)
                except PreconditionFailed:
                    continue
                return

        async def finish() -> None:
            for _ in range(5):
                await parts.versions.flush("r", MASTER)
                await asyncio.sleep(0)

        await asyncio.gather(*[add_one() for _ in range(8)], finish())
        assert await parts.read(view, b"n") == b"8"


async def test_conditions_hold_on_staged_and_finished_keys_alike(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        with pytest.raises(NotFound) as absent:
            await parts.put(view, b"k", b"1", Condition(if_match=("*",)))
        assert absent.value.reason is Reason.NO_SUCH_KEY
        first = await parts.put(view, b"k", b"1")
        for _ in range(2):
            with pytest.raises(PreconditionFailed):
                await parts.put(view, b"k", b"2", Condition(if_none_match=("*",)))
            with pytest.raises(PreconditionFailed):
                await parts.versions.delete(view, b"k", Condition(if_match=("0" * 32,)))
            await parts.put(view, b"other", b"2", Condition(if_none_match=("*",)))
            await parts.versions.delete(view, b"other", Condition(if_match=("*",)))
            await parts.versions.flush("r", MASTER)
        await parts.put(view, b"k", b"3", Condition(if_match=(first.record.etag(),)))
        assert await parts.read(view, b"k") == b"3"


async def test_deleting_what_is_not_there_writes_nothing(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        assert await parts.versions.delete(view, b"absent") is None
        assert (await parts.versions.inspect_branch("r", MASTER)).open is None
        await parts.put(view, b"a")
        await parts.put(view, b"b")
        await parts.versions.flush("r", MASTER)
        errors = await parts.versions.delete_many(view, [b"a", b"absent", b"", b"a", b"k" * 1025])
        assert [None if e is None else e.reason for e in errors] == [
            None, None, Reason.BAD_ARGUMENT, None, Reason.KEY_TOO_LONG,
        ]  # fmt: skip
        assert await parts.keys(view) == [b"b"]
        assert await parts.versions.delete(view, b"a") is None


async def test_a_commit_that_changes_nothing_is_dropped(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        put = await parts.put(view, b"a")
        await parts.versions.delete(view, b"a")
        assert await parts.versions.flush("r", MASTER) is None
        branch = await parts.versions.inspect_branch("r", MASTER)
        assert (branch.head, branch.open, branch.version) == (None, None, 0)
        with pytest.raises(NotFound):
            await parts.versions.inspect_commit(put.commit)


async def test_a_copy_moves_no_data_within_a_project_and_all_of_it_between(tmp_path):
    async with open_parts(tmp_path) as parts:
        await parts.versions.create_project(ProjectName("other"))
        source = await parts.bucket("a")
        near, far = await parts.bucket("b"), await parts.bucket("master.b.other")
        data = bytes(range(256)) * 3000
        await parts.versions.put(source, b"k", PLAIN, Body(data, ["CRC32"]))
        info = await parts.versions.head(source, b"k")
        attributes = ObjectAttributes({"content-type": "a/b"})
        copied = await parts.versions.copy(source, info, near, b"2", attributes)
        assert (copied.new_bytes, copied.dedup_bytes) == (0, len(data))
        assert copied.record.headers == {"content-type": "a/b"}
        assert copied.record.metadata == {}
        anew = await parts.versions.copy(source, info, far, b"2")
        assert anew.new_bytes > 0
        assert anew.record.metadata == PLAIN.metadata
        assert anew.record.checksums == info.record.checksums
        assert await parts.read(near, b"2") == await parts.read(far, b"2") == data


async def test_keys_are_bounded(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        await parts.put(view, b"k" * 1024)
        with pytest.raises(Invalid) as refused:
            await parts.put(view, b"k" * 1025)
        assert refused.value.reason is Reason.KEY_TOO_LONG
