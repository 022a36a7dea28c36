"""Routing: what a method and a target mean."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.s3.endpoints import BUCKET_RESOURCES, OBJECT_RESOURCES, PLAIN, Endpoint
from gateway.s3.errors import S3Error
from gateway.s3.router import Route, route
from gateway.wire.target import parse_target, percent_encode


def go(method: str, target: str, **options: object) -> Route:
    return route(method.encode(), parse_target(target.encode()), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "target", "endpoint", "bucket", "key"),
    [
        ("GET", "/", "ListBuckets", "", b""),
        ("GET", "/?x-id=ListBuckets", "ListBuckets", "", b""),
        ("GET", "/b", "ListObjects", "b", b""),
        ("GET", "/b/", "ListObjects", "b", b""),
        ("GET", "/b/?list-type=2&prefix=", "ListObjectsV2", "b", b""),
        ("GET", "/b?list-type=1", "ListObjects", "b", b""),
        ("PUT", "/b/", "CreateBucket", "b", b""),
        ("HEAD", "/b/", "HeadBucket", "b", b""),
        ("DELETE", "/b", "DeleteBucket", "b", b""),
        ("GET", "/b?location=", "GetBucketLocation", "b", b""),
        ("GET", "/b?uploads", "ListMultipartUploads", "b", b""),
        ("GET", "/b?versions&prefix=x", "ListObjectVersions", "b", b""),
        ("POST", "/b?delete=", "DeleteObjects", "b", b""),
        ("POST", "/b", "PostObject", "b", b""),
        ("GET", "/b/k", "GetObject", "b", b"k"),
        ("GET", "/b/k?metadata=true&fetch-owner", "GetObject", "b", b"k"),
        ("GET", "/b/k?partNumber=1", "GetObject", "b", b"k"),
        ("HEAD", "/b/k", "HeadObject", "b", b"k"),
        ("PUT", "/b/k?x-id=PutObject", "PutObject", "b", b"k"),
        ("DELETE", "/b/k", "DeleteObject", "b", b"k"),
        ("POST", "/b/k?uploads=", "CreateMultipartUpload", "b", b"k"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", "UploadPart", "b", b"k"),
        ("PUT", "/b/k?partNumber=1", "UploadPart", "b", b"k"),
        ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload", "b", b"k"),
        ("GET", "/b/k?uploadId=u", "ListParts", "b", b"k"),
        ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload", "b", b"k"),
        ("GET", "/b/k?tagging", "GetObjectTagging", "b", b"k"),
        ("OPTIONS", "/b/k", "CORS preflight", "b", b"k"),
        ("GET", "http://host:1/b/k?acl", "GetObjectAcl", "b", b"k"),
        ("GET", "http://host:1", "ListBuckets", "", b""),
    ],
)
def test_routes(method: str, target: str, endpoint: str, bucket: str, key: bytes) -> None:
    assert go(method, target) == (Endpoint(endpoint), bucket, key)


def test_copies() -> None:
    assert go("PUT", "/b/k", copy=True).endpoint is Endpoint.COPY_OBJECT
    assert (
        go("PUT", "/b/k?partNumber=1&uploadId=u", copy=True).endpoint is Endpoint.UPLOAD_PART_COPY
    )
    assert go("GET", "/b/k", copy=True).endpoint is Endpoint.GET_OBJECT


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/b//x", b"/x"),
        ("/b/a//b", b"a//b"),
        ("/b/dir/", b"dir/"),
        ("/b/dir", b"dir"),
        ("/b/a/../b/./c", b"a/../b/./c"),
        ("/b/a+b%2B%20c", b"a+b+ c"),
        ("/b/%C3%A9", "é".encode()),
        ("/b/a%2Fb%3Fc", b"a/b?c"),
        ("/b/%00%0a", b"\x00\n"),
        ("/b/a%2525", b"a%25"),
    ],
)
def test_keys_are_kept_exactly(target: str, key: bytes) -> None:
    assert go("GET", target).key == key


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=50))
def test_any_key_survives(text: str) -> None:
    key = text.encode()
    target = b"/b/" + percent_encode(key, keep_slash=True)
    assert route(b"GET", parse_target(target)).key == key


def test_key_that_is_no_text() -> None:
    with pytest.raises(S3Error) as caught:
        go("GET", "/b/%ff")
    assert caught.value.code == "InvalidURI"


@pytest.mark.parametrize("target", ["*", "b/k", ""])
def test_target_that_is_no_path(target: str) -> None:
    if not target:
        assert go("GET", target).endpoint is Endpoint.LIST_BUCKETS
        return
    with pytest.raises(S3Error) as caught:
        go("OPTIONS", target)
    assert caught.value.code == "InvalidURI"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/"),
        ("PATCH", "/b/k"),
        ("POST", "/b/k"),
        ("DELETE", "/b?location"),
        ("DELETE", "/b?versions"),
        ("PUT", "/b?delete"),
        ("DELETE", "/b/k?acl"),
        ("HEAD", "/b/k?tagging"),
    ],
)
def test_methods_that_are_not_allowed(method: str, target: str) -> None:
    with pytest.raises(S3Error) as caught:
        go(method, target)
    assert caught.value.code == "MethodNotAllowed"


def test_a_sub_resource_never_becomes_the_plain_operation() -> None:
    plain = {PLAIN[key] for key in PLAIN}
    for table, path in ((BUCKET_RESOURCES, "/b"), (OBJECT_RESOURCES, "/b/k")):
        for name in table:
            for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
                with contextlib.suppress(S3Error):
                    found = go(method, f"{path}?{name.decode()}=v")
                    assert found.endpoint not in plain


def test_every_operation_can_be_reached() -> None:
    reached = set(PLAIN.values())
    for table in (BUCKET_RESOURCES, OBJECT_RESOURCES):
        reached |= {endpoint for methods in table.values() for endpoint in methods.values()}
    reached |= {Endpoint.LIST_OBJECTS_V2, Endpoint.COPY_OBJECT, Endpoint.UPLOAD_PART_COPY}
    assert reached == set(Endpoint)


@pytest.mark.parametrize(
    ("host", "target", "bucket", "key"),
    [
        (b"b.s3.example:99", "/k", "b", b"k"),
        (b"master.repo.S3.Example", "/", "master.repo", b""),
        (b"s3.example", "/b/k", "b", b"k"),
        (b"127.0.0.1:9", "/b/k", "b", b"k"),
        (b"Upper_Case.s3.example", "//k", "Upper_Case", b"/k"),
    ],
)
def test_virtual_hosts(host: bytes, target: str, bucket: str, key: bytes) -> None:
    found = go("GET", target, host=host, domain=b"s3.example")
    assert (found.bucket, found.key) == (bucket, key)
