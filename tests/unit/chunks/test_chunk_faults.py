"""Disks that are full or broken: nothing false is promised, nothing acknowledged is lost.

Each changing call of a workload fails in turn, once or from then on. Whatever was acknowledged is
read back, from the living store and by the next process; the store goes on when it can.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from chunk_ground import DOMAIN, FaultyFiles, broken, full, keep, opened, segments, take, whole

from gateway.backends.files import Handle
from gateway.chunks.chunk import RecordKind
from gateway.errors import Corrupt, Reason, Unavailable
from gateway.limits import KIB, MIB
from gateway.metadata.base import Unit

Made = Callable[[str], Unavailable]
BODIES = [
    random.Random(seed).randbytes(size) for seed, size in enumerate([50, 700 * KIB, 4000] * 2)
]


async def work(store, acknowledged: dict[bytes, list[bytes]]) -> int:
    """Store some bodies; return how many failed."""
    failed = 0
    for body in BODIES:
        try:
            ids = await take(store, body, 300 * KIB)
        except Unavailable:
            failed += 1
        else:
            acknowledged[body] = ids
    return failed


async def check(store, acknowledged: dict[bytes, list[bytes]]) -> None:
    for body, ids in acknowledged.items():
        assert await whole(store, ids) == body
    # No entry of the index leads to anything but the bytes of its name.
    assert not store.stats().damage


async def calls_of_a_good_run(directory: str) -> int:
    files = FaultyFiles()
    async with opened(directory, files) as store:
        files.calls.clear()
        assert await work(store, {}) == 0
        return len(files.calls)


@pytest.mark.parametrize("made", [full, broken])
@pytest.mark.parametrize("sticky", [False, True])
async def test_the_nth_call_fails(tmp_path: Path, made: Made, sticky: bool) -> None:
    (tmp_path / "good").mkdir()
    total = await calls_of_a_good_run(str(tmp_path / "good"))
    assert total > 20
    for nth in range(total + 1):
        directory = tmp_path / str(nth)
        directory.mkdir()
        files = FaultyFiles()
        acknowledged: dict[bytes, list[bytes]] = {}
        async with opened(str(directory), files) as store:
            files.calls.clear()

            def plan(number: int, call: str, nth: int = nth) -> Exception | None:
                return made(call) if number == nth or (sticky and number > nth) else None

            files.plan = plan
            failed = await work(store, acknowledged)
            if sticky and nth < total // 2:
                assert failed
            await check(store, acknowledged)
            files.plan = lambda number, call: None
            # There is room again: everything can be stored, and what was promised still holds.
            assert await work(store, acknowledged) == 0
            await check(store, acknowledged)
        async with opened(str(directory)) as store:
            await check(store, acknowledged)
            assert len(acknowledged) == len(BODIES)


async def test_a_full_disk_fails_those_who_wait_and_then_passes(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with opened(str(tmp_path), files) as store:
        before = await keep(store, b"before")
        files.plan = lambda number, call: full(call) if call in {"pwrite", "fallocate"} else None
        stored = [await store.put(DOMAIN, RecordKind.SMALL, b"%d" % n) for n in range(10)]
        outcomes = await asyncio.gather(
            *(store.durable(item.ticket) for item in stored), return_exceptions=True
        )
        assert all(
            isinstance(outcome, Unavailable) and outcome.reason is Reason.DISK_FULL
            for outcome in outcomes
        )
        assert len({id(outcome) for outcome in outcomes}) == 10
        assert await whole(store, [before]) == b"before"
        # A ticket of then does not become true by itself, and is not forgotten either.
        files.plan = lambda number, call: None
        later = await store.put(DOMAIN, RecordKind.NODE, b"names the ten")
        await store.durable(later.ticket)
        assert await whole(store, [item.id for item in stored]) == b"0123456789"


async def test_a_full_disk_bounds_memory_and_refuses_streams(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with opened(str(tmp_path), files) as store:
        await keep(store, b"before")
        files.plan = lambda number, call: full(call)
        for seed in range(3):
            with pytest.raises(Unavailable) as caught:
                await take(store, random.Random(seed).randbytes(4 * MIB))
            assert caught.value.reason is Reason.DISK_FULL
        assert store.log._made == 2
        files.plan = lambda number, call: None
        data = random.Random(1).randbytes(4 * MIB)
        assert await whole(store, await take(store, data)) == data


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
async def test_a_segment_that_failed_is_never_written_again(tmp_path: Path, call: str) -> None:
    files = FaultyFiles()
    async with opened(str(tmp_path), files) as store:
        before = await keep(store, b"before")
        at = len(files.calls)

        def plan(number: int, name: str) -> Exception | None:
            return broken(name) if name == call and call not in files.calls[at:] else None

        files.plan = plan
        after = await keep(store, b"after")
        assert segments(str(tmp_path)) == ["00000001.seg", "00000002.seg"]
        assert await whole(store, [before, after]) == b"beforeafter"
    async with opened(str(tmp_path)) as store:
        # Its sound part was sealed; what was written last goes on.
        assert segments(str(tmp_path)) == ["00000001.pack", "00000002.seg"]
        assert await whole(store, [before, after]) == b"beforeafter"
        assert not store.stats().damage


async def test_a_disk_that_stays_full_does_not_keep_the_store_from_closing(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with opened(str(tmp_path), files) as store:
        before = await keep(store, b"before")
        files.plan = lambda number, call: full(call)
        await store.put(DOMAIN, RecordKind.SMALL, b"never acknowledged")
    async with opened(str(tmp_path)) as store:
        assert await whole(store, [before]) == b"before"
        assert store.stats().chunks == 1


@pytest.mark.parametrize("nth", range(12))
async def test_opening_over_a_fault_loses_nothing(tmp_path: Path, nth: int) -> None:
    async with opened(str(tmp_path)) as store:
        ids = await take(store, BODIES[1])
    files = FaultyFiles()
    files.plan = lambda number, call: broken(call) if number == nth else None
    with suppress(Unavailable):
        async with opened(str(tmp_path), files) as store:
            assert await whole(store, ids) == BODIES[1]
            await keep(store, b"more")
    async with opened(str(tmp_path)) as store:
        assert await whole(store, ids) == BODIES[1]
        assert not store.stats().damage


async def test_an_extent_that_the_index_cannot_take_is_written_once(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        publish, store.log._publish = store.log._publish, refuse
        for _ in range(3):
            with pytest.raises(Unavailable):
                await keep(store, b"taken")
        assert store.log.appender is not None
        end = store.log.appender.chain.end
        store.log._publish = publish
        kept = await keep(store, b"taken")
        assert store.log.appender.chain.end == end
        assert await whole(store, [kept, await keep(store, b"more")]) == b"takenmore"
    async with opened(str(tmp_path)) as store:
        assert await whole(store, [kept]) == b"taken"


def refuse(*_: object) -> None:
    raise full("grow the index")


async def test_a_segment_without_its_row_is_kept_for_the_next_try(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        commit = store._metadata.commit

        async def no_room(unit: Unit) -> Mapping[str, int]:
            raise full("commit")

        store._metadata.commit = no_room  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(Unavailable):
                await keep(store, b"first")
        assert segments(str(tmp_path)) == ["00000001.seg"]
        store._metadata.commit = commit  # type: ignore[method-assign]
        first = await keep(store, b"first")
        assert segments(str(tmp_path)) == ["00000001.seg"]
    async with opened(str(tmp_path)) as store:
        assert await whole(store, [first]) == b"first"
        assert not store.stats().damage


async def test_what_cannot_be_synced_at_opening_is_not_counted_on(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with opened(str(tmp_path)) as store:
        old = await keep(store, b"perhaps not durable")

    def first_sync(_: int, call: str) -> Exception | None:
        return broken(call) if call == "fdatasync" and call not in files.calls else None

    files.plan = first_sync
    async with opened(str(tmp_path), files) as store:
        assert store.stats().damage
        assert await whole(store, [old]) == b"perhaps not durable"
        assert not store.has(old)
        stored = await store.put(DOMAIN, RecordKind.SMALL, b"perhaps not durable")
        assert stored.new_bytes
        await store.durable(stored.ticket)
        assert segments(str(tmp_path)) == ["00000001.seg", "00000002.seg"]


async def test_what_the_device_cannot_read_is_stored_again(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        old = await keep(store, b"on a bad sector")

    class Unreadable(FaultyFiles):
        bad = False

        def pread(self, handle: Handle, into: memoryview, offset: int) -> int:
            if self.bad:
                raise broken("read")
            return super().pread(handle, into, offset)

    files = Unreadable()
    async with opened(str(tmp_path), files) as store:
        files.bad = True
        with pytest.raises(Unavailable):
            await store.read([old])
        assert (await store.put(DOMAIN, RecordKind.SMALL, b"on a bad sector")).new_bytes


async def test_a_pack_that_vanishes_is_damage(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        old = await keep(store, b"gone")
    async with opened(str(tmp_path)) as store:
        (tmp_path / "segments" / "00000001.seg").unlink()
        with pytest.raises(Corrupt):
            await store.read([old])
        assert (await store.put(DOMAIN, RecordKind.SMALL, b"gone")).new_bytes


async def test_a_segment_may_be_sealed_between_two_looks(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        kept = await keep(store, b"sealed")
        directory = tmp_path / "segments"
        (directory / "00000001.seg").rename(directory / "00000001.pack")
        assert await whole(store, [kept]) == b"sealed"
