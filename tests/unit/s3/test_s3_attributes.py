"""An object's headers: kept exactly, bounded, refused by name."""

from __future__ import annotations

import pytest

from gateway.s3.attributes import object_headers, parse_attributes, parse_tagging
from gateway.s3.errors import S3Error
from gateway.versions.model import ObjectRecord
from tests.unit.s3.s3_requests import request


def test_headers_and_metadata_come_back_byte_for_byte() -> None:
    sent = {
        "content-type": "text/x; charset=utf-8",
        "cache-control": "no-cache",
        "content-encoding": "gzip,aws-chunked",
        "expires": "whenever",
        "x-amz-meta-plain": "v",
        "x-amz-meta-empty": "",
        "x-amz-meta-latin": "\xe9",
        "x-amz-meta-utf": "é".encode().decode("latin-1"),
        "x-amz-tagging": "a=b&c=d+e",
        "user-agent": "x",
    }
    found = parse_attributes(request(sent))
    assert found.headers["content-encoding"] == "gzip"
    assert found.metadata["utf"] == "é"
    assert found.tags == {"a": "b", "c": "d e"}
    record = ObjectRecord(
        0, 0, b"\0" * 16, headers=found.headers, metadata=found.metadata, tags=found.tags
    )
    shown = dict(object_headers(ObjectRecord.decode(record.encode())))
    assert shown[b"Content-Type"] == b"text/x; charset=utf-8"
    assert shown[b"Content-Encoding"] == b"gzip"
    assert shown[b"Expires"] == b"whenever"
    assert shown[b"x-amz-meta-latin"] == b"\xe9"
    assert shown[b"x-amz-meta-utf"] == "é".encode()
    assert shown[b"x-amz-meta-empty"] == b""
    assert shown[b"x-amz-tagging-count"] == b"2"


def test_framing_alone_is_no_encoding() -> None:
    found = parse_attributes(request({"content-encoding": "aws-chunked"}))
    assert "content-encoding" not in found.headers
    assert dict(object_headers(ObjectRecord(0, 0, b""))) == {
        b"Content-Type": b"binary/octet-stream"
    }


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("x-amz-meta-a", "x" * 2048, "MetadataTooLarge"),
        ("x-amz-storage-class", "FAST", "InvalidStorageClass"),
        ("x-amz-acl", "public-read", "AccessControlListNotSupported"),
        ("x-amz-grant-read", 'uri="AllUsers"', "AccessControlListNotSupported"),
        ("x-amz-server-side-encryption", "AES256", "NotImplemented"),
        ("x-amz-server-side-encryption-customer-key", "k", "NotImplemented"),
        ("x-amz-object-lock-mode", "GOVERNANCE", "NotImplemented"),
        ("x-amz-tagging", "=v", "InvalidTag"),
    ],
)
def test_refusals(header: str, value: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_attributes(request({header: value}))
    assert caught.value.code == code


def test_metadata_up_to_the_bound() -> None:
    assert parse_attributes(request({"x-amz-meta-a": "x" * 2047})).metadata["a"] == "x" * 2047


def test_default_storage_class_is_not_stored() -> None:
    assert not parse_attributes(request({"x-amz-storage-class": "STANDARD"})).headers
    assert parse_attributes(request({"x-amz-acl": "private"})).headers == {}


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b"", {}),
        (b"alone", {"alone": ""}),
        (b"foo=bar&alone", {"foo": "bar", "alone": ""}),
        (b"a%20b=c%26d&e=", {"a b": "c&d", "e": ""}),
    ],
)
def test_a_tag_without_a_value_has_the_empty_one(value: bytes, tags: dict[str, str]) -> None:
    assert parse_tagging(value) == tags


@pytest.mark.parametrize(
    "value",
    [b"a=1&a=2", b"k" * 129 + b"=v", b"k=" + b"v" * 257, b"&".join(b"%d=v" % i for i in range(11))],
)
def test_tags_out_of_bounds(value: bytes) -> None:
    with pytest.raises(S3Error):
        parse_tagging(value)
