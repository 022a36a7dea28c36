"""One file of the log, as a reader sees it: extents, checked once, then served from a map.

At the first read of an extent in a process its checksum is compared, so that damage, truncation and
device errors are errors; from then on slices of the mapped file are served. A large extent is
loaded through the map itself, by a call that fails instead of raising a signal (`Files.load`): its
bytes are not copied, and its pages are there when they are sent. A small one, and one that cannot
be loaded so, is read by `pread`, which says what is wrong. The map is never touched outside of
extents that were loaded or verified: a page there was read a moment ago, so that a fault on it is
not one on a hole or past the end of the file.

Extents are kept as columns of integers: a segment of nothing but single small objects has 65,000.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_right
from dataclasses import dataclass

from gateway import digests
from gateway.backends.files import Files, Handle, Mode
from gateway.chunks.pack import Span, Superblock
from gateway.errors import Corrupt, NotFound, Reason, Unavailable
from gateway.limits import KIB

VERIFY_STEP = 256 * KIB  # up to so much is copied: quicker than to enter the pages one by one


@dataclass(frozen=True, slots=True)
class Damage:
    """Stored bytes that are not what was written: where, and what is wrong there."""

    segment: str
    offset: int
    what: str

    def error(self) -> Corrupt:
        """Return it as an error to raise."""
        return Corrupt(
            Reason.DAMAGED,
            f"segment {self.segment}, offset {self.offset}: {self.what}",
            "restore the file from a copy of it; everything else remains readable",
            segment=self.segment,
            offset=self.offset,
        )


class Segment:
    """A segment or pack that is open for reading. Extents are added by one thread at a time."""

    def __init__(
        self,
        files: Files,
        path: str,
        superblock: Superblock,
    ) -> None:
        self.path = path
        self.superblock = superblock
        self.damage: list[Damage] = []
        self.payload_bytes = 0
        self._files = files
        self._handle: Handle | None = None
        self._map: mmap.mmap | None = None
        self._view: memoryview | None = None
        self._starts = array("I")  # where each payload begins in the file
        self._sizes = array("I")
        self._crcs = array("I")
        self._verified = bytearray()
        self._bad: set[int] = set()
        self._doubted = False

    @property
    def name(self) -> str:
        """Return the name of its file."""
        return self.path.rpartition("/")[2]

    @property
    def number(self) -> int:
        """Return its number, as in the index."""
        return self.superblock.segment

    @property
    def extents(self) -> int:
        """Return how many extents are known."""
        return len(self._starts)

    def add(self, span: Span) -> None:
        """Make one more extent readable, after all that are known."""
        self._verified.append(0)
        self._crcs.append(span.payload_crc)
        self._sizes.append(span.payload_size)
        self._starts.append(span.payload_offset)
        self.payload_bytes += span.payload_size

    def slice(self, offset: int, length: int) -> memoryview | None:
        """Return bytes of a verified extent, or None when it has to be verified first."""
        number = bisect_right(self._starts, offset) - 1
        if number < 0 or not self._verified[number]:
            return None
        if offset + length > self._starts[number] + self._sizes[number]:
            return None
        view = self._view
        return view[offset : offset + length] if view is not None else None

    def sound(self, offset: int) -> bool:
        """Tell whether nothing is known against the extent at `offset`."""
        if self._doubted:
            return False
        return not self._bad or bisect_right(self._starts, offset) - 1 not in self._bad

    def doubt(self, why: str) -> None:
        """Count on no extent: they can be read now, but may not be durable."""
        self._doubted = True
        self.damage.append(Damage(self.name, 0, f"what it holds may not last: {why}"))

    def find(self, offset: int, length: int) -> tuple[int, int]:
        """Return number and payload size of the extent that holds those bytes.

        Raises:
            Corrupt: no extent holds them.
        """
        number = bisect_right(self._starts, offset) - 1
        if number < 0 or offset + length > self._starts[number] + self._sizes[number]:
            raise Damage(self.name, offset, f"no extent holds these {length} bytes").error()
        return number, self._sizes[number]

    def verify(self, number: int) -> None:
        """Read an extent's payload and compare its checksum; blocks.

        Raises:
            Corrupt: the bytes are not what was written.
            Unavailable(IO_ERROR): they could not be read.
        """
        start, size = self._starts[number], self._sizes[number]
        handle = self._handle
        if handle is None:
            handle = self._handle = self._open(number, start)
        crc = self._crc_of_map(handle, start, size) if size > VERIFY_STEP else None
        if crc is None:
            crc = self._crc_of_file(handle, number, start, size)
        if crc != self._crcs[number]:
            what = f"the checksum of {size} bytes is {crc:08x}, not {self._crcs[number]:08x}"
            raise self._condemn(number, start, what)
        if not self._reaches(handle, start + size):
            raise self._condemn(number, start, "the file was cut while it was read")
        self._verified[number] = 1

    def _reaches(self, handle: Handle, end: int) -> bool:
        """Map the file, unless it is as far as `end`; tell whether it is now."""
        if self._view is None or len(self._view) < end:
            self._map = self._files.map(handle)
            self._view = memoryview(self._map)
        return len(self._view) >= end

    def _crc_of_map(self, handle: Handle, start: int, size: int) -> int | None:
        """Return the checksum of mapped bytes; None when they cannot all be read through it."""
        try:
            if not self._reaches(handle, start + size):
                return None
        except (Unavailable, ValueError):  # an empty file has no map
            return None
        mapped, view = self._map, self._view
        if mapped is None or view is None or not self._files.load(mapped, start, size):
            return None
        return digests.crc32c(view[start : start + size])

    def _crc_of_file(self, handle: Handle, number: int, start: int, size: int) -> int:
        buffer = memoryview(bytearray(min(size, VERIFY_STEP)))
        crc = done = 0
        while done < size:
            step = buffer[: min(size - done, VERIFY_STEP)]
            if self._read(handle, number, step, start + done) != len(step):
                raise self._condemn(number, start + done, "the file ends inside of an extent")
            crc = digests.crc32c(step, crc)
            done += len(step)
        return crc

    def _open(self, number: int, start: int) -> Handle:
        path = self.path
        # It may be sealed at this moment: renamed already, its new path not noted here yet.
        for name in (path, f"{path.removesuffix('.seg')}.pack"):
            try:
                return self._files.open(name, Mode.READ)
            except NotFound:
                continue
        raise self._condemn(number, start, "the file is missing")

    def _read(self, handle: Handle, number: int, into: memoryview, offset: int) -> int:
        try:
            return self._files.pread(handle, into, offset)
        except Unavailable as error:
            # It may be read another time; until then nothing counts on it.
            self._condemn(number, offset, error.message)
            raise

    def _condemn(self, number: int, offset: int, what: str) -> Corrupt:
        damage = Damage(self.name, offset, what)
        if number not in self._bad:
            self._bad.add(number)
            self.damage.append(damage)
        return damage.error()

    def close(self) -> None:
        """Drop the map and the handle. Views that are still held keep their bytes."""
        self._verified = bytearray(len(self._verified))
        if self._view is not None:
            self._view.release()
            self._view = None
        if self._map is not None:
            try:
                self._map.close()
            except BufferError:
                # Slices are still being sent; the map goes when the last of them does.
                self._map = None
        if self._handle is not None:
            self._files.close(self._handle)
            self._handle = None
