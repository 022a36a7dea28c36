"""Byte ranges: one range, or the whole.

S3 serves a single range. A header that is malformed, names several ranges or another unit is
ignored and the whole object is sent (RFC 9110 section 14.2 allows it); only a well-formed range
that selects nothing is unsatisfiable. The range of a part copy is stricter.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from gateway.errors import Invalid, Reason

_DIGITS_MAX = 30  # longer numbers are past any object
_DIGITS = frozenset(b"0123456789")
_COPY_RANGE = re.compile(rb"bytes=([0-9]+)-([0-9]+)")


class ByteRange(NamedTuple):
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int


class Selection(enum.Enum):
    """What a Range header selects when it is not one range."""

    FULL = "full"  # no range, or one that is ignored
    UNSATISFIABLE = "unsatisfiable"  # 416


FULL = Selection.FULL
UNSATISFIABLE = Selection.UNSATISFIABLE


def parse_range(value: bytes | None, size: int) -> ByteRange | Selection:
    """Resolve a Range header against an object of `size` bytes; the end is clamped."""
    spec = _range_spec(value)
    if spec is None:
        return FULL
    first, last = spec
    if first is None:  # the last `last` bytes
        if last is None or last == 0 or size == 0:
            return FULL if last is None else UNSATISFIABLE
        return ByteRange(max(0, size - last), size)
    if last is not None and last < first:
        return FULL  # malformed, RFC 9110 section 14.1.1
    if first >= size:
        return UNSATISFIABLE
    return ByteRange(first, size if last is None else min(last + 1, size))


def parse_copy_range(value: bytes, size: int) -> ByteRange:
    """Resolve x-amz-copy-source-range: `bytes=first-last`, both given, within the source.

    Raises:
        Invalid(BAD_ARGUMENT): anything else (InvalidArgument).
    """
    found = _COPY_RANGE.fullmatch(value)
    first, last = (_digits(found[1]), _digits(found[2])) if found else (1, 0)
    if last < first:
        raise Invalid(
            Reason.BAD_ARGUMENT,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            s3_code="InvalidArgument",
        )
    if last >= size:
        raise Invalid(
            Reason.BAD_ARGUMENT,
            f"Range specified is not valid for source object of size: {size}",
            s3_code="InvalidArgument",
        )
    return ByteRange(first, last + 1)


def content_range(selected: ByteRange, size: int) -> bytes:
    """Return the value of Content-Range for a 206."""
    return b"bytes %d-%d/%d" % (selected.start, selected.end - 1, size)


def unsatisfied_content_range(size: int) -> bytes:
    """Return the value of Content-Range for a 416."""
    return b"bytes */%d" % size


def _range_spec(value: bytes | None) -> tuple[int | None, int | None] | None:
    """Return (first, last) as written, or None when it is not one range of bytes."""
    if value is None:
        return None
    unit, equals, spec = value.partition(b"=")
    if not equals or unit.strip(b" \t").lower() != b"bytes":
        return None
    first, dash, last = spec.strip(b" \t").partition(b"-")
    first = first.strip(b" \t")
    last = last.strip(b" \t")
    if not dash or not (first or last):
        return None
    if not (_DIGITS.issuperset(first) and _DIGITS.issuperset(last)):
        return None
    return _number(first), _number(last)


def _number(digits: bytes) -> int | None:
    return _digits(digits) if digits else None


def _digits(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX
