"""Objects through boto3: what goes in comes out, and what is refused says why."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.stack import LEFT_SOCKETS, Stack, client, raw, stack

MIB = 1024 * 1024
RANDOM = random.Random(7)


pytestmark = pytest.mark.filterwarnings(LEFT_SOCKETS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("objects") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def address(running: Stack) -> str:
    return running.listen()


@pytest.fixture(scope="module")
def s3(address: str) -> Any:
    found = client(address)
    found.create_bucket(Bucket="things")
    return found


def code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return code(caught)


NAMES = [
    "plain.txt",
    "A Tale of Two Cities/Chapter 1 The Period.txt",
    "a+b&c=d%20e'\"(!)*~.txt",
    "日本語/é à ü 🎉",
    "a//b///c",
    "/leading",
    "dir/",
    "dir",
    "a/../b/./c",
    "line\nfeed\ttab",
    "question?mark#hash;semi:colon@at,comma",
    "<tag>&amp;",
    "x" * 1024,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_comes_back(s3: Any, name: str) -> None:
    data = name.encode() * 3
    s3.put_object(Bucket="things", Key=name, Body=data)
    assert s3.get_object(Bucket="things", Key=name)["Body"].read() == data
    assert s3.head_object(Bucket="things", Key=name)["ContentLength"] == len(data)
    listed = s3.list_objects_v2(Bucket="things", Prefix=name)
    assert name in [found["Key"] for found in listed["Contents"]]
    copied = s3.copy_object(
        Bucket="things", Key="copy", CopySource={"Bucket": "things", "Key": name}
    )
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    s3.delete_objects(Bucket="things", Delete={"Objects": [{"Key": name}, {"Key": "copy"}]})
    assert refused(s3.head_object, Bucket="things", Key=name) == ("404", 404)


@pytest.mark.parametrize("size", [0, 1, 64, 65, 64 * 1024, 64 * 1024 + 1, MIB, 5 * MIB + 17])
def test_any_size_comes_back(s3: Any, size: int) -> None:
    data = RANDOM.randbytes(size)
    put = s3.put_object(Bucket="things", Key="sized", Body=data)
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    headers = put["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["x-sidegate-new-bytes"]) + int(headers["x-sidegate-dedup-bytes"]) == size
    assert len(headers["x-sidegate-commit"]) == 32
    got = s3.get_object(Bucket="things", Key="sized")
    assert got["Body"].read() == data
    assert (got["ContentLength"], got["ContentType"]) == (size, "binary/octet-stream")
    if size:
        again = s3.put_object(Bucket="things", Key="again", Body=data)
        assert int(again["ResponseMetadata"]["HTTPHeaders"]["x-sidegate-dedup-bytes"]) in {size, 0}


def test_what_is_said_about_an_object_is_kept(s3: Any) -> None:
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=5",
        "ContentDisposition": 'attachment; filename="x"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "StorageClass": "STANDARD_IA",
        "Metadata": {"a": "1", "path": "s3cmd:/x:y", "empty": ""},
    }
    s3.put_object(Bucket="things", Key="said", Body=b"x", **said, Tagging="k=v&l=w")
    got = s3.head_object(Bucket="things", Key="said")
    assert {name: got[name] for name in said} == said
    assert s3.get_object(Bucket="things", Key="said")["TagCount"] == 2
    assert got["AcceptRanges"] == "bytes"
    s3.put_object(Bucket="things", Key="said", Body=b"y")
    got = s3.head_object(Bucket="things", Key="said")
    assert got["Metadata"] == {}
    assert "CacheControl" not in got


def test_metadata_that_is_not_ascii(address: str, s3: Any) -> None:
    answer = raw(
        address,
        b"PUT /things/latin HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nx-amz-meta-L: caf\xe9\r\n"
        b"x-amz-meta-u: caf\xc3\xa9\r\n\r\nx",
    )
    assert answer.startswith(b"HTTP/1.1 200")
    head = raw(address, b"HEAD /things/latin HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"\r\nx-amz-meta-l: caf\xe9\r\n" in head
    assert b"\r\nx-amz-meta-u: caf\xc3\xa9\r\n" in head


def test_overrides_in_the_answer(s3: Any) -> None:
    s3.put_object(Bucket="things", Key="o", Body=b"x", ContentType="a/b")
    got = s3.get_object(
        Bucket="things", Key="o", ResponseContentType="c/d", ResponseCacheControl="no-store"
    )
    assert (got["ContentType"], got["CacheControl"]) == ("c/d", "no-store")
    found = refused(s3.get_object, Bucket="things", Key="o", ResponseContentType="a\r\nSet: b")
    assert found == ("InvalidArgument", 400)


# --- ranges and conditions ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(s3: Any) -> Any:
    s3.put_object(Bucket="things", Key="digits", Body=b"0123456789")
    return s3.head_object(Bucket="things", Key="digits")


@pytest.mark.parametrize(
    ("header", "body", "where"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=3-5", b"345", "bytes 3-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=0-8388607", b"0123456789", "bytes 0-9/10"),
        ("bytes=1-2,4-5", b"0123456789", None),
        ("bytes=5-3", b"0123456789", None),
        ("lines=1-2", b"0123456789", None),
    ],
)
def test_ranges(s3: Any, digits: Any, header: str, body: bytes, where: str | None) -> None:
    got = s3.get_object(Bucket="things", Key="digits", Range=header)
    assert (got["Body"].read(), got.get("ContentRange")) == (body, where)
    head = s3.head_object(Bucket="things", Key="digits", Range=header)
    assert (head["ContentLength"], head.get("ContentRange")) == (len(body), where)
    status = head["ResponseMetadata"]["HTTPStatusCode"]
    assert status == (200 if where is None else 206)


def test_ranges_that_select_nothing(s3: Any, digits: Any) -> None:
    for header in ("bytes=10-", "bytes=10-20", "bytes=-0"):
        with pytest.raises(ClientError) as caught:
            s3.get_object(Bucket="things", Key="digits", Range=header)
        assert code(caught) == ("InvalidRange", 416)
        assert caught.value.response["Error"]["ActualObjectSize"] == "10"
        headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["content-range"] == "bytes */10"
    s3.put_object(Bucket="things", Key="empty", Body=b"")
    assert refused(s3.get_object, Bucket="things", Key="empty", Range="bytes=0-8388607") == (
        "InvalidRange",
        416,
    )
    got = s3.get_object(Bucket="things", Key="empty", PartNumber=1)
    assert got["Body"].read() == b""


def test_part_one_of_an_object_of_one_request(s3: Any, digits: Any) -> None:
    got = s3.get_object(Bucket="things", Key="digits", PartNumber=1)
    assert got["Body"].read() == b"0123456789"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    found = refused(s3.get_object, Bucket="things", Key="digits", PartNumber=2)
    assert found == ("InvalidPartNumber", 416)


def test_large_ranges(s3: Any) -> None:
    data = RANDOM.randbytes(3 * MIB)
    s3.put_object(Bucket="things", Key="large", Body=data)
    for _ in range(20):
        start = RANDOM.randrange(len(data))
        end = RANDOM.randrange(start, len(data))
        got = s3.get_object(Bucket="things", Key="large", Range=f"bytes={start}-{end}")
        assert got["Body"].read() == data[start : end + 1]


def test_read_conditions(s3: Any, digits: Any) -> None:
    etag, when = digits["ETag"], digits["LastModified"]
    hour = timedelta(hours=1)
    arguments = {"Bucket": "things", "Key": "digits"}
    for name, value in (
        ("IfMatch", etag),
        ("IfMatch", etag.strip('"')),
        ("IfNoneMatch", '"other"'),
        ("IfModifiedSince", when - hour),
        ("IfModifiedSince", when + 24 * hour),  # a date in the future says nothing
        ("IfUnmodifiedSince", when),
    ):
        assert s3.get_object(**arguments, **{name: value})["ContentLength"] == 10
    assert refused(s3.get_object, **arguments, IfMatch='"other"') == ("PreconditionFailed", 412)
    assert refused(s3.get_object, **arguments, IfUnmodifiedSince=when - hour)[1] == 412
    assert refused(s3.get_object, **arguments, IfNoneMatch=etag)[1] == 304
    assert refused(s3.head_object, **arguments, IfModifiedSince=when)[1] == 304
    both = s3.get_object(**arguments, IfMatch=etag, IfUnmodifiedSince=when - hour)
    assert both["ContentLength"] == 10  # If-Match hides the date
    found = refused(s3.get_object, **arguments, IfNoneMatch=etag, IfModifiedSince=when - hour)
    assert found[1] == 304


def test_if_range(address: str, digits: Any) -> None:
    def ask(if_range: str) -> bytes:
        return raw(
            address,
            b"GET /things/digits HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n"
            b"If-Range: %b\r\n\r\n" % if_range.encode(),
        )

    assert ask(digits["ETag"]).startswith(b"HTTP/1.1 206")
    assert ask("W/" + digits["ETag"]).startswith(b"HTTP/1.1 200")
    assert ask('"other"').startswith(b"HTTP/1.1 200")
    stamp = digits["ResponseMetadata"]["HTTPHeaders"]["last-modified"]
    assert ask(stamp).startswith(b"HTTP/1.1 206")


def test_write_conditions(s3: Any) -> None:
    arguments = {"Bucket": "things", "Key": "cas"}
    assert refused(s3.put_object, **arguments, Body=b"0", IfMatch='"x"') == ("NoSuchKey", 404)
    first = s3.put_object(**arguments, Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, **arguments, Body=b"2", IfNoneMatch="*") == (
        "PreconditionFailed",
        412,
    )
    second = s3.put_object(**arguments, Body=b"2", IfMatch=first)["ETag"]
    assert refused(s3.put_object, **arguments, Body=b"3", IfMatch=first)[1] == 412
    assert refused(s3.delete_object, **arguments, IfMatch=first)[1] == 412
    assert s3.get_object(**arguments)["Body"].read() == b"2"
    s3.delete_object(**arguments, IfMatch=second)


def test_one_of_many_writers_wins(s3: Any) -> None:
    def write(number: int) -> int:
        try:
            s3.put_object(Bucket="things", Key="race", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(write, range(16)))
    assert answers[0] == 200
    assert set(answers[1:]) <= {409, 412}


# --- promises ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(s3: Any, name: str) -> None:
    put = s3.put_object(Bucket="things", Key="sum", Body=b"hello", ChecksumAlgorithm=name)
    value = put["Checksum" + name]
    assert put["ChecksumType"] == "FULL_OBJECT"
    got = s3.get_object(Bucket="things", Key="sum", ChecksumMode="ENABLED")
    assert got["Checksum" + name] == value
    assert got["Body"].read() == b"hello"
    part = s3.get_object(Bucket="things", Key="sum", Range="bytes=0-1", ChecksumMode="ENABLED")
    assert "Checksum" + name not in part
    wrong = base64.b64encode(bytes(len(base64.b64decode(value)))).decode()
    found = refused(
        s3.put_object, Bucket="things", Key="sum2", Body=b"hello", **{"Checksum" + name: wrong}
    )
    assert found == ("BadDigest", 400)
    assert refused(s3.head_object, Bucket="things", Key="sum2")[1] == 404


def test_default_checksum(address: str, s3: Any) -> None:
    plain = client(
        address,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    put = plain.put_object(Bucket="things", Key="default", Body=b"hello")
    assert put["ChecksumCRC64NVME"] == "M3eFcAZSQlc="
    got = plain.get_object(Bucket="things", Key="default")
    assert not [name for name in got if name.startswith("Checksum")]


def test_wrong_md5(s3: Any) -> None:
    wrong = base64.b64encode(bytes(16)).decode()
    arguments = {"Bucket": "things", "Key": "md5", "Body": b"x"}
    assert refused(s3.put_object, **arguments, ContentMD5=wrong) == ("BadDigest", 400)
    assert refused(s3.put_object, **arguments, ContentMD5="abc") == ("InvalidDigest", 400)
    assert refused(s3.head_object, Bucket="things", Key="md5")[1] == 404


def put(target: str, body: bytes, *headers: str) -> bytes:
    lines = [f"PUT {target} HTTP/1.1", "Host: h", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_payload_hash_that_does_not_hold(address: str, s3: Any) -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    answer = raw(
        address, put("/things/h", b"x", "Content-Length: 1", f"x-amz-content-sha256: {wrong}")
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"<Code>XAmzContentSHA256Mismatch</Code>" in answer
    assert refused(s3.head_object, Bucket="things", Key="h")[1] == 404


def test_bad_requests_get_clear_errors(address: str, s3: Any) -> None:
    streaming = "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    chunked = "Transfer-Encoding: chunked"
    cases = [
        (put("/things/k", b""), 411, b"MissingContentLength"),
        (put("/nowhere/k", b"", "Content-Length: 5"), 404, b"NoSuchBucket"),
        (put("/things/k", b"", "Content-Length: 5368709121"), 400, b"EntityTooLarge"),
        (put("/things/" + "k" * 1025, b"", "Content-Length: 5"), 400, b"KeyTooLongError"),
        (put("/things/%ff", b"", "Content-Length: 5"), 400, b"InvalidURI"),
        (put("/things/%zz", b"", "Content-Length: 5"), 400, b"InvalidURI"),
        (put("/.bad./k", b"", "Content-Length: 5"), 400, b"InvalidBucketName"),
        (put("/things/k", b"", "Content-Length: 5", streaming), 411, b"MissingContentLength"),
        (
            put("/things/k", b"x", "Content-Length: 1", "x-amz-content-sha256: what"),
            400,
            b"InvalidArgument",
        ),
        (
            put(
                "/things/k",
                b"5\r\n1\r\na\r\n\r\n0\r\n\r\n",
                chunked,
                streaming,
                "x-amz-decoded-content-length: 2",
            ),
            400,
            b"IncompleteBody",
        ),
        (
            put("/things/k", b"x", "Content-Length: 1", "x-amz-meta-a: " + "v" * 2100),
            400,
            b"MetadataTooLarge",
        ),
        (put("/things/k?tagging", b"", "Content-Length: 5"), 501, b"NotImplemented"),
        (put("/things/k?partNumber=1", b"x", "Content-Length: 1"), 400, b"InvalidArgument"),
    ]
    for request, status, name in cases:
        answer = raw(address, request)
        assert answer.startswith(b"HTTP/1.1 %d " % status), (request[:80], answer)
        assert b"<Code>%b</Code>" % name in answer, (request[:80], answer)
    assert refused(s3.head_object, Bucket="things", Key="k")[1] == 404


def test_chunked_put_without_a_length(address: str, s3: Any) -> None:
    answer = raw(
        address,
        put("/things/te", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert s3.get_object(Bucket="things", Key="te")["Body"].read() == b"abcde"


def test_errors_name_their_request(s3: Any) -> None:
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket="things", Key="no <such> key")
    answer = caught.value.response
    assert answer["Error"]["Message"] == "The specified key does not exist."
    assert answer["Error"]["Key"] == "no <such> key"
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert answer["ResponseMetadata"]["RequestId"] == headers["x-amz-request-id"]
    assert headers["x-amz-id-2"]


# --- deleting and copying ----------------------------------------------------------------------


def test_deleting(s3: Any) -> None:
    s3.put_object(Bucket="things", Key="d1", Body=b"x")
    answer = s3.delete_object(Bucket="things", Key="d1")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.delete_object(Bucket="things", Key="d1")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.delete_object, Bucket="no-where", Key="d1") == ("NoSuchBucket", 404)


def test_deleting_many(s3: Any) -> None:
    keys = [f"many/{number} &<>\n" for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="things", Key=key, Body=b"x"), keys))
    wanted = [{"Key": key} for key in (*keys, "many/absent")]
    answer = s3.delete_objects(Bucket="things", Delete={"Objects": wanted})
    assert [found["Key"] for found in answer["Deleted"]] == [found["Key"] for found in wanted]
    assert s3.list_objects_v2(Bucket="things", Prefix="many/")["KeyCount"] == 0
    quiet = s3.delete_objects(Bucket="things", Delete={"Objects": wanted, "Quiet": True})
    assert "Deleted" not in quiet
    s3.put_object(Bucket="things", Key="m1", Body=b"x")
    mixed = s3.delete_objects(
        Bucket="things",
        Delete={
            "Objects": [
                {"Key": "m1", "ETag": '"other"'},
                {"Key": "m1", "VersionId": "a" * 32},
                {"Key": "k" * 1025},
                {"Key": "absent", "VersionId": "null"},
            ]
        },
    )
    assert [found["Code"] for found in mixed["Errors"]] == [
        "PreconditionFailed",
        "NotImplemented",
        "KeyTooLongError",
    ]
    assert [found["Key"] for found in mixed["Deleted"]] == ["absent"]
    assert s3.head_object(Bucket="things", Key="m1")["ContentLength"] == 1


def test_copying(s3: Any) -> None:
    data = RANDOM.randbytes(MIB)
    s3.put_object(
        Bucket="things",
        Key="a b/+%&",
        Body=data,
        Metadata={"k": "v"},
        ContentType="x/y",
        Tagging="t=u",
    )
    source = {"Bucket": "things", "Key": "a b/+%&"}
    kept = s3.copy_object(Bucket="things", Key="c1", CopySource=source, Metadata={"no": "no"})
    headers = kept["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-sidegate-new-bytes"] == "0"
    got = s3.get_object(Bucket="things", Key="c1")
    assert got["Body"].read() == data
    assert (got["Metadata"], got["ContentType"], got["TagCount"]) == ({"k": "v"}, "x/y", 1)
    s3.copy_object(
        Bucket="things",
        Key="c2",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"n": "w"},
        TaggingDirective="REPLACE",
        Tagging="",
    )
    got = s3.head_object(Bucket="things", Key="c2")
    assert (got["Metadata"], got["ContentType"]) == ({"n": "w"}, "binary/octet-stream")
    assert "TagCount" not in got


def test_copying_to_itself(s3: Any) -> None:
    s3.put_object(Bucket="things", Key="self", Body=b"x", Metadata={"a": "1"})
    source = {"Bucket": "things", "Key": "self"}
    found = refused(s3.copy_object, Bucket="things", Key="self", CopySource=source)
    assert found == ("InvalidRequest", 400)
    aliased = {"Bucket": "master.things", "Key": "self"}
    assert refused(s3.copy_object, Bucket="things", Key="self", CopySource=aliased)[1] == 400
    s3.copy_object(
        Bucket="things",
        Key="self",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"a": "2"},
    )
    assert s3.head_object(Bucket="things", Key="self")["Metadata"] == {"a": "2"}


def test_copying_for_another_checksum(s3: Any) -> None:
    s3.put_object(Bucket="things", Key="cs", Body=b"hello", ChecksumAlgorithm="SHA1")
    source = {"Bucket": "things", "Key": "cs"}
    same = s3.copy_object(Bucket="things", Key="cs1", CopySource=source)
    assert "ChecksumSHA1" in same["CopyObjectResult"]
    other = s3.copy_object(Bucket="things", Key="cs2", CopySource=source, ChecksumAlgorithm="CRC32")
    assert other["CopyObjectResult"]["ChecksumCRC32"] == "NhCmhg=="
    assert s3.get_object(Bucket="things", Key="cs2")["Body"].read() == b"hello"


def test_copying_what_is_not_there(s3: Any) -> None:
    arguments = {"Bucket": "things", "Key": "x"}
    assert refused(s3.copy_object, **arguments, CopySource="things/absent") == ("NoSuchKey", 404)
    assert refused(s3.copy_object, **arguments, CopySource="absent/k") == ("NoSuchBucket", 404)
    assert refused(s3.copy_object, **arguments, CopySource="nothing")[0] == "InvalidArgument"
    for source, element, value in (
        ("things/absent", "Key", "absent"),
        ("absent/k", "BucketName", "absent"),
        ("a b/k", "BucketName", "a b"),
    ):
        with pytest.raises(ClientError) as caught:
            s3.copy_object(**arguments, CopySource=source)
        assert caught.value.response["Error"][element] == value


def test_copy_source_forms_and_conditions(address: str, s3: Any) -> None:
    s3.put_object(Bucket="things", Key="f g+h", Body=b"x")
    etag = s3.head_object(Bucket="things", Key="f g+h")["ETag"]

    def copy(source: str, *headers: str) -> bytes:
        return raw(
            address,
            put(
                "/things/copied", b"", "Content-Length: 0", f"x-amz-copy-source: {source}", *headers
            ),
        )

    for source in ("things/f%20g%2Bh", "/things/f%20g%2Bh", "things/f+g%2Bh", "things%2Ff%20g%2Bh"):
        assert copy(source).startswith(b"HTTP/1.1 200"), source
    source = "things/f%20g%2Bh"
    assert copy(source + "?versionId=null").startswith(b"HTTP/1.1 200")
    name = "x-amz-copy-source-if"
    assert copy(source, f"{name}-match: {etag}").startswith(b"HTTP/1.1 200")
    assert copy(source, f"{name}-match: {etag.strip(chr(34))}").startswith(b"HTTP/1.1 200")
    for condition in (
        f"{name}-match: other",
        f"{name}-none-match: {etag}",
        f"{name}-unmodified-since: Sat, 01 Jan 2000 00:00:00 GMT",
        f"{name}-modified-since: Sat, 01 Jan 2090 00:00:00 GMT",
    ):
        expected = b"200" if "2090" in condition else b"412"
        assert copy(source, condition).startswith(b"HTTP/1.1 " + expected), condition
    # Content-MD5 of a copy is of the source, as one SDK sends it, and no promise about the body.
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    assert copy(source, f"Content-MD5: {md5}").startswith(b"HTTP/1.1 200")
