"""Bodies go in and come out of a real chunk store, whole, in ranges and put together."""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import replace

import pytest
from object_store import DOMAIN, Body, checksums_of, open_store, pieces, read, record_of

from gateway import limits
from gateway.chunks.chunk import Domain
from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.parts import Part
from gateway.objects.record import EMPTY, Inline, Listed, ObjectRecord, Single

ALL = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
NOISE = random.Random(1).randbytes(9_000_000)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (0, Inline), (1, Inline), (64, Inline), (65, Single), (4096, Single), (65_536, Single),
        (65_537, Single | Listed), (300_000, Listed), (9_000_000, Listed),
    ],
)  # fmt: skip
async def test_bodies_of_all_sizes_come_back(tmp_path, size, kind):
    data = NOISE[:size]
    async with open_store(tmp_path) as (store, _):
        for step in (1 << 20, 70_000, 999 if size < 400_000 else 500_000):
            written = await store.write(DOMAIN, Body(pieces(data, step), ALL))
            await store.durable(written.ticket)
            assert isinstance(written.content, kind)
            assert written.size == size
            assert written.md5 == hashlib.md5(data).digest()
            assert written.checksums == checksums_of(data, ALL)
            assert written.new_bytes + written.dedup_bytes == size
            record = ObjectRecord.decode(record_of(written).encode())
            for start, end in (
                (0, size), (0, 0), (size, size), (size // 2, size), (0, size // 3),
                (max(0, size - 1), size), (size // 3, size // 3 + size // 2),
            ):  # fmt: skip
                assert await read(store, record, start, end) == data[start:end]
        assert written.dedup_bytes == (size if size > 64 else 0)


async def test_data_survives_the_process(tmp_path):
    data = NOISE[:700_000]
    async with open_store(tmp_path) as (store, _):
        written = await store.write(DOMAIN, Body([data]))
        tree = await store.trees.edit(DOMAIN, None, [(b"k", record_of(written))])
        await store.durable(max(tree.ticket, written.ticket))
    async with open_store(tmp_path) as (store, _):
        record = await store.trees.get(DOMAIN, tree.root, b"k")
        assert record is not None
        assert await read(store, record, 0, record.size) == data


async def test_an_edit_of_a_large_object_stores_little(tmp_path):
    async with open_store(tmp_path) as (store, _):
        first = await store.write(DOMAIN, Body(pieces(NOISE, 1 << 20)))
        changed = NOISE[:4_000_000] + b"!" + NOISE[4_000_001:]
        second = await store.write(DOMAIN, Body(pieces(changed, 1 << 20)))
        assert first.new_bytes == len(NOISE)
        assert second.new_bytes < 800_000
        await store.durable(second.ticket)
        record = record_of(second)
        assert await read(store, record, 3_999_990, 4_000_010) == changed[3_999_990:4_000_010]


@pytest.mark.parametrize("size", [10, 5000, 500_000])
async def test_a_broken_promise_stores_nothing_that_counts(tmp_path, size):
    def refuse(*_):
        raise Invalid(Reason.BAD_DIGEST, "the body is not what was promised")

    async with open_store(tmp_path) as (store, chunks):
        with pytest.raises(Invalid):
            await store.write(DOMAIN, Body(pieces(NOISE[:size], 100_000), ALL, refuse))
        assert chunks.stats().pending == 0 or size > 65_536
        written = await store.write(DOMAIN, Body(pieces(NOISE[:size], 100_000), ALL))
        await store.durable(written.ticket)
        assert await read(store, record_of(written), 0, size) == NOISE[:size]


async def test_a_body_that_fails_midway_leaves_the_store_well(tmp_path):
    def broken():
        yield NOISE[:1_000_000]
        raise Invalid(Reason.INCOMPLETE_BODY, "the client went away")

    async with open_store(tmp_path) as (store, _):
        with pytest.raises(Invalid):
            await store.write(DOMAIN, Body(broken(), ALL))
        written = await store.write(DOMAIN, Body([NOISE[:1_000_000]]))
        await store.durable(written.ticket)
        assert await read(store, record_of(written), 0, 1_000_000) == NOISE[:1_000_000]


async def test_a_cancelled_upload_gives_the_view_back_only_when_nobody_looks(tmp_path):
    class Watched(Body):
        """Its second view never comes; whoever cancels finds the first one free."""

        async def read(self):
            view = await super().read()
            if view is not None:
                started.set()
            return view

    async with open_store(tmp_path) as (store, _):
        for turns in range(12):
            started = asyncio.Event()
            task = asyncio.create_task(store.write(DOMAIN, Watched(pieces(NOISE, 1 << 20), ALL)))
            await started.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        written = await store.write(DOMAIN, Body(pieces(NOISE, 1 << 20), ALL))
        await store.durable(written.ticket)
        assert await read(store, record_of(written), 0, len(NOISE)) == NOISE


async def test_many_uploads_at_once_have_each_their_own_digests(tmp_path):
    async with open_store(tmp_path) as (store, _):
        bodies = [NOISE[i * 1000 : i * 1000 + 200_000 + 90_001 * i] for i in range(20)]
        written = await asyncio.gather(
            *[
                store.write(DOMAIN, Body(pieces(body, 131_072), ("CRC32", "SHA256")))
                for body in bodies
            ]
        )
        await store.durable(max(one.ticket for one in written))
        for body, one in zip(bodies, written, strict=True):
            assert one.md5 == hashlib.md5(body).digest()
            assert one.checksums == checksums_of(body, ("CRC32", "SHA256"))
            assert await read(store, record_of(one), 0, one.size) == body


async def test_parts_are_put_together_without_reading_them(tmp_path):
    async with open_store(tmp_path) as (store, chunks):
        sizes = (1_000_000, 50_000, 0, 70_000, 3, 20, 60_000, 2_500_000)
        records, at = [], 0
        for size in sizes:
            written = await store.write(DOMAIN, Body(pieces(NOISE[at : at + size], 1 << 20)))
            await store.durable(written.ticket)
            records.append(record_of(written))
            at += size
        before = chunks.stats().payload_bytes
        content, ticket = await store.concat(DOMAIN, records)
        await store.durable(ticket)
        assert chunks.stats().payload_bytes - before < 3000
        whole = ObjectRecord(at, 0, bytes(16), parts=len(sizes), content=content)
        for start, end in ((0, at), (999_990, 1_050_010), (at - 10, at), (1_119_999, 1_120_030)):
            assert await read(store, whole, start, end) == NOISE[start:end]
        # A whole made of wholes, higher than any manifest may be but for the taking apart.
        for _ in range(20):
            content, ticket = await store.concat(DOMAIN, [whole, records[4]])
            await store.durable(ticket)
            whole = ObjectRecord(whole.size + 3, 0, bytes(16), content=content)
        tail = await read(store, whole, whole.size - 63, whole.size)
        assert tail == NOISE[at - 3 : at] + NOISE[1_120_000:1_120_003] * 20


async def test_small_parts_stay_small(tmp_path):
    async with open_store(tmp_path) as (store, _):
        tiny = ObjectRecord(2, 0, bytes(16), content=Inline(b"ab"))
        empty = ObjectRecord(0, 0, bytes(16))
        one = await store.write(DOMAIN, Body([NOISE[:100]]))
        assert await store.concat(DOMAIN, [empty, empty]) == (EMPTY, 0)
        assert await store.concat(DOMAIN, [empty, tiny]) == (Inline(b"ab"), 0)
        assert await store.concat(DOMAIN, [tiny, tiny, tiny]) == (Inline(b"ababab"), 0)
        assert await store.concat(DOMAIN, [record_of(one), empty]) == (one.content, 0)


async def test_part_tables_come_back(tmp_path):
    async with open_store(tmp_path) as (store, _):
        parts = [Part(number, number * 10, bytes(16)) for number in range(1, 10_001)]
        table, ticket = await store.put_parts(DOMAIN, parts)
        await store.durable(ticket)
        with pytest.raises(Corrupt):
            await store.get_parts(Domain.from_salt("other", bytes(32)), table)
        found = await store.get_parts(DOMAIN, table)
        assert found.parts == parts
        assert found.range_of(2) == (30, 60)
        assert found.find(30, 60) == parts[2]
        for wrong in ((30, 59), (31, 60), (30, 100), (10**9, 10**9 + 1)):
            assert found.find(*wrong) is None
        assert await store.get_parts(DOMAIN, table) is found


async def test_what_is_not_there_is_corrupt(tmp_path):
    async with open_store(tmp_path) as (store, _):
        written = await store.write(DOMAIN, Body([NOISE[:1000]]))
        await store.durable(written.ticket)
        record = record_of(written)
        missing = replace(record, content=Single(bytes(32), 0, 1000))
        long = replace(record, size=2000, content=Single(written.content.id, 0, 2000))
        listed = replace(record, content=Listed(bytes(32), 0))
        wrong = replace(record, content=Listed(written.content.id, 0))
        for broken in (missing, long, listed, wrong):
            with pytest.raises(Corrupt):
                await read(store, broken, 0, broken.size)
        with pytest.raises(Invalid):
            await store.open(DOMAIN, record, 0, 1001)
        with pytest.raises(Invalid):
            await store.open(DOMAIN, record, 5, 4)


async def test_a_short_read_does_not_suspend(tmp_path):
    async with open_store(tmp_path) as (store, _):
        written = await store.write(DOMAIN, Body([NOISE[:200_000]]))
        tree = await store.trees.edit(DOMAIN, None, [(b"k", record_of(written))])
        await store.durable(max(tree.ticket, written.ticket))
        await read(store, record_of(written), 0, 200_000)
        with pytest.raises(StopIteration):
            store.trees.get(DOMAIN, tree.root, b"k").send(None)
        with pytest.raises(StopIteration):
            store.open(DOMAIN, record_of(written), 0, 200_000).send(None)


async def test_a_stream_left_early_can_be_closed(tmp_path):
    async with open_store(tmp_path) as (store, _):
        written = await store.write(DOMAIN, Body(pieces(NOISE, 1 << 20)))
        await store.durable(written.ticket)
        views = await store.open(DOMAIN, record_of(written), 0, len(NOISE))
        first = await anext(views)
        assert bytes(first) == NOISE[: len(first)]
        assert len(first) <= limits.READ_STEP_SIZE + limits.CHUNK_SIZE_MAX
        await views.aclose()
