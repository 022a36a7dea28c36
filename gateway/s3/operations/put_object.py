"""PutObject, DeleteObject, DeleteObjects: what changes a bucket in one request.

Everything that can be refused is refused before the body is asked for.
"""

from __future__ import annotations

from gateway.errors import SidegateError
from gateway.limits import KEY_SIZE_MAX
from gateway.s3.attributes import parse_attributes
from gateway.s3.body import BodySource, read_small
from gateway.s3.context import Context, check_version_id, xml_response
from gateway.s3.documents import Deleted, Deletion, delete_result, parse_delete
from gateway.s3.errors import S3Error, code_of
from gateway.s3.operations.get_object import checksum_headers
from gateway.versions.model import Condition, PutResult
from gateway.versions.views import BucketView
from gateway.wire.messages import Response


async def put_object(context: Context) -> Response:
    """Answer PutObject."""
    view = await context.writable()
    attributes = parse_attributes(context.request)
    condition = context.condition()
    source = BodySource(context.request, context.identity)
    result = await context.versions.put(view, context.key, attributes, source, condition)
    record = result.record
    headers = [(b"ETag", b'"%b"' % record.etag().encode("ascii"))]
    headers += checksum_headers(record)
    headers += written_headers(result)
    return Response(200, headers)


def written_headers(result: PutResult) -> list[tuple[bytes, bytes]]:
    """Return what every write says beside S3's own headers."""
    headers = [
        (b"x-sidegate-new-bytes", b"%d" % result.new_bytes),
        (b"x-sidegate-dedup-bytes", b"%d" % result.dedup_bytes),
    ]
    if result.commit is not None:
        headers.append((b"x-sidegate-commit", result.commit.encode("ascii")))
    return headers


async def delete_object(context: Context) -> Response:
    """Answer DeleteObject: 204, whether or not there was something."""
    context.check_version()
    view = await context.writable()
    commit = await context.versions.delete(view, context.key, context.condition())
    return Response(204, [] if commit is None else [(b"x-sidegate-commit", commit.encode("ascii"))])


async def delete_objects(context: Context) -> Response:
    """Answer DeleteObjects: each key by itself, all of them one change of the bucket."""
    view = await context.writable()
    asked = parse_delete(await read_small(context.request, context.identity))
    failures: dict[int, tuple[str, str]] = {}
    plain: dict[bytes, None] = {}
    for position, item in enumerate(asked.objects):
        refused = _refused(item)
        if refused is not None:
            failures[position] = refused
        elif item.etag is None:
            plain[item.key] = None
        else:
            failure = await _delete_matching(context, view, item.key, item.etag)
            if failure is not None:
                failures[position] = code_of(failure)
    keys = list(plain)
    outcome = dict(zip(keys, await context.versions.delete_many(view, keys), strict=True))
    results = []
    for position, item in enumerate(asked.objects):
        code, message = failures.get(position, ("", ""))
        failure = outcome.get(item.key) if item.etag is None else None
        if not code and failure is not None:
            code, message = code_of(failure)
        results.append(Deleted(item.key, item.version, code, message))
    return xml_response(delete_result(results, quiet=asked.quiet))


def _refused(item: Deletion) -> tuple[str, str] | None:
    if item.version:
        try:
            check_version_id(item.version)
        except S3Error as error:
            return error.code, error.message
    if not item.key:
        return "UserKeyMustBeSpecified", "The key must be specified."
    if len(item.key) > KEY_SIZE_MAX:
        too_long = S3Error("KeyTooLongError")
        return too_long.code, too_long.message
    return None


async def _delete_matching(
    context: Context, view: BucketView, key: bytes, etag: str
) -> SidegateError | None:
    try:
        await context.versions.delete(view, key, Condition(if_match=(etag,)))
    except SidegateError as error:
        return error
    return None
