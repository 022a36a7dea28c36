from __future__ import annotations

import base64

import pytest

from gateway.errors import Invalid, SidegateError, Unsupported
from gateway.wire import checksums
from gateway.wire.checksums import ALGORITHMS, NO_PROMISE, Promise

CRC32 = ALGORITHMS["CRC32"]
HEADER = (b"x-amz-checksum-crc32", b"NhCmhg==")
DIGEST = bytes.fromhex("3610a686")


def code(call, *arguments, **options) -> str:
    with pytest.raises(SidegateError) as caught:
        call(*arguments, **options)
    return str(caught.value.data["s3_code"])


def test_the_table():
    assert [(a.name, a.header, a.size, a.element) for a in ALGORITHMS.values()] == [
        ("CRC32", b"x-amz-checksum-crc32", 4, "ChecksumCRC32"),
        ("CRC32C", b"x-amz-checksum-crc32c", 4, "ChecksumCRC32C"),
        ("CRC64NVME", b"x-amz-checksum-crc64nvme", 8, "ChecksumCRC64NVME"),
        ("SHA1", b"x-amz-checksum-sha1", 20, "ChecksumSHA1"),
        ("SHA256", b"x-amz-checksum-sha256", 32, "ChecksumSHA256"),
    ]
    assert checksums.find_algorithm(" crc32c") is ALGORITHMS["CRC32C"]
    assert code(checksums.find_algorithm, "SHA512") == "NotImplemented"
    assert code(checksums.find_algorithm, "CRC16") == "InvalidRequest"


def test_nothing_is_promised():
    others = [(b"x-amz-checksum-mode", b"ENABLED"), (b"x-amz-checksum-type", b"COMPOSITE")]
    others += [(b"x-amz-checksum-algorithm", b"CRC32"), (b"host", b"h")]
    assert checksums.parse_promise(others) is NO_PROMISE
    assert checksums.take_trailers(NO_PROMISE, []) is None


def test_a_header():
    promise = checksums.parse_promise([HEADER, (b"x-amz-sdk-checksum-algorithm", b"crc32")])
    assert promise == Promise(CRC32, DIGEST)
    assert checksums.take_trailers(promise, []) == DIGEST
    assert checksums.encode_value(DIGEST) == "NhCmhg=="


def test_a_trailer():
    headers = [(b"x-amz-trailer", b" X-Amz-Checksum-CRC32 ,")]
    promise = checksums.parse_promise(headers, trailers=True)
    assert promise == Promise(CRC32, None, trailer=True)
    assert checksums.take_trailers(promise, [HEADER]) == DIGEST


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([HEADER, (b"x-amz-checksum-sha1", b"")], "InvalidRequest"),
        ([HEADER, HEADER], "InvalidRequest"),
        ([HEADER, (b"x-amz-trailer", b"x-amz-checksum-crc32")], "InvalidRequest"),
        ([(b"x-amz-trailer", b"x-amz-checksum-crc32,x-amz-checksum-crc32c")], "InvalidRequest"),
        ([(b"x-amz-trailer", b"x-amz-meta-a")], "InvalidRequest"),
        ([(b"x-amz-trailer", b"x-amz-checksum-sha512")], "NotImplemented"),
        ([(b"x-amz-checksum-xxhash64", b"")], "NotImplemented"),
        ([(b"x-amz-checksum-foo", b"")], "InvalidRequest"),
        ([(b"x-amz-checksum-crc32", b"bad")], "InvalidRequest"),
        ([(b"x-amz-checksum-crc32", b"NhCmhgAA")], "InvalidRequest"),
        ([(b"x-amz-checksum-crc32", b"NhC\xffhg==")], "InvalidRequest"),
        ([(b"x-amz-checksum-crc32", b"")], "InvalidRequest"),
        ([(b"x-amz-sdk-checksum-algorithm", b"CRC32")], "InvalidRequest"),
        ([HEADER, (b"x-amz-sdk-checksum-algorithm", b"SHA1")], "InvalidRequest"),
    ],
)
def test_contradictions(headers, expected):
    assert code(checksums.parse_promise, headers, trailers=True) == expected


def test_a_trailer_that_the_body_has_no_room_for():
    headers = [(b"x-amz-trailer", b"x-amz-checksum-crc32")]
    assert code(checksums.parse_promise, headers) == "MalformedTrailerError"


@pytest.mark.parametrize(
    ("promise", "trailers", "expected"),
    [
        (NO_PROMISE, [HEADER], "MalformedTrailerError"),
        (Promise(CRC32, None, trailer=True), [], "MalformedTrailerError"),
        (Promise(CRC32, None, trailer=True), [HEADER, HEADER], "MalformedTrailerError"),
        (
            Promise(CRC32, None, trailer=True),
            [(b"x-amz-checksum-crc32c", b"NhCmhg==")],
            "MalformedTrailerError",
        ),
        (Promise(CRC32, None, trailer=True), [(HEADER[0], b"bad")], "InvalidRequest"),
    ],
)
def test_trailers_that_were_not_announced_so(promise, trailers, expected):
    assert code(checksums.take_trailers, promise, trailers) == expected


def test_values_of_whole_objects():
    assert checksums.decode_object_value(CRC32, "NhCmhg==") == (DIGEST, None)
    assert checksums.decode_object_value(CRC32, b"NhCmhg==-12") == (DIGEST, 12)
    for value in ("NhCmhg==-", "NhCmhg==-x", "bad-1", "NhCmhg==-123456"):
        assert code(checksums.decode_object_value, CRC32, value) == "InvalidRequest"


def test_content_md5():
    value = base64.b64encode(bytes(16))
    assert checksums.decode_content_md5(value) == bytes(16)
    for bad in (b"", b"x", value[:-4], value + b"AAAA"):
        assert code(checksums.decode_content_md5, bad) == "InvalidDigest"


def test_kinds_of_errors():
    with pytest.raises(Unsupported):
        checksums.find_algorithm("MD5")
    with pytest.raises(Invalid):
        checksums.find_algorithm("")
