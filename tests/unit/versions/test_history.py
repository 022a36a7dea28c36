"""Commits by hand, automatic ones and those of jobs; branches, refs, differences, moves."""

from __future__ import annotations

import asyncio

import pytest
from versions_store import open_parts

from gateway.clock import ManualClock
from gateway.errors import Conflict, Denied, Invalid, NotFound, Reason, TooLarge
from gateway.ids import BranchName, CommitId, JobId, ProjectName
from gateway.limits import AUTO_COMMIT_AGE_S, AUTO_COMMIT_KEYS, AUTO_COMMIT_QUIET_S
from gateway.metadata.base import Put, Unit, Update
from gateway.metadata.schema import REF, SCOPE, STAGING
from gateway.versions import folding
from gateway.versions.model import CommitState, DiffKind, Origin
from gateway.versions.state import NOTHING
from gateway.versions.window import RETRY_S, due_in

MASTER = BranchName("master")
DEV = BranchName("dev")
JOB = JobId("f" * 32)


async def commit(parts, view, **files):
    for name, data in files.items():
        if data is None:
            await parts.versions.delete(view, name.encode())
        else:
            await parts.put(view, name.encode(), data)
    done = await parts.versions.flush(view.repo, BranchName(view.branch))
    assert done is not None
    parts.clock.advance(1)
    return done


async def test_a_commit_by_hand_gathers_until_it_is_finished(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        first = await commit(parts, view, a=b"1")
        opened = await versions.start_commit("r", MASTER, "by hand", "me")
        assert (opened.state, opened.origin) == (CommitState.OPEN, Origin.USER)
        with pytest.raises(Conflict) as second:
            await versions.start_commit("r", MASTER)
        assert second.value.reason is Reason.COMMIT_OPEN
        put = await parts.put(view, b"b", b"2")
        assert put.commit == opened.id
        assert await versions.flush("r", MASTER) is None
        own = await versions.buckets.resolve(f"{opened.id}.r")
        assert own.writable
        await parts.put(own, b"c", b"3")
        assert await parts.keys(own) == await parts.keys(view) == [b"a", b"b", b"c"]
        assert (await versions.inspect_commit(opened.id)).logical_bytes == 2
        done = await versions.finish_commit(opened.id, "done")
        assert (done.parent, done.message, done.author) == (first.id, "done", "me")
        assert (done.objects, done.bytes, done.logical_bytes) == (3, 3, 2)
        assert done.finished_ms is not None
        with pytest.raises(Denied) as sealed:
            await parts.put(own, b"d")
        assert sealed.value.reason is Reason.READ_ONLY
        assert await parts.keys(own) == [b"a", b"b", b"c"]
        for over in (versions.finish_commit(done.id), versions.discard_commit(done.id)):
            with pytest.raises(Conflict) as closed:
                await over
            assert closed.value.reason is Reason.COMMIT_NOT_OPEN
        empty = await versions.finish_commit((await versions.start_commit("r", MASTER)).id)
        assert (empty.objects, empty.root, empty.parent) == (3, done.root, done.id)


async def test_starting_makes_the_branch_and_closes_an_automatic_commit(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        put = await parts.put(view, b"a")
        opened = await parts.versions.start_commit("r", MASTER)
        assert opened.parent == put.commit
        elsewhere = await parts.versions.start_commit("r", DEV)
        assert (await parts.versions.inspect_branch("r", DEV)).open == elsewhere.id
        with pytest.raises(TooLarge):
            await parts.versions.start_commit("r", BranchName("x"), "m" * 70_000)


async def test_what_is_discarded_leaves_nothing(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        first = await commit(parts, view, a=b"1")
        opened = await parts.versions.start_commit("r", MASTER)
        await parts.put(view, b"a", b"2")
        own = await parts.versions.buckets.resolve(f"{opened.id}.r")
        await parts.versions.discard_commit(opened.id)
        assert await parts.read(view, b"a") == b"1"
        with pytest.raises(NotFound):
            await parts.keys(own)
        with pytest.raises(NotFound):
            await parts.versions.buckets.resolve(f"{opened.id}.r")
        async with parts.metadata.snapshot() as rows:
            assert not await rows.scan(STAGING)
            assert not await rows.scan(SCOPE)
        branch = await parts.versions.inspect_branch("r", MASTER)
        assert (branch.head, branch.open) == (first.id, None)
        assert (await parts.versions.inspect_commit(opened.id)).state is CommitState.DISCARDED


async def test_refs_name_branches_commits_ancestors_and_times(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        start_ms = parts.clock.now_ms()
        made = [await commit(parts, view, a=b"%d" % n) for n in range(4)]

        async def name_of(ref: str) -> CommitId | None:
            return (await versions.resolve(ref)).commit

        assert await name_of("r") == made[3].id
        assert (await versions.resolve("r@master:a/b")).path == b"a/b"
        assert await name_of("default/r@master^") == made[2].id
        assert await name_of("r@master^3") == made[0].id
        assert await name_of(f"r@{made[1].id}") == made[1].id
        assert await name_of(f"r@{made[1].id[:8]}^") == made[0].id
        assert await name_of("r@master@{2023-11-14T22:13:21Z}") == made[1].id
        assert start_ms == 1_700_000_000_000  # 2023-11-14T22:13:20Z
        view = await versions.view("r@master^2")
        assert not view.writable
        assert await parts.read(view, b"a") == b"1"
        assert (await versions.view("r")).writable
        for ref, reason in [
            ("r@master^4", Reason.NO_SUCH_COMMIT),
            ("r@dev", Reason.NO_SUCH_BRANCH),
            ("r@01234567", Reason.NO_SUCH_COMMIT),
            ("x", Reason.NO_SUCH_REPO),
            ("x/r", Reason.NO_SUCH_PROJECT),
            ("r@master@{2001-01-01T00:00:00Z}", Reason.NO_SUCH_COMMIT),
        ]:
            with pytest.raises(NotFound) as missing:
                await versions.resolve(ref)
            assert missing.value.reason is reason


async def test_branches_fork_move_and_go(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        first = await commit(parts, view, a=b"1")
        second = await commit(parts, view, a=b"2")
        made = await versions.create_branch("r", DEV, first.id)
        assert (made.head, made.version) == (first.id, 1)
        with pytest.raises(Conflict):
            await versions.create_branch("r", DEV)
        dev = await versions.buckets.resolve("dev.r")
        assert await parts.read(dev, b"a") == b"1"
        await parts.put(dev, b"b", b"staged")
        moved = await versions.move_branch("r", DEV, second.id, first.id)
        assert moved.head == second.id
        with pytest.raises(Conflict) as raced:
            await versions.move_branch("r", DEV, first.id, first.id)
        assert raced.value.reason is Reason.WRONG_STATE
        assert await parts.read(dev, b"a") == b"2"
        assert await parts.read(dev, b"b") == b"staged"
        done = await versions.flush("r", DEV)
        assert done is not None
        assert (done.parent, done.objects) == (second.id, 2)
        assert [info.name for info in await versions.list_branches("r")] == ["dev", "master"]
        assert (await versions.inspect_repo("r")).branches == ("dev", "master")
        await parts.put(dev, b"c")
        await versions.delete_branch("r", DEV)
        with pytest.raises(NotFound):
            await versions.inspect_branch("r", DEV)
        assert (await versions.inspect_commit(done.id)).objects == 2
        again = await versions.create_branch("r", DEV)
        assert again.head is None
        await parts.put(await versions.buckets.resolve("dev.r"), b"z")
        assert await versions.flush("r", DEV)
        with pytest.raises(NotFound):
            await versions.create_branch("r", BranchName("x"), CommitId("0" * 32))


async def test_commits_are_listed_newest_first(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        made = [(await commit(parts, view, a=b"%d" % n)).id for n in range(5)]
        put = await parts.put(view, b"b")
        assert [i.id for i in await versions.list_commits("r", MASTER)] == [
            put.commit, *reversed(made)
        ]  # fmt: skip
        assert [i.id for i in await versions.list_commits("r")] == [put.commit, *reversed(made)]
        for branch in (MASTER, None):
            page = await versions.list_commits("r", branch, 2, before=made[3])
            assert [info.id for info in page] == [made[2], made[1]]


async def test_differences_of_commits(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        old = await commit(parts, view, a=b"1", b=b"1", c=b"1")
        new = await commit(parts, view, a=None, b=b"2", d=b"1")

        async def kinds(first, second):
            return {e.key: e.kind async for e in versions.diff_commits(first, second)}

        expected = {b"a": DiffKind.REMOVED, b"b": DiffKind.CHANGED, b"d": DiffKind.ADDED}
        assert await kinds(old.id, new.id) == expected
        assert await kinds(new.id, new.id) == await kinds(None, None) == {}
        assert await kinds(None, old.id) == dict.fromkeys([b"a", b"b", b"c"], DiffKind.ADDED)
        opened = await versions.start_commit("r", MASTER)
        await parts.put(view, b"e")
        await versions.delete(view, b"c")
        assert await kinds(new.id, opened.id) == {b"e": DiffKind.ADDED, b"c": DiffKind.REMOVED}
        with pytest.raises(NotFound):
            await kinds(CommitId("0" * 32), new.id)


async def test_the_output_of_a_job_is_seen_when_it_is_finished(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        source = await commit(parts, await parts.bucket("in"), a=b"1")
        await versions.create_repo(ProjectName("default"), "out")
        output = await versions.open_output("out", MASTER, JOB, source.cause, [(source.id, "in")])
        view = await versions.open_scope(output)
        put = await parts.put(view, b"x", b"result")
        assert put.commit is None
        assert await parts.read(view, b"x") == b"result"
        outside = await versions.buckets.resolve("out")
        assert await parts.keys(outside) == []
        with pytest.raises(NotFound):
            await versions.buckets.resolve(f"{output}.out")
        with pytest.raises(Denied):
            await parts.put(outside, b"y")
        with pytest.raises(Conflict):
            await versions.finish_commit(output)
        await versions.finish_output(output, view)
        done = await versions.inspect_commit(output)
        assert (done.origin, done.job, done.cause) == (Origin.JOB, JOB, source.id)
        assert [(e.upstream, e.input) for e in done.provenance] == [(source.id, "in")]
        upstream = await versions.inspect_commit(source.id)
        assert [edge.commit for edge in upstream.subvenance] == [output]
        assert await parts.keys(outside) == [b"x"]
        with pytest.raises(Denied):
            await parts.put(view, b"late")
        second = await versions.open_output("out", MASTER, JOB, None, [(source.id, "in")])
        view = await versions.open_scope(second)
        await parts.put(view, b"z")
        await versions.drop_output(second)
        await versions.drop_output(second)
        with pytest.raises(Denied):
            await parts.put(view, b"z")
        assert [edge.commit for edge in (await versions.inspect_commit(source.id)).subvenance] == [
            output
        ]
        third = await versions.open_output("out", MASTER, JOB, None, [(source.id, "in")])
        await versions.finish_output(third, None, like=output)
        same = await versions.inspect_commit(third)
        assert (same.root, same.parent, same.objects) == (done.root, output, 1)
        async with parts.metadata.snapshot() as rows:
            assert not await rows.scan(STAGING)
            assert not await rows.scan(SCOPE)


async def test_an_output_starts_empty_and_holds_only_what_its_job_wrote(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        await versions.create_repo(ProjectName("default"), "out")
        for n in range(2):
            output = await versions.open_output("out", MASTER, JOB, None, [])
            view = await versions.open_scope(output)
            assert await parts.keys(view) == []
            await parts.put(view, b"%d" % n)
            await versions.finish_output(output, view)
        assert await parts.keys(await versions.buckets.resolve("out")) == [b"1"]


async def test_moves_of_heads_are_told_in_order_and_once(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        waiting = asyncio.create_task(versions.wait_moves(0))
        first = await commit(parts, view, a=b"1")
        (move,) = await waiting
        assert (move.head, move.cause, move.branch) == (first.id, first.id, MASTER)
        waiting = asyncio.create_task(versions.wait_moves(move.id))
        second = await commit(parts, view, a=b"2")
        (later,) = await waiting
        assert later.head == second.id
        assert later.id > move.id
        assert await versions.last_move() == later.id
        await versions.prune_moves(move.id)
        assert [m.id for m in await versions.list_moves(0)] == [later.id]
    async with open_parts(tmp_path) as parts:
        assert [m.id for m in await parts.versions.wait_moves(0)] == [later.id]


async def test_the_window_closes_when_it_is_quiet_or_old_or_full(tmp_path):
    clock = ManualClock()
    async with open_parts(tmp_path, clock) as parts:
        window = parts.versions.window
        assert await window.close_due() is None
        view = await parts.bucket("r")
        put = await parts.put(view, b"a")
        assert await window.close_due() == pytest.approx(AUTO_COMMIT_QUIET_S)
        clock.advance(0.75)
        assert await window.close_due() == pytest.approx(0.25)
        await parts.put(view, b"b")
        clock.advance(0.75)
        assert await window.close_due() == pytest.approx(0.25)
        clock.advance(0.25)
        assert await window.close_due() is None
        branch = await parts.versions.inspect_branch("r", MASTER)
        assert (branch.head, branch.open) == (put.commit, None)
        old = await parts.put(view, b"c")
        for _ in range(int(AUTO_COMMIT_AGE_S / 0.5)):
            clock.advance(0.5)
            await parts.put(view, b"c")
        await window.close_due()
        assert (await parts.versions.inspect_branch("r", MASTER)).head == old.commit
        full = await parts.put(view, b"d")
        await parts.metadata.commit(
            Unit([Update(SCOPE, (full.commit,), set={"writes": AUTO_COMMIT_KEYS})])
        )
        await window.close_due()
        assert (await parts.versions.inspect_branch("r", MASTER)).head == full.commit
        await parts.versions.start_commit("r", MASTER)
        clock.advance(1000)
        assert await window.close_due() is None
        assert (await parts.versions.inspect_branch("r", MASTER)).open is not None


async def test_the_window_outlives_a_restart(tmp_path):
    clock = ManualClock()
    async with open_parts(tmp_path, clock) as parts:
        put = await parts.put(await parts.bucket("r"), b"a")
    clock.advance(0.5)
    async with open_parts(tmp_path, clock) as parts:
        view = await parts.versions.buckets.resolve("r")
        assert await parts.read(view, b"a") == b"x"
        assert await parts.versions.window.close_due() == pytest.approx(0.5)
        clock.advance(0.5)
        assert await parts.versions.window.close_due() is None
        assert (await parts.versions.inspect_branch("r", MASTER)).head == put.commit
        assert await parts.read(view, b"a") == b"x"


async def test_the_waiting_loop_finishes_by_itself_and_close_finishes_the_rest(tmp_path):
    clock = ManualClock()
    async with open_parts(tmp_path, clock) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        versions.start()
        first = await parts.put(view, b"a")
        clock.advance(5)
        versions.window.poke()
        (move,) = await versions.wait_moves(0)
        assert move.head == first.commit
        second = await parts.put(view, b"b")
        await versions.close()
        assert (await versions.inspect_branch("r", MASTER)).head == second.commit


async def test_what_a_crash_leaves_is_put_right(tmp_path):
    clock = ManualClock()
    async with open_parts(tmp_path, clock) as parts:
        view = await parts.bucket("r")
        put = await parts.put(view, b"a")
        row = {"scope": "0" * 32, "path": b"k", "seq": 1, "record": None}
        lost = {"id": "1" * 32, "commit_id": "1" * 32, "auto": 1, "seq": 0, "started": 0}
        await parts.metadata.commit(
            Unit([Put(STAGING, row), Put(STAGING, {**row, "path": b"l"}), Put(SCOPE, lost)])
        )
    async with open_parts(tmp_path, clock) as parts:
        await parts.versions.window.close_due()
        async with parts.metadata.snapshot() as rows:
            assert {row["scope"] for row in await rows.scan(STAGING)} == {put.commit}
            assert [row["id"] for row in await rows.scan(SCOPE)] == [put.commit]


def test_a_clock_that_was_set_back_does_not_keep_a_commit_open():
    scope = {"writes": 1, "logical_bytes": 1, "started": 5000, "last_write": 5000}
    assert due_in(scope, 4000) == 0
    assert due_in(scope, 5000) == AUTO_COMMIT_QUIET_S


async def test_projects_have_keys_of_their_own(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        project = ProjectName("p")
        await versions.create_project(project, "things")
        with pytest.raises(Conflict):
            await versions.create_project(project)
        near, far = await parts.bucket("r"), await parts.bucket("master.r.p")
        assert near.domain.id != far.domain.id
        data = bytes(range(250)) * 100
        await parts.put(near, b"k", data)
        put = await parts.put(far, b"k", data)
        assert put.new_bytes == len(data)
        assert [info.name for info in await versions.list_projects()] == ["default", "p"]
        assert [info.render() for info in await versions.list_repos()] == ["r", "p/r"]
        with pytest.raises(Conflict):
            await versions.delete_project(project)
        await versions.delete_repo("p/r")
        await versions.delete_project(project)
        with pytest.raises(Denied):
            await versions.delete_project(ProjectName("default"))
        with pytest.raises(NotFound):
            await versions.inspect_project(project)
        with pytest.raises(Invalid):
            await versions.inspect_repo("a/b/c")


async def test_a_repo_goes_with_all_that_is_its_own(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        done = await commit(parts, view, a=b"1")
        await parts.put(view, b"b")
        await parts.versions.delete_repo("r")
        for lost in (
            parts.versions.inspect_commit(done.id),
            parts.versions.buckets.resolve("r"),
            parts.put(view, b"c"),
            parts.versions.find(view, b"a"),
        ):
            with pytest.raises(NotFound):
                await lost
        async with parts.metadata.snapshot() as rows:
            for table in (REF, SCOPE, STAGING):
                assert not await rows.scan(table)


@pytest.mark.parametrize("late", [3, 7, 100])
async def test_late_writes_are_folded_in_pages_of_whole_writes(tmp_path, monkeypatch, late):
    monkeypatch.setattr(folding, "LATE", late)
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        for n in range(12):
            await parts.put(view, b"k%02d" % n)
        commit = (await parts.versions.inspect_branch("r", MASTER)).open
        state = parts.versions._state
        early = await folding.fold(state, view.domain, NOTHING, commit)
        await parts.versions.delete_many(view, [b"k%02d" % n for n in range(0, 12, 2)])
        for n in range(12, 40):
            await parts.put(view, b"k%02d" % n)
        found = await folding.fold(
            state, view.domain, early.content, commit, early.seq, early.ticket
        )
        assert found[:2] == (await folding.fold(state, view.domain, NOTHING, commit))[:2]


async def test_one_branch_that_fails_does_not_end_the_window(tmp_path, monkeypatch):
    clock = ManualClock()
    async with open_parts(tmp_path, clock) as parts:
        views = [await parts.bucket(name) for name in ("a", "b", "c")]
        bad, *good = [(await parts.put(view, b"k")).commit for view in views]
        commits = parts.versions.window._commits
        finish = commits.finish_automatic

        async def broken(commit, message=None):
            if commit == bad:
                raise ValueError("a fault of ours")
            return await finish(commit, message)

        monkeypatch.setattr(commits, "finish_automatic", broken)
        clock.advance(5)
        assert await parts.versions.window.close_due() == RETRY_S
        for commit in good:
            assert (await parts.versions.inspect_commit(commit)).state is CommitState.FINISHED


async def test_a_project_that_comes_back_has_keys_of_its_own_also_after_a_cancelled_end(tmp_path):
    async with open_parts(tmp_path) as parts:
        name = ProjectName("p")
        await parts.versions.create_project(name)
        view = await parts.bucket("master.r.p")
        await parts.versions.delete_repo("p/r")
        ending = asyncio.create_task(parts.versions.delete_project(name))
        while not parts.metadata._waiting and not ending.done():
            await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        while parts.versions._state._under_way:
            await asyncio.sleep(0)
        await parts.versions.create_project(name)
        assert (await parts.bucket("master.r.p")).domain != view.domain
