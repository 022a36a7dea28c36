"""Multipart uploads through boto3."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gateway import digests
from tests.integration.stack import LEFT_SOCKETS, Stack, client, stack

MIB = 1024 * 1024
PARTS = [bytes([65 + number]) * (5 * MIB) for number in range(2)] + [b"the last one"]
WHOLE = b"".join(PARTS)
ETAG = f'"{hashlib.md5(b"".join(hashlib.md5(p).digest() for p in PARTS)).hexdigest()}-3"'


pytestmark = pytest.mark.filterwarnings(LEFT_SOCKETS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("multipart") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def s3(running: Stack) -> Any:
    found = client(running.listen())
    found.create_bucket(Bucket="parts")
    return found


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def begin(s3: Any, key: str, **said: Any) -> dict[str, str]:
    made = s3.create_multipart_upload(Bucket="parts", Key=key, **said)
    return {"Bucket": "parts", "Key": key, "UploadId": made["UploadId"]}


def upload(s3: Any, at: dict[str, str], parts: Any = None, **said: Any) -> list[dict[str, Any]]:
    done = []
    for number, data in (parts or dict(enumerate(PARTS, 1))).items():
        answer = s3.upload_part(**at, PartNumber=number, Body=data, **said)
        assert answer["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return done


def complete(s3: Any, at: dict[str, str], parts: list[dict[str, Any]], **said: Any) -> Any:
    return s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts}, **said)


def test_life_of_an_upload(s3: Any) -> None:
    at = begin(s3, "a b/+é", ContentType="x/y", Metadata={"k": "v"})
    parts = upload(s3, at)
    assert refused(s3.head_object, Bucket="parts", Key="a b/+é")[1] == 404
    done = complete(s3, at, parts)
    assert done["ETag"] == ETAG
    assert (done["Bucket"], done["Key"]) == ("parts", "a b/+é")
    assert done["Location"].startswith("http://127.0.0.1:")
    got = s3.get_object(Bucket="parts", Key="a b/+é")
    assert got["Body"].read() == WHOLE
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (ETAG, "x/y", {"k": "v"})
    middle = s3.get_object(Bucket="parts", Key="a b/+é", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert middle["Body"].read() == b"AABB"
    assert complete(s3, at, parts)["ETag"] == ETAG  # a client that lost the answer
    assert refused(s3.upload_part, **at, PartNumber=4, Body=b"x") == ("NoSuchUpload", 404)


def test_parts_need_not_begin_at_one(s3: Any) -> None:
    at = begin(s3, "sparse")
    parts = upload(s3, at, {2: PARTS[0], 7: b"end", 9: b"left out"})
    done = complete(s3, at, parts[:2])
    assert done["ETag"].endswith('-2"')
    assert s3.get_object(Bucket="parts", Key="sparse")["Body"].read() == PARTS[0] + b"end"


def test_a_part_sent_again_replaces_the_first(s3: Any) -> None:
    at = begin(s3, "again")
    upload(s3, at, {1: b"old"})
    parts = upload(s3, at, {1: b"new"})
    complete(s3, at, [{"PartNumber": 1, "ETag": parts[0]["ETag"].strip('"')}])
    assert s3.get_object(Bucket="parts", Key="again")["Body"].read() == b"new"


def test_completions_that_are_refused(s3: Any) -> None:
    at = begin(s3, "refused")
    small = upload(s3, at, {1: b"small", 2: b"small too"})
    big = upload(s3, at, {3: PARTS[0], 4: b"end"})
    cases = [
        (small, "EntityTooSmall"),
        (list(reversed(big)), "InvalidPartOrder"),
        ([big[0], big[0]], "InvalidPartOrder"),
        ([{"PartNumber": 3, "ETag": '"0"'}], "InvalidPart"),
        ([{"PartNumber": 9, "ETag": big[0]["ETag"]}], "InvalidPart"),
        ([], "MalformedXML"),
        ([{"PartNumber": 10001, "ETag": '"0"'}], "InvalidArgument"),
    ]
    for parts, code in cases:
        assert refused(s3.complete_multipart_upload, **at, MultipartUpload={"Parts": parts}) == (
            code,
            400,
        )
    assert refused(complete, s3=s3, at=at, parts=big, MpuObjectSize=5)[1] == 400
    assert refused(complete, s3=s3, at=at, parts=big, IfMatch='"x"') == ("NoSuchKey", 404)
    complete(s3, at, big, MpuObjectSize=5 * MIB + 3, IfNoneMatch="*")
    second = begin(s3, "refused")
    parts = upload(s3, second, {1: b"x"})
    assert refused(complete, s3=s3, at=second, parts=parts, IfNoneMatch="*") == (
        "PreconditionFailed",
        412,
    )


def test_uploads_that_are_not_there(s3: Any) -> None:
    at = begin(s3, "gone")
    s3.abort_multipart_upload(**at)
    for wrong in (at, at | {"UploadId": "nonsense"}, begin(s3, "gone") | {"Key": "other"}):
        assert refused(s3.abort_multipart_upload, **wrong) == ("NoSuchUpload", 404)
        assert refused(s3.list_parts, **wrong) == ("NoSuchUpload", 404)
        assert refused(s3.upload_part, **wrong, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)
    for number in (0, 10001):
        assert refused(s3.upload_part, **at, PartNumber=number, Body=b"x")[0] == "InvalidArgument"
    assert refused(s3.create_multipart_upload, Bucket="nowhere", Key="k") == ("NoSuchBucket", 404)


def test_listing_parts(s3: Any) -> None:
    at = begin(s3, "listed")
    upload(s3, at, {number: b"%d" % number for number in (1, 2, 9, 10, 11)})
    pages = s3.get_paginator("list_parts").paginate(**at, PaginationConfig={"PageSize": 2})
    found = [part for page in pages for part in page["Parts"]]
    assert [part["PartNumber"] for part in found] == [1, 2, 9, 10, 11]
    assert [part["Size"] for part in found] == [1, 1, 1, 2, 2]
    s3.abort_multipart_upload(**at)


def test_listing_uploads(s3: Any) -> None:
    s3.create_bucket(Bucket="uploads")
    made = []
    for key in ("a/1", "a/1", "a/2", "b", "c/d"):
        answer = s3.create_multipart_upload(Bucket="uploads", Key=key)
        made.append((key, answer["UploadId"]))
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="uploads", PaginationConfig={"PageSize": 2}
    )
    found = [(item["Key"], item["UploadId"]) for page in pages for item in page["Uploads"]]
    assert found == sorted(made)
    page = s3.list_multipart_uploads(Bucket="uploads", Delimiter="/", Prefix="")
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["a/", "c/"]
    assert [item["Key"] for item in page["Uploads"]] == ["b"]
    assert s3.list_objects_v2(Bucket="uploads")["KeyCount"] == 0


# --- checksums ---------------------------------------------------------------------------------


def sum_of(name: str, data: bytes) -> bytes:
    checksum = digests.new_checksum(name)
    checksum.update(data)
    return checksum.digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_checksum_of_the_parts(s3: Any, name: str) -> None:
    at = begin(s3, "composite", ChecksumAlgorithm=name)
    parts = upload(s3, at, ChecksumAlgorithm=name)
    for part, data in zip(parts, PARTS, strict=True):
        part["Checksum" + name] = b64(sum_of(name, data))
    expected = b64(sum_of(name, b"".join(sum_of(name, p) for p in PARTS))) + "-3"
    wrong = [*parts[:2], {**parts[2], "Checksum" + name: b64(sum_of(name, b"?"))}]
    assert refused(complete, s3=s3, at=at, parts=wrong) == ("InvalidPart", 400)
    done = complete(s3, at, parts)
    assert (done["Checksum" + name], done["ChecksumType"]) == (expected, "COMPOSITE")
    got = s3.head_object(Bucket="parts", Key="composite", ChecksumMode="ENABLED")
    assert got["Checksum" + name] == expected


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
def test_checksum_of_the_whole(s3: Any, name: str) -> None:
    said = {"ChecksumAlgorithm": name, "ChecksumType": "FULL_OBJECT"}
    at = begin(s3, "whole", **said)
    parts = upload(s3, at, ChecksumAlgorithm=name)
    expected = b64(sum_of(name, WHOLE))
    wrong = {"Checksum" + name: b64(sum_of(name, b"?")), "ChecksumType": "FULL_OBJECT"}
    assert refused(complete, s3=s3, at=at, parts=parts, **wrong) == ("BadDigest", 400)
    done = complete(s3, at, parts, **{"Checksum" + name: expected, "ChecksumType": "FULL_OBJECT"})
    assert done["Checksum" + name] == expected
    got = s3.get_object(Bucket="parts", Key="whole", ChecksumMode="ENABLED")
    assert got["Body"].read() == WHOLE  # boto3 verifies it


def test_default_checksum_whatever_the_parts_bring(s3: Any) -> None:
    at = begin(s3, "default")
    parts = upload(s3, at, ChecksumAlgorithm="CRC32")
    done = complete(s3, at, parts)
    assert done["ChecksumCRC64NVME"] == b64(sum_of("CRC64NVME", WHOLE))
    assert done["ChecksumType"] == "FULL_OBJECT"


def test_checksums_that_contradict(s3: Any) -> None:
    for name, kind in (("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT")):
        found = refused(
            s3.create_multipart_upload,
            Bucket="parts",
            Key="k",
            ChecksumAlgorithm=name,
            ChecksumType=kind,
        )
        assert found == ("InvalidRequest", 400)
    at = begin(s3, "k", ChecksumAlgorithm="SHA256")
    found = refused(s3.upload_part, **at, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32")
    assert found == ("InvalidRequest", 400)
    at = begin(s3, "k")
    parts = upload(s3, at, {1: b"x"})
    for promise in ({"ChecksumCRC32": b64(b"1234")}, {"ChecksumType": "COMPOSITE"}):
        assert refused(complete, s3=s3, at=at, parts=parts, **promise) == ("InvalidRequest", 400)


def test_high_level_transfer(s3: Any, tmp_path: Any) -> None:
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(18 * MIB))
    s3.upload_file(str(source), "parts", "transfer/file")
    s3.copy({"Bucket": "parts", "Key": "again"}, "parts", "transfer/copy")
    s3.download_file("parts", "transfer/file", str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
