"""Parts that are ranges of objects: what is stored, what is read, what is refused."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from versions_store import PLAIN, Body, open_parts

from gateway import digests
from gateway.errors import Denied, Invalid, NotFound, Reason
from gateway.limits import MIB, PART_SIZE_MIN
from gateway.objects.record import ChecksumValue
from gateway.versions.model import CompletedPart

NOISE = random.Random(11).randbytes(12 * MIB)
SPLIT = 6 * MIB


def crc_of(data: bytes) -> tuple[ChecksumValue, ...]:
    state = digests.new_checksum("CRC64NVME")
    state.update(data)
    return (ChecksumValue("CRC64NVME", "FULL_OBJECT", state.digest()),)


async def begin(parts, view, key=b"copy"):
    return await parts.versions.create_upload(view, key, PLAIN, "CRC64NVME")


async def from_parts(parts, view, key, *bodies):
    """Complete an object from parts."""
    upload = await begin(parts, view, key)
    listed = []
    for number, body in enumerate(bodies, 1):
        part = await parts.versions.put_part(view, key, upload, number, Body(body, ("CRC64NVME",)))
        listed.append(CompletedPart(number, part.etag))
    await parts.versions.complete_upload(view, key, upload, listed)
    return await parts.versions.head(view, key)


class Reads:
    """Counts the ranges that are read for their digests."""

    def __init__(self, parts, monkeypatch) -> None:
        self.ranges = []
        digest = parts.objects.digest

        async def counted(domain, record, start, end, names=()):
            self.ranges.append((start, end))
            return await digest(domain, record, start, end, names)

        monkeypatch.setattr(parts.objects, "digest", counted)


class Recorder:
    def __init__(self) -> None:
        self.seen = []

    def looked_up(self, key, record):
        pass

    def read(self, key, record, start, end):
        self.seen.append((key, start, end))


@pytest.mark.parametrize("split", [PART_SIZE_MIN, SPLIT, 7_000_001])
async def test_a_copy_by_parts_stores_no_data_and_reads_what_is_not_known(
    tmp_path, monkeypatch, split
):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        info = await from_parts(parts, view, b"k", NOISE[:SPLIT], NOISE[SPLIT:])
        reads = Reads(parts, monkeypatch)
        recorder = Recorder()
        source = replace(view, recorder=recorder)
        upload = await begin(parts, view)
        before = parts.objects._chunks.stats().payload_bytes
        listed = []
        ranges = [(0, split), (split, len(NOISE))]
        for number, (start, end) in enumerate(ranges, 1):
            part = await versions.put_part_copy(
                view, b"copy", upload, number, source, info, start, end
            )
            data = NOISE[start:end]
            assert (part.etag, part.size) == (hashlib.md5(data).hexdigest(), len(data))
            assert part.checksums == crc_of(data)
            assert (part.new_bytes, part.dedup_bytes) == (0, len(data))
            listed.append(CompletedPart(number, part.etag))
        assert reads.ranges == ([] if split == SPLIT else ranges)
        assert recorder.seen == [(b"k", start, end) for start, end in ranges]
        done = await versions.complete_upload(view, b"copy", upload, listed)
        assert parts.objects._chunks.stats().payload_bytes - before < 20_000
        assert done.record.checksums == crc_of(NOISE)
        assert await parts.read(view, b"copy") == NOISE


async def test_the_whole_of_an_object_with_a_plain_md5_is_not_read(tmp_path, monkeypatch):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        for key, algorithms in ((b"with", ("CRC64NVME",)), (b"without", ())):
            await parts.versions.put(view, key, PLAIN, Body(NOISE[:SPLIT], algorithms))
        multipart = await from_parts(parts, view, b"parts", NOISE[:SPLIT], NOISE[SPLIT:])
        reads = Reads(parts, monkeypatch)
        upload = await begin(parts, view)
        for info, expected in (
            (await parts.versions.head(view, b"with"), []),
            (await parts.versions.head(view, b"without"), [(0, SPLIT)]),
            (multipart, [(0, len(NOISE))]),  # its own MD5 is that of its parts'
        ):
            reads.ranges = []
            size = info.record.size
            part = await parts.versions.put_part_copy(view, b"copy", upload, 1, view, info, 0, size)
            assert reads.ranges == expected
            assert part.etag == hashlib.md5(NOISE[:size]).hexdigest()
            assert part.checksums == crc_of(NOISE[:size])


async def test_an_upload_without_a_checksum_and_sources_of_all_sizes(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        upload = await parts.versions.create_upload(view, b"copy", PLAIN)
        for size in (0, 1, 50, 5000, 300_000):
            data = NOISE[:size]
            await parts.put(view, b"k", data)
            info = await parts.versions.head(view, b"k")
            for start, end in ((0, size), (size // 3, size), (size // 2, size // 2)):
                part = await parts.versions.put_part_copy(
                    view, b"copy", upload, 1, view, info, start, end
                )
                assert part.etag == hashlib.md5(data[start:end]).hexdigest()
                assert part.checksums == ()
                result = await parts.versions.list_parts(view, b"copy", upload)
                assert [p.size for p in result.parts] == [end - start]
        with pytest.raises(Invalid):
            await parts.versions.put_part_copy(view, b"copy", upload, 1, view, info, 0, size + 1)


async def test_between_projects_the_bytes_are_taken_in_anew(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        info = await from_parts(parts, view, b"k", NOISE[:SPLIT], NOISE[SPLIT:])
        await versions.create_project("other")
        elsewhere = await parts.bucket("master.x.other")
        assert elsewhere.domain.id != view.domain.id
        upload = await begin(parts, elsewhere)
        listed = []
        for number, (start, end) in enumerate([(0, 5_500_000), (5_500_000, len(NOISE))], 1):
            part = await versions.put_part_copy(
                elsewhere, b"copy", upload, number, view, info, start, end
            )
            assert part.new_bytes == part.size
            assert part.checksums == crc_of(NOISE[start:end])
            listed.append(CompletedPart(number, part.etag))
        await versions.complete_upload(elsewhere, b"copy", upload, listed)
        assert await parts.read(elsewhere, b"copy") == NOISE


async def test_copies_that_are_refused(tmp_path):
    async with open_parts(tmp_path) as parts:
        copy = parts.versions.put_part_copy
        view = await parts.bucket("r")
        await parts.put(view, b"k", NOISE[:1000])
        info = await parts.versions.head(view, b"k")
        upload = await begin(parts, view)
        for number in (0, 10_001):
            with pytest.raises(Invalid):
                await copy(view, b"copy", upload, number, view, info, 0, 10)
        with pytest.raises(Denied):
            await copy(replace(view, writable=False), b"copy", upload, 1, view, info, 0, 10)
        await parts.versions.abort_upload(view, b"copy", upload)
        with pytest.raises(NotFound) as ended:
            await copy(view, b"copy", upload, 1, view, info, 0, 10)
        assert ended.value.reason is Reason.NO_SUCH_UPLOAD


async def test_the_parts_of_an_object(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        await parts.put(view, b"plain", b"x")
        assert await parts.versions.parts(view, await parts.versions.head(view, b"plain")) is None
        info = await from_parts(parts, view, b"k", NOISE[:SPLIT], NOISE[SPLIT:])
        table = await parts.versions.parts(view, info)
        assert [table.range_of(0), table.range_of(1)] == [(0, SPLIT), (SPLIT, len(NOISE))]
        assert table.parts[1].checksums == crc_of(NOISE[SPLIT:])
