"""The table of errors, and how one is written."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from gateway.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    Kind,
    NotFound,
    PreconditionFailed,
    Reason,
    TooLarge,
    Unavailable,
)
from gateway.s3.errors import BY_KIND, BY_REASON, CODES, FIXED, S3Error, render, translate

# What never comes to a front door of S3: their kinds decide.
_ELSEWHERE = {
    Reason.NO_SUCH_PIPELINE,
    Reason.NO_SUCH_JOB,
    Reason.BAD_SPEC,
    Reason.BAD_USAGE,
    Reason.PORT_IN_USE,
    Reason.NO_SERVER,
}


def test_the_table_is_whole() -> None:
    assert set(BY_REASON) | _ELSEWHERE == set(Reason)
    assert set(BY_KIND) == set(Kind)
    assert {*BY_REASON.values(), *BY_KIND.values(), *FIXED} <= set(CODES)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (NotFound(Reason.NO_SUCH_BRANCH, "x"), "NoSuchBucket", 404),
        (NotFound(Reason.NO_SUCH_KEY, "x"), "NoSuchKey", 404),
        (Conflict(Reason.ALREADY_EXISTS, "x"), "BucketAlreadyOwnedByYou", 409),
        (Conflict(Reason.NOT_EMPTY, "x"), "BucketNotEmpty", 409),
        (Conflict(Reason.RACED, "x"), "ConditionalRequestConflict", 409),
        (Denied(Reason.READ_ONLY, "x"), "AccessDenied", 403),
        (Invalid(Reason.BAD_NAME, "x"), "InvalidBucketName", 400),
        (Invalid(Reason.BAD_DIGEST, "x", s3_code="InvalidDigest"), "InvalidDigest", 400),
        (TooLarge(Reason.OBJECT_TOO_LARGE, "x"), "EntityTooLarge", 400),
        (Unavailable(Reason.DISK_FULL, "x"), "InsufficientStorage", 507),
        (Corrupt(Reason.DAMAGED, "x"), "InternalError", 500),
        (RuntimeError("secret"), "InternalError", 500),
    ],
)
def test_translation(error: Exception, code: str, status: int) -> None:
    found = translate(error)
    assert (found.code, found.status) == (code, status)


def test_sentences_that_clients_compare() -> None:
    message = translate(NotFound(Reason.NO_SUCH_KEY, "our own words")).message
    assert message == "The specified key does not exist."
    message = translate(NotFound(Reason.NO_SUCH_REPO, "our own words")).message
    assert message == "The specified bucket does not exist"
    assert S3Error("NotImplemented").message == (
        "A header you provided implies functionality that is not implemented."
    )


def test_what_is_told_and_what_is_not() -> None:
    assert (
        translate(Corrupt(Reason.DAMAGED, "chunk ab is damaged")).message == "chunk ab is damaged"
    )
    assert "secret" not in translate(RuntimeError("secret")).message
    assert "/path" not in translate(Unavailable(Reason.IO_ERROR, "EIO on /path")).message


def test_data_becomes_elements() -> None:
    error = PreconditionFailed(Reason.PRECONDITION_FAILED, "x", condition="If-Match")
    assert translate(error).xml == {"Condition": "If-Match"}
    error2 = Invalid(Reason.BAD_DIGEST, "x", s3_code="BadDigest", xml={"ExpectedDigest": "q"})
    assert translate(error2).xml == {"ExpectedDigest": "q"}


def test_the_document() -> None:
    error = S3Error("InvalidArgument", "a < b & \x01c", xml={"ArgumentName": "max<keys"})
    document = render(error, "/b/<k>\ud800", "00ABCD", "host")
    root = ET.fromstring(document)
    assert [child.tag for child in root] == [
        "Code",
        "Message",
        "ArgumentName",
        "Resource",
        "RequestId",
        "HostId",
    ]
    assert root.findtext("Message") == "a < b & �c"
    assert root.findtext("RequestId") == "00ABCD"
