from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_corpus import captured

from gateway.errors import Invalid
from gateway.wire.xml import S3_NAMESPACE, Writer, escape, parse

# What XML 1.0 can carry and no parser normalises away.
plain_text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
)


def test_a_document():
    writer = Writer("ListBucketResult")
    writer.text("Name", "b")
    writer.text("MaxKeys", 1000)
    writer.flag("IsTruncated", value=False)
    with writer.element("Contents"):
        writer.text("ETag", '"x"')
    writer.begin("CommonPrefixes")
    writer.text("Prefix", "a&<b>/")
    writer.end("CommonPrefixes")
    with writer.element("Grantee", 'xsi:type="CanonicalUser"'):
        pass
    assert writer.render().decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ListBucketResult xmlns="{S3_NAMESPACE}"><Name>b</Name><MaxKeys>1000</MaxKeys>'
        "<IsTruncated>false</IsTruncated><Contents><ETag>&quot;x&quot;</ETag></Contents>"
        "<CommonPrefixes><Prefix>a&amp;&lt;b&gt;/</Prefix></CommonPrefixes>"
        '<Grantee xsi:type="CanonicalUser"></Grantee></ListBucketResult>'
    )
    assert Writer("Error", None).render().endswith(b"<Error></Error>")


def test_control_characters_are_escaped_as_s3_does():
    assert escape("a\x01\r\n\t\x7f\ufffe") == "a&#x1;&#xd;&#xa;&#x9;&#x7f;&#xfffe;"
    assert escape("\ud800") == "&#xd800;"


@given(plain_text, st.text("\r\n\t &<>\"'é", max_size=10))
def test_text_survives_writing_and_parsing(text, awkward):
    writer = Writer("R")
    writer.text("Key", text + awkward)
    writer.text("Key", awkward)
    root = parse(writer.render(), "R")
    assert [child.text for child in root.find_all("Key")] == [text + awkward, awkward]


@pytest.mark.parametrize(
    "document",
    [
        b"<Delete><Object><Key>a b</Key></Object><Quiet>true</Quiet></Delete>",
        (
            b'<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/'
            b'2006-03-01/">\n <Quiet>true</Quiet>\n <Object>\n <Key>a b</Key></Object></Delete>\n'
        ),
        (
            b'<s3:Delete xmlns:s3="urn:x"><s3:Quiet>true</s3:Quiet><s3:Object><s3:Key>a&#x20;b'
            b"</s3:Key></s3:Object></s3:Delete>"
        ),
        "<?xml version='1.0' encoding='utf-16'?><Delete><Quiet>true</Quiet><Object>"
        "<Key><!-- c -->a<![CDATA[ b]]></Key></Object></Delete>".encode("utf-16"),
    ],
)
def test_documents_as_clients_send_them(document):
    root = parse(document, "Delete")
    assert root.value("Quiet") == "true"
    assert [item.value("Key") for item in root.find_all("Object")] == ["a b"]
    assert root.find("VersionId") is None
    assert root.value("VersionId") is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"   ",
        b"no",
        b"<Delete>",
        b"<Delete></delete>",
        b"<Delete/><Delete/>",
        b"<Other/>",
        b"<Delete>&x;</Delete>",
        b"<Delete>\x01</Delete>",
        b"<Delete>\xff</Delete>",
        b'<!DOCTYPE Delete [<!ENTITY a "b">]><Delete>&a;</Delete>',
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete/>',
        b'<?xml version="1.0" encoding="nonsense"?><Delete/>',
        b'<?xml version="1.0" encoding="utf-7"?><Delete/>',
        b"<Delete>" + b"<a>" * 100 + b"</a>" * 100 + b"</Delete>",
        b"<Delete>" + b"<a/>" * 200_001 + b"</Delete>",
    ],
)
def test_documents_that_are_refused(document):
    with pytest.raises(Invalid) as caught:
        parse(document, "Delete")
    assert caught.value.data["s3_code"] == "MalformedXML"


def test_captured_documents():
    roots = set()
    for request in captured():
        if request.head.method == b"POST" and request.body and b"uploads" not in request.target:
            root = parse(request.body)
            roots.add(root.name)
            if root.name == "Delete":
                assert all(item.value("Key") for item in root.find_all("Object"))
            else:
                numbers = [int(part.value("PartNumber") or 0) for part in root.find_all("Part")]
                assert numbers == sorted(numbers)
                assert numbers[0] > 0
    assert roots == {"Delete", "CompleteMultipartUpload"}


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(document):
    with contextlib.suppress(Invalid):
        parse(document)
