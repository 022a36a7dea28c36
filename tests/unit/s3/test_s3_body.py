"""Bodies: framing taken out, and every promise held to."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import digests
from gateway.access.principal import ANYONE
from gateway.errors import SidegateError
from gateway.s3.auth import Identity
from gateway.s3.body import BodySource, read_small
from gateway.s3.errors import S3Error, translate
from gateway.wire.aws_chunked import Chain
from gateway.wire.messages import Request
from gateway.wire.payload import Payload, PayloadMode
from tests.unit.s3.s3_requests import b64, crc32, drain, frame, request

IDENTITY = Identity(ANYONE)
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
DATA = b"hello"


def source(made: Request, **options: object) -> BodySource:
    return BodySource(made, IDENTITY, **options)  # type: ignore[arg-type]


def code(error: BaseException) -> str:
    assert isinstance(error, Exception)
    return translate(error).code


async def fails(made: Request, **options: object) -> str:
    with pytest.raises((S3Error, SidegateError)) as caught:
        await drain(source(made, **options))
    return code(caught.value)


def early(made: Request, **options: object) -> str:
    with pytest.raises((S3Error, SidegateError)) as caught:
        source(made, **options)
    return code(caught.value)


async def test_plain_body_gets_the_default_checksum() -> None:
    data, stored = await drain(source(request({}, [b"hel", b"lo"])))
    assert data == DATA
    (checksum,) = stored
    assert (checksum.algorithm, checksum.kind) == ("CRC64NVME", "FULL_OBJECT")
    assert b64(checksum.value) == "M3eFcAZSQlc="


async def test_promised_checksum_is_stored_alone() -> None:
    _, stored = await drain(source(request({"x-amz-checksum-crc32": crc32(DATA)}, DATA)))
    assert [(c.algorithm, b64(c.value)) for c in stored] == [("CRC32", "NhCmhg==")]


async def test_payload_hash() -> None:
    good = {"x-amz-content-sha256": hashlib.sha256(DATA).hexdigest()}
    assert (await drain(source(request(good, DATA))))[0] == DATA
    assert await fails(request(good, b"hellO")) == "XAmzContentSHA256Mismatch"


async def test_content_md5() -> None:
    good = {"content-md5": b64(hashlib.md5(DATA).digest())}
    assert (await drain(source(request(good, DATA))))[0] == DATA
    assert await fails(request(good, b"hellO")) == "BadDigest"
    assert early(request({"content-md5": "abc"}, DATA)) == "InvalidDigest"


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
async def test_each_algorithm(name: str) -> None:
    checksum = digests.new_checksum(name)
    checksum.update(DATA)
    header = {f"x-amz-checksum-{name.lower()}": b64(checksum.digest())}
    _, stored = await drain(source(request(header, DATA)))
    assert [c.algorithm for c in stored] == [name]
    assert await fails(request(header, b"hellO")) == "BadDigest"
    assert early(request({f"x-amz-checksum-{name.lower()}": "bad"}, DATA)) == "InvalidRequest"


async def test_a_further_checksum_on_request() -> None:
    made = request({"x-amz-checksum-crc32": crc32(DATA)}, DATA)
    from gateway.s3.body import DEFAULT_ALGORITHM

    _, stored = await drain(source(made, also=DEFAULT_ALGORITHM))
    assert [c.algorithm for c in stored] == ["CRC32", "CRC64NVME"]
    _, stored = await drain(source(request({}, DATA), also=DEFAULT_ALGORITHM))
    assert [c.algorithm for c in stored] == ["CRC64NVME"]


async def test_body_shorter_than_announced() -> None:
    assert await fails(request({}, DATA, length=6)) == "IncompleteBody"


def test_lengths_judged_before_a_byte_is_read() -> None:
    assert early(request({})) == "MissingContentLength"
    assert early(request({}, DATA), size_max=4) == "EntityTooLarge"
    made = request({"x-amz-content-sha256": UNSIGNED}, DATA)
    assert early(made) == "MissingContentLength"
    made = request(
        {"x-amz-content-sha256": UNSIGNED, "x-amz-decoded-content-length": "9"}, DATA, length=None
    )
    assert early(made, size_max=8) == "EntityTooLarge"
    assert made.body.reads == 0  # type: ignore[attr-defined]
    assert early(request({"x-amz-content-sha256": "nonsense"}, DATA)) == "InvalidArgument"


async def test_chunked_body_without_length_is_bounded_while_read() -> None:
    assert (await drain(source(request({}, [b"ab", b"c"], length=None))))[0] == b"abc"
    assert await fails(request({}, [b"ab", b"c"], length=None), size_max=2) == "EntityTooLarge"


def framed(data: bytes, cuts: list[int], trailer: str = "", **headers: str) -> Request:
    body = frame(data, 4, trailer)
    edges = sorted({min(c, len(body)) for c in cuts} | {0, len(body)})
    windows = [body[a:b] for a, b in itertools.pairwise(edges)]
    found = {"x-amz-content-sha256": UNSIGNED, "x-amz-decoded-content-length": str(len(data))}
    return request(
        found | {k.replace("_", "-"): v for k, v in headers.items()}, windows, length=None
    )


@given(st.binary(max_size=40), st.lists(st.integers(0, 120), max_size=8))
@settings(max_examples=60, deadline=None)
def test_framing_is_taken_out_wherever_it_is_split(data: bytes, cuts: list[int]) -> None:
    import asyncio

    made = framed(
        data, cuts, f"x-amz-checksum-crc32:{crc32(data)}", x_amz_trailer="x-amz-checksum-crc32"
    )
    got, stored = asyncio.run(drain(source(made)))
    assert got == data
    assert [c.algorithm for c in stored] == ["CRC32"]


async def test_trailers() -> None:
    name = {"x_amz_trailer": "x-amz-checksum-crc32"}
    wrong = framed(DATA, [], f"x-amz-checksum-crc32:{crc32(b'other')}", **name)
    assert await fails(wrong) == "BadDigest"
    assert await fails(framed(DATA, [], "", **name)) == "MalformedTrailerError"
    stray = framed(DATA, [], f"x-amz-checksum-crc32:{crc32(DATA)}")
    assert await fails(stray) == "MalformedTrailerError"
    bad = framed(DATA, [], "x-amz-checksum-crc32:!!", **name)
    assert await fails(bad) == "InvalidRequest"


async def test_promises_are_of_the_decoded_bytes() -> None:
    good = framed(DATA, [7], content_md5=b64(hashlib.md5(DATA).digest()))
    assert (await drain(source(good)))[0] == DATA


async def test_framing_that_breaks_off() -> None:
    body = frame(DATA, 4)
    for end in range(1, len(body) - 4):
        made = request(
            {"x-amz-content-sha256": UNSIGNED, "x-amz-decoded-content-length": "5"},
            body[:end],
            length=None,
        )
        assert await fails(made) == "IncompleteBody"


SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def signed_body(signature: str) -> bytes:
    return b"5;chunk-signature=%b\r\nhello\r\n0;chunk-signature=%b\r\n\r\n" % (
        (signature.encode(),) * 2
    )


async def test_chunk_signatures_are_ignored_without_the_key_and_verified_with_it() -> None:
    headers = {"x-amz-content-sha256": SIGNED, "x-amz-decoded-content-length": "5"}
    assert (await drain(source(request(headers, signed_body("0" * 64)))))[0] == DATA
    chain = Chain(
        digests.HmacSha256(b"k" * 32), b"20260101T000000Z", b"20260101/r/s3/aws4_request", b"f" * 64
    )
    identity = Identity(ANYONE, Payload(PayloadMode.SIGNED_CHUNKS), chain)
    with pytest.raises(SidegateError) as caught:
        await drain(BodySource(request(headers, signed_body("0" * 64)), identity))
    assert code(caught.value) == "SignatureDoesNotMatch"


async def test_documents_are_bounded_and_verified() -> None:
    assert await read_small(request({}), IDENTITY) == b""
    assert await read_small(request({}, [b"<a", b"/>"]), IDENTITY) == b"<a/>"
    with pytest.raises(S3Error) as caught:
        await read_small(request({}, b"12345"), IDENTITY, 4)
    assert caught.value.code == "MaxMessageLengthExceeded"
    with pytest.raises(S3Error) as caught:
        await read_small(request({}, [b"123", b"45"], length=None), IDENTITY, 4)
    assert caught.value.code == "MaxMessageLengthExceeded"
    with pytest.raises(S3Error) as caught:
        await read_small(request({"x-amz-checksum-crc32": crc32(b"no")}, b"<a/>"), IDENTITY)
    assert caught.value.code == "BadDigest"
    made = request({"x-amz-checksum-crc32": crc32(b"the object")}, b"<a/>")
    assert await read_small(made, IDENTITY, promised=False) == b"<a/>"
    with pytest.raises(S3Error) as caught:
        await read_small(
            request({"content-md5": b64(hashlib.md5(b"x").digest())}, b"<a/>"), IDENTITY
        )
    assert caught.value.code == "BadDigest"
