"""Documents: what is written can be read, and what is read is bounded."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from gateway.errors import Invalid
from gateway.s3 import documents as d
from gateway.s3.context import decode_token, encode_token
from gateway.s3.errors import S3Error, translate
from gateway.versions.model import (
    BucketInfo,
    ChecksumValue,
    Listing,
    ObjectRecord,
)

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
RECORD = ObjectRecord(
    5, 1_700_000_000_999, b"\x01" * 16, checksums=(ChecksumValue("CRC32", "FULL_OBJECT", b"abcd"),)
)


def page(*keys: bytes, prefixes: tuple[bytes, ...] = (), next_: bytes = b"") -> Listing:
    return Listing([(key, RECORD) for key in keys], list(prefixes), bool(next_), next_)


def query(**changes: object) -> d.ListQuery:
    found = d.ListQuery("b", b"", b"", 1000, encode=False)
    return found._replace(**changes)  # type: ignore[arg-type]


def test_v2_listing() -> None:
    document = d.list_objects_v2(
        query(prefix=b"a&", delimiter=b"/", token="", marker=b"s", owner=True),
        page(b"a&<b>", prefixes=(b"a&d/",), next_=b"a&d/"),
        "TOKEN",
    )
    root = ET.fromstring(document)
    assert root.tag == NS + "ListBucketResult"
    assert root.findtext(NS + "Prefix") == "a&"
    assert root.findtext(NS + "KeyCount") == "2"
    assert root.findtext(NS + "ContinuationToken") == ""
    assert root.findtext(NS + "StartAfter") == "s"
    assert root.findtext(NS + "NextContinuationToken") == "TOKEN"
    assert root.findtext(NS + "IsTruncated") == "true"
    assert root.findtext(f"{NS}Contents/{NS}Key") == "a&<b>"
    assert root.findtext(f"{NS}Contents/{NS}ETag") == f'"{"01" * 16}"'
    assert root.findtext(f"{NS}Contents/{NS}LastModified") == "2023-11-14T22:13:20.000Z"
    assert root.findtext(f"{NS}Contents/{NS}Owner/{NS}DisplayName") == "sidegate"
    assert root.findtext(f"{NS}Contents/{NS}ChecksumAlgorithm") == "CRC32"
    assert root.findtext(f"{NS}CommonPrefixes/{NS}Prefix") == "a&d/"


def test_v2_listing_leaves_out_what_was_not_given() -> None:
    root = ET.fromstring(d.list_objects_v2(query(), page(b"k"), ""))
    names = {child.tag.removeprefix(NS) for child in root}
    assert names == {"Name", "Prefix", "KeyCount", "MaxKeys", "IsTruncated", "Contents"}
    assert root.find(f"{NS}Contents/{NS}Owner") is None


def test_v1_listing_always_has_a_marker_and_owners() -> None:
    root = ET.fromstring(d.list_objects_v1(query(), page(b"k", next_=b"k")))
    assert root.findtext(NS + "Marker") == ""
    assert root.findtext(NS + "NextMarker") == "k"
    assert root.findtext(f"{NS}Contents/{NS}Owner/{NS}ID") == d.OWNER_ID


def test_keys_that_xml_cannot_say() -> None:
    encoded = d.list_objects_v2(query(encode=True), page(b"a\x01 +/\xc3\xa9"), "")
    root = ET.fromstring(encoded)
    assert root.findtext(f"{NS}Contents/{NS}Key") == "a%01%20%2B/%C3%A9"
    assert root.findtext(NS + "EncodingType") == "url"
    assert b"<Key>a&#x1;b</Key>" in d.list_objects_v2(query(), page(b"a\x01b"), "")
    root = ET.fromstring(d.list_objects_v2(query(), page(b"line\nfeed\r"), ""))
    assert root.findtext(f"{NS}Contents/{NS}Key") == "line\nfeed\r"


def test_buckets() -> None:
    root = ET.fromstring(d.list_buckets([BucketInfo("master.r", 0)], None, ""))
    assert root.tag == NS + "ListAllMyBucketsResult"
    assert root.findtext(f"{NS}Buckets/{NS}Bucket/{NS}Name") == "master.r"
    assert ET.fromstring(d.location("")).text is None
    assert ET.fromstring(d.location("eu-west-1")).text == "eu-west-1"


def test_create_bucket_configuration() -> None:
    assert d.parse_create_bucket(b"") == ""
    assert d.parse_create_bucket(b"<CreateBucketConfiguration/>") == ""
    body = (
        b'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<LocationConstraint> eu-west-1 </LocationConstraint></CreateBucketConfiguration>"
    )
    assert d.parse_create_bucket(body) == "eu-west-1"
    with pytest.raises(Invalid):
        d.parse_create_bucket(b"<Other/>")


def test_delete_request() -> None:
    asked = d.parse_delete(
        b"<Delete><Quiet>TRUE</Quiet><Object><Key> a&#xA;b </Key></Object>"
        b"<Object><VersionId>null</VersionId><Key>c</Key><ETag>&quot;e&quot;</ETag></Object></Delete>"
    )
    assert asked.quiet
    assert asked.objects == [
        d.Deletion(b" a\nb ", None, None),
        d.Deletion(b"c", "null", "e"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Delete></Delete>",
        b"<Delete><Object/></Delete>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
        b'<!DOCTYPE d [<!ENTITY e "x">]><Delete><Object><Key>&e;</Key></Object></Delete>',
    ],
)
def test_delete_requests_that_are_malformed(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        d.parse_delete(body)
    assert translate(caught.value).code == "MalformedXML"


def test_delete_result() -> None:
    results = [d.Deleted(b"a", None), d.Deleted(b"b", "null", "AccessDenied", "no")]
    root = ET.fromstring(d.delete_result(results, quiet=False))
    assert root.findtext(f"{NS}Deleted/{NS}Key") == "a"
    assert root.findtext(f"{NS}Error/{NS}Code") == "AccessDenied"
    assert ET.fromstring(d.delete_result(results, quiet=True)).find(NS + "Deleted") is None


def test_complete_request() -> None:
    body = (
        b"<CompleteMultipartUpload><Part><ETag>&quot;aa&quot;</ETag><PartNumber>2</PartNumber>"
        b"<ChecksumCRC32>NhCmhg==</ChecksumCRC32></Part>"
        b"<Part><PartNumber>7</PartNumber><ETag>bb</ETag><ChecksumCRC32C>AAAAAA==-1</ChecksumCRC32C>"
        b"</Part></CompleteMultipartUpload>"
    )
    first, second = d.parse_complete(body)
    assert (first.number, first.etag) == (2, "aa")
    assert first.checksums == {"CRC32": bytes.fromhex("3610a686")}
    assert (second.number, second.etag) == (7, "bb")
    assert second.checksums == {"CRC32C": b"\x00" * 4}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedXML"),
        (b"<CompleteMultipartUpload/>", "MalformedXML"),
        (b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>", "MalformedXML"),
        (
            (
                b"<CompleteMultipartUpload><Part><PartNumber>10001</PartNumber><ETag>a</ETag></Part>"
                b"</CompleteMultipartUpload>"
            ),
            "InvalidArgument",
        ),
        (
            (
                b"<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>a</ETag></Part>"
                b"</CompleteMultipartUpload>"
            ),
            "MalformedXML",
        ),
    ],
)
def test_complete_requests_that_are_malformed(body: bytes, code: str) -> None:
    with pytest.raises((Invalid, S3Error)) as caught:
        d.parse_complete(body)
    assert translate(caught.value).code == code


def test_tokens() -> None:
    for marker in (b"", b"a/b", b"\xff\x00?"):
        assert decode_token(encode_token(marker)) == marker
    assert decode_token("") == b""
    for bad in ("x", "####", "AAAA", "é"):
        with pytest.raises(S3Error):
            decode_token(bad)
