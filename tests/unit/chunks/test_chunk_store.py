"""The store as its callers see it: round trips, dedup, waiting, back-pressure, reopening."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from chunk_ground import DOMAIN, SMALL_SIZES, keep, opened, segments, take, whole

from gateway.chunks.chunk import Domain, RecordKind
from gateway.errors import Corrupt, Invalid, TooLarge, Unavailable
from gateway.limits import KIB, MIB, SMALL_SIZE_MAX


def made(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [1, 511, 4096, 64 * KIB, 256 * KIB + 1, 3 * MIB])
async def test_a_record_comes_back_under_its_name(tmp_path: Path, size: int) -> None:
    async with opened(str(tmp_path)) as store:
        data = made(size, size)
        for kind in RecordKind:
            stored = await store.put(DOMAIN, kind, data)
            assert stored.id == DOMAIN.name(kind, data)
            assert await whole(store, [stored.id]) == data
        # CHUNK and SMALL share their names; the other kinds have their own.
        assert store.stats().chunks == len(RecordKind) - 1


async def test_the_largest_record_and_one_byte_more(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        data = made(1, 16 * MIB - 8 * KIB)
        node = await keep(store, data, RecordKind.PARTS)
        assert await whole(store, [node]) == data
        with pytest.raises(TooLarge):
            await store.put(DOMAIN, RecordKind.PARTS, data + b"x")
        with pytest.raises(Invalid):
            await store.put(DOMAIN, RecordKind.SMALL, b"")


async def test_two_large_records_wait_for_each_other(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        bodies = [made(seed, 5 * MIB) for seed in range(3)]
        ids = await asyncio.gather(*(keep(store, body, RecordKind.PARTS) for body in bodies))
        assert await whole(store, ids) == b"".join(bodies)


async def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        data = made(1, 3 * MIB)
        first = store.writer(DOMAIN)
        await first.write(memoryview(data))
        one = await first.finish()
        second = store.writer(DOMAIN)
        await second.write(memoryview(data))
        two = await second.finish()
        # The second shares what waits: it may be as durable as the first, and not before.
        assert (one.new_bytes, one.dedup_bytes) == (len(data), 0)
        assert (two.new_bytes, two.dedup_bytes) == (0, len(data))
        assert two.entries == one.entries
        assert two.ticket <= one.ticket
        await store.durable(one.ticket)
        third = store.writer(DOMAIN)
        await third.write(memoryview(data))
        assert (await third.finish()).ticket == 0


async def test_a_waiting_record_lends_its_ticket(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        first = await store.put(DOMAIN, RecordKind.SMALL, b"same")
        again = await store.put(DOMAIN, RecordKind.SMALL, b"same")
        assert again == (first.id, first.ticket, 0)
        assert store.has(first.id)
        assert store.stats().pending == 1
        await store.durable(again.ticket)
        assert store.stats().pending == 0
        assert (await store.put(DOMAIN, RecordKind.SMALL, b"same")).ticket == 0


async def test_reading_what_waits_makes_it_durable(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        stored = await store.put(DOMAIN, RecordKind.SMALL, b"not yet")
        assert await whole(store, [stored.id]) == b"not yet"
        assert store.stats().pending == 0


async def test_domains_do_not_know_each_other(tmp_path: Path) -> None:
    other = Domain.from_salt("other", bytes(32))
    async with opened(str(tmp_path)) as store:
        mine = await store.put(DOMAIN, RecordKind.SMALL, b"same bytes")
        theirs = await store.put(other, RecordKind.SMALL, b"same bytes")
        assert mine.id != theirs.id
        assert theirs.new_bytes == 10


@pytest.mark.parametrize("step", [1000, 64 * KIB, 64 * KIB + 1, 700_001, 4 * MIB])
async def test_pieces_do_not_depend_on_the_views(tmp_path: Path, step: int) -> None:
    data = made(7, 2 * MIB + 12345)
    async with opened(str(tmp_path)) as store:
        once = await take(store, data, len(data))
        assert await take(store, data, step) == once
        assert await whole(store, once) == data


@pytest.mark.parametrize("size", [0, 1, SMALL_SIZE_MAX, SMALL_SIZE_MAX + 1])
async def test_a_short_stream_is_one_record_and_never_cut(tmp_path: Path, size: int) -> None:
    data = made(size, size)
    async with opened(str(tmp_path)) as store:
        writer = store.writer(DOMAIN)
        for at in range(0, size, 5000):
            await writer.write(memoryview(data)[at : at + 5000])
        written = await writer.finish()
        assert await whole(store, [entry.id for entry in written.entries]) == data
        if size <= SMALL_SIZE_MAX:
            assert len(written.entries) == min(size, 1)
        if 0 < size <= SMALL_SIZE_MAX:
            assert written.entries[0].id == DOMAIN.name(RecordKind.SMALL, data)
        if not size:
            assert written.ticket == 0


async def test_a_view_may_be_used_again_after_a_write(tmp_path: Path) -> None:
    data = made(3, 5 * MIB)
    arena = bytearray(MIB)
    async with opened(str(tmp_path)) as store:
        writer = store.writer(DOMAIN)
        for at in range(0, len(data), MIB):
            arena[:] = data[at : at + MIB]
            await writer.write(memoryview(arena))
            arena[:] = bytes(MIB)
        written = await writer.finish()
        assert await whole(store, [entry.id for entry in written.entries]) == data


async def test_a_cancelled_write_does_not_use_its_view_any_more(tmp_path: Path) -> None:
    arena = bytearray(made(3, 4 * MIB))
    async with opened(str(tmp_path)) as store:
        writer = store.writer(DOMAIN)
        task = asyncio.create_task(writer.write(memoryview(arena)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        arena[:] = bytes(len(arena))
        writer.abort()
        # Whatever was stored meanwhile is stored under its own name.
        await take(store, made(3, 4 * MIB))
        assert await whole(store, await take(store, made(3, 4 * MIB))) == made(3, 4 * MIB)


async def test_equal_pieces_of_one_stream_are_stored_once(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        writer = store.writer(DOMAIN)
        await writer.write(memoryview(bytes(8 * MIB)))
        written = await writer.finish()
        assert written.new_bytes <= 512 * KIB
        assert written.new_bytes + written.dedup_bytes == 8 * MIB


async def test_more_than_the_buffers_hold_is_held_back(tmp_path: Path) -> None:
    """Eight streams of 3 MiB through two buffers of 256 KiB, small records between them."""
    bodies = [made(seed, 3 * MIB) for seed in range(8)]
    small = [made(seed, 100) for seed in range(200)]
    async with opened(str(tmp_path)) as store:
        lists = await asyncio.gather(
            *(take(store, body) for body in bodies), *(take(store, body) for body in small)
        )
        for body, ids in zip(bodies + small, lists, strict=True):
            assert await whole(store, ids) == body
        assert store.stats().packs >= 10


async def test_many_that_wait_share_extents(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        await asyncio.gather(*(keep(store, b"%d" % number) for number in range(500)))
        assert len(segments(str(tmp_path))) == 1
        assert store.stats().chunks == 500
        assert sum(segment.extents for segment in store._segments.values()) < 100


async def test_a_run_of_neighbours_is_one_view(tmp_path: Path) -> None:
    data = made(1, 2 * MIB)
    async with opened(str(tmp_path)) as store:
        ids = await take(store, data)
        runs = await store.read_runs(ids)
        assert b"".join(runs) == data
        assert len(runs) < len(ids)
        assert all(run.readonly for run in runs)
        waiting = await store.put(DOMAIN, RecordKind.SMALL, b"still waits")
        mixed = [*ids[:3], waiting.id, *ids[2:], ids[0]]
        assert b"".join(await store.read_runs(mixed)) == await whole(store, mixed)
        assert await store.read_runs([]) == []
        assert [bytes(view) for view in await store.read_runs(ids[::-1])] == [
            bytes(view) for view in (await store.read(ids))[::-1]
        ]


async def test_views_outlive_the_store(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        [view] = await store.read([await keep(store, b"still here")])
    assert bytes(view) == b"still here"


async def test_short_lives_share_one_segment(tmp_path: Path) -> None:
    ids = []
    for number in range(5):
        async with opened(str(tmp_path)) as store:
            ids.append(await keep(store, b"life %d" % number))
    assert segments(str(tmp_path)) == ["00000001.seg"]
    # What was reserved ahead is given back at a clean close.
    assert os.path.getsize(f"{tmp_path}/segments/00000001.seg") == 4096 * 6
    async with opened(str(tmp_path)) as store:
        assert [bytes(view) for view in await store.read(ids)] == [b"life %d" % n for n in range(5)]


async def test_full_segments_become_packs_that_last(tmp_path: Path) -> None:
    data = made(9, 7 * MIB)
    async with opened(str(tmp_path)) as store:
        ids = await take(store, data)
        assert store.stats().packs >= 3
        assert await whole(store, ids) == data
    async with opened(str(tmp_path)) as store:
        assert await whole(store, ids) == data
        assert await take(store, data) == ids
        assert store.stats().payload_bytes == len(data)
        assert not store.stats().damage
    async with opened(str(tmp_path)) as store:
        assert b"".join(await store.read_runs(ids)) == data


async def test_what_is_not_there_is_corrupt(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        with pytest.raises(Corrupt, match="not in the store"):
            await store.read([bytes(32)])
        assert not store.has(bytes(32))


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        kept = await store.put(DOMAIN, RecordKind.SMALL, b"taken before")
    with pytest.raises(Unavailable):
        await store.put(DOMAIN, RecordKind.SMALL, b"too late")
    with pytest.raises(Unavailable):
        await store.read([kept.id])
    await store.durable(kept.ticket)  # closing made it so
    await store.close()
    async with opened(str(tmp_path)) as store:
        assert await whole(store, [kept.id]) == b"taken before"


async def test_memory_is_that_of_the_buffers(tmp_path: Path) -> None:
    async with opened(str(tmp_path), sizes=SMALL_SIZES) as store:
        await take(store, made(1, 4 * MIB))
        assert len(store.log._free) <= SMALL_SIZES.buffers == store.log._made
