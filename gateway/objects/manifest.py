"""Manifests: the chunks of an object, in order, as a list or a tree of lists.

A manifest of level 0 lists entries: a chunk's id, an offset in it and a length, so that a range of
a chunk is as good as a chunk. One of a higher level lists manifests of lower levels with the bytes
below each. A list of up to `ENTRIES_MAX` is one manifest; a longer one is cut after entries chosen
by their ids, about every 1,024, and a manifest is put above them. So a change in the middle of a
large object makes a few new manifests, and the rest are the old ones.

An object completed from parts is a manifest above the manifests of the parts, which may be of
unlike levels: no data is read, and the work goes with the number of parts. Levels only go down
and are bounded, so that no manifest makes a reader descend for ever. Sums of sizes are in each
manifest: a byte offset is found by bisection. The byte table is `docs/formats/manifest.md`.

This module only decides; it asks for manifests by yielding their ids, and to have them stored by
yielding their bytes.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Generator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from gateway.chunks.chunk import Entry
from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.record import LEVEL_MAX

MAGIC: Final = b"SM"
VERSION: Final = 1
ENTRIES_MAX: Final = 4096  # in one manifest: 160 KiB, for 256 MiB of data

_RUN_MIN: Final = 128  # entries after a cut before the next
_CUT_BELOW: Final = 2**64 // 896  # of the id's first 8 bytes: every 1,024 entries with _RUN_MIN
_ID_SIZE: Final = 32
_HEADER: Final = struct.Struct("<2sBBIQ")


class Child(NamedTuple):
    """A manifest in a list of manifests."""

    id: bytes
    bytes: int  # of data below it
    level: int


class Manifest:
    """A decoded manifest."""

    __slots__ = ("_ids", "_offsets", "bytes", "ends", "id", "level", "weight")

    def __init__(
        self, manifest_id: bytes, level: int, ids: bytes, offsets: Sequence[int], ends: list[int]
    ) -> None:
        self.id = manifest_id
        self.level = level  # 0: lists chunks
        self.ends = ends  # of each entry, in bytes from the start of this manifest's data
        self.bytes = ends[-1]
        self._ids = ids
        self._offsets = offsets
        self.weight = len(ids) + 40 * len(ends)  # bytes of memory, roughly

    def entry_id(self, index: int) -> bytes:
        """Return the id of a chunk or lower manifest."""
        return self._ids[_ID_SIZE * index : _ID_SIZE * (index + 1)]

    def entries(self, start: int, end: int) -> list[Entry]:
        """Return the ranges of chunks that make up the bytes `start` to `end`; level 0 only."""
        found: list[Entry] = []
        for index, (first, last) in self._covering(start, end):
            begin = self.ends[index - 1] if index else 0
            offset = self._offsets[index] + first - begin
            found.append(Entry(self.entry_id(index), offset, last - first))
        return found

    def children(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Return the entries that hold bytes `start` to `end`: index, and the range within."""
        return [
            (index, first - begin, last - begin)
            for index, (first, last) in self._covering(start, end)
            for begin in (self.ends[index - 1] if index else 0,)
        ]

    def all_children(self) -> list[Child]:
        """Return the manifests that this one lists; a child's level is the most it can be."""
        sizes = (end - begin for begin, end in zip([0, *self.ends], self.ends, strict=False))
        return [
            Child(self.entry_id(index), size, self.level - 1) for index, size in enumerate(sizes)
        ]

    def check_child(self, index: int, child: Manifest) -> Manifest:
        """Return `child` if it is what entry `index` of this manifest promises.

        Raises:
            Corrupt(DAMAGED): it holds another number of bytes, or is not of a lower level.
        """
        size = self.ends[index] - (self.ends[index - 1] if index else 0)
        if child.bytes != size or child.level >= self.level:
            raise Corrupt(
                Reason.DAMAGED,
                f"manifest {child.id.hex()} does not fit its parent {self.id.hex()}",
                manifest=child.id,
            )
        return child

    def _covering(self, start: int, end: int) -> list[tuple[int, tuple[int, int]]]:
        """Return which entries hold bytes `start` to `end`, and which of those bytes."""
        ends = self.ends
        found: list[tuple[int, tuple[int, int]]] = []
        index = bisect_right(ends, start)
        while start < end:
            stop = min(ends[index], end)
            found.append((index, (start, stop)))
            start = stop
            index += 1
        return found


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """Return the manifest of level 0 of these entries, one or more, none of them empty."""
    ids, offsets, lengths = zip(*entries, strict=True)
    count = len(entries)
    return b"%b%b%b" % (
        _HEADER.pack(MAGIC, VERSION, 0, count, sum(lengths)),
        b"".join(ids),
        struct.pack(f"<{2 * count}I", *offsets, *lengths),
    )


def encode_children(children: Sequence[Child], level: int) -> bytes:
    """Return the manifest of `level` (1 or more) of these lower ones."""
    ids, sizes, _ = zip(*children, strict=True)
    return b"%b%b%b" % (
        _HEADER.pack(MAGIC, VERSION, level, len(children), sum(sizes)),
        b"".join(ids),
        struct.pack(f"<{len(children)}Q", *sizes),
    )


def decode_manifest(manifest_id: bytes, data: bytes | memoryview) -> Manifest:
    """Return the manifest that `data` encodes.

    Raises:
        Corrupt(UNKNOWN_FORMAT): a version or level that this reader does not know.
        Corrupt(DAMAGED): not a manifest.
    """
    if len(data) < _HEADER.size or data[:2] != MAGIC:
        raise _damaged(manifest_id)
    _, version, level, count, size = _HEADER.unpack_from(data)
    if version != VERSION or level > LEVEL_MAX:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"manifest {manifest_id.hex()} is of version {version}, level {level}",
            "a newer release may have written it",
            manifest=manifest_id,
        )
    numbers_at = _HEADER.size + _ID_SIZE * count
    if not count or len(data) != numbers_at + 8 * count:
        raise _damaged(manifest_id)
    ids = bytes(data[_HEADER.size : numbers_at])
    offsets: Sequence[int] = ()
    if level:
        sizes = struct.unpack_from(f"<{count}Q", data, numbers_at)
    else:
        offsets = struct.unpack_from(f"<{count}I", data, numbers_at)
        sizes = struct.unpack_from(f"<{count}I", data, numbers_at + 4 * count)
    ends = list(accumulate(sizes))
    if ends[-1] != size or not all(sizes):
        raise _damaged(manifest_id)
    return Manifest(manifest_id, level, ids, offsets, ends)


Build = Generator[bytes, bytes, Child]
"""A computation that yields manifests to be stored and is answered with the id of each."""


def build_list(entries: Sequence[Entry]) -> Build:
    """Store the manifests of an object's entries, one or more; return the topmost."""
    children: list[Child] = []
    for start, stop in _runs([entry.id for entry in entries]):
        run = entries[start:stop]
        children.append(Child((yield encode_entries(run)), sum(e.length for e in run), 0))
    return (yield from build_above(children))


def build_above(children: Sequence[Child]) -> Build:
    """Store manifests above these, one or more, until there is one; return it.

    Raises:
        Invalid(BAD_ARGUMENT): more levels than a manifest may have.
    """
    while len(children) > 1:
        level = 1 + max(child.level for child in children)
        if level > LEVEL_MAX:
            raise Invalid(Reason.BAD_ARGUMENT, f"a manifest of more than {LEVEL_MAX} levels")
        above: list[Child] = []
        for start, stop in _runs([child.id for child in children]):
            run = children[start:stop]
            manifest_id = yield encode_children(run, level)
            above.append(Child(manifest_id, sum(child.bytes for child in run), level))
        children = above
    return children[0]


def _runs(ids: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return where a list is cut: nowhere, or by the ids of its entries."""
    if len(ids) <= ENTRIES_MAX:
        return [(0, len(ids))]
    runs: list[tuple[int, int]] = []
    start = 0
    for index, entry_id in enumerate(ids, start=1):
        size = index - start
        if size >= ENTRIES_MAX or (
            size >= _RUN_MIN and int.from_bytes(entry_id[:8], "little") < _CUT_BELOW
        ):
            runs.append((start, index))
            start = index
    if start < len(ids):
        runs.append((start, len(ids)))
    return runs


def locate(
    root: bytes, start: int, end: int
) -> Generator[bytes | list[Entry], Manifest | None, None]:
    """Yield lists of the entries that make up bytes `start` to `end` below a manifest.

    An entry is trimmed to the range. Answer an id with its manifest, and a list with None.
    """
    ahead: list[tuple[bytes, int, int, Manifest | None, int]] = [(root, start, end, None, 0)]
    while ahead:
        manifest_id, start, end, parent, index = ahead.pop()
        manifest = yield manifest_id
        if manifest is None or end > manifest.bytes:
            raise Corrupt(Reason.DAMAGED, f"manifest {manifest_id.hex()} holds too few bytes")
        if parent is not None:
            parent.check_child(index, manifest)
        if manifest.level == 0:
            yield manifest.entries(start, end)
            continue
        ahead += [
            (manifest.entry_id(number), first, last, manifest, number)
            for number, first, last in reversed(manifest.children(start, end))
        ]


def _damaged(manifest_id: bytes) -> Corrupt:
    return Corrupt(
        Reason.DAMAGED, f"manifest {manifest_id.hex()} is not a manifest", manifest=manifest_id
    )
