"""The object record: what one key of a tree, one staged row or one uploaded part stands for.

A record is a version byte and tagged fields (tag, length, bytes) in ascending order of tag; the
byte table is `docs/formats/object.md`. Three things hold:

* One record has one encoding: numbers and lengths are in their shortest form, maps and checksums
  are sorted, a field of no content is left out. Equal records therefore make equal tree nodes.
* A field with a tag that this reader does not know is kept in `unknown` and written back, so that
  an older process can copy or list what a newer one wrote. What may not be passed over unread
  needs a new version byte, which is refused.
* Names and values are text in UTF-8; bytes that are not UTF-8 travel as lone surrogates
  (`surrogateescape`), so that a header comes back as the bytes that arrived.

A record is a value: those handed out by a tree may be shared, so change one with
`dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.varint import decode_varint, encode_varint

VERSION: Final = 1

ChecksumKind = Literal["FULL_OBJECT", "COMPOSITE"]

_SIZE, _MTIME, _MD5, _PARTS = 1, 2, 3, 4
_INLINE, _SINGLE, _LISTED = 5, 6, 7
_HEADERS, _METADATA, _TAGS = 8, 9, 10
_CHECKSUMS, _PART_TABLE = 11, 12
_KNOWN_MAX = 12
_TAG_MAX = 255

LEVEL_MAX: Final = 15  # of manifests: three hold a tebibyte; the rest is for parts of parts

_ID_SIZE = 32
_MD5_SIZE = 16

# Codes of the headers every object has: a byte instead of a name. Code 0 is followed by the name.
_HEADER_NAMES: Final = (
    "content-type",
    "content-encoding",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
_HEADER_CODES: Final = {name: code for code, name in enumerate(_HEADER_NAMES, start=1)}

_ALGORITHMS: Final = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
_ALGORITHM_CODES: Final = {name: code for code, name in enumerate(_ALGORITHMS, start=1)}
_CHECKSUM_KINDS: Final[tuple[ChecksumKind, ...]] = ("FULL_OBJECT", "COMPOSITE")


@dataclass(frozen=True, slots=True)
class Inline:
    """The bytes themselves: `limits.INLINE_SIZE_MAX` at most, none for an empty object."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Single:
    """A range of one chunk."""

    id: bytes  # of the chunk, 32 bytes
    offset: int  # of the first byte within the chunk
    length: int  # in bytes; the object's size


@dataclass(frozen=True, slots=True)
class Listed:
    """The chunks that a manifest lists."""

    manifest_id: bytes  # 32 bytes
    level: int  # of the manifest: said here so that it can go below another without being read


Content = Inline | Single | Listed

EMPTY: Final = Inline(b"")


@dataclass(frozen=True, slots=True)
class ChecksumValue:
    """A checksum that S3 returns with an object or a part.

    `COMPOSITE` is the checksum of the parts' checksums; it is shown with `-N` after it.
    """

    algorithm: str  # CRC32, CRC32C, CRC64NVME, SHA1, SHA256; others of a newer writer are kept
    kind: ChecksumKind
    value: bytes  # raw, big-endian for CRCs


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """Everything stored about one object but its key.

    `md5` is the MD5 of the content; with `parts` above 0 it is the MD5 of the parts' MD5s. It is
    empty only in records that stand for attributes without content (an upload's).
    """

    size: int  # bytes
    mtime_ms: int
    md5: bytes
    parts: int = 0  # how many parts it was completed from; 0: written by one request
    content: Content = EMPTY
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names
    metadata: Mapping[str, str] = field(default_factory=dict)  # without x-amz-meta-
    tags: Mapping[str, str] = field(default_factory=dict)
    checksums: tuple[ChecksumValue, ...] = ()
    part_table: bytes | None = None  # id of a PARTS record
    unknown: Mapping[int, bytes] = field(default_factory=dict)  # fields of a newer writer

    def etag(self) -> str:
        """Return the ETag without quotes: 32 hex digits, and `-N` after a multipart upload."""
        return f"{self.md5.hex()}-{self.parts}" if self.parts else self.md5.hex()

    def encode(self) -> bytes:
        """Return the canonical bytes of the record.

        Raises:
            Invalid(BAD_ARGUMENT): a field is outside what the format can hold.
        """
        out = bytearray((VERSION,))
        _put(out, _SIZE, _encode_number(self.size))
        _put(out, _MTIME, _encode_number(self.mtime_ms))
        if self.md5:
            _put(out, _MD5, _sized(self.md5, _MD5_SIZE, "an MD5"))
        if self.parts:
            _put(out, _PARTS, _encode_number(self.parts))
        _put(out, *_encode_content(self.content))
        if self.headers:
            _put(out, _HEADERS, _encode_headers(self.headers))
        if self.metadata:
            _put(out, _METADATA, encode_text_map(self.metadata))
        if self.tags:
            _put(out, _TAGS, encode_text_map(self.tags))
        if self.checksums:
            _put(out, _CHECKSUMS, encode_checksums(self.checksums))
        if self.part_table is not None:
            _put(out, _PART_TABLE, _sized(self.part_table, _ID_SIZE, "an id"))
        for tag in sorted(self.unknown):
            if not _KNOWN_MAX < tag <= _TAG_MAX:
                raise Invalid(Reason.BAD_ARGUMENT, f"tag {tag} is not that of an unknown field")
            _put(out, tag, self.unknown[tag])
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> ObjectRecord:
        """Return the record that `data` encodes.

        Raises:
            Corrupt(UNKNOWN_FORMAT): a version that this reader does not know.
            Corrupt(DAMAGED): not an object record.
        """
        fields = _split(data if type(data) is bytes else bytes(data))
        try:
            size = _decode_number(fields.pop(_SIZE))
            mtime_ms = _decode_number(fields.pop(_MTIME))
        except KeyError as error:
            raise Corrupt(Reason.DAMAGED, "an object record lacks its size or time") from error
        md5 = fields.pop(_MD5, b"")
        parts = fields.pop(_PARTS, None)
        content = _decode_content(fields)
        headers = fields.pop(_HEADERS, None)
        metadata = fields.pop(_METADATA, None)
        tags = fields.pop(_TAGS, None)
        checksums = fields.pop(_CHECKSUMS, None)
        part_table = fields.pop(_PART_TABLE, None)
        if (md5 and len(md5) != _MD5_SIZE) or (part_table and len(part_table) != _ID_SIZE):
            raise Corrupt(Reason.DAMAGED, "an object record has a digest of the wrong size")
        return cls(
            size,
            mtime_ms,
            md5,
            0 if parts is None else _decode_number(parts),
            content,
            {} if headers is None else _decode_headers(headers),
            {} if metadata is None else decode_text_map(metadata),
            {} if tags is None else decode_text_map(tags),
            () if checksums is None else decode_checksums(checksums),
            part_table,
            fields,
        )


def total_size(records: Iterable[bytes]) -> int:
    """Return the sum of the objects' sizes, in bytes, from encoded records."""
    # The size is the first field of all: version, tag, length, bytes.
    number = int.from_bytes
    return sum([number(data[3 : 3 + data[2]], "little") for data in records])


def _split(data: bytes) -> dict[int, bytes]:
    """Return the fields by tag."""
    if not data or data[0] != VERSION:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"an object record of version {data[0] if data else 'none'}",
            "a newer release may have written it",
        )
    fields: dict[int, bytes] = {}
    position, end, last = 1, len(data), 0
    try:
        while position < end:
            tag = data[position]
            length = data[position + 1]
            position += 2
            if length >= 128:
                length, position = decode_varint(data, position - 1)
            after = position + length
            if tag <= last or after > end:
                raise Corrupt(Reason.DAMAGED, "an object record's fields do not add up")
            fields[tag] = data[position:after]
            position, last = after, tag
    except IndexError:
        raise Corrupt(Reason.DAMAGED, "an object record is cut off") from None
    return fields


def _put(out: bytearray, tag: int, value: bytes) -> None:
    out.append(tag)
    out += encode_varint(len(value))
    out += value


def _sized(value: bytes, size: int, what: str) -> bytes:
    if len(value) != size:
        raise Invalid(Reason.BAD_ARGUMENT, f"{what} has {size} bytes, not {len(value)}")
    return value


def _encode_number(number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise Invalid(Reason.BAD_ARGUMENT, f"{number} is not an unsigned 64-bit number")
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def _decode_number(data: bytes) -> int:
    if data and (data[-1] == 0 or len(data) > 8):
        raise Corrupt(Reason.DAMAGED, "a number is too long or not in its shortest form")
    return int.from_bytes(data, "little")


def _encode_content(content: Content) -> tuple[int, bytes]:
    if isinstance(content, Inline):
        return _INLINE, content.data
    if isinstance(content, Listed):
        if not 0 <= content.level <= LEVEL_MAX:
            raise Invalid(Reason.BAD_ARGUMENT, f"a manifest of level {content.level}")
        manifest_id = _sized(content.manifest_id, _ID_SIZE, "a manifest's id")
        return _LISTED, manifest_id + bytes((content.level,))
    if not (0 <= content.offset < 1 << 32 and 0 < content.length < 1 << 32):
        raise Invalid(Reason.BAD_ARGUMENT, "a range of a chunk is outside 32 bits, or empty")
    return _SINGLE, b"%b%b%b" % (
        _sized(content.id, _ID_SIZE, "a chunk's id"),
        content.offset.to_bytes(4, "little"),
        content.length.to_bytes(4, "little"),
    )


def _decode_content(fields: dict[int, bytes]) -> Content:
    """Take the one content field out of `fields`."""
    found: Content | None = None
    if (data := fields.pop(_INLINE, None)) is not None:
        found = Inline(data) if data else EMPTY
    if (data := fields.pop(_SINGLE, None)) is not None:
        if found is not None or len(data) != _ID_SIZE + 8:
            raise Corrupt(Reason.DAMAGED, "an object record's content is malformed")
        offset, length = int.from_bytes(data[32:36], "little"), int.from_bytes(data[36:], "little")
        found = Single(data[:32], offset, length)
    if (data := fields.pop(_LISTED, None)) is not None:
        if found is not None or len(data) != _ID_SIZE + 1 or data[32] > LEVEL_MAX:
            raise Corrupt(Reason.DAMAGED, "an object record's content is malformed")
        found = Listed(data[:32], data[32])
    if found is None:
        raise Corrupt(Reason.DAMAGED, "an object record has no content")
    return found


def _encode_text(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise Invalid(Reason.BAD_ARGUMENT, f"{text!r} cannot be stored as UTF-8") from error


def _encode_string(data: bytes) -> bytes:
    return encode_varint(len(data)) + data


def _decode_string(data: bytes, position: int) -> tuple[str, int]:
    length, position = decode_varint(data, position)
    after = position + length
    if after > len(data):
        raise Corrupt(Reason.DAMAGED, "a text is cut off")
    return data[position:after].decode("utf-8", "surrogateescape"), after


def encode_text_map(texts: Mapping[str, str]) -> bytes:
    """Return names and values, each with its length before it, in byte order of the names."""
    pairs = sorted((_encode_text(name), _encode_text(value)) for name, value in texts.items())
    return b"".join([_encode_string(name) + _encode_string(value) for name, value in pairs])


def decode_text_map(data: bytes) -> dict[str, str]:
    """Return what `encode_text_map` encoded.

    Raises:
        Corrupt(DAMAGED): cut off, or a name comes twice.
    """
    texts: dict[str, str] = {}
    position = 0
    while position < len(data):
        name, position = _decode_string(data, position)
        if name in texts:
            raise Corrupt(Reason.DAMAGED, "a name comes twice in an object record")
        texts[name], position = _decode_string(data, position)
    return texts


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    coded: list[tuple[int, bytes, bytes]] = []
    for name, value in headers.items():
        code = _HEADER_CODES.get(name, 0)
        coded.append((code, b"" if code else _encode_text(name), _encode_text(value)))
    out = bytearray()
    for code, raw_name, raw_value in sorted(coded):
        out.append(code)
        if not code:
            out += _encode_string(raw_name)
        out += _encode_string(raw_value)
    return bytes(out)


def _decode_headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    position = 0
    while position < len(data):
        code = data[position]
        position += 1
        if code == 0:
            name, position = _decode_string(data, position)
        elif code <= len(_HEADER_NAMES):
            name = _HEADER_NAMES[code - 1]
        else:
            raise Corrupt(Reason.UNKNOWN_FORMAT, f"an object record has a header of code {code}")
        if name in headers:
            raise Corrupt(Reason.DAMAGED, "a header comes twice in an object record")
        headers[name], position = _decode_string(data, position)
    return headers


def encode_checksums(checksums: tuple[ChecksumValue, ...]) -> bytes:
    """Return the checksums in order of algorithm and kind."""
    coded: list[tuple[int, bytes, int, bytes]] = []
    for checksum in checksums:
        code = _ALGORITHM_CODES.get(checksum.algorithm, 0)
        name = b"" if code else _encode_string(_encode_text(checksum.algorithm))
        coded.append((code, name, _CHECKSUM_KINDS.index(checksum.kind), checksum.value))
    return b"".join(
        [
            b"%c%b%c%b" % (code, name, kind, _encode_string(value))
            for code, name, kind, value in sorted(coded)
        ]
    )


def decode_checksums(data: bytes) -> tuple[ChecksumValue, ...]:
    """Return what `encode_checksums` encoded.

    Raises:
        Corrupt: cut off, or with codes that this reader does not know.
    """
    checksums: list[ChecksumValue] = []
    position = 0
    while position < len(data):
        code = data[position]
        position += 1
        if code == 0:
            algorithm, position = _decode_string(data, position)
        elif code <= len(_ALGORITHMS):
            algorithm = _ALGORITHMS[code - 1]
        else:
            raise Corrupt(Reason.UNKNOWN_FORMAT, f"a checksum of code {code}")
        if position >= len(data) or data[position] >= len(_CHECKSUM_KINDS):
            raise Corrupt(Reason.DAMAGED, "a checksum is cut off, or of an unknown kind")
        kind = _CHECKSUM_KINDS[data[position]]
        length, position = decode_varint(data, position + 1)
        after = position + length
        if after > len(data):
            raise Corrupt(Reason.DAMAGED, "a checksum is cut off")
        checksums.append(ChecksumValue(algorithm, kind, data[position:after]))
        position = after
    return tuple(checksums)
