"""From the request line to one operation: a pure function of method, target and Host.

A key is what stands behind the bucket's slash, percent-decoded once and kept byte for byte: `a//b`,
`a/../b`, `dir/` and `/x` are keys of their own, and nothing is normalised. `/b` and `/b/` both mean
the bucket (clients send either). A sub-resource counts by its presence, whatever its value; query
parameters of unknown names are ignored (`x-id`, `metadata`, `fetch-owner` come from real clients).
A known sub-resource with a method that it does not have is 405, never the plain operation.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.s3.endpoints import BUCKET_RESOURCES, OBJECT_RESOURCES, PLAIN, Endpoint, Level
from gateway.s3.errors import S3Error
from gateway.wire.target import Target, percent_decode


class Route(NamedTuple):
    """What a request asks for. `bucket` is unchecked text, `key` raw bytes (empty: none)."""

    endpoint: Endpoint
    bucket: str
    key: bytes


def route(
    method: bytes, target: Target, *, copy: bool = False, host: bytes = b"", domain: bytes = b""
) -> Route:
    """Find the operation that a request asks for.

    Args:
        method: as it arrived, upper case.
        target: the request target, taken apart.
        copy: whether the request has an `x-amz-copy-source` header.
        host: the Host header, with or without a port.
        domain: where buckets are sub-domains (virtual-host style), in lower case; empty: nowhere.

    Raises:
        S3Error: InvalidURI for a target that is no path or a key that is not UTF-8,
            MethodNotAllowed.
    """
    path = target.path
    if not path.startswith(b"/"):
        raise S3Error("InvalidURI")
    bucket = _bucket_of_host(host, domain) if domain else ""
    if bucket:
        key = path[1:]
    else:
        raw, _, key = path[1:].partition(b"/")
        bucket = raw.decode("utf-8", "replace")  # its grammar is checked by who resolves it
    if key:
        if not key.isascii():
            _check_text(key)
        return Route(_object_endpoint(method, target, copy), bucket, key)
    if bucket:
        return Route(_bucket_endpoint(method, target), bucket, b"")
    if path != b"/":
        raise S3Error("InvalidBucketName")  # `//key`: the bucket has no name
    endpoint = PLAIN.get((Level.SERVICE, method))
    if endpoint is None:
        raise S3Error("MethodNotAllowed")
    return Route(endpoint, "", b"")


def _object_endpoint(method: bytes, target: Target, copy: bool) -> Endpoint:
    found = _sub_resource(method, target, OBJECT_RESOURCES) if target.pairs else None
    if found is None:
        if method == b"PUT" and b"partNumber" in target:
            found = Endpoint.UPLOAD_PART  # without its upload: refused there, and never an object
        else:
            found = PLAIN.get((Level.OBJECT, method))
            if found is None:
                raise S3Error("MethodNotAllowed")
    if copy:
        if found is Endpoint.PUT_OBJECT:
            return Endpoint.COPY_OBJECT
        if found is Endpoint.UPLOAD_PART:
            return Endpoint.UPLOAD_PART_COPY
    return found


def _bucket_endpoint(method: bytes, target: Target) -> Endpoint:
    found = _sub_resource(method, target, BUCKET_RESOURCES) if target.pairs else None
    if found is None:
        found = PLAIN.get((Level.BUCKET, method))
        if found is None:
            raise S3Error("MethodNotAllowed")
    if found is Endpoint.LIST_OBJECTS and target.get(b"list-type") == b"2":
        return Endpoint.LIST_OBJECTS_V2
    return found


def _sub_resource(
    method: bytes, target: Target, table: dict[bytes, dict[bytes, Endpoint]]
) -> Endpoint | None:
    known = False
    for name, _ in target.pairs:
        methods = table.get(name)
        if methods is not None:
            endpoint = methods.get(method)
            if endpoint is not None:
                return endpoint
            known = True
    if not known or method == b"OPTIONS":
        return None
    raise S3Error("MethodNotAllowed")


def _bucket_of_host(host: bytes, domain: bytes) -> str:
    name = host.partition(b":")[0]
    if not name.lower().endswith(b"." + domain):
        return ""
    return percent_decode(name[: -len(domain) - 1]).decode("utf-8", "replace")


def _check_text(key: bytes) -> None:
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The key is not UTF-8.") from None
