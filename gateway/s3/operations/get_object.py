"""GetObject and HeadObject: the same answer, with and without its bytes.

HEAD honours Range, since TensorFlow's transfer manager sizes its buffer by the Content-Length of a
ranged HEAD. Preconditions come before the range (RFC 9110, 13.2.2). A checksum is sent only with a
whole body and only when asked for: clients verify it against what they received.

`partNumber` selects one of the parts that an object was completed from, counted from 1 without
gaps, as clients do that go through all of them by `x-amz-mp-parts-count`. A part that is sent whole
has a checksum too: its own.
"""

from __future__ import annotations

import re
from functools import lru_cache

from gateway.limits import PART_NUMBER_MAX
from gateway.s3.attributes import OVERRIDES, object_headers
from gateway.s3.context import Context
from gateway.s3.documents import checksum_text
from gateway.s3.errors import S3Error
from gateway.versions.model import ChecksumValue, ObjectInfo, ObjectRecord, PartTable
from gateway.versions.views import BucketView
from gateway.wire.checksums import encode_value
from gateway.wire.conditions import Outcome, ReadConditions, parse_etag
from gateway.wire.dates import format_http_date, parse_http_date
from gateway.wire.messages import Response
from gateway.wire.ranges import (
    FULL,
    UNSATISFIABLE,
    ByteRange,
    Selection,
    content_range,
    parse_range,
    unsatisfied_content_range,
)

_HEADER_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")  # RFC 9110, 5.5
_ACCEPT_RANGES = (b"Accept-Ranges", b"bytes")


async def get_object(context: Context) -> Response:
    """Answer GetObject."""
    context.check_version()
    view = await context.view()
    info = await context.versions.head(view, context.key)
    table = await _parts(context, view, info)
    response, start, end = _describe(context, info.record, table)
    if end > start:
        response.body = await context.versions.open(view, info, start, end)
    return response


async def head_object(context: Context) -> Response:
    """Answer HeadObject."""
    context.check_version()
    view = await context.view()
    info = await context.versions.head(view, context.key)
    table = await _parts(context, view, info)
    return _describe(context, info.record, table)[0]


async def _parts(context: Context, view: BucketView, info: ObjectInfo) -> PartTable | None:
    """Return the object's parts, if the request names one and there are any."""
    if not context.target.pairs or b"partNumber" not in context.target:
        return None
    return await context.versions.parts(view, info)


def _describe(
    context: Context, record: ObjectRecord, table: PartTable | None
) -> tuple[Response, int, int]:
    """Return the answer without its body, and which bytes the body has."""
    header = context.request.index.get
    etag = record.etag()
    validators = [
        (b"ETag", b'"%b"' % etag.encode("ascii")),
        (b"Last-Modified", _http_date(record.mtime_ms // 1000)),
    ]
    conditions = ReadConditions.parse(header)
    if conditions is not None:
        outcome = conditions.evaluate(etag, record.mtime_ms, context.now_ms)
        if outcome is Outcome.NOT_MODIFIED:
            return Response(304, validators), 0, 0
        if outcome is Outcome.FAILED:
            raise S3Error("PreconditionFailed", xml={"Condition": failed_condition(conditions)})
    size = record.size
    position = _part_position(context, 1 if table is None else len(table.parts))
    headers = [*validators, _ACCEPT_RANGES, *object_headers(record)]
    if context.target.pairs:
        _override(context, headers)
    if position is not None and table is not None:
        return _describe_part(context, record, table, position, headers)
    if position is not None and size:
        selected: ByteRange | Selection = ByteRange(0, size)
    else:
        selected = _select(context, record, etag)
    if isinstance(selected, ByteRange):
        headers.append((b"Content-Range", content_range(selected, size)))
        length = selected.end - selected.start
        if position is not None and _wants_checksum(context):
            headers += checksum_headers(record)
        return Response(206, headers, None, length), selected.start, selected.end
    if _wants_checksum(context):
        headers += checksum_headers(record)
    return Response(200, headers, None, size), 0, size


def _describe_part(
    context: Context,
    record: ObjectRecord,
    table: PartTable,
    position: int,
    headers: list[tuple[bytes, bytes]],
) -> tuple[Response, int, int]:
    start, end = table.range_of(position)
    headers.append((b"x-amz-mp-parts-count", b"%d" % len(table.parts)))
    if end > start:  # an empty part is at no place that Content-Range could say
        headers.append((b"Content-Range", content_range(ByteRange(start, end), record.size)))
    if _wants_checksum(context):
        shown = {checksum.algorithm for checksum in record.checksums}
        own = [c for c in table.parts[position].checksums if c.algorithm in shown]
        headers += [(_checksum_header(c), encode_value(c.value).encode("ascii")) for c in own]
        if own:
            headers.append((b"x-amz-checksum-type", record.checksums[0].kind.encode("ascii")))
    return Response(206, headers, None, end - start), start, end


def _wants_checksum(context: Context) -> bool:
    mode = context.request.index.get(b"x-amz-checksum-mode")
    return mode is not None and mode.lower() == b"enabled"


def _checksum_header(checksum: ChecksumValue) -> bytes:
    return b"x-amz-checksum-" + checksum.algorithm.lower().encode("ascii")


def checksum_headers(record: ObjectRecord) -> list[tuple[bytes, bytes]]:
    """Return the x-amz-checksum-* headers of an object."""
    out: list[tuple[bytes, bytes]] = []
    for checksum in record.checksums:
        text = checksum_text(checksum, record.parts)
        out.append((_checksum_header(checksum), text.encode("ascii")))
    if record.checksums:
        out.append((b"x-amz-checksum-type", record.checksums[0].kind.encode("ascii")))
    return out


def failed_condition(conditions: ReadConditions) -> str:
    """Return which of the conditions it was that can fail."""
    if conditions.if_match is not None:
        return "If-Match"
    return (
        "If-Unmodified-Since" if conditions.if_unmodified_since_ms is not None else "If-None-Match"
    )


def _select(context: Context, record: ObjectRecord, etag: str) -> ByteRange | Selection:
    header = context.request.index.get
    value = header(b"range")
    if value is None or not _range_stands(header(b"if-range"), etag, record.mtime_ms):
        return FULL
    selected = parse_range(value, record.size)
    if selected is UNSATISFIABLE:
        raise S3Error(
            "InvalidRange",
            xml={
                "RangeRequested": value.decode("latin-1"),
                "ActualObjectSize": str(record.size),
            },
            headers=((b"Content-Range", unsatisfied_content_range(record.size)),),
        )
    return selected


def _range_stands(if_range: bytes | None, etag: str, mtime_ms: int) -> bool:
    """Tell whether an If-Range lets the Range count (RFC 9110, 13.1.5: compared strongly)."""
    if if_range is None:
        return True
    date_ms = parse_http_date(if_range)
    if date_ms is not None:
        return date_ms == mtime_ms // 1000 * 1000
    text = if_range.decode("latin-1").strip()
    return not text.startswith("W/") and parse_etag(text) == etag


def _part_position(context: Context, count: int) -> int | None:
    """Return which of `count` parts is asked for, 0 being the first; None: no part is.

    An object of one request is its own part 1.
    """
    if not context.target.pairs or b"partNumber" not in context.target:
        return None
    if b"range" in context.request.index:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query")
    number = context.number(b"partNumber", 1, least=1, most=PART_NUMBER_MAX)
    if number > count:
        raise S3Error(
            "InvalidPartNumber",
            xml={"PartNumberRequested": str(number), "ActualPartCount": str(count)},
        )
    return number - 1


def _override(context: Context, headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in context.target.pairs:
        shown = OVERRIDES.get(name)
        if shown is not None:
            if not _HEADER_VALUE.fullmatch(value):
                raise S3Error(
                    "InvalidArgument",
                    "Header value cannot be represented using ISO-8859-1.",
                    xml={
                        "ArgumentName": name.decode(),
                        "ArgumentValue": value.decode("utf-8", "replace"),
                    },
                )
            headers[:] = [entry for entry in headers if entry[0] != shown]
            headers.append((shown, value))


@lru_cache(maxsize=4096)
def _http_date(second: int) -> bytes:
    return format_http_date(second * 1000).encode("ascii")
