"""Buckets, listings and settings through boto3."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gateway.access.keys import Credentials
from gateway.s3.auth import KeyAuthenticator
from gateway.versions.views import JobBuckets
from tests.integration.stack import LEFT_SOCKETS, Stack, client, raw, read_answer, stack

pytestmark = pytest.mark.filterwarnings(LEFT_SOCKETS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("buckets") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def address(running: Stack) -> str:
    return running.listen()


@pytest.fixture(scope="module")
def s3(address: str) -> Any:
    return client(address)


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_life_of_a_bucket(s3: Any) -> None:
    made = s3.create_bucket(Bucket="life")
    assert made["Location"] == "/life"
    assert s3.head_bucket(Bucket="life")["BucketRegion"] == "us-east-1"
    s3.create_bucket(Bucket="life")  # again: nothing changes
    s3.put_object(Bucket="life", Key="k", Body=b"x")
    s3.create_bucket(Bucket="life")
    assert s3.get_object(Bucket="life", Key="k")["Body"].read() == b"x"
    assert refused(s3.delete_bucket, Bucket="life") == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket="life", Key="k")
    assert s3.delete_bucket(Bucket="life")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.head_bucket, Bucket="life") == ("404", 404)
    assert refused(s3.delete_bucket, Bucket="life") == ("NoSuchBucket", 404)
    assert refused(s3.list_objects_v2, Bucket="life") == ("NoSuchBucket", 404)


def test_location_is_kept(s3: Any) -> None:
    where = {"LocationConstraint": "eu-west-9"}
    s3.create_bucket(Bucket="located", CreateBucketConfiguration=where)
    assert s3.get_bucket_location(Bucket="located")["LocationConstraint"] == "eu-west-9"
    assert s3.head_bucket(Bucket="located")["BucketRegion"] == "eu-west-9"
    s3.create_bucket(Bucket="located")
    found = refused(
        s3.create_bucket,
        Bucket="located",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    assert found == ("BucketAlreadyOwnedByYou", 409)
    s3.create_bucket(Bucket="unlocated")
    assert s3.get_bucket_location(Bucket="unlocated").get("LocationConstraint") is None


def test_names(address: str, s3: Any) -> None:
    for name in ("Upper_Case", "dev.Upper_Case", "a", "x" * 63):
        answer = raw(address, b"PUT /%b/ HTTP/1.1\r\nHost: h\r\n\r\n" % name.encode())
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert raw(address, b"HEAD /%b HTTP/1.1\r\nHost: h\r\n\r\n" % name.encode()).startswith(
            b"HTTP/1.1 200"
        )
    for name in ("a..b", ".a", "a%20b", "a.b.c.d.e", "x" * 64, "a.back-3.x"):
        answer = raw(address, b"PUT /%b HTTP/1.1\r\nHost: h\r\n\r\n" % name.encode())
        assert answer.startswith(b"HTTP/1.1 400") or b"NoSuchBucket" in answer, (name, answer)
        answer = raw(address, b"HEAD /%b HTTP/1.1\r\nHost: h\r\n\r\n" % name.encode())
        assert answer.startswith(b"HTTP/1.1 404"), (name, answer)


def test_branches_are_buckets(s3: Any) -> None:
    s3.create_bucket(Bucket="dev.branched")
    s3.create_bucket(Bucket="branched")
    s3.put_object(Bucket="dev.branched", Key="k", Body=b"dev")
    assert s3.list_objects_v2(Bucket="master.branched")["KeyCount"] == 0
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert names == sorted(names)
    assert {"dev.branched", "master.branched"} <= set(names)


def test_pages_of_buckets(s3: Any) -> None:
    for number in range(5):
        s3.create_bucket(Bucket=f"paged{number}")
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = s3.list_buckets(MaxBuckets=2, Prefix="master.paged", **token)
        found += [bucket["Name"] for bucket in page["Buckets"]]
        assert len(page["Buckets"]) <= 2
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert found == [f"master.paged{number}" for number in range(5)]


# --- listings ----------------------------------------------------------------------------------

KEYS = sorted(
    [
        *(f"a/{number:03}" for number in range(12)),
        "a/",
        "a.txt",
        "b/c/d",
        "b/c/e",
        "b/f",
        "c++/x y",
        "z\x01control",
        "é/ü",
    ],
    key=str.encode,
)


@pytest.fixture(scope="module")
def listed(s3: Any) -> Any:
    s3.create_bucket(Bucket="listed")
    for key in KEYS:
        s3.put_object(Bucket="listed", Key=key, Body=key.encode())
    return s3


def test_everything_in_order(listed: Any) -> None:
    for name in ("list_objects", "list_objects_v2", "list_object_versions"):
        pages = listed.get_paginator(name).paginate(
            Bucket="listed", PaginationConfig={"PageSize": 3}
        )
        field = "Versions" if name.endswith("versions") else "Contents"
        found = [entry["Key"] for page in pages for entry in page.get(field, [])]
        assert found == KEYS


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "b/", "b/c", "none"])
@pytest.mark.parametrize("delimiter", ["/", "c", "/00", "++"])
def test_delimiters(listed: Any, prefix: str, delimiter: str, size: int) -> None:
    expected_keys, expected_prefixes = [], []
    for key in KEYS:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix))
            if at < 0:
                expected_keys.append(key)
            elif key[: at + len(delimiter)] not in expected_prefixes:
                expected_prefixes.append(key[: at + len(delimiter)])
    for name in ("list_objects", "list_objects_v2"):
        keys, prefixes = [], []
        for page in listed.get_paginator(name).paginate(
            Bucket="listed",
            Prefix=prefix,
            Delimiter=delimiter,
            PaginationConfig={"PageSize": size},
        ):
            keys += [entry["Key"] for entry in page.get("Contents", [])]
            prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            count = len(page.get("Contents", [])) + len(page.get("CommonPrefixes", []))
            assert count <= size
            assert page.get("KeyCount", count) == count
        assert (keys, prefixes) == (expected_keys, expected_prefixes)


def test_what_a_listing_echoes(listed: Any, address: str) -> None:
    page = listed.list_objects_v2(
        Bucket="listed", Prefix="a/", Delimiter="", StartAfter="a/003", MaxKeys=5000
    )
    assert page["MaxKeys"] == 1000
    assert "Delimiter" not in page
    assert page["StartAfter"] == "a/003"
    assert page["Contents"][0]["Key"] == "a/004"
    assert "Owner" not in page["Contents"][0]
    page = listed.list_objects_v2(Bucket="listed", Prefix="a/", FetchOwner=True)
    assert page["Contents"][0]["Owner"]["DisplayName"]
    empty = listed.list_objects_v2(Bucket="listed", MaxKeys=0)
    assert (empty["IsTruncated"], empty["KeyCount"]) == (False, 0)
    answer = raw(
        address, b"GET /listed?list-type=2&continuation-token= HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    assert b"<ContinuationToken></ContinuationToken>" in answer
    assert b"<Key>z&#x1;control</Key>" in answer
    v1 = listed.list_objects(Bucket="listed", MaxKeys=2)
    assert (v1["Marker"], v1["NextMarker"]) == ("", v1["Contents"][-1]["Key"])
    after = listed.list_objects(Bucket="listed", Marker="a/0045")
    assert after["Contents"][0]["Key"] == "a/005"


@pytest.mark.parametrize(
    "query",
    ["max-keys=x", "max-keys=-1", "list-type=2&continuation-token=!", "encoding-type=base64"],
)
def test_arguments_that_are_none(address: str, listed: Any, query: str) -> None:
    answer = raw(address, b"GET /listed?%b HTTP/1.1\r\nHost: h\r\n\r\n" % query.encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"<Code>InvalidArgument</Code>" in answer


# --- settings ----------------------------------------------------------------------------------


def test_settings_that_were_never_made(s3: Any) -> None:
    s3.create_bucket(Bucket="unset")
    absent = {
        "get_bucket_policy": "NoSuchBucketPolicy",
        "get_bucket_cors": "NoSuchCORSConfiguration",
        "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
        "get_bucket_tagging": "NoSuchTagSet",
        "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
        "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
        "get_bucket_website": "NoSuchWebsiteConfiguration",
        "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
        "get_bucket_ownership_controls": "OwnershipControlsNotFoundError",
        "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    }
    for name, code in absent.items():
        assert refused(getattr(s3, name), Bucket="unset") == (code, 404)
        assert refused(getattr(s3, name), Bucket="not-there") == ("NoSuchBucket", 404)
    assert "Status" not in s3.get_bucket_versioning(Bucket="unset")
    assert s3.get_bucket_request_payment(Bucket="unset")["Payer"] == "BucketOwner"
    for name in ("logging", "notification_configuration", "accelerate_configuration"):
        getattr(s3, f"get_bucket_{name}")(Bucket="unset")
    grants = s3.get_bucket_acl(Bucket="unset")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
    s3.put_bucket_acl(Bucket="unset", ACL="private")
    assert refused(s3.put_bucket_acl, Bucket="unset", ACL="public-read")[1] == 400
    assert refused(s3.put_bucket_acl, Bucket="unset", GrantRead="id=x")[1] == 400
    assert refused(s3.create_bucket, Bucket="other", GrantRead="id=x")[1] == 400
    s3.put_object(Bucket="unset", Key="k", Body=b"")
    owner = s3.get_object_acl(Bucket="unset", Key="k")
    s3.put_object_acl(
        Bucket="unset",
        Key="k",
        AccessControlPolicy={"Grants": owner["Grants"], "Owner": owner["Owner"]},
    )
    stranger = {"Grantee": {"Type": "CanonicalUser", "ID": "1" * 64}, "Permission": "READ"}
    assert refused(
        s3.put_object_acl,
        Bucket="unset",
        Key="k",
        AccessControlPolicy={"Grants": [stranger], "Owner": owner["Owner"]},
    ) == ("AccessControlListNotSupported", 400)
    assert refused(s3.get_object_acl, Bucket="unset", Key="absent") == ("NoSuchKey", 404)


def test_settings_that_cannot_be_made(s3: Any) -> None:
    s3.create_bucket(Bucket="unset")
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_versioning(Bucket="unset", VersioningConfiguration={"Status": "Enabled"})
    error = caught.value.response["Error"]
    assert (error["Code"], error["Operation"]) == ("NotImplemented", "PutBucketVersioning")
    assert refused(s3.delete_bucket_policy, Bucket="unset") == ("NotImplemented", 501)
    assert s3.head_bucket(Bucket="unset")
    assert refused(s3.get_object, Bucket="unset", Key="k", VersionId="a" * 32)[1] == 501


def test_virtual_hosts(running: Stack, s3: Any) -> None:
    s3.create_bucket(Bucket="hosted")
    s3.put_object(Bucket="hosted", Key="a/b", Body=b"x")
    address = running.listen(domain="gw.example")
    answer = raw(address, b"GET /a/b HTTP/1.1\r\nHost: hosted.gw.example:99\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nx")
    answer = raw(address, b"GET /hosted/a/b HTTP/1.1\r\nHost: gw.example:99\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nx")


# --- who may come in ---------------------------------------------------------------------------


def test_keys(running: Stack, s3: Any) -> None:
    s3.create_bucket(Bucket="guarded")
    credentials = Credentials({"root/key": "secret"}, "root/key")
    address = running.listen(authenticator=KeyAuthenticator(credentials))
    good = client(address, "root/key", "secret")
    good.put_object(Bucket="guarded", Key="k ü", Body=b"x" * 100_000)
    assert len(good.get_object(Bucket="guarded", Key="k ü")["Body"].read()) == 100_000
    assert good.list_objects_v2(Bucket="guarded", Prefix="k ", Delimiter="/")["KeyCount"] == 1
    anywhere = client(address, "root/key", "secret", region_name="mars-1")
    assert anywhere.head_object(Bucket="guarded", Key="k ü")
    wrong_secret = client(address, "root/key", "other")
    assert refused(wrong_secret.list_buckets) == ("SignatureDoesNotMatch", 403)
    unknown = client(address, "who", "secret")
    assert refused(unknown.list_buckets) == ("InvalidAccessKeyId", 403)
    answer = raw(address, b"GET /guarded/k HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"<Code>AccessDenied</Code>" in answer
    presigned = good.generate_presigned_url("get_object", {"Bucket": "guarded", "Key": "k"})
    target = presigned.partition(address)[2]
    answer = raw(address, f"GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 501")
    assert b"Presigned" in answer
    answer = raw(address, b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS a:b\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 501")


def test_a_refused_upload_is_not_read(running: Stack) -> None:
    credentials = Credentials({"k": "s"}, "k")
    address = running.listen(authenticator=KeyAuthenticator(credentials))
    for start in (
        b"PUT /guarded/k HTTP/1.1\r\nHost: h\r\n",  # nobody
        b"PUT /guarded/k HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 nonsense\r\n",
    ):
        answer = raw(address, start + b"Content-Length: 99\r\nExpect: 100-continue\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 40")
        assert b"100 Continue" not in answer


def test_what_can_be_refused_early_is_not_read(s3: Any, address: str) -> None:
    s3.create_bucket(Bucket="early")
    s3.put_object(Bucket="early", Key="k", Body=b"x")
    last = b"Host: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
    for start, status in (
        (b"PUT /no-such/k HTTP/1.1\r\n", 404),
        (b"PUT /early/k HTTP/1.1\r\nIf-None-Match: *\r\n", 412),
        (b"PUT /early/k HTTP/1.1\r\nIf-Match: other\r\n", 412),
        (b"PUT /early/k HTTP/1.1\r\nContent-MD5: bad\r\n", 400),
        (b"PUT /early/k HTTP/1.1\r\nx-amz-checksum-crc32: bad\r\n", 400),
        (b"PUT /early/k?partNumber=1&uploadId=%b HTTP/1.1\r\n" % (b"0" * 32), 404),
        (b"POST /no-such?delete HTTP/1.1\r\n", 404),
    ):
        answer = raw(address, start + last + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status), (start, answer)
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"PUT /early/k2 HTTP/1.1\r\n" + last + b"\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


# --- a job's buckets ---------------------------------------------------------------------------


def test_buckets_of_a_job(running: Stack, s3: Any) -> None:
    s3.create_bucket(Bucket="jobin")
    s3.put_object(Bucket="jobin", Key="k", Body=b"input")
    s3.create_bucket(Bucket="jobout")
    view = running.run(running.app.versions.buckets.resolve("jobin"))
    out = running.run(running.app.versions.buckets.resolve("jobout"))
    buckets = JobBuckets({"input": replace(view, writable=False), "out": out}, {"pipe": "out"})
    job = client(running.listen(buckets))
    assert [bucket["Name"] for bucket in job.list_buckets()["Buckets"]] == ["input", "out"]
    assert job.get_object(Bucket="input", Key="k")["Body"].read() == b"input"
    for call, arguments in (
        (job.put_object, {"Key": "k", "Body": b"x"}),
        (job.delete_object, {"Key": "k"}),
        (job.delete_objects, {"Delete": {"Objects": [{"Key": "k"}]}}),
        (job.create_multipart_upload, {"Key": "k"}),
        (job.copy_object, {"Key": "k2", "CopySource": "input/k"}),
    ):
        assert refused(call, Bucket="input", **arguments) == ("AccessDenied", 403)
    assert refused(job.create_bucket, Bucket="more") == ("AccessDenied", 403)
    assert refused(job.delete_bucket, Bucket="out") == ("AccessDenied", 403)
    assert refused(job.list_objects_v2, Bucket="jobin") == ("NoSuchBucket", 404)
    job.copy_object(Bucket="out", Key="copied", CopySource="input/k")
    assert job.get_object(Bucket="pipe", Key="copied")["Body"].read() == b"input"


def test_a_commit_is_read_only(running: Stack, s3: Any) -> None:
    s3.create_bucket(Bucket="pinned")
    commit = s3.put_object(Bucket="pinned", Key="k", Body=b"1")["ResponseMetadata"]["HTTPHeaders"][
        "x-sidegate-commit"
    ]
    running.run(running.app.versions.flush("pinned", "master"))
    s3.put_object(Bucket="pinned", Key="k", Body=b"2")
    bucket = f"{commit}.pinned"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"3") == ("AccessDenied", 403)
    assert s3.get_object(Bucket="pinned", Key="k")["Body"].read() == b"2"
