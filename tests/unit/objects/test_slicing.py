"""Ranges of objects are objects: the same bytes as a slice, and no data stored for them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_store import DOMAIN, Body, checksums_of, open_store, pieces, read, record_of

from gateway import limits
from gateway.chunks.chunk import Entry, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.errors import Corrupt, Invalid
from gateway.objects.manifest import Child, encode_children, encode_entries
from gateway.objects.record import EMPTY, Inline, Listed, ObjectRecord, Single
from gateway.objects.store import ObjectStore

NOISE = random.Random(5).randbytes(3_000_000)
ANY_PATH = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def nested(chunks: ChunkStore, data: bytes, draw: random.Random) -> ObjectRecord:
    """Store `data` in tiny chunks below manifests of unlike heights, some of one entry only."""
    layer: list[Child] = []
    at = 0
    ticket = 0
    while at < len(data):
        entries = []
        for _ in range(draw.randint(1, 4)):
            if at == len(data):
                break
            size = min(draw.randint(1, 40), len(data) - at)
            # A chunk of which some bytes on either side are not listed.
            before, after = draw.randbytes(draw.randint(0, 3)), draw.randbytes(draw.randint(0, 3))
            chunk = await chunks.put(
                DOMAIN, RecordKind.SMALL, before + data[at : at + size] + after
            )
            ticket = max(ticket, chunk.ticket)
            entries.append(Entry(chunk.id, len(before), size))
            at += size
        stored = await chunks.put(DOMAIN, RecordKind.MANIFEST, encode_entries(entries))
        ticket = max(ticket, stored.ticket)
        layer.append(Child(stored.id, sum(entry.length for entry in entries), 0))
    level = 0
    while len(layer) > 1 or (level < 3 and draw.random() < 0.5):
        level += 1
        above: list[Child] = []
        while layer:
            count = draw.randint(1, 4) if level < 8 else len(layer)
            run, layer = layer[:count], layer[count:]
            if count == 1 and draw.random() < 0.5:
                above += run
                continue
            stored = await chunks.put(DOMAIN, RecordKind.MANIFEST, encode_children(run, level))
            ticket = max(ticket, stored.ticket)
            above.append(Child(stored.id, sum(child.bytes for child in run), level))
        layer = above
    await chunks.durable(ticket)
    return ObjectRecord(len(data), 0, bytes(16), content=Listed(layer[0].id, layer[0].level))


async def sliced(store: ObjectStore, record: ObjectRecord, start: int, end: int) -> ObjectRecord:
    content, ticket = await store.slice(DOMAIN, record, start, end)
    await store.durable(ticket)
    return ObjectRecord(end - start, 0, bytes(16), content=content)


@ANY_PATH
@given(st.data(), st.integers(1, 1000), st.integers(0, 2**32))
async def test_slices_of_slices_are_those_of_bytes(tmp_path_factory, data, size, seed):
    draw = random.Random(seed)
    plain = draw.randbytes(size)
    async with open_store(tmp_path_factory.mktemp("slices")) as (store, chunks):
        record = await nested(chunks, plain, draw)
        level = record.content.level
        for _ in range(4):
            start = data.draw(st.integers(0, len(plain)))
            end = data.draw(st.integers(start, len(plain)))
            record = await sliced(store, record, start, end)
            plain = plain[start:end]
            assert await read(store, record, 0, len(plain)) == plain
            assert await store.digest(DOMAIN, record, 0, len(plain), ("CRC32",)) == (
                hashlib.md5(plain).digest(), checksums_of(plain, ("CRC32",))
            )  # fmt: skip
            assert getattr(record.content, "level", 0) <= level


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 1_000_000), (1_000_000, 2_000_000), (2_000_000, 3_000_000)],
        [(0, 1), (1, 65_536), (65_536, 2_999_999), (2_999_999, 3_000_000)],
    ],
)
async def test_a_copy_by_parts_is_the_object_and_stores_no_data(
    tmp_path: Path, ranges: Sequence[tuple[int, int]]
):
    async with open_store(tmp_path) as (store, chunks):
        written = await store.write(DOMAIN, Body(pieces(NOISE, 1 << 20)))
        await store.durable(written.ticket)
        before = chunks.stats().payload_bytes
        parts = [await sliced(store, record_of(written), start, end) for start, end in ranges]
        content, ticket = await store.concat(DOMAIN, parts)
        await store.durable(ticket)
        assert chunks.stats().payload_bytes - before < 8_000
        copy = ObjectRecord(len(NOISE), 0, bytes(16), content=content)
        assert await read(store, copy, 0, len(NOISE)) == NOISE


async def test_what_a_range_becomes(tmp_path):
    async with open_store(tmp_path) as (store, chunks):
        inline = record_of(await store.write(DOMAIN, Body([b"0123456789"])))
        single = record_of(await store.write(DOMAIN, Body([NOISE[:5000]])))
        written = await store.write(DOMAIN, Body(pieces(NOISE, 1 << 20)))
        await store.durable(written.ticket)
        listed = record_of(written)
        before = chunks.stats().chunks
        assert await store.slice(DOMAIN, inline, 2, 5) == (Inline(b"234"), 0)
        assert await store.slice(DOMAIN, single, 2, 5) == (Single(single.content.id, 2, 3), 0)
        again = replace(single, size=3, content=Single(single.content.id, 2, 3))
        assert await store.slice(DOMAIN, again, 1, 3) == (Single(single.content.id, 3, 2), 0)
        (content, ticket) = await store.slice(DOMAIN, listed, 7, 9)
        assert (type(content), content.offset, ticket) == (Single, 7, 0)
        for record in (inline, single, listed):
            size = record.size
            assert await store.slice(DOMAIN, record, 0, size) == (record.content, 0)
            assert await store.slice(DOMAIN, record, size, size) == (EMPTY, 0)
            for start, end in ((-1, 1), (2, 1), (0, size + 1)):
                with pytest.raises(Invalid):
                    await store.slice(DOMAIN, record, start, end)
        assert chunks.stats().chunks == before


async def test_a_range_below_a_tree_of_manifests_makes_few_new_ones(tmp_path):
    async with open_store(tmp_path) as (store, chunks):
        layer = []
        for number in range(40):
            chunk = await chunks.put(DOMAIN, RecordKind.SMALL, NOISE[number * 70 :][:70])
            stored = await chunks.put(
                DOMAIN, RecordKind.MANIFEST, encode_entries([Entry(chunk.id, 0, 70)] * 3)
            )
            layer.append(Child(stored.id, 210, 0))
        lower = []
        for at in range(0, 40, 8):
            stored = await chunks.put(
                DOMAIN, RecordKind.MANIFEST, encode_children(layer[at : at + 8], 1)
            )
            lower.append(Child(stored.id, 8 * 210, 1))
        stored = await chunks.put(DOMAIN, RecordKind.MANIFEST, encode_children(lower, 2))
        await chunks.durable(stored.ticket)
        record = ObjectRecord(40 * 210, 0, bytes(16), content=Listed(stored.id, 2))
        before = chunks.stats().chunks
        middle = await sliced(store, record, 5, 40 * 210 - 5)
        assert chunks.stats().chunks - before == 5  # two a level, and the top
        assert middle.content.level == 2
        before = chunks.stats().chunks
        assert (await sliced(store, record, 8 * 210, 16 * 210)).content == Listed(lower[1].id, 1)
        assert (await sliced(store, record, 210, 420)).content == Listed(layer[1].id, 0)
        assert chunks.stats().chunks == before
        longer = replace(record, size=record.size + 1)
        with pytest.raises(Corrupt):
            await store.slice(DOMAIN, longer, 5, record.size + 1)


@pytest.mark.parametrize("size", [0, 1, limits.SMALL_SIZE_MAX + 1, 2_900_000])
async def test_digests_of_a_range(tmp_path, size):
    names = ("CRC64NVME", "SHA256")
    async with open_store(tmp_path) as (store, _):
        written = await store.write(DOMAIN, Body(pieces(NOISE, 1 << 20)))
        await store.durable(written.ticket)
        found = await store.digest(DOMAIN, record_of(written), 77, 77 + size, names)
        data = NOISE[77 : 77 + size]
        assert found == (hashlib.md5(data).digest(), checksums_of(data, names))
        assert (await store.digest(DOMAIN, record_of(written), 77, 77 + size))[1] == ()
