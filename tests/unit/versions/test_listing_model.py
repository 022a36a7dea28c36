"""Whatever is put, deleted, finished and discarded, a bucket shows what a dict would."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from versions_store import Parts, open_parts

from gateway.ids import BranchName
from gateway.versions.model import Condition, Listing
from gateway.versions.reading import first_after, rolled_up, successor
from gateway.versions.views import BucketView

MASTER = BranchName("master")
KEY = st.lists(st.sampled_from([b"a", b"b", b"/", b"//", b"\xff", b"-"]), min_size=1, max_size=5)
KEYS = KEY.map(b"".join)
STEP = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=3)),
    st.tuples(st.just("delete"), KEYS, st.just(b"")),
    st.tuples(st.sampled_from(["finish", "discard", "start"]), st.just(b""), st.just(b"")),
)
DELIMITER = st.sampled_from([b"", b"/", b"//", b"a", b"\xff", b"-/"])


def expected_page(
    keys: list[bytes], prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> tuple[list[bytes], bool]:
    """List keys by the rules of S3, the slow way."""
    shown: list[bytes] = []
    for key in sorted(keys):
        if not key.startswith(prefix):
            continue
        item = rolled_up(key, prefix, delimiter) or key
        if shown and shown[-1] == item:
            continue
        shown.append(item)
    above = None
    if after.startswith(prefix):
        above = rolled_up(after, prefix, delimiter)
    shown = [item for item in shown if item > (above or after)]
    return shown[:limit], len(shown) > limit > 0


def shown_of(page: Listing) -> list[bytes]:
    return sorted([key for key, _ in page.entries] + page.prefixes)


async def check_listing(
    parts: Parts, view: BucketView, model: dict[bytes, bytes], prefix: bytes, delimiter: bytes
) -> None:
    keys = list(model)
    for limit in (1, 2, 1000):
        after = b""
        while True:
            page = await parts.versions.list_objects(view, prefix, delimiter, after, limit)
            shown, more = expected_page(keys, prefix, delimiter, after, limit)
            assert shown_of(page) == shown
            assert page.truncated == more
            if not more:
                break
            assert page.next == shown[-1]
            after = page.next
    for after in [*keys, b"a", b"a/", b"b//\xff", b"\xff\xff"]:
        page = await parts.versions.list_objects(view, prefix, delimiter, after, 2)
        assert shown_of(page) == expected_page(keys, prefix, delimiter, after, 2)[0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=25), KEYS | st.just(b""), DELIMITER)
def test_a_bucket_is_a_dict(steps, prefix, delimiter):
    async def run(directory: Path) -> None:
        async with open_parts(directory) as parts:
            versions = parts.versions
            view = await parts.bucket("r")
            model: dict[bytes, bytes] = {}
            head: dict[bytes, bytes] = {}
            history: dict[str, dict[bytes, bytes]] = {}
            for name, key, data in steps:
                branch = await versions.inspect_branch("r", MASTER)
                if name == "put":
                    await parts.put(view, key, data)
                    model[key] = data
                elif name == "delete":
                    await versions.delete(view, key)
                    model.pop(key, None)
                elif name == "start":
                    if branch.open is None:
                        await versions.start_commit("r", MASTER)
                elif branch.open is None:
                    continue
                elif name == "finish":
                    info = await versions.inspect_commit(branch.open)
                    if info.origin == "auto":
                        await versions.flush("r", MASTER)
                    else:
                        done = await versions.finish_commit(branch.open)
                        assert (done.objects, done.bytes) == (
                            len(model),
                            sum(map(len, model.values())),
                        )
                        history[done.id] = dict(model)
                    head = dict(model)
                else:
                    await versions.discard_commit(branch.open)
                    model = dict(head)
            assert await parts.keys(view) == sorted(model)
            for key, data in model.items():
                assert await parts.read(view, key) == data
            await check_listing(parts, view, model, prefix, delimiter)
            for commit, content in history.items():
                pinned = await versions.buckets.resolve(f"{commit}.r")
                assert await parts.keys(pinned) == sorted(content)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))


async def test_pages_of_a_thousand_over_a_tree_and_many_staged_rows(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        names = [b"d%02d/%04d" % (n % 40, n) for n in range(2600)]
        for start in range(0, 2000, 250):
            await asyncio.gather(*[parts.put(view, key) for key in names[start : start + 250]])
        done = await parts.versions.flush("r", MASTER)
        assert done is not None
        assert done.objects == 2000
        for start in range(2000, 2600, 200):
            await asyncio.gather(*[parts.put(view, key) for key in names[start : start + 200]])
        gone = names[:2000:7]
        await parts.versions.delete_many(view, gone)
        left = sorted(set(names) - set(gone))
        await check_listing(parts, view, dict.fromkeys(left, b"x"), b"d1", b"/")
        page = await parts.versions.list_objects(view, limit=1000)
        assert [key for key, _ in page.entries] == left[:1000]
        assert page.truncated
        assert await parts.keys(view) == left
        done = await parts.versions.flush("r", MASTER)
        assert done is not None
        assert done.objects == len(left)
        assert await parts.keys(view) == left


async def test_writers_are_never_lost_to_finishers(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        busy = True

        async def finish() -> None:
            while busy:
                await parts.versions.flush("r", MASTER)
                await asyncio.sleep(0)

        async def write(who: int) -> None:
            for n in range(60):
                await parts.put(view, b"%d/%d" % (who, n), b"%d" % n)
                assert await parts.read(view, b"%d/%d" % (who, n)) == b"%d" % n
                if n % 3 == 0:
                    await parts.versions.delete(view, b"%d/%d" % (who, n))
                    assert await parts.versions.find(view, b"%d/%d" % (who, n)) is None

        finisher = [asyncio.create_task(finish()) for _ in range(2)]
        await asyncio.gather(*[write(who) for who in range(6)])
        busy = False
        await asyncio.gather(*finisher)
        await parts.versions.flush("r", MASTER)
        expected = sorted(b"%d/%d" % (w, n) for w in range(6) for n in range(60) if n % 3)
        assert await parts.keys(view) == expected
        commits = await parts.versions.list_commits("r", MASTER, 10_000)
        assert len({info.id for info in commits}) == len(commits) > 1
        assert commits[0].objects == len(expected)
        for newer, older in itertools.pairwise(commits):
            assert newer.parent == older.id


async def test_writers_go_on_while_a_large_commit_is_folded(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        for start in range(0, 1500, 250):
            await asyncio.gather(
                *[parts.put(view, b"k%05d" % n) for n in range(start, start + 250)]
            )
        finishing = asyncio.create_task(parts.versions.flush("r", MASTER))
        for n in range(40):
            await parts.put(view, b"late%d" % n, b"y", Condition(if_none_match=("*",)))
        done = await finishing
        assert done is not None
        await parts.versions.flush("r", MASTER)
        assert len(await parts.keys(view)) == 1540


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_successor_of_a_prefix_is_above_all_beneath_it(prefix, more):
    after = successor(prefix)
    if after is None:
        assert not prefix.strip(b"\xff")
    else:
        assert prefix + more < after
        assert prefix < after
        assert len(after) <= len(prefix)


def test_a_page_begins_behind_what_was_rolled_up():
    assert first_after(b"", b"p", b"/") == b"p"
    assert first_after(b"a", b"p", b"/") == b"p"
    assert first_after(b"q", b"p", b"/") is None
    assert first_after(b"pa", b"p", b"/") == b"pa\x00"
    assert first_after(b"pa/", b"p", b"/") == b"pa0"
    assert first_after(b"pa/b/c", b"p", b"/") == b"pa0"
    assert first_after(b"pa/b", b"p", b"") == b"pa/b\x00"
