"""Opening after a crash or after damage: what was acknowledged is served, the rest is named.

A store's directory is copied as it would lie after a crash (nothing of `close` has happened), then
cut or changed at every kind of place.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from chunk_ground import (
    DOMAIN,
    SMALL_SIZES,
    FaultyFiles,
    flip,
    keep,
    opened,
    patch,
    segments,
    take,
    whole,
)

from gateway.backends.files import Mode
from gateway.backends.local import LocalFiles
from gateway.chunks import pack, recovery
from gateway.chunks.chunk import RecordKind
from gateway.chunks.writer import Sizes
from gateway.errors import Corrupt, Reason
from gateway.limits import KIB, MIB

LARGE = random.Random(1).randbytes(300 * KIB)
SMALL = [b"first record", random.Random(2).randbytes(9000), b"third record"]


async def crashed(tmp_path: Path, bodies: list[bytes]) -> tuple[str, list[list[bytes]]]:
    """Return a directory as a crash leaves it, each body in extents of its own, and their ids."""
    live, dead = tmp_path / "live", tmp_path / "dead"
    live.mkdir()
    async with opened(str(live)) as store:
        ids = [await take(store, body) for body in bodies]
        shutil.copytree(live, dead)
    shutil.rmtree(live)
    return str(dead), ids


def spans(path: str) -> list[pack.Span]:
    """Return the extents of a segment that has no footer."""
    files = LocalFiles()
    handle = files.open(path, Mode.READ)
    superblock = pack.decode_superblock(Path(path).read_bytes()[:4096])
    assert superblock is not None
    found = recovery.scan(files, handle, path, os.path.getsize(path), superblock, 0)
    assert found.chain is not None
    table = bytes(found.chain.spans)
    files.close(handle)
    return [pack.Span._make(row[:7]) for row in struct.iter_unpack("<8I", table)]


async def test_a_crash_without_a_tear_loses_nothing(tmp_path: Path) -> None:
    directory, ids = await crashed(tmp_path, [*SMALL, LARGE])
    async with opened(directory) as store:
        assert not store.stats().damage
        for body, names in zip([*SMALL, LARGE], ids, strict=True):
            assert await whole(store, names) == body
        after = await keep(store, b"after the crash")
        assert await whole(store, [after]) == b"after the crash"
    assert segments(directory) == ["00000001.seg"]


async def test_a_torn_last_extent_ends_the_log_wherever_it_is_torn(tmp_path: Path) -> None:
    directory, ids = await crashed(tmp_path, [*SMALL, LARGE])
    path = f"{directory}/segments/00000001.seg"
    # LARGE went into two extents at least: take the end of the log away at every kind of place.
    extents = spans(path)
    last = extents[3]
    image = Path(path).read_bytes()
    places = [
        last.offset,
        last.offset + 1,
        last.offset + 60,
        last.offset + 64,
        last.offset + 100,
        last.payload_offset - 1,
        last.payload_offset,
        last.payload_offset + 4096,
        last.payload_offset + last.payload_size - 1,
    ]
    for place in places:
        for torn in (image[:place], image[:place] + bytes(len(image) - place)):
            Path(path).write_bytes(torn)
            async with opened(directory) as store:
                assert not store.stats().damage
                for body, names in zip(SMALL, ids[:3], strict=True):
                    assert await whole(store, names) == body
                lost = [name for name in ids[3] if not store.has(name)]
                assert lost
                with pytest.raises(Corrupt):
                    await store.read(lost)
                # The log goes on from there, and what was lost can be stored again.
                assert await whole(store, await take(store, LARGE)) == LARGE
            shutil.copy(path, f"{tmp_path}/second.seg")
            os.unlink(path)
            for name in os.listdir(f"{directory}/segments"):
                os.unlink(f"{directory}/segments/{name}")
            for name in os.listdir(directory):
                if name.startswith("metadata"):
                    os.unlink(f"{directory}/{name}")


@pytest.mark.parametrize("size", [1, 4096, 20_000])
async def test_garbage_behind_the_log_is_not_taken_for_it(tmp_path: Path, size: int) -> None:
    directory, ids = await crashed(tmp_path, SMALL)
    path = f"{directory}/segments/00000001.seg"
    end = spans(path)[-1]
    patch(path, end.offset + end.size, lambda data: data.extend(b"\xa5" * size), 0)
    async with opened(directory) as store:
        assert not store.stats().damage
        assert await whole(store, [names[0] for names in ids]) == b"".join(SMALL)
        assert await whole(store, [await keep(store, b"more")]) == b"more"


async def test_extents_of_another_place_or_life_are_not_taken(tmp_path: Path) -> None:
    """The log's own earlier extent, copied behind its end, does not count again."""
    directory, _ = await crashed(tmp_path, SMALL)
    path = f"{directory}/segments/00000001.seg"
    first, *_, end = spans(path)
    image = bytearray(Path(path).read_bytes())
    copy = image[first.offset : first.offset + first.size]
    at = end.offset + end.size
    image[at : at + len(copy)] = copy
    Path(path).write_bytes(image)
    async with opened(directory) as store:
        assert not store.stats().damage
        assert store.stats().chunks == 3
        assert [segment.extents for segment in store._segments.values()] == [3]


def in_header(offset: int) -> Callable[[pack.Span], int]:
    return lambda span: span.offset + offset


def in_payload(span: pack.Span) -> int:
    return span.payload_offset + span.payload_size // 2


PLACES = {
    "magic": in_header(0), "header size": in_header(4), "uuid": in_header(8), "life": in_header(16),
    "seq": in_header(24), "previous": in_header(32), "count": in_header(36),
    "payload offset": in_header(40), "payload size": in_header(44), "payload sum": in_header(48),
    "version": in_header(52), "own sum": in_header(60), "record kind": in_header(64),
    "record codec": in_header(65), "record raw size": in_header(68), "record size": in_header(72),
    "record offset": in_header(76), "record sum": in_header(80), "record id": in_header(84),
    "record rest": in_header(120), "payload": in_payload,
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
async def test_an_unsound_extent_before_a_sound_one_is_damage(
    tmp_path: Path, place: Callable[[pack.Span], int]
) -> None:
    directory, ids = await crashed(tmp_path, SMALL)
    path = f"{directory}/segments/00000001.seg"
    second = spans(path)[1]
    patch(path, place(second), flip)
    for _ in range(2):  # opening changes nothing about it
        async with opened(directory) as store:
            [damage] = store.stats().damage
            assert (damage.segment, damage.offset) == ("00000001.seg", second.offset)
            assert await whole(store, ids[0] + ids[2]) == SMALL[0] + SMALL[2]
            if store.has(ids[1][0]):
                assert await whole(store, ids[1]) == SMALL[1]  # stored anew in the first round
            else:
                with pytest.raises(Corrupt) as caught:
                    await store.read(ids[1])
                assert caught.value.reason is Reason.DAMAGED
            # Nothing is appended there, and what was lost may come again.
            assert await take(store, SMALL[1]) == ids[1]
            assert await whole(store, ids[1]) == SMALL[1]
    assert segments(directory) == ["00000001.seg", "00000002.seg"]
    # When the file is put right, everything is found again.
    patch(path, place(second), flip)
    async with opened(directory) as store:
        assert not store.stats().damage
        assert await whole(store, ids[0] + ids[1] + ids[2]) == b"".join(SMALL)


async def test_a_log_that_was_longer_when_it_was_closed_is_damaged(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        ids = [await keep(store, body) for body in SMALL]
    path = f"{tmp_path}/segments/00000001.seg"
    os.truncate(path, os.path.getsize(path) - 1)
    async with opened(str(tmp_path)) as store:
        # The index was closed in order and knows the chunk: it must not be believed.
        assert not store.has(ids[2])
        [damage] = store.stats().damage
        assert "were durable" in damage.what
        assert await whole(store, ids[:2]) == SMALL[0] + SMALL[1]
        with pytest.raises(Corrupt):
            await store.read(ids[2:])
        assert await keep(store, SMALL[2]) == ids[2]
        assert await whole(store, ids) == b"".join(SMALL)


async def test_payload_that_rots_behind_a_clean_close_is_found_at_the_first_read(
    tmp_path: Path,
) -> None:
    async with opened(str(tmp_path)) as store:
        ids = [await keep(store, body) for body in SMALL]
    path = f"{tmp_path}/segments/00000001.seg"
    second = spans(path)[1]
    patch(path, in_payload(second), flip)
    async with opened(str(tmp_path)) as store:
        assert await whole(store, [ids[0], ids[2]]) == SMALL[0] + SMALL[2]
        for _ in range(2):
            with pytest.raises(Corrupt) as caught:
                await store.read([ids[1]])
            assert caught.value.data["segment"] == "00000001.seg"
            assert caught.value.data["offset"] == second.payload_offset
        assert len(store.stats().damage) == 1
        # Dedup does not trust what is known to be damaged: the same bytes heal it.
        assert (await store.put(DOMAIN, RecordKind.SMALL, SMALL[1])).new_bytes == len(SMALL[1])
        assert await whole(store, [ids[1]]) == SMALL[1]


@pytest.mark.parametrize("loads", [True, False])
@pytest.mark.parametrize("fault", ["rot", "cut", "cut when mapped", "empty", None])
async def test_a_large_extent_is_checked_through_the_map_or_the_file(
    tmp_path: Path, loads: bool, fault: str | None
) -> None:
    files = FaultyFiles()
    if not loads:
        files.load = lambda mapped, offset, length: False  # type: ignore[method-assign]
    path = f"{tmp_path}/segments/00000001.seg"
    body = random.Random(3).randbytes(3 * MIB)
    sizes = Sizes(segment=8 * MIB, extent=MIB, buffers=2)
    async with opened(str(tmp_path), files, sizes) as store:
        ids = await take(store, body)
        if fault == "cut when mapped":
            assert body.startswith(await whole(store, ids[:1]))
        if fault == "rot":
            patch(path, spans(path)[-1].payload_offset + 7, flip)
        elif fault == "empty":
            os.truncate(path, 0)
        elif fault is not None:
            os.truncate(path, spans(path)[-1].payload_offset + 3 * pack.BLOCK)
        if fault is None:
            assert await whole(store, ids) == body
            return
        with pytest.raises(Corrupt) as caught:
            await whole(store, ids)
        assert caught.value.reason is Reason.DAMAGED
        assert caught.value.data["segment"] == "00000001.seg"


# --- superblocks, packs ------------------------------------------------------------------------
@pytest.mark.parametrize("offset", [0, 10, 16, 32, 40, 48, 4000, 4092])
async def test_a_segment_with_an_unsound_superblock_is_left_alone(
    tmp_path: Path, offset: int
) -> None:
    async with opened(str(tmp_path)) as store:
        ids = [await keep(store, body) for body in SMALL]
    path = f"{tmp_path}/segments/00000001.seg"
    patch(path, offset, flip)
    image = Path(path).read_bytes()
    async with opened(str(tmp_path)) as store:
        assert [damage.segment for damage in store.stats().damage] == ["00000001.seg"]
        with pytest.raises(Corrupt):
            await store.read(ids[:1])
        assert await keep(store, SMALL[0]) == ids[0]
        assert await whole(store, ids[:1]) == SMALL[0]
    assert Path(path).read_bytes() == image
    assert segments(str(tmp_path)) == ["00000001.seg", "00000002.seg"]


async def test_a_segment_of_a_newer_format_is_refused_whole(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        await keep(store, b"x")
    patch(f"{tmp_path}/segments/00000001.seg", 8, lambda data: data.__setitem__(0, 2))
    with pytest.raises(Corrupt) as caught:
        async with opened(str(tmp_path)):
            pass
    assert caught.value.reason is Reason.UNKNOWN_FORMAT


@pytest.mark.parametrize("image", [b"", bytes(4096), b"SIDEGSEG\x01" + bytes(4087)])
async def test_what_a_crash_left_of_making_a_segment_is_removed(
    tmp_path: Path, image: bytes
) -> None:
    async with opened(str(tmp_path)) as store:
        ids = [await keep(store, body) for body in SMALL]
    path = tmp_path / "segments" / "00000002.seg"
    path.write_bytes(image)
    os.truncate(path, SMALL_SIZES.segment)
    async with opened(str(tmp_path)) as store:
        assert not store.stats().damage
        assert await whole(store, ids) == b"".join(SMALL)
    assert segments(str(tmp_path)) == ["00000001.seg"]


async def test_files_and_rows_that_do_not_fit_are_told(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(5 * MIB)
    async with opened(str(tmp_path)) as store:
        ids = await take(store, data)
    home = tmp_path / "segments"
    assert [name[-5:] for name in segments(str(tmp_path))[:2]] == [".pack", ".pack"]
    os.rename(home / "00000001.pack", tmp_path / "kept")
    shutil.copy(home / "00000002.pack", home / "00000001.pack")
    async with opened(str(tmp_path)) as store:
        [damage] = store.stats().damage
        assert damage.segment == "00000001.pack"
        assert "superblock is that of segment 00000002" in damage.what
    os.unlink(home / "00000001.pack")
    async with opened(str(tmp_path)) as store:
        [damage] = store.stats().damage
        assert (damage.segment, damage.what) == ("00000001.pack", "the file is missing")
        with pytest.raises(Corrupt):
            await store.read(ids)
    os.rename(tmp_path / "kept", home / "00000001.pack")
    async with opened(str(tmp_path)) as store:
        assert not store.stats().damage
        assert await whole(store, ids) == data


async def pack_of(tmp_path: Path) -> tuple[Path, list[bytes], bytes]:
    data = random.Random(3).randbytes(3 * MIB)
    async with opened(str(tmp_path)) as store:
        ids = await take(store, data)
    return tmp_path / "segments" / "00000001.pack", ids, data


@pytest.mark.parametrize("from_end", [1, 4, 200, 256, 257, 300, 4096, 8192, 9000])
async def test_a_pack_with_an_unsound_footer_is_scanned(tmp_path: Path, from_end: int) -> None:
    path, ids, data = await pack_of(tmp_path)
    image = path.read_bytes()
    for cut in (False, True):
        if cut:
            path.write_bytes(image[:-from_end])
        else:
            patch(str(path), len(image) - from_end, flip)
        os.unlink(tmp_path / "index")
        async with opened(str(tmp_path)) as store:
            # Padding of the footer is covered by nothing and means nothing.
            assert cut is False or [d.segment for d in store.stats().damage] == [path.name]
            if from_end < 8192:
                assert await whole(store, ids) == data
        assert path.exists()
        path.write_bytes(image)


async def test_a_pack_that_lost_its_tail_serves_the_rest(tmp_path: Path) -> None:
    path, ids, data = await pack_of(tmp_path)
    os.truncate(path, MIB)
    async with opened(str(tmp_path)) as store:
        assert {damage.segment for damage in store.stats().damage} == {path.name}
        served = b""
        for name in ids:
            try:
                [view] = await store.read([name])
            except Corrupt:
                break
            served += bytes(view)
        assert served
        assert data.startswith(served)
        assert await take(store, data) == ids
        assert await whole(store, ids) == data


async def test_a_finished_pack_that_was_not_renamed_is(tmp_path: Path) -> None:
    path, ids, data = await pack_of(tmp_path)
    os.rename(path, path.with_suffix(".seg"))
    async with opened(str(tmp_path)) as store:
        assert await whole(store, ids) == data
        assert not store.stats().damage
    assert path.exists()


@pytest.mark.parametrize("keep_bytes", [0, 1, 4096, 4097])
async def test_a_torn_footer_is_written_again(tmp_path: Path, keep_bytes: int) -> None:
    path, ids, data = await pack_of(tmp_path)
    image = path.read_bytes()
    trailer = pack.decode_trailer(image[-256:], len(image))
    assert trailer is not None
    path.unlink()
    path.with_suffix(".seg").write_bytes(image[: trailer.footer_offset + keep_bytes])
    async with opened(str(tmp_path)) as store:
        assert await whole(store, ids) == data
        assert not store.stats().damage
    # The same log has the same footer, whoever writes it.
    assert path.read_bytes() == image


# --- the index is a cache ----------------------------------------------------------------------
async def test_the_index_may_vanish_or_be_anything(tmp_path: Path) -> None:
    _, ids, data = await pack_of(tmp_path)
    index = tmp_path / "index"
    good = index.read_bytes()
    early = tmp_path / "early"
    early.mkdir()
    async with opened(str(early)) as store:
        await keep(store, b"another store")
    foreign = (early / "index").read_bytes()
    for image in (None, b"", b"nonsense" * 1000, good[:5000], foreign, bytes(len(good))):
        index.unlink(missing_ok=True)
        if image is not None:
            index.write_bytes(image)
        async with opened(str(tmp_path)) as store:
            assert await whole(store, ids) == data
            assert await take(store, data) == ids
            assert store.stats().payload_bytes == len(data)


async def test_an_index_put_back_from_a_copy_is_not_believed(tmp_path: Path) -> None:
    async with opened(str(tmp_path)) as store:
        first = await keep(store, b"first")
    old = (tmp_path / "index").read_bytes()
    async with opened(str(tmp_path)) as store:
        second = await keep(store, b"second")
    (tmp_path / "index").write_bytes(old)
    async with opened(str(tmp_path)) as store:
        assert await whole(store, [first, second]) == b"firstsecond"


async def test_a_byte_of_the_index_that_changed_is_noticed(tmp_path: Path) -> None:
    bodies = {}
    async with opened(str(tmp_path)) as store:
        for number in range(5):
            body = b"body %d" % number
            bodies[await keep(store, body)] = body
    index = tmp_path / "index"
    table = index.read_bytes()
    slot = next(at for at in range(4096, len(table), 32) if any(table[at : at + 32]))
    patch(str(index), slot + 20, flip)  # where the chunk lies in its segment
    async with opened(str(tmp_path)) as store:
        for record_id, body in bodies.items():
            assert await whole(store, [record_id]) == body
