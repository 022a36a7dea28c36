"""ListObjects, ListObjectsV2 and ListObjectVersions: pages of what a bucket shows.

Continuation tokens are opaque: the last key or common prefix of the page, in base64url after a
version byte. A page holds a thousand at most, whatever was asked; more is clamped, as S3 does.
"""

from __future__ import annotations

from gateway.limits import LIST_KEYS_MAX
from gateway.s3.context import Context, decode_token, encode_token, xml_response
from gateway.s3.documents import ListQuery, list_objects_v1, list_objects_v2, list_versions
from gateway.s3.errors import S3Error
from gateway.versions.model import Listing
from gateway.wire.messages import Response


async def list_objects(context: Context) -> Response:
    """Answer ListObjects, the first version."""
    query = _query(context, context.target.get(b"marker") or b"")
    page = await _page(context, query, query.marker)
    return xml_response(list_objects_v1(query, page))


async def list_objects_v2_page(context: Context) -> Response:
    """Answer ListObjectsV2; once a token is given, start-after says nothing any more."""
    token = context.argument(b"continuation-token")
    query = _query(context, context.target.get(b"start-after") or b"")
    owner = (context.target.get(b"fetch-owner") or b"").lower() == b"true"
    query = query._replace(token=token, owner=owner)
    after = decode_token(token) if token else query.marker
    page = await _page(context, query, after)
    return xml_response(list_objects_v2(query, page, encode_token(page.next)))


async def list_object_versions(context: Context) -> Response:
    """Answer ListObjectVersions: every object is its own and only version, `null`."""
    marker = context.target.get(b"key-marker") or b""
    if context.target.get(b"version-id-marker") and not marker:
        raise S3Error(
            "InvalidArgument", "A version-id marker cannot be specified without a key marker."
        )
    query = _query(context, marker)
    page = await _page(context, query, marker)
    return xml_response(list_versions(query, page))


def _query(context: Context, marker: bytes) -> ListQuery:
    target = context.target
    return ListQuery(
        context.bucket,
        target.get(b"prefix") or b"",
        target.get(b"delimiter") or b"",
        min(context.number(b"max-keys", LIST_KEYS_MAX), LIST_KEYS_MAX),
        context.encoding(),
        marker,
    )


async def _page(context: Context, query: ListQuery, after: bytes) -> Listing:
    view = await context.view()
    return await context.versions.list_objects(
        view, query.prefix, query.delimiter, after, query.max_keys
    )
