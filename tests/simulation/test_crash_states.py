"""Every disk that a crash may leave, opened: what was acknowledged is there, the rest is whole.

A workload runs once on a real disk, on a recorded file system. For each place in the record the
disks that a crash there may leave are built (`crash_disk.states`), and the store is opened on each:

* what was acknowledged before is there, byte for byte: records, objects, trees;
* what was not is absent or whole: no manifest or node without what it names;
* a crash is never taken for damage;
* the store goes on, and the next opening finds the same, and what was added.

A second set of states is of a power cut after a killed process was started again: what the dead
one had written and not synced lies in the page cache then, and can be read, but can still be lost.

Limits. Rows are SQLite's own matter: a unit counts as durable where the store was told so, its
file is not crashed; the index is absent, or that of the last clean close. A state where the order
of two syncs matters is not built: the log syncs one file at a time. Blocks of 4 KiB are whole or
not there at all.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash_disk import Disk, Image, Log, Note, Op, RecordingFiles, RecordingMetadata, states

from gateway.backends.files import Files
from gateway.backends.local import LocalFiles
from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.chunks.writer import Sizes
from gateway.clock import ManualClock
from gateway.entropy import SeededEntropy
from gateway.limits import KIB
from gateway.metadata.base import Metadata, Unit
from gateway.metadata.sqlite import SqliteMetadata
from gateway.objects.record import ChecksumValue, Listed, ObjectRecord, Single
from gateway.objects.store import ObjectStore

DOMAIN = Domain.from_salt("d", bytes(range(32)))
SIZES = Sizes(segment=1024 * KIB, extent=192 * KIB, buffers=2)
STATES = 180  # of those that are built, in `make test`
RESTARTS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """A record of that id and those bytes."""

    id: bytes
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """An object, and its bytes."""

    record: ObjectRecord
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree by its root, and what it holds."""

    root: bytes
    content: Mapping[bytes, ObjectRecord]


@dataclass(frozen=True, slots=True, eq=False)
class Acknowledged:
    what: Small | Object | Tree


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    what: Small | Object | Tree


@dataclass(frozen=True, slots=True)
class CleanClose:
    """A clean close; the index as it was left."""

    index: str


class Body:
    """Bytes as a source."""

    algorithms: frozenset[str] = frozenset()

    def __init__(self, data: bytes, step: int) -> None:
        self._views = iter([memoryview(data)[at : at + step] for at in range(0, len(data), step)])

    async def read(self) -> memoryview | None:
        return next(self._views, None)

    def check(
        self, size: int, md5: bytes, digests: Mapping[str, bytes]
    ) -> tuple[ChecksumValue, ...]:
        return ()


class Session:
    """One process at work on a store, noting what it tries and what it was promised."""

    def __init__(self, chunks: ChunkStore, note: Callable[[Op], None]) -> None:
        self.chunks = chunks
        self.objects = ObjectStore(chunks)
        self._note = note

    async def _settle(self, what: Small | Object | Tree, ticket: int) -> None:
        self._note(Note(Tried(what)))
        await self.chunks.durable(ticket)
        self._note(Note(Acknowledged(what)))

    async def small(self, data: bytes, kind: RecordKind = RecordKind.SMALL) -> None:
        stored = await self.chunks.put(DOMAIN, kind, data)
        await self._settle(Small(stored.id, data), stored.ticket)

    async def object(self, data: bytes, step: int = 100 * KIB) -> ObjectRecord:
        written = await self.objects.write(DOMAIN, Body(data, step))
        record = ObjectRecord(len(data), 0, written.md5, content=written.content)
        await self._settle(Object(record, data), written.ticket)
        return record

    async def tree(self, root: bytes | None, content: Mapping[bytes, ObjectRecord]) -> bytes:
        tree = await self.objects.trees.edit(DOMAIN, root, sorted(content.items()))
        assert tree.root is not None
        before = {} if root is None else await everything(self.objects, root)
        await self._settle(Tree(tree.root, {**before, **content}), tree.ticket)
        return tree.root


async def everything(objects: ObjectStore, root: bytes) -> dict[bytes, ObjectRecord]:
    return dict(await objects.trees.cursor(DOMAIN, root).take(1 << 20))


@asynccontextmanager
async def session(
    directory: Path,
    seed: int,
    log: Log | None = None,
    files: Files | None = None,
) -> AsyncIterator[Session]:
    inner = SqliteMetadata.open(str(directory / "metadata.sqlite"))
    metadata: Metadata = inner if log is None else RecordingMetadata(inner, log)  # type: ignore[assignment]
    chunks = await ChunkStore.open(
        str(directory),
        files or LocalFiles(),
        metadata,
        ManualClock(),
        SeededEntropy(seed),
        sizes=SIZES,
    )
    at_work = Session(chunks, (lambda op: None) if log is None else log.add)
    try:
        yield at_work
    finally:
        at_work.objects.close()
        await chunks.close()
        await inner.close()


def data(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def early(at_work: Session) -> None:
    """Fill an extent or two, alone and together, some of it twice."""
    await at_work.small(b"the first record")
    await at_work.small(data(1, 9000))
    record = await at_work.object(data(2, 500 * KIB))
    await asyncio.gather(*(at_work.small(data(seed, 3000)) for seed in range(10, 16)))
    await at_work.object(data(2, 500 * KIB))
    root = await at_work.tree(None, {b"%06d" % n: record for n in range(400)})
    await asyncio.gather(
        at_work.object(data(3, 130 * KIB)),
        at_work.object(data(3, 130 * KIB)),
        at_work.tree(root, {b"000100": ObjectRecord(0, 1, b"\0" * 16)}),
    )


async def late(at_work: Session) -> None:
    """What was there before, more of it, and records that get an extent of their own."""
    await at_work.object(data(2, 500 * KIB))
    await at_work.small(data(20, 500))
    await at_work.small(data(21, 400 * KIB), RecordKind.MANIFEST)
    await asyncio.gather(*(at_work.object(data(seed, 90 * KIB)) for seed in range(30, 34)))
    await at_work.object(data(3, 130 * KIB) + data(4, 700 * KIB))
    await at_work.small(b"the last record")


@dataclass(frozen=True, slots=True)
class State:
    """One disk to be opened, and how it came about."""

    what: str
    image: Image
    cut: int
    units: int
    index: str


async def record(tmp_path: Path) -> Log:
    """Run the workload: two processes, one after the other, on one directory."""
    live = tmp_path / "live"
    live.mkdir()
    log = Log(str(live))
    files = RecordingFiles(log)
    for number, work in enumerate((early, late)):
        async with session(live, number, log, files) as at_work:
            await work(at_work)
        shutil.copy(live / "index", tmp_path / f"index-{number}")
        log.add(Note(CleanClose(str(tmp_path / f"index-{number}"))))
    return log


def all_states(ops: list[Op], disk: Disk) -> list[State]:
    """Return the different states of all cuts; of equal ones that with the most promises."""
    found: dict[object, State] = {}
    units, index = 0, ""
    for cut in range(len(ops) + 1):
        for what, image in states(disk):
            prints = frozenset((path, c.fingerprint()) for path, c in image.items())
            found[prints, units, index] = State(f"cut {cut}: {what}", image, cut, units, index)
        if cut == len(ops):
            break
        op = ops[cut]
        disk.apply(op)
        units += isinstance(op, Unit)
        if isinstance(op, Note) and isinstance(op.what, CleanClose):
            index = op.what.index
    return list(found.values())


class Bench:
    """Opens states, with the rows of each."""

    def __init__(self, scratch: Path, ops: list[Op], rows: Path | None = None) -> None:
        self._scratch = scratch
        self._ops = ops
        self._units = [op for op in ops if isinstance(op, Unit)]
        self._rows: dict[int, Path] = {} if rows is None else {0: rows}
        self._count = 0

    async def prepare(self) -> None:
        """Make the file of the rows as it was after each unit."""
        scratch = self._scratch
        scratch.mkdir(parents=True, exist_ok=True)
        for count in range(len(self._units) + 1):
            path = scratch / f"rows-{count}"
            if count:
                shutil.copy(self._rows[count - 1], path)
            elif 0 in self._rows:
                continue
            metadata = SqliteMetadata.open(str(path))
            if count:
                await metadata.commit(self._units[count - 1])
            await metadata.close()
            self._rows[count] = path

    def rows(self, count: int) -> Path:
        return self._rows[count]

    def build(self, state: State) -> Path:
        """Lay a state out as a data directory."""
        self._count += 1
        directory = self._scratch / f"state-{self._count}"
        (directory / "segments").mkdir(parents=True)
        for path, content in state.image.items():
            content.save(str(directory / path))
        shutil.copy(self._rows[state.units], directory / "metadata.sqlite")
        if state.index:
            shutil.copy(state.index, directory / "index")
        return directory

    async def check(self, state: State, earlier: list[Op]) -> None:
        """Open a state twice, and hold it to what was promised."""
        directory = self.build(state)
        again = directory.with_suffix(".again")
        past = [op.what for op in [*earlier, *self._ops[: state.cut]] if isinstance(op, Note)]
        promised = [note.what for note in past if isinstance(note, Acknowledged)]
        tried = [note.what for note in past if isinstance(note, Tried)]
        try:
            async with session(directory, 100) as at_work:
                assert not at_work.chunks.stats().damage
                await hold(at_work, promised)
                found = await look(at_work, tried)
                # It goes on: what is known is put again, what is new is added.
                for item in [*tried[-2:], Small(b"", data(99, 5000))]:
                    await put_again(at_work, item, promised)
                shutil.copytree(directory, again)
            for place in (again, directory):
                async with session(place, 101) as at_work:
                    assert not at_work.chunks.stats().damage
                    await hold(at_work, promised)
                    seen = await look(at_work, tried)
                    assert found <= seen
        finally:
            shutil.rmtree(directory)
            shutil.rmtree(again, ignore_errors=True)


async def hold(at_work: Session, promised: list[Small | Object | Tree]) -> None:
    """Read all that was promised."""
    for item in set(promised):
        await read(at_work, item)


async def look(at_work: Session, tried: list[Small | Object | Tree]) -> set[bytes]:
    """Return the names of what is there of all that was tried; each is whole."""
    found = set()
    for item in set(tried):
        name = name_of(item)
        if name is not None and at_work.chunks.has(name):
            await read(at_work, item)
            found.add(name)
    return found


def name_of(item: Small | Object | Tree) -> bytes | None:
    if isinstance(item, Small):
        return item.id
    if isinstance(item, Tree):
        return item.root
    content = item.record.content
    if isinstance(content, Listed):
        return content.manifest_id
    return content.id if isinstance(content, Single) else None


async def read(at_work: Session, item: Small | Object | Tree) -> None:
    if isinstance(item, Small):
        assert b"".join(await at_work.chunks.read([item.id])) == item.data
    elif isinstance(item, Tree):
        assert await everything(at_work.objects, item.root) == item.content
    else:
        views = await at_work.objects.open(DOMAIN, item.record, 0, item.record.size)
        if not isinstance(views, list | tuple):
            views = [view async for view in views]
        assert b"".join(views) == item.data


async def put_again(
    at_work: Session, item: Small | Object | Tree, promised: list[Small | Object | Tree]
) -> None:
    if isinstance(item, Tree):
        return
    if isinstance(item, Object):
        record_ = await at_work.object(item.data)
        promised.append(Object(record_, item.data))
        return
    stored = await at_work.chunks.put(DOMAIN, RecordKind.SMALL, item.data)
    await at_work.chunks.durable(stored.ticket)
    promised.append(Small(stored.id, item.data))


def some(found: list[State], count: int) -> list[State]:
    """Choose states at random, torn writes (those are many) only to fill up."""
    chosen = random.Random(5)
    torn = [state for state in found if ": torn" in state.what]
    others = [state for state in found if ": torn" not in state.what]
    others = chosen.sample(others, min(count, len(others)))
    return others + chosen.sample(torn, min(count - len(others), len(torn)))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Return a directory, in memory where there is some: nothing here waits for a real disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory) / "states"


async def enumerate_states(tmp_path: Path, scratch: Path, count: int) -> None:
    log = await record(tmp_path)
    bench = Bench(scratch, log.ops)
    await bench.prepare()
    found = all_states(log.ops, Disk())
    assert len(found) >= STATES
    for state in some(found, count):
        try:
            await bench.check(state, [])
        except Exception as error:
            raise AssertionError(f"after a crash at {state.what}") from error


async def test_whatever_a_crash_leaves_nothing_acknowledged_is_lost(
    tmp_path: Path, scratch: Path
) -> None:
    await enumerate_states(tmp_path, scratch, STATES)


async def restart_states(tmp_path: Path, scratch: Path, starts: int, count: int) -> None:
    """Kill the process, start another one, and cut the power while that one works."""
    log = await record(tmp_path)
    before = Bench(scratch / "before", log.ops)
    await before.prepare()
    places = unsynced(log.ops)
    chosen = random.Random(7).sample(places, min(starts, len(places)))
    for cut in chosen:
        disk = Disk()
        for op in log.ops[:cut]:
            disk.apply(op)
        units = sum(isinstance(op, Unit) for op in log.ops[:cut])
        killed = State("", disk.image(disk.changes, disk.renames), cut, units, "")
        directory = before.build(killed)
        second = Log(str(directory))
        files = RecordingFiles(second)
        files.adopt(disk)
        tried = [
            op.what.what
            for op in log.ops[: cut + 12]
            if isinstance(op, Note) and isinstance(op.what, Tried)
        ]
        async with session(directory, 200, second, files) as at_work:
            for item in tried[-6:]:
                if isinstance(item, Object):
                    await at_work.object(item.data)
                elif isinstance(item, Small):
                    await at_work.small(item.data)
            await at_work.small(b"after the restart")
        shutil.rmtree(directory)
        bench = Bench(scratch / f"restart-{cut}", second.ops, before.rows(units))
        await bench.prepare()
        for state in some(all_states(second.ops, disk.copy()), count):
            try:
                await bench.check(state, log.ops[:cut])
            except Exception as error:
                what = f"killed at {cut}, the power cut at {state.what}"
                raise AssertionError(what) from error


def unsynced(ops: list[Op]) -> list[int]:
    """Return the places in a record where something is not synced."""
    disk = Disk()
    places = []
    for cut, op in enumerate(ops):
        disk.apply(op)
        if disk.changes or disk.renames:
            places.append(cut + 1)
    return places


async def test_a_power_cut_after_a_restart_loses_nothing(tmp_path: Path, scratch: Path) -> None:
    await restart_states(tmp_path, scratch, RESTARTS, 10)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_every_crash(tmp_path: Path, scratch: Path) -> None:
    await enumerate_states(tmp_path, scratch, 100_000)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_every_restart(tmp_path: Path, scratch: Path) -> None:
    await restart_states(tmp_path, scratch, 1000, 200)
