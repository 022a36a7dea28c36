"""A disk that remembers each change, and says what a crash may leave of them.

`RecordingFiles` does what it is told on the real file system and notes every change with its data.
`states` then builds, for one place in that record, the disks that a crash there may leave:

* a sync makes durable what one file holds; a name is durable once its directory was synced;
* of what was not synced, all may be lost, or nothing, or any single change;
* the last write may be torn at any block (4 KiB); a file may have its new length, and zeros;
* names and contents go their own ways.

A killed process is the case where nothing is lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.backends.files import Handle, Mode
from gateway.backends.local import LocalFiles
from gateway.metadata.base import Metadata, Snapshot, Unit

BLOCK = 4096
_ZEROS = bytes(BLOCK)


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    file: int
    offset: int
    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Resize:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    file: int


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A name that leads to a file from now on, or (None) to nothing; `old` goes in one step."""

    path: str
    file: int | None
    old: str | None = None


@dataclass(frozen=True, slots=True)
class SyncNames:
    pass


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was promised, or merely tried, at this point."""

    what: object


Op = Write | Resize | Sync | Name | SyncNames | Note | Unit


class Log:
    """What happened, in order; paths are relative to the data directory."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.ops: list[Op] = []
        self.lock = threading.Lock()

    def add(self, op: Op) -> None:
        with self.lock:
            self.ops.append(op)


class RecordingFiles(LocalFiles):
    """The real file system, taking notes. Only what succeeded is noted."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._files: dict[Handle, int] = {}
        self._names: dict[str, int] = {}
        self._count = 0

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self._log.root)

    def open(self, path: str, mode: Mode, *, direct: bool = False) -> Handle:
        handle = super().open(path, mode, direct=direct)
        name = self._relative(path)
        if mode is Mode.CREATE:
            self._count += 1
            self._names[name] = self._count
            self._log.add(Name(name, self._count))
        self._files[handle] = self._names[name]
        return handle

    def pwrite(self, handle: Handle, data: memoryview, offset: int) -> None:
        assert offset % BLOCK == len(data) % BLOCK == 0
        blocks = [bytes(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
        shared = tuple(_ZEROS if block == _ZEROS else block for block in blocks)
        super().pwrite(handle, data, offset)
        self._log.add(Write(self._files[handle], offset, shared))

    def ftruncate(self, handle: Handle, size: int) -> None:
        super().ftruncate(handle, size)
        self._log.add(Resize(self._files[handle], size))

    def fdatasync(self, handle: Handle) -> None:
        super().fdatasync(handle)
        self._log.add(Sync(self._files[handle]))

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        source, target = self._relative(old), self._relative(new)
        file = self._names[target] = self._names.pop(source)
        self._log.add(Name(target, file, source))

    def unlink(self, path: str) -> None:
        super().unlink(path)
        if self._names.pop(self._relative(path), None) is not None:
            self._log.add(Name(self._relative(path), None))

    def fsync_dir(self, path: str) -> None:
        super().fsync_dir(path)
        if self._relative(path) == "segments":
            self._log.add(SyncNames())

    def adopt(self, disk: Disk) -> None:
        """Go on with the files of a disk that lies in the directory with nothing lost."""
        names = dict(disk.names)
        _rename(names, disk.renames)
        self._names = names
        self._count = max(names.values(), default=0) + 1000


class RecordingMetadata:
    """Rows, with each unit noted once it is durable."""

    def __init__(self, inner: Metadata, log: Log) -> None:
        self._inner = inner
        self._log = log

    async def commit(self, unit: Unit) -> object:
        bound = await self._inner.commit(unit)
        self._log.add(unit)
        return bound

    def snapshot(self) -> Snapshot:
        return self._inner.snapshot()  # type: ignore[return-value]


@dataclass(slots=True)
class Content:
    """What a file holds: blocks by their number; what is missing is a hole."""

    size: int = 0
    blocks: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> Content:
        return Content(self.size, dict(self.blocks))

    def apply(self, op: Write | Resize) -> None:
        if isinstance(op, Write):
            first = op.offset // BLOCK
            self.blocks.update(enumerate(op.blocks, first))
            self.size = max(self.size, op.offset + BLOCK * len(op.blocks))
            return
        self.size = op.size
        if self.blocks and max(self.blocks) * BLOCK >= op.size:
            self.blocks = {at: data for at, data in self.blocks.items() if at * BLOCK < op.size}

    def fingerprint(self) -> tuple[object, ...]:
        return self.size, frozenset((at, id(data)) for at, data in self.blocks.items())

    def save(self, path: str) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        numbers = sorted(self.blocks)
        start = 0
        while start < len(numbers):
            end = start + 1
            while end < len(numbers) and numbers[end] == numbers[end - 1] + 1:
                end += 1
            run = b"".join([self.blocks[number] for number in numbers[start:end]])
            os.pwrite(handle, run, numbers[start] * BLOCK)
            start = end
        os.ftruncate(handle, self.size)
        os.close(handle)


Image = dict[str, Content]


class Disk:
    """What is durable, and what has happened since."""

    def __init__(self) -> None:
        self.contents: dict[int, Content] = {}
        self.names: dict[str, int] = {}
        self.changes: list[Write | Resize] = []
        self.renames: list[Name] = []

    def apply(self, op: Op) -> None:
        if isinstance(op, Write | Resize):
            self.changes.append(op)
        elif isinstance(op, Name):
            self.renames.append(op)
        elif isinstance(op, Sync):
            durable = self.contents.setdefault(op.file, Content())
            for change in self.changes:
                if change.file == op.file:
                    durable.apply(change)
            self.changes = [change for change in self.changes if change.file != op.file]
        elif isinstance(op, SyncNames):
            _rename(self.names, self.renames)
            self.renames = []

    def copy(self) -> Disk:
        twin = Disk()
        twin.contents = {file: content.copy() for file, content in self.contents.items()}
        twin.names = dict(self.names)
        twin.changes, twin.renames = list(self.changes), list(self.renames)
        return twin

    def image(
        self,
        changes: Sequence[Write | Resize],
        renames: Sequence[Name],
        sizes_of: Sequence[Write | Resize] = (),
    ) -> Image:
        """Return the files when these changes came true; of `sizes_of` only the lengths."""
        names = dict(self.names)
        _rename(names, renames)
        contents: dict[int, Content] = {}
        for file in names.values():
            contents[file] = self.contents.get(file, Content()).copy()
        for change in changes:
            if change.file in contents:
                contents[change.file].apply(change)
        for change in sizes_of:
            if change.file in contents:
                content = contents[change.file]
                kept = content.copy()
                kept.apply(change)
                content.size = kept.size
        return {path: contents[file] for path, file in names.items()}


def _rename(names: dict[str, int], renames: Sequence[Name]) -> None:
    for op in renames:
        if op.old is not None:
            names.pop(op.old, None)
        if op.file is None:
            names.pop(op.path, None)
        else:
            names[op.path] = op.file


def states(disk: Disk) -> Iterator[tuple[str, Image]]:
    """Yield what a crash may leave of a disk, each with what it is like."""
    changes, renames = disk.changes, disk.renames
    yield "all that was not synced is lost", disk.image((), ())
    yield "nothing is lost", disk.image(changes, renames)
    if renames:
        yield "names are lost", disk.image(changes, ())
        yield "contents are lost, names are not", disk.image((), renames)
        for index in range(len(renames)):
            rest = [*renames[:index], *renames[index + 1 :]]
            yield f"name change {index} is lost", disk.image(changes, rest)
    for index, change in enumerate(changes):
        rest = [*changes[:index], *changes[index + 1 :]]
        yield f"change {index} is lost", disk.image(rest, renames)
        yield f"only change {index} is kept", disk.image([change], renames)
    if changes:
        yield "lengths are kept, data is not", disk.image((), renames, changes)
    last = next((change for change in reversed(changes) if isinstance(change, Write)), None)
    if last is not None:
        before = changes[: changes.index(last)]
        for count in range(1, len(last.blocks)):
            head = Write(last.file, last.offset, last.blocks[:count])
            yield f"torn after block {count}", disk.image([*before, head], renames)
            tail = Write(last.file, last.offset + count * BLOCK, last.blocks[count:])
            yield f"torn before block {count}", disk.image([*before, tail], renames)
