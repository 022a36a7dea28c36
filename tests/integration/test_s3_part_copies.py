"""Copies by parts, and objects read by the parts they were completed from, through boto3."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from gateway import digests
from tests.integration.stack import LEFT_SOCKETS, Stack, client, raw, stack

MIB = 1024 * 1024
DATA = random.Random(3).randbytes(20 * MIB)
ODD = "a dir/100% + ünï?&=#.bin"  # what a copy source has to be encoded for

pytestmark = pytest.mark.filterwarnings(LEFT_SOCKETS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("copies") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def address(running: Stack) -> str:
    return running.listen()


@pytest.fixture(scope="module")
def s3(address: str) -> Any:
    found = client(address)
    found.create_bucket(Bucket="here")
    transfer = TransferConfig(multipart_chunksize=8 * MIB)
    for key in ("big", ODD):
        with_parts(found, key, transfer)
    found.put_object(Bucket="here", Key="small", Body=b"0123456789")
    return found


def with_parts(s3: Any, key: str, transfer: TransferConfig) -> None:
    made = s3.create_multipart_upload(Bucket="here", Key=key)
    at = {"Bucket": "here", "Key": key, "UploadId": made["UploadId"]}
    done = []
    for number, start in enumerate(range(0, len(DATA), transfer.multipart_chunksize), 1):
        part = DATA[start : start + transfer.multipart_chunksize]
        answer = s3.upload_part(**at, PartNumber=number, Body=part)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": done})


def stored(running: Stack) -> int:
    async def bytes_stored() -> int:
        return running.app.chunks.stats().payload_bytes

    return running.run(bytes_stored())


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def begin(s3: Any, key: str, bucket: str = "here", **said: Any) -> dict[str, str]:
    made = s3.create_multipart_upload(Bucket=bucket, Key=key, **said)
    return {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}


def source(key: str = "big", bucket: str = "here") -> dict[str, str]:
    return {"Bucket": bucket, "Key": key}


def b64(name: str, data: bytes) -> str:
    checksum = digests.new_checksum(name)
    checksum.update(data)
    return base64.b64encode(checksum.digest()).decode()


def body_of(s3: Any, key: str, bucket: str = "here") -> bytes:
    got: bytes = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")["Body"].read()
    return got


# --- copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part_size", [8 * MIB, 5 * MIB + 1])
@pytest.mark.parametrize("key", ["big", ODD])
def test_managed_copy(running: Stack, s3: Any, key: str, part_size: int) -> None:
    before = stored(running)
    transfer = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=part_size)
    s3.copy(source(key), "here", "copy of it", Config=transfer)
    assert stored(running) - before < 40_000
    assert body_of(s3, "copy of it") == DATA
    parts = [DATA[at : at + part_size] for at in range(0, len(DATA), part_size)]
    digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    found = s3.head_object(Bucket="here", Key="copy of it", ChecksumMode="ENABLED")
    assert found["ETag"] == f'"{digest}-{len(parts)}"'
    assert found["ChecksumCRC64NVME"] == b64("CRC64NVME", DATA)


def test_a_commit_of_copies_has_no_new_bytes(running: Stack, s3: Any) -> None:
    s3.create_bucket(Bucket="counted")
    s3.copy(source(), "counted", "copy")

    async def commit() -> Any:
        return await running.app.versions.flush("counted", "master")

    info = running.run(commit())
    assert (info.objects, info.bytes, info.new_bytes) == (1, len(DATA), 0)
    assert body_of(s3, "copy", "counted") == DATA


def test_what_a_copied_part_says(s3: Any) -> None:
    at = begin(s3, "said")
    ranged = {"CopySource": source(), "CopySourceRange": f"bytes=3-{6 * MIB}"}
    answer = s3.upload_part_copy(**at, PartNumber=1, **ranged)
    data = DATA[3 : 6 * MIB + 1]
    result = answer["CopyPartResult"]
    assert result["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert result["ChecksumCRC64NVME"] == b64("CRC64NVME", data)
    assert abs(result["LastModified"] - datetime.now(UTC)) < timedelta(minutes=5)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-sidegate-new-bytes"] == "0"
    assert headers["x-sidegate-dedup-bytes"] == str(len(data))
    whole = s3.upload_part_copy(**at, PartNumber=2, CopySource=source("small"))["CopyPartResult"]
    assert whole["ETag"] == f'"{hashlib.md5(b"0123456789").hexdigest()}"'
    parts = [{"PartNumber": 1, "ETag": result["ETag"]}, {"PartNumber": 2, "ETag": whole["ETag"]}]
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    assert body_of(s3, "said") == data + b"0123456789"
    assert done["ChecksumCRC64NVME"] == b64("CRC64NVME", data + b"0123456789")


@pytest.mark.parametrize("name", ["SHA256", "CRC32C"])
def test_the_checksum_is_that_of_the_upload(s3: Any, name: str) -> None:
    at = begin(s3, "summed", ChecksumAlgorithm=name)
    done = []
    for number, (start, end) in enumerate([(0, 5 * MIB), (5 * MIB, 5 * MIB + 10)], 1):
        result = s3.upload_part_copy(
            **at, PartNumber=number, CopySource=source(), CopySourceRange=f"bytes={start}-{end - 1}"
        )["CopyPartResult"]
        assert result["Checksum" + name] == b64(name, DATA[start:end])
        assert "ChecksumCRC64NVME" not in result
        part = {key: result[key] for key in ("ETag", "Checksum" + name)}
        done.append({"PartNumber": number, **part})
    answer = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": done})
    assert answer["Checksum" + name].endswith("-2")
    assert body_of(s3, "summed") == DATA[: 5 * MIB + 10]


@pytest.mark.parametrize(
    "asked",
    [
        "0-9", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5",
        "bytes=5-2", "bytes=-5", "bytes= 0-4", "bytes=0-10", "bytes=10-20",
    ],
)  # fmt: skip
def test_ranges_that_are_refused(s3: Any, asked: str) -> None:
    at = begin(s3, "refused")
    ranged = {"CopySource": source("small"), "CopySourceRange": asked}
    assert refused(s3.upload_part_copy, **at, PartNumber=1, **ranged) == ("InvalidArgument", 400)


def test_conditions_on_the_source(s3: Any) -> None:
    at = begin(s3, "conditional") | {"PartNumber": 1, "CopySource": source("small")}
    found = s3.head_object(Bucket="here", Key="small")
    etag, hour = found["ETag"], timedelta(hours=1)
    for failing in (
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfModifiedSince": found["LastModified"]},
        {"CopySourceIfUnmodifiedSince": found["LastModified"] - hour},
    ):
        assert refused(s3.upload_part_copy, **at, **failing) == ("PreconditionFailed", 412)
    for holding in (
        {"CopySourceIfMatch": etag},
        {"CopySourceIfNoneMatch": '"other"'},
        {"CopySourceIfModifiedSince": found["LastModified"] - hour},
        {"CopySourceIfUnmodifiedSince": found["LastModified"]},
    ):
        s3.upload_part_copy(**at, **holding)


def test_copies_that_are_refused(running: Stack, s3: Any) -> None:
    at = begin(s3, "refused")
    copy = s3.upload_part_copy
    for number in (0, 10_001):
        answer = refused(copy, **at, PartNumber=number, CopySource=source("small"))
        assert answer == ("InvalidArgument", 400)
    gone = at | {"UploadId": "nonsense"}
    assert refused(copy, **gone, PartNumber=1, CopySource=source())[0] == "NoSuchUpload"
    assert refused(copy, **at, PartNumber=1, CopySource=source("no"))[0] == "NoSuchKey"
    assert refused(copy, **at, PartNumber=1, CopySource=source(bucket="no"))[0] == "NoSuchBucket"
    assert refused(copy, **at, PartNumber=1, CopySource="nothing")[0] == "InvalidArgument"
    key = {"CopySourceSSECustomerKey": "0" * 32, "CopySourceSSECustomerAlgorithm": "AES256"}
    answer = refused(copy, **at, PartNumber=1, CopySource=source(), **key)
    assert answer == ("NotImplemented", 501)
    s3.create_bucket(Bucket="finished")
    s3.put_object(Bucket="finished", Key="k", Body=b"x")

    async def commit() -> str:
        info = await running.app.versions.flush("finished", "master")
        return str(info.id)

    read_only = f"{running.run(commit())}.finished"
    at = {"Bucket": read_only, "Key": "k", "UploadId": "any", "PartNumber": 1}
    assert refused(copy, **at, CopySource=source()) == ("AccessDenied", 403)
    # As a source it is as good as any.
    at = begin(s3, "from a commit")
    s3.upload_part_copy(**at, PartNumber=1, CopySource=source("k", read_only))


def test_headers_about_a_body_are_not_of_a_copy(address: str, s3: Any) -> None:
    at = begin(s3, "promises")
    head = (
        f"PUT /here/promises?partNumber=1&uploadId={at['UploadId']} HTTP/1.1\r\nHost: h\r\n"
        "x-amz-copy-source: /here/small\r\nContent-Length: 0\r\n"
        "Content-MD5: eB5eJF1ptWaXm4bijSPyxw==\r\nx-amz-checksum-crc32: AAAAAQ==\r\n\r\n"
    )
    answer = raw(address, head.encode())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"<CopyPartResult xmlns=" in answer


def test_a_plus_in_the_source_is_a_space(address: str, s3: Any) -> None:
    s3.put_object(Bucket="here", Key="a b", Body=b"spaced")
    s3.put_object(Bucket="here", Key="a%2Bb", Body=b"decoded once")
    at = begin(s3, "plus")
    for text, body in (("here/a+b", b"spaced"), ("/here/a%252Bb", b"decoded once")):
        head = (
            f"PUT /here/plus?partNumber=1&uploadId={at['UploadId']} HTTP/1.1\r\nHost: h\r\n"
            f"x-amz-copy-source: {text}\r\nContent-Length: 0\r\n\r\n"
        )
        answer = raw(address, head.encode())
        assert hashlib.md5(body).hexdigest().encode() in answer


def test_between_projects(running: Stack, s3: Any) -> None:
    running.run(running.app.versions.create_project("apart"))
    s3.create_bucket(Bucket="master.r.apart")
    before = stored(running)
    transfer = TransferConfig(multipart_chunksize=7 * MIB)
    s3.copy(source(), "master.r.apart", "copy", Config=transfer)
    assert stored(running) - before >= len(DATA)
    assert body_of(s3, "copy", "master.r.apart") == DATA


# --- reading parts -----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["get_object", "head_object"])
def test_one_part(s3: Any, call: str) -> None:
    read = getattr(s3, call)
    whole = s3.head_object(Bucket="here", Key="big")
    assert "PartsCount" not in whole
    for number, (start, end) in enumerate(
        [(0, 8 * MIB), (8 * MIB, 16 * MIB), (16 * MIB, 20 * MIB)], 1
    ):
        got = read(Bucket="here", Key="big", PartNumber=number, ChecksumMode="ENABLED")
        part = DATA[start:end]
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert (got["PartsCount"], got["ETag"]) == (3, whole["ETag"])
        assert got["ContentLength"] == len(part)
        assert got["ContentRange"] == f"bytes {start}-{end - 1}/{len(DATA)}"
        assert got["ChecksumCRC64NVME"] == b64("CRC64NVME", part)
        if call == "get_object":
            assert got["Body"].read() == part
    answer = refused(read, Bucket="here", Key="big", PartNumber=4)
    assert answer[1] == 416
    if call == "get_object":
        assert answer[0] == "InvalidPartNumber"
    for wrong in ({"PartNumber": 10_001}, {"PartNumber": 1, "Range": "bytes=0-1"}):
        assert refused(read, Bucket="here", Key="big", **wrong)[1] == 400
    other = {"IfMatch": '"other"'}
    assert refused(read, Bucket="here", Key="big", PartNumber=4, **other)[1] == 412


def test_a_copy_by_reference_has_the_parts_of_its_source(s3: Any) -> None:
    s3.copy_object(Bucket="here", Key="same", CopySource=source())
    got = s3.get_object(Bucket="here", Key="same", PartNumber=3)
    assert (got["PartsCount"], got["Body"].read()) == (3, DATA[16 * MIB :])


def test_parts_are_counted_without_gaps(s3: Any) -> None:
    at = begin(s3, "gaps")
    done = []
    for number, body in ((2, DATA[: 5 * MIB]), (7, b"end")):
        answer = s3.upload_part(**at, PartNumber=number, Body=body)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": done})
    got = s3.get_object(Bucket="here", Key="gaps", PartNumber=2)
    assert (got["PartsCount"], got["Body"].read()) == (2, b"end")
    found = refused(s3.get_object, Bucket="here", Key="gaps", PartNumber=7)
    assert found == ("InvalidPartNumber", 416)


def test_an_empty_part(s3: Any) -> None:
    at = begin(s3, "empty part")
    etag = s3.upload_part(**at, PartNumber=1, Body=b"")["ETag"]
    parts = [{"PartNumber": 1, "ETag": etag}]
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    got = s3.get_object(Bucket="here", Key="empty part", PartNumber=1)
    assert (got["PartsCount"], got["Body"].read()) == (1, b"")
