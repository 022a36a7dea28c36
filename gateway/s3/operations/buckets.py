"""Operations on buckets themselves: list, create, look, delete, where they are."""

from __future__ import annotations

import re

from gateway.errors import Conflict, Invalid, Reason
from gateway.s3.attributes import check_acl
from gateway.s3.body import read_small
from gateway.s3.context import (
    DEFAULT_REGION,
    Context,
    decode_token,
    encode_token,
    xml_response,
)
from gateway.s3.documents import empty, list_buckets, location, parse_create_bucket
from gateway.s3.errors import S3Error
from gateway.wire.messages import Response

_BUCKETS_MAX = 10_000  # S3: of one page
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")


async def list_all_buckets(context: Context) -> Response:
    """Answer ListBuckets; paged only when max-buckets is given."""
    prefix = context.argument(b"prefix")
    most = context.number(b"max-buckets", _BUCKETS_MAX, least=1, most=_BUCKETS_MAX)
    token = context.argument(b"continuation-token")
    after = decode_token(token).decode("utf-8", "replace") if token else ""
    found = [
        bucket
        for bucket in await context.buckets.list()
        if bucket.name > after and (not prefix or bucket.name.startswith(prefix))
    ]
    paged = b"max-buckets" in context.target
    page = found[:most] if paged else found
    more = len(page) < len(found)
    next_token = encode_token(page[-1].name.encode()) if more else ""
    return xml_response(list_buckets(page, prefix, next_token))


async def create_bucket(context: Context) -> Response:
    """Answer CreateBucket.

    Making a bucket again changes nothing: 200, unless it asks for another location.
    """
    request = context.request
    check_acl(request)
    if (request.header(b"x-amz-bucket-object-lock-enabled") or b"").lower() == b"true":
        raise S3Error(
            "NotImplemented",
            "Object Lock is not implemented.",
            xml={"Header": "x-amz-bucket-object-lock-enabled"},
        )
    region = parse_create_bucket(await read_small(request, context.identity))
    if region and not _REGION.fullmatch(region):
        raise S3Error("InvalidLocationConstraint", xml={"LocationConstraint": region})
    if region == DEFAULT_REGION:
        region = ""
    try:
        await context.buckets.create(context.bucket, region)
    except Conflict as error:
        if region or error.reason is not Reason.ALREADY_EXISTS:
            raise
    return Response(200, [(b"Location", b"/" + context.bucket.encode())])


async def head_bucket(context: Context) -> Response:
    """Answer HeadBucket; a name that no bucket could have is simply not there."""
    try:
        view = await context.view()
    except Invalid as error:
        if error.reason is Reason.BAD_NAME:
            raise S3Error("NoSuchBucket") from None
        raise
    region = (view.location or DEFAULT_REGION).encode()
    return Response(200, [(b"x-amz-bucket-region", region), (b"Content-Type", b"application/xml")])


async def delete_bucket(context: Context) -> Response:
    """Answer DeleteBucket: an empty one only."""
    await context.buckets.delete(context.bucket)
    return Response(204)


async def get_bucket_location(context: Context) -> Response:
    """Answer GetBucketLocation: as given at creation; empty for the default."""
    view = await context.view()
    return xml_response(location(view.location))


async def get_bucket_versioning(context: Context) -> Response:
    """Answer GetBucketVersioning: never set."""
    await context.view()
    return xml_response(empty("VersioningConfiguration"))
