"""Where each chunk lies: a mapped hash table that any process may read while one writes.

The index is a cache of what segments say about themselves, never the truth: losing it costs the
time of a scan. So it is not journalled. It carries a flag instead: `was_clean` tells whether the
last writer closed it in order; if not, the caller builds it anew. It holds the first 16 bytes of
an id; ids are keyed, so no client can make two of them meet, and the record in the segment has all
32. Entries are only ever added or overwritten. docs/formats/index.md is the layout.

One writer at a time, which the caller sees to; readers need no lock. A table that has grown is a
new file under the old name: readers that still map the old one find a mark in it and turn over.
Blocks are allocated ahead, so that a full disk is an error here and not a fault in a mapping.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NoReturn, Self

from gateway import digests
from gateway.entropy import SystemEntropy
from gateway.errors import Corrupt, NotFound, Reason, TooLarge, Unavailable
from native.index import SLOT_SIZE, Table

Location = tuple[int, int, int]  # segment, byte offset, length

MAGIC: Final = b"SGINDEX\0"
VERSION: Final = 1
HEADER_SIZE: Final = 4096
SLOTS_MIN: Final = 1024
_STEP: Final = 1 << 24  # of a checksum
SLOTS_MAX: Final = 1 << 34  # 512 GiB of table: 700 TB of chunks; more is a damaged header

# magic, version, header size, slot size, reserved, slots, instance; then their CRC32C
_FIXED: Final = struct.Struct("<8sIIIIQ16s")
_CRC: Final = struct.Struct("<I")
# What changes: clean, superseded, count
_STATE: Final = struct.Struct("<IIQ")
_STATE_AT: Final = 64
_SUPERSEDED_AT: Final = _STATE_AT + 4


def _slots_for(entries: int) -> int:
    """Return the slots, a power of two, that hold so many entries at a load of 0.7."""
    needed = max(SLOTS_MIN, entries * 10 // 7 + 1)
    return int(1 << (needed - 1).bit_length())


def _fail(path: str, error: OSError) -> NoReturn:
    """Translate what the file system says."""
    if error.errno == errno.ENOENT:
        raise NotFound(Reason.NO_SUCH_FILE, f"there is no chunk index {path}", path=path) from error
    reason = Reason.IO_ERROR
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        reason = Reason.DISK_FULL
    elif error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        reason = Reason.READ_ONLY_STORE
    raise Unavailable(
        reason, f"the chunk index {path} cannot be used: {error.strerror}", path=path
    ) from error


def _write_new(path: str, slots: int, instance: bytes) -> int:
    """Make a file of empty slots, its header durable; return a descriptor."""
    fixed = _FIXED.pack(MAGIC, VERSION, HEADER_SIZE, SLOT_SIZE, 0, slots, instance)
    head = fixed + _CRC.pack(digests.crc32c(fixed))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, HEADER_SIZE + slots * SLOT_SIZE)
        os.pwrite(fd, head.ljust(_STATE_AT, b"\0") + _STATE.pack(0, 0, 0), 0)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


class _Mapping:
    """One file, mapped: the header's fields and the table behind it."""

    __slots__ = ("instance", "map", "slots", "table")

    def __init__(self, path: str, fd: int, writable: bool) -> None:
        size = os.fstat(fd).st_size
        self.slots, self.instance = _check_header(path, os.pread(fd, HEADER_SIZE, 0), size)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.map = mmap.mmap(fd, size, access=access)
        self.table = Table(self.map, HEADER_SIZE, self.slots, writable)

    def state(self) -> tuple[bool, bool, int]:
        """Return (clean, superseded, count)."""
        clean, superseded, count = _STATE.unpack_from(self.map, _STATE_AT)
        return bool(clean), bool(superseded), count

    def set_state(self, *, clean: bool, superseded: bool, count: int) -> None:
        """Write the fields that change."""
        _STATE.pack_into(self.map, _STATE_AT, clean, superseded, count)

    def set_superseded(self, superseded: bool) -> None:
        """Tell readers of this file that the name leads, or will soon lead, to another."""
        clean, _, count = self.state()
        self.set_state(clean=clean, superseded=superseded, count=count)

    def sync_header(self) -> None:
        """Make the header durable."""
        self.map.flush(0, HEADER_SIZE)

    def close(self) -> None:
        """Unmap the file."""
        del self.table
        self.map.close()


def _check_header(path: str, head: bytes, size: int) -> tuple[int, bytes]:
    """Return (slots, instance) of a header that is ours and fits its file."""

    def foreign(why: str) -> NoReturn:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"{path} is not a chunk index of this version: {why}",
            "delete it: it is a cache and is built anew from the segments",
            path=path,
        )

    if len(head) < HEADER_SIZE:
        foreign(f"it has {size} bytes")
    magic, version, header_size, slot_size, _, slots, instance = _FIXED.unpack_from(head)
    if magic != MAGIC:
        foreign("the magic is missing")
    if version != VERSION:
        foreign(f"it has version {version}, not {VERSION}")
    if _CRC.unpack_from(head, _FIXED.size)[0] != digests.crc32c(head[: _FIXED.size]):
        foreign("the checksum of its header is wrong")
    if header_size != HEADER_SIZE or slot_size != SLOT_SIZE:
        foreign(f"header and slot have {header_size} and {slot_size} bytes")
    if not SLOTS_MIN <= slots <= SLOTS_MAX or slots & (slots - 1):
        foreign(f"{slots} slots are impossible")
    if size != HEADER_SIZE + slots * SLOT_SIZE:
        foreign(f"{size} bytes do not hold {slots} slots")
    return slots, instance


def _replace(
    path: str, slots: int, instance: bytes, before: _Mapping | None, *, copy: bool = False
) -> _Mapping:
    """Put a new file under the name, with the entries of the one before or with none.

    The one before is marked first: whoever maps it looks again until the name leads elsewhere.
    """
    temporary = f"{path}.new"
    fd = _write_new(temporary, slots, instance)
    try:
        mapping = _Mapping(temporary, fd, writable=True)
        if before is not None:
            if copy:
                moved = before.table.copy_into(mapping.table)
                mapping.set_state(clean=False, superseded=False, count=moved)
            before.set_superseded(True)
        try:
            os.rename(temporary, path)
        except OSError:
            if before is not None:
                before.set_superseded(False)
            raise
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return mapping


class Index:
    """The index of one store: ids of 16 bytes or more to (segment, byte offset, length).

    Numbers of a location fit 32 bits. Made by `create` or `open`; `close` when done.
    """

    __slots__ = ("_clean", "_closed", "_count", "_mapping", "_path", "_readonly", "was_clean")

    def __init__(self, path: str, mapping: _Mapping, *, readonly: bool) -> None:
        clean, _, count = mapping.state()
        self._path = path
        self._mapping = mapping
        self._readonly = readonly
        self._closed = False
        self._clean = clean
        self._count = count
        self.was_clean = clean
        if readonly:
            return
        if not clean or count > mapping.slots:
            self._count = mapping.table.count()
        self._set_clean(False)

    @classmethod
    def create(cls, path: str, capacity: int, *, instance: bytes | None = None) -> Self:
        """Make an empty index that holds `capacity` entries before it grows, replacing any.

        Args:
            path: Of the file; the directory is there.
            capacity: Entries; the file takes 46 to 92 bytes for each.
            instance: 16 bytes that name what the index belongs to; random when None.
        """
        name = SystemEntropy().random_bytes(16) if instance is None else instance
        if len(name) != 16:
            raise ValueError(f"an instance id has 16 bytes, not {len(name)}")
        try:
            before = cls._map(path, readonly=False)
        except (OSError, Corrupt):
            before = None
        try:
            return cls(path, _replace(path, _slots_for(capacity), name, before), readonly=False)
        except OSError as error:
            _fail(path, error)

    @classmethod
    def open(cls, path: str, *, readonly: bool = False) -> Self:
        """Open an index that is there; `was_clean` tells whether its content may be trusted.

        Opening for writing clears the flag durably, so a crash from here on leaves it unclean.

        Raises:
            NotFound: no such file (NO_SUCH_FILE).
            Corrupt: not an index, of another version, or cut short (UNKNOWN_FORMAT).
            Unavailable: the file system says no.
        """
        try:
            return cls(path, cls._map(path, readonly), readonly=readonly)
        except OSError as error:
            _fail(path, error)

    @staticmethod
    def _map(path: str, readonly: bool) -> _Mapping:
        fd = os.open(path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)
        try:
            return _Mapping(path, fd, writable=not readonly)
        finally:
            os.close(fd)

    @property
    def instance(self) -> bytes:
        """The 16 bytes that name what the index belongs to."""
        return self._mapping.instance

    @property
    def capacity(self) -> int:
        """Entries that fit before the table grows."""
        return self._mapping.slots * 7 // 10

    def __len__(self) -> int:
        return self._current().state()[2] if self._readonly else self._count

    def get(self, id_: bytes) -> Location | None:
        """Return where a chunk lies, or None when the index does not know it."""
        return self._current().table.get(id_)

    def get_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """Return what `get` returns for each id, in order, at a fraction of the cost."""
        return self._current().table.get_many(ids)

    def put_many(self, ids: Sequence[bytes], locations: Sequence[Location]) -> None:
        """Add entries, or overwrite those of the same id; grow the table when it would be full.

        Growing copies the table once, without the interpreter lock: about 0.1 us an entry. Nothing
        is added when an id or a location is no such thing (TypeError, ValueError, OverflowError).
        """
        self._check_writable()
        entries = self._count + len(ids)
        try:
            if self._clean:
                self._set_clean(False)
            if entries > self.capacity:
                self._grow(entries)
        except OSError as error:
            _fail(self._path, error)
        self._count += self._mapping.table.put_many(ids, locations)
        self._mapping.set_state(clean=False, superseded=False, count=self._count)

    def mark_clean(self) -> None:
        """Make everything durable, then the flag that says so; the next put clears it again."""
        self._check_writable()
        try:
            self._mapping.map.flush()
            self._set_clean(True)
        except OSError as error:
            _fail(self._path, error)

    def checksum(self) -> int:
        """Return the CRC32C of all slots; nothing may be put meanwhile."""
        crc = 0
        with memoryview(self._mapping.map) as whole:
            for start in range(HEADER_SIZE, len(whole), _STEP):
                with whole[start : start + _STEP] as part:
                    crc = digests.crc32c(part, crc)
        return crc

    def close(self) -> None:
        """Unmap the file; nothing but `close` may follow. It does not mark the index clean."""
        if not self._closed:
            self._closed = True
            self._mapping.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_writable(self) -> None:
        if self._readonly:
            raise TypeError("the index is open for reading only")

    def _current(self) -> _Mapping:
        """Return the mapping to read, the newest file when ours was replaced."""
        if self._readonly and self._mapping.map[_SUPERSEDED_AT]:
            try:
                self._mapping = self._map(self._path, readonly=True)
            except OSError as error:
                _fail(self._path, error)
        return self._mapping

    def _set_clean(self, clean: bool) -> None:
        self._mapping.set_state(clean=clean, superseded=False, count=self._count)
        self._mapping.sync_header()
        self._clean = clean

    def _grow(self, entries: int) -> None:
        """Move into a file twice as large or larger. Readers of the old one keep it until then."""
        slots = self._mapping.slots * 2
        while entries * 2 > slots:
            slots *= 2
        if slots > SLOTS_MAX:
            raise TooLarge(Reason.LIMIT, f"an index cannot hold {entries} entries", path=self._path)
        old = self._mapping
        self._mapping = _replace(self._path, slots, old.instance, old, copy=True)
