"""CopyObject: one object under another name; within a project no data moves.

The source is percent-decoded once, and a plus in it is a space (a plus itself is always sent as
%2B). Content-MD5 and checksums of the request are not of the (empty) body and are passed over: one
client sends those of the source. A copy asked for a checksum of another kind than the object has is
the one case that reads the data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import unquote_to_bytes

from gateway.errors import Invalid, NotFound
from gateway.limits import PUT_SIZE_MAX
from gateway.s3.attributes import kept_attributes, parse_attributes, same_attributes
from gateway.s3.context import Context, check_version_id, xml_response
from gateway.s3.documents import copy_result
from gateway.s3.errors import S3Error, translate
from gateway.s3.operations.get_object import failed_condition
from gateway.s3.operations.put_object import written_headers
from gateway.versions.model import ChecksumValue, ObjectAttributes, ObjectInfo, ObjectRecord
from gateway.versions.views import BucketView
from gateway.wire.checksums import find_algorithm
from gateway.wire.conditions import Outcome, ReadConditions
from gateway.wire.messages import Response

_SOURCE = b"x-amz-copy-source"
_ILLEGAL = (
    "This copy request is illegal because it is trying to copy an object to itself without "
    "changing the object's metadata, storage class, website redirect location or encryption "
    "attributes."
)


async def copy_object(context: Context) -> Response:
    """Answer CopyObject."""
    request = context.request
    view = await context.writable()
    source_view, key, info = await find_source(context)
    if info.record.size > PUT_SIZE_MAX:
        raise source_too_large()
    attributes = _attributes(context, info.record)
    same = key == context.key and _same_bucket(source_view, view)
    if same and attributes is None and not _replaces(context):
        raise S3Error("InvalidRequest", _ILLEGAL)  # a copy to itself has to change something
    wanted = request.header(b"x-amz-checksum-algorithm")
    algorithm = None if wanted is None else find_algorithm(wanted.decode("latin-1"))
    has = {checksum.algorithm for checksum in info.record.checksums}
    condition = context.condition()
    if algorithm is None or algorithm.name in has:
        result = await context.versions.copy(
            source_view, info, view, context.key, attributes, condition
        )
    else:
        kept = attributes or ObjectAttributes(
            info.record.headers, info.record.metadata, info.record.tags
        )
        stream = _Stored(
            await context.versions.open(source_view, info, 0, info.record.size), algorithm.name
        )
        result = await context.versions.put(view, context.key, kept, stream, condition)
    response = xml_response(copy_result(result.record))
    response.headers += written_headers(result)
    return response


def parse_copy_source(value: bytes) -> tuple[str, bytes]:
    """Return the bucket and the key of x-amz-copy-source: `[/]bucket/key[?versionId=null]`.

    Raises:
        S3Error: InvalidArgument, not of that form; NotImplemented, a version.
    """
    path, mark, version = value.partition(b"?versionId=")
    if mark:
        check_version_id(version.decode("utf-8", "replace"))
    decoded = unquote_to_bytes(path.replace(b"+", b" "))
    bucket, _, key = decoded.removeprefix(b"/").partition(b"/")
    if not bucket or not key:
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            xml={
                "ArgumentName": "x-amz-copy-source",
                "ArgumentValue": value.decode("utf-8", "replace"),
            },
        )
    return bucket.decode("utf-8", "replace"), key


async def find_source(context: Context) -> tuple[BucketView, bytes, ObjectInfo]:
    """Return the bucket, the key and the object that a copy takes from.

    Raises:
        S3Error: as `parse_copy_source`; NoSuchBucket, InvalidBucketName or NoSuchKey, naming the
            source, where an error document names what the request's path says otherwise;
            PreconditionFailed, a condition on the source does not hold.
    """
    bucket, key = parse_copy_source(context.request.index[_SOURCE])
    try:
        view = await context.buckets.resolve(bucket)
    except (NotFound, Invalid) as error:
        raise translate(error).about({"BucketName": bucket}) from error
    try:
        info = await context.versions.head(view, key)
    except NotFound as error:
        raise translate(error).about({"Key": key.decode("utf-8", "replace")}) from error
    _check_source(context, info.record)
    return view, key, info


def _check_source(context: Context, record: ObjectRecord) -> None:
    """Hold the conditions on the source of a copy; S3 answers 412 whichever fails."""
    conditions = ReadConditions.parse(context.request.header, b"x-amz-copy-source-")
    if conditions is not None:
        outcome = conditions.evaluate(record.etag(), record.mtime_ms, context.now_ms)
        if outcome is not Outcome.PROCEED:
            failed = failed_condition(conditions).lower()
            raise S3Error("PreconditionFailed", xml={"Condition": f"x-amz-copy-source-{failed}"})


def source_too_large() -> S3Error:
    """Return the error of a copy of more bytes than one request may move."""
    return S3Error(
        "InvalidRequest",
        "The specified copy source is larger than the maximum allowable size for a copy "
        f"source: {PUT_SIZE_MAX}",
    )


def _attributes(context: Context, record: ObjectRecord) -> ObjectAttributes | None:
    """Return the attributes of the copy; None when they are the source's."""
    request = context.request
    given = parse_attributes(request)
    storage = given.headers.get("x-amz-storage-class")
    kept = kept_attributes(record, storage)
    replaced = _replaces(context)
    retagged = _directive(context, b"x-amz-tagging-directive") == b"REPLACE"
    redirect = given.headers.get("x-amz-website-redirect-location")
    headers: Mapping[str, str] = given.headers if replaced else kept.headers
    if redirect is not None and not replaced:
        headers = {**headers, "x-amz-website-redirect-location": redirect}
    wanted = ObjectAttributes(
        headers,
        given.metadata if replaced else kept.metadata,
        given.tags if retagged else kept.tags,
    )
    return None if same_attributes(record, wanted) else wanted


def _replaces(context: Context) -> bool:
    return _directive(context, b"x-amz-metadata-directive") == b"REPLACE"


def _directive(context: Context, name: bytes) -> bytes:
    value = context.request.header(name)
    if value is None:
        return b"COPY"
    if value not in {b"COPY", b"REPLACE"}:
        text = name.decode()
        raise S3Error(
            "InvalidArgument",
            f"Unknown {text.removeprefix('x-amz-')}.",
            xml={"ArgumentName": text, "ArgumentValue": value.decode("latin-1")},
        )
    return value


def _same_bucket(left: BucketView, right: BucketView) -> bool:
    return (left.repo_id, left.branch, left.commit, left.scope) == (
        right.repo_id,
        right.branch,
        right.commit,
        right.scope,
    )


class _Stored:
    """An object that is here already, read again for another checksum."""

    def __init__(
        self, views: Sequence[memoryview] | AsyncIterator[memoryview], algorithm: str
    ) -> None:
        self.algorithms = frozenset((algorithm,))
        self._algorithm = algorithm
        self._views = _stream(views) if isinstance(views, Sequence) else views

    async def read(self) -> memoryview | None:
        """Return the next bytes, or None."""
        async for view in self._views:
            if view:
                return view
        return None

    def check(
        self, size: int, md5: bytes, digests: Mapping[str, bytes]
    ) -> tuple[ChecksumValue, ...]:
        """Return the checksum asked for; nothing was promised."""
        del size, md5
        return (ChecksumValue(self._algorithm, "FULL_OBJECT", digests[self._algorithm]),)


async def _stream(views: Sequence[memoryview]) -> AsyncIterator[memoryview]:
    for view in views:
        yield view
