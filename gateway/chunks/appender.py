"""The end of the log: the one segment that is being written, until it is sealed.

One write is in flight at a time, and each is followed by `fdatasync`; an extent counts once that
returned. After any error of a write or a sync the segment is dead: what it holds stays readable,
but nothing is known about the state of its end, so it is never written again and the sync is never
repeated. (A failed reservation wrote nothing and kills nothing.)

The file has its full size from the start (sparse) and blocks are reserved ahead in steps, so that
a sync seldom has more to do than the data itself. Before short extents a stretch of zeros is
written too: overwriting blocks that were written once costs a sync no change of the file system's
own records, a third of its time. Sealing writes the footer, cuts the file to its
length, and renames `.seg` to `.pack`: see `docs/write-order.md`.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from gateway.backends.files import Files, Handle, Mode
from gateway.chunks import pack
from gateway.chunks.pack import Location, Span, Superblock, Trailer
from gateway.chunks.packer import Extent
from gateway.chunks.segment import Segment
from gateway.errors import Conflict, Reason, Unavailable
from gateway.limits import EXTENT_SIZE_MAX, KIB, MIB, SEGMENT_SIZE_MAX

RESERVE_STEP = 32 * MIB
ZEROS = 1 * MIB  # written ahead of short extents; 256 of a block each share it
SHORT_MAX = 64 * KIB
RECORDS_MAX = 65_536  # of one segment: sorting its footer then stalls nobody for long


# Aligned as direct transfers want it; never written to, so that it takes no memory.
_ZEROS = memoryview(mmap.mmap(-1, ZEROS, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def segment_name(number: int) -> str:
    """Return the file name of a segment that is not sealed."""
    return f"{number:08x}.seg"


def pack_name(number: int) -> str:
    """Return the file name of a sealed one."""
    return f"{number:08x}.pack"


@dataclass(slots=True)
class Chain:
    """Where a segment's log ends, and what its next extent is tied to."""

    end: int
    seq: int
    prev_crc: int
    digest: bytes
    entries: bytearray  # encoded, for the footer
    spans: bytearray  # encoded, for the footer

    @classmethod
    def begin(cls, superblock: bytes) -> Chain:
        """Return the chain of a segment without extents."""
        digest = pack.chain(bytes(32), superblock)
        return cls(pack.SUPERBLOCK_SIZE, 1, 0, digest, bytearray(), bytearray())

    def add(self, span: Span, head: memoryview, locations: list[Location]) -> None:
        """Go on by one extent; `head` is its header and records."""
        self.end = span.offset + span.size
        self.seq += 1
        self.prev_crc = span.header_crc
        self.digest = pack.chain(self.digest, head)
        self.spans += pack.encode_span(span)
        for location in locations:
            self.entries += pack.encode_entry(location)


class Appender:
    """Writes extents to one segment. Used by one thread; every call blocks."""

    def __init__(
        self,
        files: Files,
        directory: str,
        segment: Segment,
        chain: Chain,
        handles: tuple[Handle, Handle],
        size_max: int,
    ) -> None:
        self.segment = segment
        self.chain = chain
        self.dead = False
        self._files = files
        self._directory = directory
        self._direct, self._buffered = handles
        self._size_max = size_max
        self._reserved = chain.end
        self._touched = chain.end  # blocks before it were written once
        self.length = chain.end  # of the file's durable part

    @classmethod
    def create(
        cls,
        files: Files,
        directory: str,
        superblock: Superblock,
        *,
        size_max: int = SEGMENT_SIZE_MAX,
        direct: bool = True,
    ) -> Appender:
        """Make a new segment, durable in contents and name, with no extent.

        Raises:
            Conflict(ALREADY_EXISTS): a file of that number is there.
            Unavailable: it could not be made; no file is left, if the disk lets us remove it.
        """
        name = segment_name(superblock.segment)
        path = f"{directory}/{name}"
        buffered = files.open(path, Mode.CREATE)
        try:
            block = pack.encode_superblock(superblock)
            files.ftruncate(buffered, size_max)
            files.pwrite(buffered, memoryview(block), 0)
            files.fdatasync(buffered)
            files.fsync_dir(directory)
            handle = files.open(path, Mode.WRITE, direct=True) if direct else buffered
        except BaseException:
            files.close(buffered)
            _discard(files, path)
            raise
        segment = Segment(files, path, superblock)
        chain = Chain.begin(block)
        return cls(files, directory, segment, chain, (handle, buffered), size_max)

    @classmethod
    def resume(
        cls,
        files: Files,
        directory: str,
        segment: Segment,
        chain: Chain,
        *,
        size_max: int = SEGMENT_SIZE_MAX,
        direct: bool = True,
    ) -> Appender:
        """Go on at the end of a recovered segment, whose torn end (if any) is cut off first."""
        path = segment.path
        buffered = files.open(path, Mode.WRITE)
        handle = buffered
        try:
            files.ftruncate(buffered, chain.end)
            files.ftruncate(buffered, max(size_max, chain.end))
            files.fdatasync(buffered)
            if direct:
                handle = files.open(path, Mode.WRITE, direct=True)
        except BaseException:
            files.close(buffered)
            raise
        return cls(files, directory, segment, chain, (handle, buffered), size_max)

    def failed(self) -> bool:
        """Tell whether a write or sync failed, so that the segment is not to be used again."""
        return self.dead

    def fits(self, extent: Extent) -> bool:
        """Tell whether an extent has room; an empty segment has room for any."""
        if self.chain.end == pack.SUPERBLOCK_SIZE:
            return True
        records = len(self.chain.entries) // pack.ENTRY_SIZE + len(extent)
        whole = pack.align(extent.size) + pack.align(pack.RECORD_SIZE * (len(extent) + 1))
        return self.chain.end + whole <= self._size_max and records <= RECORDS_MAX

    def append(self, extent: Extent) -> list[Location]:
        """Write an extent and make it durable; return where its records lie.

        Raises:
            Unavailable: it is not durable. If `dead` is set, this segment is not to be used again.
        """
        if self.dead:
            raise Unavailable(Reason.IO_ERROR, f"segment {self.segment.name} is dead")
        chain = self.chain
        data, span = extent.encode(self.segment.superblock, chain.end, chain.seq, chain.prev_crc)
        self._reserve(span.offset + span.size)
        self.dead = True
        self._touch(span)
        self._files.pwrite(self._direct, data, span.offset)
        self._files.fdatasync(self._direct)
        self.dead = False
        locations = extent.locations(span, self.segment.extents)
        chain.add(span, data[: pack.HEADER_SIZE + pack.RECORD_SIZE * len(extent)], locations)
        self.length = chain.end
        self.segment.add(span)
        return locations

    def _reserve(self, end: int) -> None:
        if end <= self._reserved:
            return
        ahead = min(self._reserved + RESERVE_STEP, max(self._size_max, end))
        try:
            self._files.fallocate(self._buffered, self._reserved, max(ahead, end) - self._reserved)
            self._reserved = max(ahead, end)
        except Unavailable as error:
            if error.reason is not Reason.DISK_FULL:
                raise
            # Not so much is free: perhaps what this extent needs.
            self._files.fallocate(self._buffered, self._reserved, end - self._reserved)
            self._reserved = end

    def _touch(self, span: Span) -> None:
        end = span.offset + span.size
        if end > self._touched and span.size <= SHORT_MAX:
            ahead = min(span.offset + ZEROS, self._reserved)
            if ahead > end:
                self._files.pwrite(self._direct, _ZEROS[: ahead - span.offset], span.offset)
                self._touched = ahead
        self._touched = max(self._touched, end)

    def seal(self) -> Trailer:
        """Write the footer, cut the file to length, rename it to a pack; all durable.

        Raises:
            Unavailable: it is not sealed; recovery will do so. It stays readable, and is dead.
        """
        self.dead = True
        chain, files = self.chain, self._files
        footer = pack.encode_footer(
            self.segment.superblock,
            chain.end,
            bytes(chain.entries),
            bytes(chain.spans),
            self.segment.payload_bytes,
            chain.digest,
        )
        files.pwrite(self._buffered, memoryview(footer), chain.end)
        files.ftruncate(self._buffered, chain.end + len(footer))
        files.fdatasync(self._buffered)
        path = f"{self._directory}/{pack_name(self.segment.number)}"
        files.rename(self.segment.path, path)
        self.segment.path = path
        files.fsync_dir(self._directory)
        self.length = chain.end + len(footer)
        trailer = pack.decode_trailer(footer[-pack.TRAILER_SIZE :], self.length)
        if trailer is None:
            raise ValueError("a footer that was just encoded cannot be decoded")
        return trailer

    def release(self) -> None:
        """Close the handles for writing; the segment stays readable."""
        self.dead = True
        for handle in {self._direct, self._buffered}:
            self._files.close(handle)

    def trim(self) -> None:
        """Cut what was reserved and not written, before a clean close.

        The end is durable already; if the cut is not, recovery finds holes there.
        """
        if not self.dead:
            self._files.ftruncate(self._buffered, self.chain.end)


def _discard(files: Files, path: str) -> None:
    try:
        files.unlink(path)
    except (Unavailable, Conflict):
        # The next opening removes a segment without superblock and row.
        return


def largest_record() -> int:
    """Return the size of the largest record, bytes: alone in an extent of the format's bound."""
    return EXTENT_SIZE_MAX - 2 * pack.BLOCK
