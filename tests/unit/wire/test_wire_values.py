"""Targets, dates, ranges, conditions, payload headers."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid, Unsupported
from gateway.wire import conditions, dates, payload, ranges, target
from gateway.wire.conditions import Outcome, ReadConditions, WriteConditions
from gateway.wire.payload import PayloadMode
from gateway.wire.ranges import FULL, UNSATISFIABLE, ByteRange

# --- targets -----------------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_encoding_and_decoding_are_inverse(raw):
    for keep_slash in (False, True):
        encoded = target.percent_encode(raw, keep_slash=keep_slash)
        assert target.percent_decode(encoded) == raw
        assert set(encoded) <= set(target._UNRESERVED_AND_SLASH + b"%")
        assert keep_slash or b"/" not in encoded


@pytest.mark.parametrize("raw", [b"%", b"%2", b"a%zz", b"%%20", b"%-1"])
def test_bad_escapes_are_refused(raw):
    with pytest.raises(Invalid) as caught:
        target.percent_decode(raw)
    assert caught.value.data["s3_code"] == "InvalidURI"


def test_a_target_is_taken_apart_and_decoded_once():
    parsed = target.parse_target(b"/b/a%2520%2Fb+c?prefix=a%26b+c&uploads&x=1&x=2&&=v?")
    assert parsed.raw_path == b"/b/a%2520%2Fb+c"
    assert parsed.path == b"/b/a%20/b+c"
    assert parsed.pairs == [
        (b"prefix", b"a&b+c"),
        (b"uploads", b""),
        (b"x", b"1"),
        (b"x", b"2"),
        (b"", b"v?"),
    ]
    assert parsed.get(b"prefix") == b"a&b+c"
    assert parsed.get(b"x") == b"1"
    assert parsed.get(b"y") is None
    assert b"uploads" in parsed
    assert b"y" not in parsed


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/b/k", (b"/b/k", b"")),
        (b"/b/http://x?y", (b"/b/http://x", b"y")),
        (b"http://h:1/b/k?q", (b"/b/k", b"q")),
        (b"https://h", (b"/", b"")),
        (b"https://h?q", (b"/", b"q")),
        (b"*", (b"*", b"")),
    ],
)
def test_splitting(raw, expected):
    assert target.split_target(raw) == expected


# --- dates -------------------------------------------------------------------------------------

MS = 784111777_000  # Sun, 06 Nov 1994 08:49:37 GMT


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_every_form_survives_to_the_second(moment):
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    time_ms = round(moment.timestamp()) * 1000
    assert dates.format_http_date(time_ms + 999) == format_datetime(moment, usegmt=True)
    assert dates.parse_http_date(dates.format_http_date(time_ms).encode()) == time_ms
    assert dates.parse_iso8601(dates.format_iso8601(time_ms)) == time_ms
    assert dates.parse_amz_date(dates.format_amz_date(time_ms).encode()) == time_ms


def test_examples_of_the_rfc():
    for text in (
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"sun, 6 nov 1994 08:49:37 +0000",
        b" Sun, 06 Nov 1994 08:49:37 GMT ",
    ):
        assert dates.parse_http_date(text) == MS
    assert dates.format_iso8601(MS) == "1994-11-06T08:49:37.000Z"
    assert dates.format_amz_date(MS) == "19941106T084937Z"
    assert dates.parse_iso8601("1994-11-06T08:49:37.5Z") == MS + 500
    assert dates.parse_iso8601("1994-11-06T08:49:37.1239Z") == MS + 123


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"Sun, 06 Nov 1994 08:49:37 CET",
        b"Sun, 32 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Foo 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"\xff",
        b"1994-11-06T08:49:37Z\n",
        b"19941306T084937Z",
    ],
)
def test_what_is_no_date(text):
    assert dates.parse_http_date(text) is None
    assert dates.parse_iso8601(text) is None
    assert dates.parse_amz_date(text) is None


# --- ranges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        (None, 10, FULL),
        (b"bytes=0-0", 10, (0, 1)),
        (b"bytes=0-9", 10, (0, 10)),
        (b"bytes=0-8388607", 10, (0, 10)),
        (b"bytes=3-", 10, (3, 10)),
        (b"bytes=-3", 10, (7, 10)),
        (b"bytes=-30", 10, (0, 10)),
        (b"BYTES = 1 - 2 ", 10, (1, 3)),
        (b"bytes=10-", 10, UNSATISFIABLE),
        (b"bytes=10-12", 10, UNSATISFIABLE),
        (b"bytes=-0", 10, UNSATISFIABLE),
        (b"bytes=0-8388607", 0, UNSATISFIABLE),
        (b"bytes=-1", 0, UNSATISFIABLE),
        (b"bytes=" + b"9" * 50 + b"-", 10, UNSATISFIABLE),
        (b"bytes=0-" + b"9" * 5000, 10, (0, 10)),
        (b"bytes=-" + b"9" * 5000, 10, (0, 10)),
        (b"bytes=5-2", 10, FULL),
        (b"bytes=0-1,3-4", 10, FULL),
        (b"bytes=-", 10, FULL),
        (b"bytes=", 10, FULL),
        (b"bytes", 10, FULL),
        (b"bytes=a-b", 10, FULL),
        (b"bytes=--1", 10, FULL),
        (b"bytes=+1-2", 10, FULL),
        (b"lines=1-2", 10, FULL),
        (b"", 10, FULL),
    ],
)
def test_ranges(value, size, expected):
    assert ranges.parse_range(value, size) == expected


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30))
def test_a_range_is_a_slice(first, last, size):
    data = bytes(range(size))
    selected = ranges.parse_range(b"bytes=%d-%d" % (first, last), size)
    if last < first:
        assert selected is FULL
    elif first >= size:
        assert selected is UNSATISFIABLE
    else:
        assert data[selected.start : selected.end] == data[first : last + 1]
        header = ranges.content_range(selected, size)
        assert header == b"bytes %d-%d/%d" % (first, min(last, size - 1), size)


def test_copy_ranges_are_strict():
    assert ranges.parse_copy_range(b"bytes=0-9", 10) == ByteRange(0, 10)
    for value in (
        b"bytes=0-10", b"bytes=3-", b"bytes=-3", b"bytes=5-2", b"0-2", b"bytes=0-1,2-3", b"",
        b"bytes= 0-1", b"bytes=0 - 1", b"Bytes=0-1", b"bytes=hello-world", b"bytes=0-1\n",
        b"bytes=%d-%d" % (10**40, 10**40),
    ):  # fmt: skip
        with pytest.raises(Invalid) as caught:
            ranges.parse_copy_range(value, 10)
        assert caught.value.data["s3_code"] == "InvalidArgument"
    assert ranges.unsatisfied_content_range(10) == b"bytes */10"


# --- conditions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "strong", "weak"),
    [
        (None, None, None),
        (b"*", "*", "*"),
        (b'"*"', "*", "*"),
        (b'"a"', ("a",), ("a",)),
        (b"a", ("a",), ("a",)),
        (b'"a", "b-2",c', ("a", "b-2", "c"), ("a", "b-2", "c")),
        (b'W/"a"', (), ("a",)),
        (b'W/"a", "b"', ("b",), ("a", "b")),
        (b"", (), ()),
    ],
)
def test_lists_of_tags(value, strong, weak):
    assert conditions.parse_etags(value) == strong
    assert conditions.parse_etags(value, weak=True) == weak


def read(**headers: bytes) -> ReadConditions | None:
    values = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return ReadConditions.parse(values.get)


NOW = MS + 3_600_000
BEFORE = dates.format_http_date(MS - 1000).encode()
AT = dates.format_http_date(MS).encode()
AFTER = dates.format_http_date(MS + 1000).encode()
FUTURE = dates.format_http_date(NOW + 1000).encode()


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"if_match": b'"e"'}, Outcome.PROCEED),
        ({"if_match": b"e"}, Outcome.PROCEED),
        ({"if_match": b"*"}, Outcome.PROCEED),
        ({"if_match": b"x"}, Outcome.FAILED),
        ({"if_match": b'W/"e"'}, Outcome.FAILED),
        ({"if_match": b"x, e"}, Outcome.PROCEED),
        ({"if_none_match": b'W/"e"'}, Outcome.NOT_MODIFIED),
        ({"if_none_match": b"*"}, Outcome.NOT_MODIFIED),
        ({"if_none_match": b"x"}, Outcome.PROCEED),
        ({"if_modified_since": AT}, Outcome.NOT_MODIFIED),
        ({"if_modified_since": AFTER}, Outcome.NOT_MODIFIED),
        ({"if_modified_since": BEFORE}, Outcome.PROCEED),
        ({"if_modified_since": FUTURE}, Outcome.PROCEED),
        ({"if_modified_since": b"nonsense"}, Outcome.PROCEED),
        ({"if_unmodified_since": AT}, Outcome.PROCEED),
        ({"if_unmodified_since": AFTER}, Outcome.PROCEED),
        ({"if_unmodified_since": BEFORE}, Outcome.FAILED),
        ({"if_unmodified_since": b"nonsense"}, Outcome.PROCEED),
        # The tag hides the date.
        ({"if_match": b"e", "if_unmodified_since": BEFORE}, Outcome.PROCEED),
        ({"if_none_match": b"x", "if_modified_since": AFTER}, Outcome.PROCEED),
        ({"if_none_match": b"e", "if_modified_since": BEFORE}, Outcome.NOT_MODIFIED),
        ({"if_match": b"x", "if_none_match": b"e"}, Outcome.FAILED),
        ({"if_match": b"e", "if_none_match": b"e"}, Outcome.NOT_MODIFIED),
    ],
)
def test_conditions_of_reads(headers, outcome):
    stated = read(**headers)
    assert stated is not None
    assert stated.evaluate("e", MS + 789, NOW) is outcome


def test_no_condition_is_none():
    assert read() is None
    assert WriteConditions.parse({}.get) is None
    prefix = b"x-amz-copy-source-"
    stated = ReadConditions.parse({prefix + b"if-match": b"e"}.get, prefix)
    assert stated == ReadConditions(if_match=("e",))


@pytest.mark.parametrize(
    ("match", "none_match", "etag", "outcome"),
    [
        (None, b"*", None, Outcome.PROCEED),
        (None, b"*", "e", Outcome.FAILED),
        (None, b"e", "e", Outcome.FAILED),
        (None, b"x", "e", Outcome.PROCEED),
        (b'"e"', None, "e", Outcome.PROCEED),
        (b"x", None, "e", Outcome.FAILED),
        (b"e", None, None, Outcome.MISSING),
        (b"*", None, None, Outcome.MISSING),
        (b"*", None, "e", Outcome.PROCEED),
    ],
)
def test_conditions_of_writes(match, none_match, etag, outcome):
    headers = {b"if-match": match, b"if-none-match": none_match}
    stated = WriteConditions.parse(headers.get)
    assert stated is not None
    assert stated.evaluate(etag) is outcome


@pytest.mark.parametrize("text", ["x", '"x"', ' "x"\n', 'W/"x"'])
def test_tags_of_documents(text):
    assert conditions.parse_etag(text) == "x"


# --- payload headers ---------------------------------------------------------------------------


def test_payload_modes():
    assert payload.parse_payload(None).mode is PayloadMode.PLAIN
    assert payload.parse_payload(b"UNSIGNED-PAYLOAD").mode is PayloadMode.UNSIGNED
    hashed = payload.parse_payload(b"AB" * 32)
    assert hashed == (PayloadMode.SHA256, b"\xab" * 32)
    kinds = {
        b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, True, False),
        b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True, True),
        b"STREAMING-UNSIGNED-PAYLOAD-TRAILER": (True, False, True),
        b"UNSIGNED-PAYLOAD": (False, False, False),
    }
    for value, expected in kinds.items():
        mode = payload.parse_payload(value).mode
        assert (mode.chunked, mode.signed_chunks, mode.trailer) == expected


@pytest.mark.parametrize("value", [b"", b"x", b"g" * 64, b"a" * 63, b"plain", b"sha256"])
def test_unknown_payload_modes(value):
    with pytest.raises(Invalid) as caught:
        payload.parse_payload(value)
    assert caught.value.data["s3_code"] == "InvalidArgument"


def test_asymmetric_chunks_are_not_implemented():
    with pytest.raises(Unsupported):
        payload.parse_payload(b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")


@pytest.mark.parametrize("value", [None, b"", b"-1", b"x", b"1.0", b"1" * 20, b"\xb2"])
def test_a_missing_decoded_length(value):
    with pytest.raises(Invalid) as caught:
        payload.parse_decoded_length(value)
    assert caught.value.data["s3_code"] == "MissingContentLength"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"gzip", b"gzip"),
        (b"aws-chunked", b""),
        (b"aws-chunked,gzip", b"gzip"),
        (b"gzip, AWS-Chunked", b"gzip"),
        (b"a, aws-chunked ,b", b"a,b"),
        (b"", b""),
    ],
)
def test_stored_encodings(value, stored):
    assert payload.strip_aws_chunked(value) == stored
    assert payload.parse_decoded_length(b"012") == 12
