"""What a request says about its body: `x-amz-content-sha256`, and the length inside aws-chunked.

aws-chunked is recognised by this header alone (its value starts with `STREAMING-`), never by
Content-Encoding: several clients send the framing without the encoding, and others name the
encoding on bodies that are not framed.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from gateway.errors import Invalid, Reason, Unsupported

_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_DIGITS = frozenset(b"0123456789")
_LENGTH_DIGITS_MAX = 19


class PayloadMode(enum.Enum):
    """How a body is sent and what vouches for it."""

    PLAIN = "plain"  # the header is absent: nothing is promised
    SHA256 = "sha256"  # the whole body has the hash that was signed
    UNSIGNED = "UNSIGNED-PAYLOAD"
    SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    UNSIGNED_CHUNKS_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    @property
    def chunked(self) -> bool:
        """Whether the body is framed as aws-chunked."""
        return self in _CHUNKED

    @property
    def signed_chunks(self) -> bool:
        """Whether each chunk carries a signature."""
        return self in _SIGNED

    @property
    def trailer(self) -> bool:
        """Whether trailing headers may follow the last chunk."""
        return self in _TRAILER


_SIGNED = frozenset({PayloadMode.SIGNED_CHUNKS, PayloadMode.SIGNED_CHUNKS_TRAILER})
_TRAILER = frozenset({PayloadMode.SIGNED_CHUNKS_TRAILER, PayloadMode.UNSIGNED_CHUNKS_TRAILER})
_CHUNKED = _SIGNED | _TRAILER
_BY_VALUE = {
    mode.value.encode(): mode
    for mode in PayloadMode
    if mode not in {PayloadMode.PLAIN, PayloadMode.SHA256}
}


class Payload(NamedTuple):
    """The mode, and in mode SHA256 the 32 bytes that the body must hash to."""

    mode: PayloadMode
    sha256: bytes | None = None


PLAIN = Payload(PayloadMode.PLAIN)


def parse_payload(value: bytes | None) -> Payload:
    """Read the value of x-amz-content-sha256.

    Raises:
        Unsupported(NOT_IMPLEMENTED): chunks signed with ECDSA.
        Invalid(BAD_ARGUMENT): neither a hash nor a known word (InvalidArgument).
    """
    if value is None:
        return PLAIN
    if len(value) == 64 and _HEX_DIGITS.issuperset(value):
        return Payload(PayloadMode.SHA256, bytes.fromhex(value.decode("ascii")))
    mode = _BY_VALUE.get(value)
    if mode is not None:
        return Payload(mode)
    if value.startswith(b"STREAMING-AWS4-ECDSA-"):
        raise Unsupported(
            Reason.NOT_IMPLEMENTED,
            "Chunks signed with ECDSA are not implemented.",
            s3_code="NotImplemented",
        )
    raise Invalid(
        Reason.BAD_ARGUMENT,
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        s3_code="InvalidArgument",
        xml={
            "ArgumentName": "x-amz-content-sha256",
            "ArgumentValue": value.decode("latin-1"),
        },
    )


def parse_decoded_length(value: bytes | None) -> int:
    """Read x-amz-decoded-content-length: the bytes inside the framing.

    Raises:
        Invalid(BAD_ARGUMENT): absent or not a number (MissingContentLength, 411).
    """
    if not value or len(value) > _LENGTH_DIGITS_MAX or not _DIGITS.issuperset(value):
        raise Invalid(
            Reason.BAD_ARGUMENT,
            "You must provide the Content-Length HTTP header.",
            "a body in aws-chunked form needs x-amz-decoded-content-length",
            s3_code="MissingContentLength",
        )
    return int(value)


def strip_aws_chunked(value: bytes) -> bytes:
    """Return a Content-Encoding as it is stored: without `aws-chunked`, which is only framing."""
    if b"aws-chunked" not in value.lower():
        return value
    codings = [coding.strip(b" \t") for coding in value.split(b",")]
    return b",".join(c for c in codings if c and c.lower() != b"aws-chunked")
