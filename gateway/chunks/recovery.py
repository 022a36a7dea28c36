"""Reading what a directory of segments holds, after whatever happened to it.

A pack is believed by its trailer. A segment without one is scanned: an extent counts when its
header, its records, its place in the chain and its payload are sound; the first that does not ends
the log. One write is in flight at a time, so a crash leaves at most one unsound extent, at the
end. A sound extent *behind* an unsound one, or a log shorter than it once was, is damage: it is
reported, all sound extents are served, and nothing is ever appended there. A pack whose footer is
unsound is scanned likewise.

Nothing is changed here but for what is stated at `inspect`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway import digests
from gateway.backends.files import Files, Handle, Mode
from gateway.chunks import pack
from gateway.chunks.appender import Chain, pack_name, segment_name
from gateway.chunks.pack import BLOCK, Header, Location, Record, Superblock, Trailer
from gateway.chunks.segment import Damage, Segment
from gateway.errors import Corrupt, Reason, Unavailable
from gateway.limits import KIB, MIB

_READ = 64 * KIB


@dataclass(slots=True)
class Known:
    """What the row of a segment says: 32 hex digits of uuid, sealed or not, durable length."""

    uuid: str
    sealed: bool
    length: int


@dataclass(slots=True)
class Found:
    """A segment as it was found. `chain` is set when it was scanned, `trailer` when believed."""

    segment: Segment
    chain: Chain | None = None
    trailer: Trailer | None = None

    @property
    def length(self) -> int:
        """Return its durable length in bytes."""
        if self.trailer is not None:
            return self.trailer.size
        return self.chain.end if self.chain is not None else 0

    @property
    def records(self) -> int:
        """Return how many records it holds."""
        if self.trailer is not None:
            return self.trailer.entries
        return len(self.chain.entries) // pack.ENTRY_SIZE if self.chain is not None else 0


@dataclass(slots=True)
class Recovered:
    """All of a directory: what can be read, what is wrong, and the next free number."""

    found: list[Found] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    next_number: int = 1


def inspect(files: Files, directory: str, rows: Mapping[int, Known]) -> Recovered:
    """Open every segment of a directory. Blocks.

    What it changes: a file without a row that never got its superblock is removed (a crash while
    it was made), and a finished pack that still has the name of a segment is renamed. What a
    killed process wrote and did not sync can be read here, and could still be lost: so each
    segment is synced before it is read, and one that cannot be is not counted on.

    Raises:
        Corrupt(UNKNOWN_FORMAT): a file is of a newer format than this program knows.
        Unavailable: the directory cannot be read.
    """
    result = Recovered()
    seen: dict[int, str] = {}
    for name in files.list(directory):
        stem, _, suffix = name.partition(".")
        if suffix in {"seg", "pack"} and len(stem) == 8 and _is_hex(stem):
            number = int(stem, 16)
            if number in seen:
                result.damage.append(Damage(name, 0, f"{seen[number]} has the same number"))
            else:
                seen[number] = name
                _inspect_one(files, directory, name, rows.get(number), result)
    result.damage += [
        Damage(pack_name(number) if row.sealed else segment_name(number), 0, "the file is missing")
        for number, row in rows.items()
        if number not in seen
    ]
    result.next_number = max([0, *seen, *rows]) + 1
    return result


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in text)


def _inspect_one(
    files: Files, directory: str, name: str, row: Known | None, result: Recovered
) -> None:
    path = f"{directory}/{name}"
    handle = files.open(path, Mode.READ)
    stat = files.stat(path)
    size = stat.size if stat is not None else 0
    block = memoryview(bytearray(BLOCK))
    unsynced = "" if name.endswith(".pack") else _sync(files, handle)
    count = files.pread(handle, block, 0)
    superblock = pack.decode_superblock(block[:count])
    problem = _judge(superblock, block[:count], name, row)
    if superblock is None and row is None and files.next_data(handle, BLOCK) is None:
        files.close(handle)
        files.unlink(path)
        return
    if superblock is None or problem:
        files.close(handle)
        result.damage.append(Damage(name, 0, problem))
        return
    found = _believe(files, handle, path, size, superblock)
    if found is None:
        durable = row.length if row is not None and not row.sealed else 0
        found = scan(files, handle, path, size, superblock, durable)
        if name.endswith(".pack"):
            found.segment.damage.insert(0, Damage(name, size, "the footer is unsound"))
    elif name.endswith(".seg") and not unsynced:
        sealed = f"{directory}/{pack_name(superblock.segment)}"
        files.rename(path, sealed)
        found.segment.path = sealed
        files.fsync_dir(directory)
    if unsynced:
        found.segment.doubt(unsynced)
    files.close(handle)
    result.damage += found.segment.damage
    result.found.append(found)


def _sync(files: Files, handle: Handle) -> str:
    """Make durable what can be read; return why that could not be done, or nothing."""
    try:
        files.fdatasync(handle)
    except Unavailable as error:
        return error.message
    return ""


def _judge(superblock: Superblock | None, block: memoryview, name: str, row: Known | None) -> str:
    if superblock is None:
        version = pack.superblock_version(block)
        if version is not None and version > pack.VERSION:
            raise Corrupt(
                Reason.UNKNOWN_FORMAT,
                f"segment {name} is of format {version}; this program knows {pack.VERSION}",
                "use the version of sidegate that wrote it, or a newer one",
                segment=name,
            )
        return "the superblock is unsound"
    if superblock.segment != int(name[:8], 16):
        return f"the superblock is that of segment {superblock.segment:08x}"
    if row is not None and row.uuid != superblock.uuid.hex():
        return "another segment has taken the place of the one that was registered"
    return ""


def _believe(
    files: Files, handle: Handle, path: str, size: int, superblock: Superblock
) -> Found | None:
    """Open a pack by its trailer, or return None when it has no sound one."""
    if size < BLOCK + pack.TRAILER_SIZE or size % BLOCK:
        return None
    data = memoryview(bytearray(pack.TRAILER_SIZE))
    if files.pread(handle, data, size - pack.TRAILER_SIZE) != len(data):
        return None
    trailer = pack.decode_trailer(data, size)
    if trailer is None or trailer.uuid != superblock.uuid or trailer.life != superblock.life:
        return None
    table = _read(files, handle, trailer.spans_offset, trailer.spans * pack.SPAN_SIZE)
    spans = pack.decode_spans(table, trailer)
    if spans is None:
        return None
    segment = Segment(files, path, superblock)
    for span in spans:
        segment.add(span)
    return Found(segment, trailer=trailer)


def _read(files: Files, handle: Handle, offset: int, size: int) -> memoryview:
    data = memoryview(bytearray(size))
    return data[: files.pread(handle, data, offset)]


def entries(files: Files, found: Found) -> Iterable[Location]:
    """Return the records of a segment: from its footer, or from a scan.

    A footer whose entries are unsound is damage, noted at the segment; its log is scanned then.
    """
    trailer = found.trailer
    if trailer is None:
        return _entries_of(found.chain)
    segment = found.segment
    handle = files.open(segment.path, Mode.READ)
    try:
        data = _read(files, handle, trailer.footer_offset, trailer.entries * pack.ENTRY_SIZE)
        located = pack.decode_entries(data, trailer)
        if located is not None:
            return located
        what = "the footer's entries are unsound"
        segment.damage.append(Damage(segment.name, trailer.footer_offset, what))
        size = trailer.footer_offset
        return _entries_of(scan(files, handle, segment.path, size, segment.superblock, 0).chain)
    finally:
        files.close(handle)


def _entries_of(chain: Chain | None) -> Iterable[Location]:
    if chain is None:
        return ()
    return (Location._make(fields) for fields in pack.ENTRY.iter_unpack(chain.entries))


# --- scanning ----------------------------------------------------------------------------------
def scan(
    files: Files, handle: Handle, path: str, size: int, superblock: Superblock, durable: int
) -> Found:
    """Read the extents of a segment that has no footer.

    `durable` is how far its log reached when it was last closed: extents before were verified
    then, so their payload is not read again here; a log that ends before is damaged.
    """
    segment = Segment(files, path, superblock)
    name = segment.name
    chain = Chain.begin(pack.encode_superblock(superblock))
    scanner = _Scanner(files, handle, size, superblock)
    while True:
        offset = chain.end
        header = scanner.header(offset)
        if header is not None and header.seq == chain.seq and header.prev_crc == chain.prev_crc:
            records = scanner.records(header)
            checked = header.span.offset + header.span.size <= durable
            if records is not None and (checked or scanner.payload_sound(header)):
                _take(segment, chain, header, records, scanner)
                continue
        later = scanner.search(offset + BLOCK, chain.seq)
        if later is not None:
            what = f"an extent is unsound, though a sound one follows at {later.span.offset}"
            segment.damage.append(Damage(name, offset, what))
            chain.end, chain.seq, chain.prev_crc = later.span.offset, later.seq, later.prev_crc
            continue
        if offset < durable:
            what = f"the log ends here; {durable} bytes of it were durable"
            segment.damage.append(Damage(name, offset, what))
        return Found(segment, chain=chain)


def _take(
    segment: Segment, chain: Chain, header: Header, records: list[Record], scanner: _Scanner
) -> None:
    start = header.span.payload_offset
    number = segment.extents
    located = [
        Location(record.id, start + record.offset, record.size, number, position, record.kind)
        for position, record in enumerate(records)
    ]
    chain.add(header.span, scanner.head(header), located)
    segment.add(header.span)


class _Scanner:
    """Reads headers of one file through a window, payload in steps."""

    def __init__(self, files: Files, handle: Handle, size: int, superblock: Superblock) -> None:
        self._files = files
        self._handle = handle
        self._size = size
        self._superblock = superblock
        self._window = memoryview(bytearray(_READ))
        self._head = memoryview(b"")
        self._step = memoryview(bytearray(MIB))

    def header(self, offset: int) -> Header | None:
        """Return what the header at `offset` claims, within bounds; its checksum is not judged."""
        count = self._files.pread(self._handle, self._window, offset)
        head = self._window[:count]
        found = pack.decode_header(head, offset, self._size, self._superblock)
        if found is not None and found.header_size > count:
            head = _read(self._files, self._handle, offset, found.header_size)
        self._head = head
        return found

    def head(self, header: Header) -> memoryview:
        """Return header and records of the extent that was read last."""
        return self._head[: header.header_size]

    def records(self, header: Header) -> list[Record] | None:
        """Return the records of the extent that was read last, or None when unsound."""
        return pack.decode_records(self._head, header)

    def payload_sound(self, header: Header) -> bool:
        """Read the payload and compare its checksum."""
        span = header.span
        crc = done = 0
        while done < span.payload_size:
            step = self._step[: min(MIB, span.payload_size - done)]
            if self._files.pread(self._handle, step, span.payload_offset + done) != len(step):
                return False
            crc = digests.crc32c(step, crc)
            done += len(step)
        return crc == span.payload_crc

    def search(self, offset: int, seq: int) -> Header | None:
        """Find the next sound extent whose number is above `seq`, from a block on."""
        at: int | None = offset
        while at is not None and at < self._size:
            at = self._files.next_data(self._handle, at)
            if at is None:
                return None
            at -= at % BLOCK
            step = self._step[: self._files.pread(self._handle, self._step, at)]
            for inner in range(0, len(step), BLOCK):
                if step[inner : inner + 4] == pack.EXTENT_MAGIC:
                    found = self.header(at + inner)
                    if (
                        found is not None
                        and found.seq > seq
                        and self.records(found) is not None
                        and self.payload_sound_apart(found)
                    ):
                        return found
            if len(step) < BLOCK:
                return None
            at += len(step)
        return None

    def payload_sound_apart(self, header: Header) -> bool:
        """As `payload_sound`, leaving the window of a search as it is."""
        kept, self._step = self._step, memoryview(bytearray(MIB))
        try:
            return self.payload_sound(header)
        finally:
            self._step = kept
