"""The x-amz-checksum-* headers: which algorithms there are, and what a request promises with them.

A request promises at most one checksum of its body: in a header, or announced by x-amz-trailer and
sent behind the last chunk. The value is the base64 of the digest, big-endian for CRCs. Newer
algorithms are recognised and refused, so that none is dropped silently.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from gateway.errors import Invalid, Reason, Unsupported

_PREFIX = b"x-amz-checksum-"
# Share the prefix and are no values.
_NOT_VALUES = frozenset(
    {b"x-amz-checksum-algorithm", b"x-amz-checksum-mode", b"x-amz-checksum-type"}
)
_PART_DIGITS_MAX = 5


class Algorithm(NamedTuple):
    """One checksum algorithm of S3.

    `full_object` and `composite` say which types a multipart upload may declare with it.
    """

    name: str  # as in x-amz-checksum-algorithm and ChecksumAlgorithm
    header: bytes
    size: int  # of the digest, in bytes
    full_object: bool
    composite: bool

    @property
    def element(self) -> str:
        """Return the name of its XML element: `ChecksumCRC32`."""
        return "Checksum" + self.name


def _algorithm(name: str, size: int, *, full_object: bool, composite: bool) -> Algorithm:
    return Algorithm(name, _PREFIX + name.lower().encode(), size, full_object, composite)


ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        _algorithm("CRC32", 4, full_object=True, composite=True),
        _algorithm("CRC32C", 4, full_object=True, composite=True),
        _algorithm("CRC64NVME", 8, full_object=True, composite=False),
        _algorithm("SHA1", 20, full_object=False, composite=True),
        _algorithm("SHA256", 32, full_object=False, composite=True),
    )
}
"""The algorithms offered, by name."""

BY_HEADER: Mapping[bytes, Algorithm] = {a.header: a for a in ALGORITHMS.values()}
"""The algorithms offered, by lower-case header name."""

UNOFFERED: frozenset[str] = frozenset({"SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"})
"""Algorithms that S3 knows and this gateway does not compute."""


class Promise(NamedTuple):
    """What a request says about the checksum of its body.

    `value` is the digest from a header; None when it comes in the trailer. `algorithm` is None when
    nothing is promised.
    """

    algorithm: Algorithm | None = None
    value: bytes | None = None
    trailer: bool = False


NO_PROMISE = Promise()


def find_algorithm(name: str) -> Algorithm:
    """Return the algorithm that x-amz-checksum-algorithm names, in any case.

    Raises:
        Unsupported(NOT_IMPLEMENTED): S3 knows it, we do not (NotImplemented).
        Invalid(BAD_ARGUMENT): nobody knows it (InvalidRequest).
    """
    name = name.strip().upper()
    algorithm = ALGORITHMS.get(name)
    if algorithm is None:
        if name in UNOFFERED:
            _refuse_unoffered(name)
        _invalid(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            f"types: [{', '.join(ALGORITHMS)}]"
        )
    return algorithm


def parse_promise(headers: Iterable[tuple[bytes, bytes]], *, trailers: bool = False) -> Promise:
    """Read what the headers of a request with a body promise.

    Args:
        headers: lower-case names and raw values.
        trailers: whether the payload mode has trailers; without it x-amz-trailer cannot be kept.

    Raises:
        Invalid(BAD_ARGUMENT): several checksums, a bad value, or a contradiction (InvalidRequest,
            MalformedTrailerError).
        Unsupported(NOT_IMPLEMENTED): an algorithm that is not offered.
    """
    found: list[tuple[bytes, bytes]] = []
    announced: list[bytes] = []
    requested: bytes | None = None
    for name, value in headers:
        if not name.startswith(b"x-amz-"):
            continue
        if name.startswith(_PREFIX):
            if name not in _NOT_VALUES:
                found.append((name, value))
        elif name == b"x-amz-trailer":
            announced += parse_trailer_names(value)
        elif name == b"x-amz-sdk-checksum-algorithm":
            requested = value
    if not found and not announced and requested is None:
        return NO_PROMISE
    if len(found) + len(announced) > 1:
        _invalid(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    if announced and not trailers:
        raise malformed_trailer("x-amz-trailer is sent, and the body has no room for trailers")
    if found:
        algorithm = _by_header(found[0][0])
        promise = Promise(algorithm, decode_value(algorithm, found[0][1]))
    elif announced:
        promise = Promise(_by_trailer(announced[0]), None, trailer=True)
    else:
        _invalid(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found."
        )
    _check_requested(promise, requested)
    return promise


def take_trailers(promise: Promise, trailers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Return the digest that is promised for the body, now that the trailers have arrived.

    Raises:
        Invalid(BAD_ARGUMENT): announced and absent, unannounced, or a bad value
            (MalformedTrailerError, InvalidRequest).
    """
    algorithm = promise.algorithm
    if not promise.trailer or algorithm is None:
        if trailers:
            raise malformed_trailer("a trailer that was not announced")
        return promise.value
    if len(trailers) != 1 or trailers[0][0] != algorithm.header:
        raise malformed_trailer("the trailers are not those that were announced")
    return decode_value(algorithm, trailers[0][1], where="trailing header")


def parse_trailer_names(value: bytes) -> list[bytes]:
    """Return the lower-case names that x-amz-trailer announces."""
    return [name.strip(b" \t").lower() for name in value.split(b",") if name.strip(b" \t")]


def encode_value(digest: bytes) -> str:
    """Return a digest as a header or element carries it."""
    return base64.b64encode(digest).decode("ascii")


def decode_value(algorithm: Algorithm, value: bytes | str, where: str = "header") -> bytes:
    """Return the digest that a header, trailer or element carries.

    Raises:
        Invalid(BAD_ARGUMENT): not base64 of the right length (InvalidRequest).
    """
    digest = _base64(value)
    if digest is None or len(digest) != algorithm.size:
        _invalid(f"Value for {algorithm.header.decode()} {where} is invalid.")
    return digest


def decode_object_value(algorithm: Algorithm, value: bytes | str) -> tuple[bytes, int | None]:
    """Return the digest of a whole object and, for a composite one (`base64-N`), its parts.

    Raises:
        Invalid(BAD_ARGUMENT): not base64 of the right length (InvalidRequest).
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    digest, dash, parts = text.strip().partition("-")
    if not dash:
        return decode_value(algorithm, digest), None
    if not (parts.isascii() and parts.isdigit() and len(parts) <= _PART_DIGITS_MAX):
        _invalid(f"Value for {algorithm.header.decode()} header is invalid.")
    return decode_value(algorithm, digest), int(parts)


def decode_content_md5(value: bytes) -> bytes:
    """Return the 16 bytes that Content-MD5 promises.

    Raises:
        Invalid(BAD_DIGEST): not base64 of 16 bytes (InvalidDigest).
    """
    digest = _base64(value)
    if digest is None or len(digest) != 16:
        raise Invalid(
            Reason.BAD_DIGEST,
            "The Content-MD5 you specified was invalid.",
            s3_code="InvalidDigest",
            xml={"Content-MD5": value.decode("latin-1")},
        )
    return digest


def malformed_trailer(detail: str) -> Invalid:
    """Return the error for trailers that are not what was announced (MalformedTrailerError)."""
    return Invalid(
        Reason.BAD_ARGUMENT,
        "The request contained trailing data that was not well-formed or did not conform to our "
        "published schema.",
        detail,
        s3_code="MalformedTrailerError",
    )


def _base64(value: bytes | str) -> bytes | None:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _by_header(name: bytes) -> Algorithm:
    algorithm = BY_HEADER.get(name)
    if algorithm is None:
        suffix = name[len(_PREFIX) :].decode("latin-1").upper()
        if suffix in UNOFFERED:
            _refuse_unoffered(suffix)
        _invalid(f"The algorithm type you specified in {name.decode('latin-1')} header is invalid.")
    return algorithm


def _by_trailer(name: bytes) -> Algorithm:
    algorithm = BY_HEADER.get(name)
    if algorithm is None:
        suffix = name.removeprefix(_PREFIX).decode("latin-1").upper()
        if name.startswith(_PREFIX) and suffix in UNOFFERED:
            _refuse_unoffered(suffix)
        _invalid("The value specified in the x-amz-trailer header is not supported")
    return algorithm


def _check_requested(promise: Promise, requested: bytes | None) -> None:
    if requested is None:
        return
    name = requested.decode("latin-1").strip().upper()
    if promise.algorithm is None or promise.algorithm.name != name:
        _invalid("Value for x-amz-sdk-checksum-algorithm header is invalid.")


def _refuse_unoffered(name: str) -> NoReturn:
    raise Unsupported(
        Reason.NOT_IMPLEMENTED,
        f"The checksum algorithm {name} is not implemented.",
        f"use one of {', '.join(ALGORITHMS)}",
        s3_code="NotImplemented",
    )


def _invalid(message: str) -> NoReturn:
    raise Invalid(Reason.BAD_ARGUMENT, message, s3_code="InvalidRequest")
