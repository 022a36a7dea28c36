"""Multipart uploads from their beginning to their end, and what their completion decides."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest
from versions_store import PLAIN, Body, Parts, open_parts

from gateway import digests
from gateway.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    PreconditionFailed,
    Reason,
    SidegateError,
)
from gateway.ids import BranchName
from gateway.limits import PART_SIZE_MIN, UPLOAD_AGE_MAX_S
from gateway.metadata.schema import PART, UPLOAD
from gateway.objects.record import ChecksumValue, ObjectRecord
from gateway.versions import completion
from gateway.versions.model import CompletedPart, Condition, PartInfo

MASTER = BranchName("master")
NOISE = random.Random(7).randbytes(PART_SIZE_MIN)
TAIL = NOISE[:1000]


def listed(*parts: PartInfo) -> list[CompletedPart]:
    return [CompletedPart(part.number, part.etag) for part in parts]


def etag_of(*bodies: bytes) -> str:
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies))
    return f"{digest.hexdigest()}-{len(bodies)}"


async def upload(parts: Parts, view, key: bytes, *bodies: bytes, algorithms=(), **announced):
    name = await parts.versions.create_upload(view, key, PLAIN, **announced)
    stored = [
        await parts.versions.put_part(view, key, name, n, Body(body, algorithms))
        for n, body in enumerate(bodies, start=1)
    ]
    return name, stored


async def test_an_object_is_completed_from_its_parts_without_new_bytes(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        name, stored = await upload(parts, view, b"k", NOISE, TAIL)
        assert [part.etag for part in stored] == [
            hashlib.md5(NOISE).hexdigest(), hashlib.md5(TAIL).hexdigest()
        ]  # fmt: skip
        assert await parts.keys(view) == []
        page = await versions.list_parts(view, b"k", name, 0, 1)
        assert ([p.number for p in page.parts], page.truncated, page.next) == ([1], True, 1)
        page = await versions.list_parts(view, b"k", name, 1, 10)
        assert ([p.number for p in page.parts], page.truncated) == ([2], False)
        assert page.parts[0].size == len(TAIL)
        before = parts.objects._chunks.stats()
        done = await versions.complete_upload(view, b"k", name, listed(*stored))
        assert done.record.etag() == etag_of(NOISE, TAIL)
        assert done.record.size == len(NOISE) + len(TAIL)
        assert done.record.headers == PLAIN.headers
        assert done.record.metadata == PLAIN.metadata
        assert parts.objects._chunks.stats().payload_bytes < before.payload_bytes + 1000
        assert await parts.read(view, b"k") == NOISE + TAIL
        table = await parts.objects.get_parts(view.domain, done.record.part_table)
        found = [(part.number, part.size) for part in table.parts]
        assert found == [(1, len(NOISE)), (2, len(TAIL))]
        again = await versions.complete_upload(view, b"k", name, listed(*stored))
        assert (again.record, again.commit) == (done.record, done.commit)
        new = sum(part.new_bytes for part in stored)
        assert done.new_bytes == new >= len(NOISE)
        commit = await versions.flush("r", MASTER)
        assert commit is not None
        assert (commit.logical_bytes, commit.new_bytes) == (len(NOISE) + len(TAIL), new)
        assert (await versions.complete_upload(view, b"k", name, listed(*stored))).commit
        with pytest.raises(Invalid):
            await versions.complete_upload(view, b"k", name, listed(stored[0]))
        for gone in (
            versions.put_part(view, b"k", name, 3, Body(b"x")),
            versions.abort_upload(view, b"k", name),
            versions.list_parts(view, b"k", name),
        ):
            with pytest.raises(NotFound) as ended:
                await gone
            assert ended.value.reason is Reason.NO_SUCH_UPLOAD
        async with parts.metadata.snapshot() as rows:
            assert not await rows.scan(PART)


async def test_completions_that_race_give_one_answer(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        name, stored = await upload(parts, view, b"k", TAIL)
        done = await asyncio.gather(
            *[parts.versions.complete_upload(view, b"k", name, listed(*stored)) for _ in range(5)]
        )
        assert len({result.record.mtime_ms for result in done}) == 1
        assert len({result.commit for result in done}) == 1


@pytest.mark.parametrize(
    ("parts_listed", "reason"),
    [
        ([], Reason.BAD_ARGUMENT),
        ([(2, 1), (1, 0)], Reason.BAD_PART_ORDER),
        ([(1, 0), (1, 0)], Reason.BAD_PART_ORDER),
        ([(1, 0), (3, 0)], Reason.BAD_PART),
        ([(1, 1)], Reason.BAD_PART),
        ([(2, 1), (4, 0)], Reason.BAD_PART),
        ([(1, 0), (2, 1), (5, 1)], Reason.PART_TOO_SMALL),
    ],
)
async def test_lists_of_parts_that_do_not_fit(tmp_path, parts_listed, reason):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        name, stored = await upload(parts, view, b"k", NOISE, TAIL)
        await parts.versions.put_part(view, b"k", name, 5, Body(TAIL))
        wanted = [CompletedPart(n, stored[which].etag) for n, which in parts_listed]
        with pytest.raises(Invalid) as refused:
            await parts.versions.complete_upload(view, b"k", name, wanted)
        assert refused.value.reason is reason
        only = await parts.versions.complete_upload(view, b"k", name, listed(stored[1]))
        assert only.record.etag() == etag_of(TAIL)
        assert await parts.read(view, b"k") == TAIL


async def test_a_part_that_is_sent_again_replaces_the_first(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        name, (first,) = await upload(parts, view, b"k", b"one")
        second = await parts.versions.put_part(view, b"k", name, 1, Body(b"two"))
        with pytest.raises(Invalid):
            await parts.versions.complete_upload(view, b"k", name, listed(first))
        await parts.versions.complete_upload(view, b"k", name, listed(second))
        assert await parts.read(view, b"k") == b"two"
        for number in (0, -1, 10_001):
            with pytest.raises(Invalid):
                await parts.versions.put_part(view, b"k", name, number, Body(b""))


async def test_an_upload_is_of_its_key_and_bucket(tmp_path):
    async with open_parts(tmp_path) as parts:
        view, other = await parts.bucket("r"), await parts.bucket("dev.r")
        name, stored = await upload(parts, view, b"k", TAIL)
        for wrong_view, key, wrong in [
            (other, b"k", name), (view, b"l", name), (view, b"k", "0" * 32), (view, b"k", "x")
        ]:  # fmt: skip
            for refused in (
                parts.versions.put_part(wrong_view, key, wrong, 1, Body(b"x")),
                parts.versions.complete_upload(wrong_view, key, wrong, listed(*stored)),
                parts.versions.abort_upload(wrong_view, key, wrong),
                parts.versions.list_parts(wrong_view, key, wrong),
            ):
                with pytest.raises(NotFound) as missing:
                    await refused
                assert missing.value.reason is Reason.NO_SUCH_UPLOAD
        await parts.versions.abort_upload(view, b"k", name)
        async with parts.metadata.snapshot() as rows:
            assert not await rows.scan(PART)
            assert not await rows.scan(UPLOAD)


async def test_uploads_are_listed_by_key_and_id_in_pages(tmp_path):
    async with open_parts(tmp_path) as parts:
        versions = parts.versions
        view = await parts.bucket("r")
        keys = (b"a", b"b/1", b"b/2", b"b/2", b"b/2", b"c")
        made = [(key, await versions.create_upload(view, key, PLAIN)) for key in keys]
        ended, stored = await upload(parts, view, b"b/1", b"x")
        await versions.complete_upload(view, b"b/1", ended, listed(*stored))
        made.sort()
        for limit in (1, 2, 3, 1000):
            found, key, name, pages = [], b"", "", 0
            while True:
                page = await versions.list_uploads(view, b"", b"", key, name, limit)
                found += [(info.key, info.id) for info in page.uploads]
                pages += 1
                if not page.truncated:
                    break
                key, name = page.next_key, page.next_id
            assert found == made
            assert pages == -(-len(made) // limit)
        page = await versions.list_uploads(view, b"", b"/")
        assert ([u.key for u in page.uploads], page.prefixes) == ([b"a", b"c"], [b"b/"])
        page = await versions.list_uploads(view, b"", b"/", limit=2)
        assert (page.truncated, page.next_key, page.next_id) == (True, b"b/", "")
        page = await versions.list_uploads(view, b"", b"/", page.next_key)
        assert [info.key for info in page.uploads] == [b"c"]
        page = await versions.list_uploads(view, b"b/", key_marker=b"b/1")
        assert [info.key for info in page.uploads] == [b"b/2"] * 3


async def test_conditions_hold_when_an_upload_is_completed(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        name, stored = await upload(parts, view, b"k", TAIL)
        await parts.put(view, b"k")
        with pytest.raises(PreconditionFailed):
            await parts.versions.complete_upload(
                view, b"k", name, listed(*stored), Condition(if_none_match=("*",))
            )
        assert await parts.read(view, b"k") == b"x"
        await parts.versions.complete_upload(view, b"k", name, listed(*stored))
        assert await parts.read(view, b"k") == TAIL


async def test_an_upload_survives_commits_and_restarts_but_not_its_time(tmp_path):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        name, (first,) = await upload(parts, view, b"k", NOISE)
        await parts.put(view, b"a")
        await parts.versions.flush("r", MASTER)
        clock = parts.clock
    async with open_parts(tmp_path, clock) as parts:
        view = await parts.versions.buckets.resolve("r")
        second = await parts.versions.put_part(view, b"k", name, 2, Body(TAIL))
        await parts.versions.complete_upload(view, b"k", name, listed(first, second))
        assert await parts.read(view, b"k") == NOISE + TAIL
        abandoned, _ = await upload(parts, view, b"l", TAIL)
        parts.clock.advance(UPLOAD_AGE_MAX_S + 1)
        kept, _ = await upload(parts, view, b"m", TAIL)
        await parts.versions.window.expire()
        page = await parts.versions.list_uploads(view)
        assert [info.id for info in page.uploads] == [kept]
        with pytest.raises(NotFound):
            await parts.versions.complete_upload(view, b"k", name, listed(first, second))
        with pytest.raises(NotFound):
            await parts.versions.find_upload(view, b"l", abandoned)
        await parts.versions.buckets.create("dev.r")


async def test_uploads_of_an_open_commit_go_with_it(tmp_path):
    async with open_parts(tmp_path) as parts:
        await parts.bucket("r")
        opened = await parts.versions.start_commit("r", MASTER)
        own = await parts.versions.buckets.resolve(f"{opened.id}.r")
        name, stored = await upload(parts, own, b"k", TAIL)
        assert (await parts.versions.find_upload(own, b"k", name)).key == b"k"
        await parts.versions.finish_commit(opened.id)
        refused: SidegateError
        try:
            await parts.versions.complete_upload(own, b"k", name, listed(*stored))
        except (Denied, NotFound, Conflict) as error:
            refused = error
        assert refused.reason is Reason.NO_SUCH_UPLOAD
        with pytest.raises(Denied):
            await parts.versions.create_upload(own, b"k", PLAIN)


# --- checksums ---------------------------------------------------------------------------------


def digest(name: str, data: bytes) -> bytes:
    state = digests.new_checksum(name)
    state.update(data)
    return state.digest()


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
async def test_a_checksum_of_the_whole_is_combined_from_the_parts(tmp_path, name):
    async with open_parts(tmp_path) as parts:
        view = await parts.bucket("r")
        kind = "FULL_OBJECT"
        upload_id, stored = await upload(
            parts, view, b"k", NOISE, TAIL, algorithms=[name],
            checksum_algorithm=name, checksum_kind=kind,
        )  # fmt: skip
        assert stored[1].checksums == (ChecksumValue(name, kind, digest(name, TAIL)),)
        whole = digest(name, NOISE + TAIL)
        with pytest.raises(Invalid) as wrong:
            await parts.versions.complete_upload(
                view, b"k", upload_id, listed(*stored), None, {name: digest(name, TAIL)}
            )
        assert wrong.value.reason is Reason.BAD_DIGEST
        done = await parts.versions.complete_upload(
            view, b"k", upload_id, listed(*stored), None, {name: whole}, len(NOISE) + len(TAIL)
        )
        assert done.record.checksums == (ChecksumValue(name, kind, whole),)


def part(data: bytes, *names: str) -> ObjectRecord:
    return ObjectRecord(
        len(data),
        0,
        hashlib.md5(data).digest(),
        checksums=tuple(ChecksumValue(n, "FULL_OBJECT", digest(n, data)) for n in names),
    )


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_composite_is_the_checksum_of_checksums(name):
    parts = [part(b"one", name), part(b"two", name)]
    (found,) = completion.checksums_of((name, "COMPOSITE"), parts, {})
    assert found == ChecksumValue(
        name, "COMPOSITE", digest(name, digest(name, b"one") + digest(name, b"two"))
    )


def test_without_checksums_of_all_parts_there_is_none_of_the_object():
    parts = [part(b"one", "CRC32"), part(b"two")]
    assert completion.checksums_of(("CRC32", "FULL_OBJECT"), parts, {}) == ()
    assert completion.checksums_of(("", ""), parts, {}) == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")],
)
def test_kinds_that_an_algorithm_does_not_have(name, kind):
    with pytest.raises(Invalid):
        completion.check_kind(name, kind)


def test_a_listed_checksum_must_be_the_part_s():
    stored = {1: part(b"one", "CRC32")}
    good = CompletedPart(1, stored[1].md5.hex(), {"CRC32": digest("CRC32", b"one")})
    assert completion.chosen([good], stored)
    bad = CompletedPart(1, stored[1].md5.hex(), {"CRC32": digest("CRC32", b"two")})
    with pytest.raises(Invalid) as refused:
        completion.chosen([bad], stored)
    assert refused.value.reason is Reason.BAD_PART


def test_a_size_that_was_announced_holds():
    completion.check_size(None, 5)
    completion.check_size(5, 5)
    with pytest.raises(Invalid):
        completion.check_size(4, 5)
