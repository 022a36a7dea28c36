"""What completing a multipart upload decides: pure arithmetic on parts.

Parts are listed in ascending order; each is there with the ETag given; all but the last have
`limits.PART_SIZE_MIN` bytes or more. The ETag is the MD5 of the parts' MD5s. A checksum of the
whole (`FULL_OBJECT`) is combined from the parts' CRCs by their algebra; one of the parts
(`COMPOSITE`) is the checksum of the parts' checksums. No data is read for either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.digests import (
    combine_crc32,
    combine_crc32c,
    combine_crc64nvme,
    md5,
    new_checksum,
)
from gateway.errors import Invalid, Reason
from gateway.limits import PART_NUMBER_MAX, PART_SIZE_MIN
from gateway.objects.record import ChecksumKind, ChecksumValue, ObjectRecord
from gateway.versions.model import CompletedPart

_COMBINE: Final = {
    "CRC32": (combine_crc32, 4),
    "CRC32C": (combine_crc32c, 4),
    "CRC64NVME": (combine_crc64nvme, 8),
}


def default_kind(algorithm: str) -> ChecksumKind:
    """Return the kind of an upload's checksum when the client does not say (S3's own rule)."""
    return "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"


def check_kind(algorithm: str, kind: str) -> None:
    """Refuse a kind that an algorithm does not have.

    Raises:
        Invalid(BAD_ARGUMENT): SHA1 and SHA256 cannot be of the whole, CRC64NVME not of the parts.
    """
    if (kind == "FULL_OBJECT" and algorithm not in _COMBINE) or (
        kind == "COMPOSITE" and algorithm == "CRC64NVME"
    ):
        raise Invalid(Reason.BAD_ARGUMENT, f"a checksum of {algorithm} cannot be of kind {kind}")


def chosen(
    listed: Sequence[CompletedPart], stored: Mapping[int, ObjectRecord]
) -> list[tuple[int, ObjectRecord]]:
    """Return the parts of the object, in order.

    Raises:
        Invalid(BAD_ARGUMENT): none is listed.
        Invalid(BAD_PART_ORDER): not in ascending order.
        Invalid(BAD_PART): one is not stored, or with another ETag or checksum.
        Invalid(PART_TOO_SMALL): one that is not the last is below the least size.
    """
    if not listed:
        raise Invalid(Reason.BAD_ARGUMENT, "no part is listed")
    parts: list[tuple[int, ObjectRecord]] = []
    last = 0
    for item in listed:
        if item.number <= last:
            raise Invalid(Reason.BAD_PART_ORDER, "parts are not in ascending order")
        last = item.number
        record = stored.get(item.number)
        if record is None or item.etag.strip('"') != record.md5.hex():
            raise _bad_part(item, "is not stored, or with another ETag")
        have = {checksum.algorithm: checksum.value for checksum in record.checksums}
        for algorithm, value in item.checksums.items():
            if have.get(algorithm, value) != value:
                raise _bad_part(item, f"has another {algorithm}")
        parts.append((item.number, record))
    for number, record in parts[:-1]:
        if record.size < PART_SIZE_MIN:
            raise Invalid(
                Reason.PART_TOO_SMALL,
                f"part {number} has {record.size} bytes",
                f"all parts but the last have {PART_SIZE_MIN} or more",
                part=number,
                size=record.size,
                etag=record.md5.hex(),
                minimum=PART_SIZE_MIN,
            )
    return parts


def _bad_part(item: CompletedPart, why: str) -> Invalid:
    return Invalid(Reason.BAD_PART, f"part {item.number} {why}", part=item.number, etag=item.etag)


def check_number(number: int) -> None:
    """Refuse what is not the number of a part.

    Raises:
        Invalid(BAD_ARGUMENT): below 1 or above `limits.PART_NUMBER_MAX`.
    """
    if not 1 <= number <= PART_NUMBER_MAX:
        raise Invalid(
            Reason.BAD_ARGUMENT,
            f"{number} is not the number of a part",
            f"use 1 to {PART_NUMBER_MAX}",
        )


def etag_of(parts: Sequence[ObjectRecord]) -> bytes:
    """Return the MD5 of the parts' MD5s."""
    return md5(b"".join([part.md5 for part in parts]))


def same_parts(listed: Sequence[CompletedPart], done: ObjectRecord) -> bool:
    """Tell whether a completed upload was completed from the parts listed."""
    try:
        digests = b"".join([bytes.fromhex(item.etag.strip('"')) for item in listed])
    except ValueError:
        return False
    return len(listed) == done.parts and md5(digests) == done.md5


def whole(algorithm: str, parts: Sequence[ObjectRecord]) -> bytes | None:
    """Return the checksum of all bytes, from those of the parts; None when it cannot be known."""
    if algorithm not in _COMBINE:
        return None
    combine, size = _COMBINE[algorithm]
    total = 0
    for part in parts:
        value = _value_of(part, algorithm)
        if value is None:
            return None
        total = combine(total, int.from_bytes(value, "big"), part.size)
    return total.to_bytes(size, "big")


def composite(algorithm: str, parts: Sequence[ObjectRecord]) -> bytes | None:
    """Return the checksum of the parts' checksums; None when a part has none."""
    digest = new_checksum(algorithm)
    for part in parts:
        value = _value_of(part, algorithm)
        if value is None:
            return None
        digest.update(value)
    return digest.digest()


def _value_of(part: ObjectRecord, algorithm: str) -> bytes | None:
    for checksum in part.checksums:
        if checksum.algorithm == algorithm:
            return checksum.value
    return None


def checksums_of(
    announced: tuple[str, str],
    parts: Sequence[ObjectRecord],
    expected: Mapping[str, bytes],
) -> tuple[ChecksumValue, ...]:
    """Return the checksums to store with the object, having held the expected ones to them.

    Args:
        announced: algorithm and kind given when the upload was created, or two empty strings.
        parts: in order.
        expected: algorithm to the value that the client gave on completing, raw.

    Raises:
        Invalid(BAD_DIGEST): an expected value is not what was stored.
    """
    wanted: dict[str, ChecksumKind] = {}
    algorithm, kind = announced
    if algorithm:
        wanted[algorithm] = "FULL_OBJECT" if kind == "FULL_OBJECT" else "COMPOSITE"
    for name in expected:
        wanted.setdefault(name, "FULL_OBJECT" if name in _COMBINE else "COMPOSITE")
    found: list[ChecksumValue] = []
    for name, form in wanted.items():
        value = whole(name, parts) if form == "FULL_OBJECT" else composite(name, parts)
        if value is None:
            continue
        if expected.get(name, value) != value:
            raise Invalid(
                Reason.BAD_DIGEST,
                f"the {name} of the parts is not the one given",
                algorithm=name,
            )
        found.append(ChecksumValue(name, form, value))
    return tuple(found)


def check_size(expected: int | None, size: int) -> None:
    """Refuse an object that is not as large as its client says.

    Raises:
        Invalid(BAD_ARGUMENT): the sizes differ.
    """
    if expected is not None and expected != size:
        raise Invalid(
            Reason.BAD_ARGUMENT, f"the parts have {size} bytes, and {expected} were announced"
        )
