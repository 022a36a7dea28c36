"""Multipart uploads: begun, filled part by part, completed without moving a byte.

An upload has a checksum algorithm, CRC64NVME of the whole when the client names none (as AWS does).
Each part's checksum of that algorithm is computed whatever the client sends with the part, so that
the object's own can be made from them. To an upload of that default, parts may bring any other
checksum too: some clients name none at the beginning and send CRC32 with the parts.

A part may be a range of an object that is here: within a project no data moves then either.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import NotFound
from gateway.limits import LIST_KEYS_MAX, PART_NUMBER_MAX, PUT_SIZE_MAX
from gateway.s3.attributes import parse_attributes, refuse_unsupported
from gateway.s3.body import DEFAULT_ALGORITHM, BodySource, read_small
from gateway.s3.context import Context, xml_response
from gateway.s3.documents import (
    UploadsQuery,
    complete_result,
    copy_part_result,
    initiate_result,
    parse_complete,
)
from gateway.s3.documents import list_parts as render_parts
from gateway.s3.documents import list_uploads as render_uploads
from gateway.s3.errors import S3Error
from gateway.s3.operations.copy_object import find_source, source_too_large
from gateway.s3.operations.put_object import written_headers
from gateway.versions.model import PartInfo
from gateway.versions.views import BucketView
from gateway.wire.checksums import (
    ALGORITHMS,
    BY_HEADER,
    Algorithm,
    decode_object_value,
    encode_value,
    find_algorithm,
)
from gateway.wire.messages import Response
from gateway.wire.ranges import parse_copy_range

_ALGORITHM = b"x-amz-checksum-algorithm"
_TYPE = b"x-amz-checksum-type"


async def create_upload(context: Context) -> Response:
    """Answer CreateMultipartUpload."""
    view = await context.writable()
    attributes = parse_attributes(context.request)
    algorithm, kind = _declared(context)
    used = algorithm or DEFAULT_ALGORITHM
    upload_id = await context.versions.create_upload(
        view, context.key, attributes, used.name, kind or _default_kind(used)
    )
    response = xml_response(initiate_result(context.bucket, context.key, upload_id))
    if algorithm is not None:
        response.headers.append((_ALGORITHM, algorithm.name.encode("ascii")))
        response.headers.append((_TYPE, (kind or _default_kind(algorithm)).encode("ascii")))
    return response


async def upload_part(context: Context) -> Response:
    """Answer UploadPart."""
    view = await context.writable()
    number = _part_number(context)
    upload_id = _upload_id(context)
    algorithm = await _algorithm_of(context, view, upload_id)
    source = BodySource(
        context.request,
        context.identity,
        default=algorithm,
        also=algorithm if algorithm is DEFAULT_ALGORITHM else None,
    )
    promised = source.promise.algorithm
    if promised is not None and promised != algorithm and algorithm is not DEFAULT_ALGORITHM:
        raise _mismatch(algorithm.name, promised.name)
    part = await context.versions.put_part(view, context.key, upload_id, number, source)
    shown = promised or algorithm
    headers = [
        (b"ETag", b'"%b"' % part.etag.encode("ascii")),
        *(
            (shown.header, encode_value(checksum.value).encode("ascii"))
            for checksum in part.checksums
            if checksum.algorithm == shown.name
        ),
        *_stored_headers(part),
    ]
    return Response(200, headers)


async def upload_part_copy(context: Context) -> Response:
    """Answer UploadPartCopy; what is said of a body is not of this one, which has none."""
    request = context.request
    view = await context.writable()
    number = _part_number(context)
    upload_id = _upload_id(context)
    algorithm = await _algorithm_of(context, view, upload_id)
    refuse_unsupported(request)
    source, _, info = await find_source(context)
    asked = request.header(b"x-amz-copy-source-range")
    size = info.record.size
    start, end = (0, size) if asked is None else parse_copy_range(asked, size)
    if end - start > PUT_SIZE_MAX:
        raise source_too_large()
    part = await context.versions.put_part_copy(
        view, context.key, upload_id, number, source, info, start, end
    )
    response = xml_response(copy_part_result(part, algorithm.name))
    response.headers += _stored_headers(part)
    return response


async def complete_upload(context: Context) -> Response:
    """Answer CompleteMultipartUpload; a repeat gets the same answer."""
    view = await context.writable()
    upload_id = _upload_id(context)
    expected = _expected_checksums(context)
    size = _expected_size(context)
    await _check_promise(context, view, upload_id, expected)
    data = await read_small(context.request, context.identity, promised=False)
    result = await context.versions.complete_upload(
        view,
        context.key,
        upload_id,
        parse_complete(data),
        context.condition(),
        expected,
        size,
    )
    where = context.request.target.partition(b"?")[0]
    host = context.request.header(b"host") or b""
    scheme = b"https" if context.request.secure else b"http"
    url = b"%b://%b%b" % (scheme, host, where) if where.startswith(b"/") else where
    response = xml_response(
        complete_result(url.decode("utf-8", "replace"), context.bucket, context.key, result.record)
    )
    response.headers += written_headers(result)
    return response


async def abort_upload(context: Context) -> Response:
    """Answer AbortMultipartUpload."""
    view = await context.writable()
    await context.versions.abort_upload(view, context.key, _upload_id(context))
    return Response(204)


async def list_parts(context: Context) -> Response:
    """Answer ListParts."""
    most = min(context.number(b"max-parts", LIST_KEYS_MAX), LIST_KEYS_MAX)
    marker = context.number(b"part-number-marker", 0)
    encode = context.encoding()
    page = await context.versions.list_parts(
        await context.view(), context.key, _upload_id(context), marker, most
    )
    return xml_response(
        render_parts(context.bucket, context.key, page, marker, most, encode=encode)
    )


async def list_uploads(context: Context) -> Response:
    """Answer ListMultipartUploads."""
    target = context.target
    key_marker = target.get(b"key-marker") or b""
    query = UploadsQuery(
        context.bucket,
        target.get(b"prefix") or b"",
        target.get(b"delimiter") or b"",
        min(context.number(b"max-uploads", LIST_KEYS_MAX), LIST_KEYS_MAX),
        context.encoding(),
        key_marker,
        # S3: an upload-id-marker without a key-marker says nothing
        (context.argument(b"upload-id-marker") or "") if key_marker else "",
    )
    page = await context.versions.list_uploads(
        await context.view(),
        query.prefix,
        query.delimiter,
        query.key_marker,
        query.id_marker,
        query.max_uploads,
    )
    return xml_response(render_uploads(query, page))


def _part_number(context: Context) -> int:
    if not context.target.get(b"partNumber"):
        raise S3Error("InvalidArgument", "This operation needs a partNumber.")
    return context.number(b"partNumber", 0, least=1, most=PART_NUMBER_MAX)


def _stored_headers(part: PartInfo) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-sidegate-new-bytes", b"%d" % part.new_bytes),
        (b"x-sidegate-dedup-bytes", b"%d" % part.dedup_bytes),
    ]


def _upload_id(context: Context) -> str:
    upload_id = context.argument(b"uploadId")
    if upload_id is None:
        raise S3Error("InvalidArgument", "This operation needs an uploadId.")
    return upload_id


def _default_kind(algorithm: Algorithm) -> str:
    return "COMPOSITE" if algorithm.composite else "FULL_OBJECT"


def _declared(context: Context) -> tuple[Algorithm | None, str]:
    """Return the algorithm and kind that a new upload names; None and empty for none."""
    name = context.request.header(_ALGORITHM)
    kind = context.request.header(_TYPE)
    if name is None:
        if kind is not None:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the "
                "x-amz-checksum-algorithm header.",
            )
        return None, ""
    algorithm = find_algorithm(name.decode("latin-1"))
    if kind is None:
        return algorithm, ""
    text = kind.decode("latin-1").strip().upper()
    if text not in {"FULL_OBJECT", "COMPOSITE"}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if not (algorithm.full_object if text == "FULL_OBJECT" else algorithm.composite):
        raise S3Error(
            "InvalidRequest",
            f"The {text} checksum type cannot be used with the {algorithm.name.lower()} "
            "checksum algorithm.",
        )
    return algorithm, text


async def _algorithm_of(context: Context, view: BucketView, upload_id: str) -> Algorithm:
    upload = await context.versions.find_upload(view, context.key, upload_id)
    return ALGORITHMS.get(upload.checksum_algorithm, DEFAULT_ALGORITHM)


async def _check_promise(
    context: Context, view: BucketView, upload_id: str, expected: Iterable[str]
) -> None:
    """Hold the checksum that a Complete names against what its upload was begun with."""
    kind = context.request.header(_TYPE)
    if kind is None and not expected:
        return
    try:
        upload = await context.versions.find_upload(view, context.key, upload_id)
    except NotFound:
        return  # completed already, or unknown: completing tells
    if kind is not None and kind.decode("latin-1").strip().upper() != upload.checksum_kind:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {upload.checksum_kind} checksum mode. The complete "
            "request must use the same checksum mode.",
        )
    for name in expected:
        if name != upload.checksum_algorithm:
            raise _mismatch(upload.checksum_algorithm, name)


def _mismatch(expected: str, actual: str) -> S3Error:
    return S3Error(
        "InvalidRequest",
        "Checksum Type mismatch occurred, expected checksum Type: "
        f"{expected.lower()}, actual checksum Type: {actual.lower()}",
    )


def _expected_checksums(context: Context) -> dict[str, bytes]:
    """Return the checksums of the whole object that a Complete promises."""
    expected: dict[str, bytes] = {}
    for name, value in context.request.index.items():
        algorithm = BY_HEADER.get(name)
        if algorithm is not None:
            expected[algorithm.name] = decode_object_value(algorithm, value)[0]
    return expected


def _expected_size(context: Context) -> int | None:
    value = context.request.header(b"x-amz-mp-object-size")
    if value is None:
        return None
    if not (value.isdigit() and len(value) <= 19):
        raise S3Error("InvalidRequest", "Value for x-amz-mp-object-size header is invalid.")
    return int(value)
