"""What an operation is given: the request taken apart, who asks, and the doors it may knock at.

A context belongs to one request. It reads arguments in S3's own terms (a bad one names itself in
the error) and resolves the bucket; it decides nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from gateway.errors import Denied, Reason
from gateway.s3.auth import Identity
from gateway.s3.endpoints import Endpoint
from gateway.s3.errors import S3Error
from gateway.versions.model import Condition
from gateway.versions.store import Versions
from gateway.versions.views import Buckets, BucketView
from gateway.wire.conditions import Tags, parse_etags
from gateway.wire.messages import Request, Response
from gateway.wire.target import Target

DEFAULT_REGION = "us-east-1"  # of a bucket made without a LocationConstraint

XML_TYPE = (b"Content-Type", b"application/xml")
_INT_MAX = 2_147_483_647
_TOKEN_VERSION = b"\x01"


class Context:
    """One request on its way through an operation."""

    __slots__ = (
        "bucket",
        "buckets",
        "endpoint",
        "identity",
        "key",
        "now_ms",
        "request",
        "target",
        "versions",
    )

    def __init__(
        self,
        request: Request,
        target: Target,
        endpoint: Endpoint,
        bucket: str,
        key: bytes,
        identity: Identity,
        versions: Versions,
        buckets: Buckets,
        now_ms: int,
    ) -> None:
        self.request = request
        self.target = target
        self.endpoint = endpoint
        self.bucket = bucket
        self.key = key
        self.identity = identity
        self.versions = versions
        self.buckets = buckets
        self.now_ms = now_ms

    async def view(self) -> BucketView:
        """Return what the bucket means here.

        Raises:
            NotFound(NO_SUCH_BUCKET): nothing.
            Invalid(BAD_NAME): it could never mean anything.
        """
        return await self.buckets.resolve(self.bucket)

    async def writable(self) -> BucketView:
        """Return what the bucket means here, if it can be written.

        Raises:
            Denied(READ_ONLY): it cannot.
            NotFound, Invalid: as `view`.
        """
        view = await self.buckets.resolve(self.bucket)
        if not view.writable:
            raise Denied(Reason.READ_ONLY, f"bucket {self.bucket!r} is read-only")
        return view

    def argument(self, name: bytes) -> str | None:
        """Return a query parameter as text, or None when it is absent."""
        value = self.target.get(name)
        return None if value is None else value.decode("utf-8", "replace")

    def number(self, name: bytes, default: int, least: int = 0, most: int = _INT_MAX) -> int:
        """Return a query parameter that is a decimal number; absent or empty is the default.

        Raises:
            S3Error: InvalidArgument, not a number or out of bounds.
        """
        value = self.target.get(name)
        if not value:
            return default
        number = int(value) if value.isdigit() and len(value) <= 10 else -1
        if not least <= number <= most:
            text = name.decode()
            raise S3Error(
                "InvalidArgument",
                f"Argument {text} must be an integer between {least} and {most}",
                xml={"ArgumentName": text, "ArgumentValue": value.decode("utf-8", "replace")},
            )
        return number

    def encoding(self) -> bool:
        """Tell whether keys in the answer are to be percent-encoded (`encoding-type=url`).

        Raises:
            S3Error: InvalidArgument, another encoding.
        """
        value = self.target.get(b"encoding-type")
        if not value:
            return False
        if value.lower() != b"url":
            raise S3Error(
                "InvalidArgument",
                "Invalid Encoding Method specified in Request",
                xml={
                    "ArgumentName": "encoding-type",
                    "ArgumentValue": value.decode("utf-8", "replace"),
                },
            )
        return True

    def condition(self) -> Condition | None:
        """Return what the request states about the key it writes, or None."""
        match = self.request.header(b"if-match")
        none_match = self.request.header(b"if-none-match")
        if match is None and none_match is None:
            return None
        return Condition(_tags(parse_etags(match)), _tags(parse_etags(none_match, weak=True)))

    def check_version(self) -> None:
        """Accept `versionId=null`, the only version that an unversioned bucket has.

        Raises:
            S3Error: InvalidArgument for what is no version id, NotImplemented for others.
        """
        value = self.target.get(b"versionId")
        if value is not None:
            check_version_id(value.decode("utf-8", "replace"))


Operation = Callable[[Context], Awaitable[Response]]
"""Answers one kind of request."""


def check_version_id(version: str) -> None:
    """Accept `null`; see `Context.check_version`."""
    if version == "null":
        return
    if not version:
        raise S3Error(
            "InvalidArgument",
            "Version id cannot be the empty string",
            xml={"ArgumentName": "versionId", "ArgumentValue": ""},
        )
    raise S3Error(
        "NotImplemented",
        "Versions of objects are not implemented: the bucket '<commit>.<branch>.<repo>' shows a "
        "commit, and the version id 'null' means the object itself.",
    )


def encode_token(marker: bytes) -> str:
    """Return a continuation token: opaque to clients, safe in URLs."""
    return base64.urlsafe_b64encode(_TOKEN_VERSION + marker).decode("ascii")


def decode_token(token: str) -> bytes:
    """Return the marker inside a continuation token; an empty token begins at the start.

    Raises:
        S3Error: InvalidArgument, not one of ours.
    """
    if not token:
        return b""
    try:
        data = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if data[:1] != _TOKEN_VERSION:
        raise S3Error(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            xml={"ArgumentName": "continuation-token", "ArgumentValue": token},
        )
    return data[1:]


def xml_response(document: bytes) -> Response:
    """Return 200 with a document."""
    return Response(200, [XML_TYPE], document, len(document))


def _tags(tags: Tags | None) -> tuple[str, ...]:
    if tags is None:
        return ()
    return ("*",) if tags == "*" else tags
