"""The body of a request, and everything its head promised about it.

A body is read once, in windows, and no byte of it is copied: aws-chunked framing (recognised from
x-amz-content-sha256 alone) is taken out in place. Promises are of the plain bytes, whatever the
framing:

* a length: Content-Length, or x-amz-decoded-content-length inside the framing;
* the payload hash that was signed, Content-MD5, one x-amz-checksum-* in a header or the trailer;
* chunk and trailer signatures, when the signing key is known.

What can be judged from the head is judged before the first byte is read, so that a client that
asked `Expect: 100-continue` sends nothing in vain. The rest is judged in `check`, which the writer
calls after the last byte and before anything becomes visible. `BodySource` has the shape of
`versions.model.Source`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway import digests, limits
from gateway.s3.auth import Identity
from gateway.s3.errors import S3Error
from gateway.versions.model import ChecksumValue
from gateway.wire.aws_chunked import AwsChunkedDecoder
from gateway.wire.checksums import (
    ALGORITHMS,
    NO_PROMISE,
    Algorithm,
    Promise,
    decode_content_md5,
    encode_value,
    parse_promise,
    take_trailers,
)
from gateway.wire.messages import Request
from gateway.wire.payload import parse_decoded_length

# What AWS computes for an object whose writer promised no checksum.
DEFAULT_ALGORITHM: Final = ALGORITHMS["CRC64NVME"]

_NO_TRAILERS: Final[list[tuple[bytes, bytes]]] = []
_WANTED: Final[dict[str, frozenset[str]]] = {
    name: frozenset((name,)) for name in (*ALGORITHMS, "SHA256")
}
_NONE: Final[frozenset[str]] = frozenset()


class BodySource:
    """A body with its promises; read to the end, then checked once."""

    __slots__ = (
        "_algorithm",
        "_also",
        "_body",
        "_decoder",
        "_md5",
        "_promise",
        "_read_size",
        "_sha256",
        "_size",
        "_size_max",
        "_trailers",
        "algorithms",
    )

    def __init__(
        self,
        request: Request,
        identity: Identity,
        *,
        size_max: int = limits.PUT_SIZE_MAX,
        length_required: bool = True,
        default: Algorithm | None = DEFAULT_ALGORITHM,
        also: Algorithm | None = None,
        promised: bool = True,
    ) -> None:
        """Judge the head; nothing is read.

        Args:
            request: whose body it is.
            identity: who sent it, with what vouches for it.
            size_max: bytes that may come, framing apart.
            length_required: refuse a request that announces no length at all.
            default: the checksum to compute when the request promises none; None: none.
            also: a checksum to compute and store whatever is promised.
            promised: whether checksum headers are of this body; those of a Complete are not.

        Raises:
            S3Error: MissingContentLength, EntityTooLarge.
            Invalid: a header of the wrong form; its `s3_code` says which error it is.
        """
        payload = identity.payload_of(request)
        mode = payload.mode
        self._body = request.body
        self._sha256 = payload.sha256
        self._size_max = size_max
        self._read_size = 0
        self._trailers = _NO_TRAILERS
        md5 = request.header(b"content-md5")
        self._md5 = None if md5 is None else decode_content_md5(md5)
        self._promise = (
            parse_promise(request.headers, trailers=mode.trailer) if promised else NO_PROMISE
        )
        self._algorithm = self._promise.algorithm or default
        self._also = None if also is self._algorithm else also
        self.algorithms = self._wanted()
        self._decoder: AwsChunkedDecoder | None = None
        if mode.chunked:
            self._size: int | None = parse_decoded_length(
                request.header(b"x-amz-decoded-content-length")
            )
            self._decoder = AwsChunkedDecoder(mode, self._size, identity.chain)
        else:
            self._size = request.body.length
            if length_required and not _announces_body(request):
                raise S3Error("MissingContentLength")
        if self._size is not None and self._size > size_max:
            raise _too_large(self._size, size_max)

    @property
    def promise(self) -> Promise:
        """What the request promises with its checksum headers."""
        return self._promise

    async def read(self) -> memoryview | None:
        """Return the next plain bytes, or None after the last; valid until the next call.

        Raises:
            Invalid: the framing is wrong, the body is short, a trailer is malformed.
            Denied: the signature of a chunk or trailer is wrong.
            S3Error: EntityTooLarge, of a body that announced no length.
        """
        decoder = self._decoder
        while True:
            view = await self._body.read()
            if view is None:
                if decoder is not None:
                    self._trailers = decoder.finish()
                return None
            if decoder is not None:
                end = decoder.decode(view, 0, len(view))[0]
                if not end:
                    continue
                view = view[:end]
            self._read_size += len(view)
            if self._read_size > self._size_max:
                raise _too_large(self._read_size, self._size_max)
            return view

    def check(
        self, size: int, md5: bytes, digests: Mapping[str, bytes]
    ) -> tuple[ChecksumValue, ...]:
        """Hold every promise against what arrived; return the checksum to store.

        Raises:
            S3Error: IncompleteBody, XAmzContentSHA256Mismatch, BadDigest.
            Invalid: the trailer is not the one announced.
        """
        if self._size is not None and size != self._size:
            raise S3Error(
                "IncompleteBody",
                xml={"NumberBytesExpected": str(self._size), "NumberBytesProvided": str(size)},
            )
        if self._sha256 is not None and digests["SHA256"] != self._sha256:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                xml={
                    "ClientComputedContentSHA256": self._sha256.hex(),
                    "S3ComputedContentSHA256": digests["SHA256"].hex(),
                },
            )
        if self._md5 is not None and md5 != self._md5:
            raise S3Error(
                "BadDigest",
                xml={"ExpectedDigest": encode_value(self._md5), "CalculatedDigest": md5.hex()},
            )
        promised = take_trailers(self._promise, self._trailers)
        stored: list[ChecksumValue] = []
        algorithm = self._algorithm
        if algorithm is not None:
            value = digests[algorithm.name]
            if promised is not None and value != promised:
                raise S3Error(
                    "BadDigest",
                    f"The {algorithm.name} you specified did not match the calculated checksum.",
                )
            stored.append(ChecksumValue(algorithm.name, "FULL_OBJECT", value))
        if self._also is not None:
            name = self._also.name
            stored.append(ChecksumValue(name, "FULL_OBJECT", digests[name]))
        return tuple(stored)

    def _wanted(self) -> frozenset[str]:
        wanted = _NONE if self._algorithm is None else _WANTED[self._algorithm.name]
        if self._also is not None:
            wanted = wanted | _WANTED[self._also.name]
        return wanted if self._sha256 is None else wanted | _WANTED["SHA256"]


async def read_small(
    request: Request,
    identity: Identity,
    size_max: int = limits.XML_BODY_MAX,
    *,
    promised: bool = True,
) -> bytes:
    """Read a body that is a document into memory, and verify all it promises.

    With `promised` false, checksum headers are of something else and left alone.

    Raises:
        S3Error: MaxMessageLengthExceeded above `size_max` bytes; as `BodySource`.
    """
    try:
        source = BodySource(
            request,
            identity,
            size_max=size_max,
            length_required=False,
            default=None,
            promised=promised,
        )
        parts = bytearray()
        while (view := await source.read()) is not None:
            parts += view
    except S3Error as error:
        if error.code == "EntityTooLarge":
            raise S3Error(
                "MaxMessageLengthExceeded", xml={"MaxMessageLengthBytes": str(size_max)}
            ) from None
        raise
    data = bytes(parts)
    values: dict[str, bytes] = {}
    for name in source.algorithms:
        checksum = digests.new_checksum(name)
        checksum.update(data)
        values[name] = checksum.digest()
    source.check(len(data), digests.md5(data), values)
    return data


def _announces_body(request: Request) -> bool:
    return (
        request.header(b"content-length") is not None
        or request.header(b"transfer-encoding") is not None
    )


def _too_large(size: int, size_max: int) -> S3Error:
    return S3Error(
        "EntityTooLarge", xml={"ProposedSize": str(size), "MaxSizeAllowed": str(size_max)}
    )
