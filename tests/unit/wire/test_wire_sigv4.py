from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_corpus import ACCESS_KEY, SECRET, captured, request_of, secret_of

from gateway import limits
from gateway.errors import Denied, Invalid, Reason, SidegateError, Unsupported
from gateway.wire.dates import parse_amz_date, parse_http_date
from gateway.wire.payload import PayloadMode
from gateway.wire.sigv4 import (
    AuthForm,
    SigningKeys,
    derive_key,
    detect,
    parse_authorization,
    verify,
)

DATE = b"20261121T052809Z"
NOW = parse_amz_date(DATE)
EMPTY = hashlib.sha256().hexdigest().encode()
HOST = (b"host", b"gateway:9000")


def sign(
    headers: list[tuple[bytes, bytes]],
    *,
    names: str | None = None,
    canonical_path: str = "/b/k",
    canonical_query: str = "",
    date: bytes = DATE,
    credential: str = f"{ACCESS_KEY}/20261121/us-east-1/s3/aws4_request",
    secret: str = SECRET,
) -> list[tuple[bytes, bytes]]:
    """Sign a GET straight from the published recipe, with nothing of the code under test."""
    values: dict[str, str] = {}
    for name, value in headers:
        text = " ".join(value.decode("latin-1").split())
        key = name.decode()
        values[key] = values[key] + "," + text if key in values else text
    names = names or ";".join(sorted(values))
    payload = values.get("x-amz-content-sha256", EMPTY.decode())
    canonical = "\n".join(
        [
            "GET",
            canonical_path,
            canonical_query,
            *[f"{name}:{values.get(name, '')}" for name in names.split(";")],
            "",
            names,
            payload,
        ]
    )
    scope = credential.partition("/")[2]
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{date.decode()}\n{scope}\n{digest}"
    key = b"AWS4" + secret.encode()
    for field in scope.split("/"):
        key = hmac.new(key, field.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    value = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return [*headers, (b"authorization", value.encode())]


def basic(*more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [HOST, (b"x-amz-date", DATE), (b"x-amz-content-sha256", EMPTY), *more]


def check(headers, target=b"/b/k", now_ms=NOW, method=b"GET"):
    request, parsed = request_of(method, target, headers)
    if detect(request, parsed) is not AuthForm.V4_HEADER:
        raise Unsupported(Reason.NOT_IMPLEMENTED, "another form")
    return verify(request, parsed, secret_of, now_ms, SigningKeys())


def refused(headers, **options) -> SidegateError:
    with pytest.raises((Denied, Invalid)) as caught:
        check(headers, **options)
    return caught.value


# --- what clients send -------------------------------------------------------------------------


def test_every_captured_v4_signature_holds():
    keys = SigningKeys()
    forms = dict.fromkeys(AuthForm, 0)
    for request in captured():
        form = detect(request.request, request.target)
        forms[form] += 1
        if form is not AuthForm.V4_HEADER:
            continue
        now_ms = parse_amz_date(request.request.header(b"x-amz-date"))
        verified = verify(request.request, request.target, secret_of, now_ms, keys)
        assert verified.access_key == ACCESS_KEY, str(request)
        payload = verified.payload
        assert (verified.chain is not None) == payload.mode.signed_chunks
        if payload.mode is PayloadMode.SHA256 and request.body is not None:
            assert hashlib.sha256(request.body).digest() == payload.sha256, str(request)
    assert forms[AuthForm.V4_HEADER] == 491
    assert forms[AuthForm.V2_HEADER] == 5


def test_a_captured_signature_holds_for_nothing_else():
    keys = SigningKeys()
    for request in captured()[::7]:
        if detect(request.request, request.target) is not AuthForm.V4_HEADER:
            continue
        now_ms = parse_amz_date(request.request.header(b"x-amz-date"))
        head = request.head
        other, target = request_of(head.method, head.target + b"x", head.headers)
        with pytest.raises(Denied) as caught:
            verify(other, target, secret_of, now_ms, keys)
        assert caught.value.data["s3_code"] == "SignatureDoesNotMatch"
        with pytest.raises(Denied):
            verify(request.request, request.target, {"AK": "other"}.get, now_ms, keys)


# --- canonical forms ---------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=30), st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_any_path_and_query_survive(key, pairs):
    key = key.encode("utf-8", "surrogatepass").decode("utf-8", "ignore")
    pairs = [
        tuple(text.encode("utf-8", "surrogatepass").decode("utf-8", "ignore") for text in pair)
        for pair in pairs
    ]
    path = "/b/" + quote(key, safe="-._~/")
    encoded = sorted((quote(n, safe="-._~"), quote(v, safe="-._~")) for n, v in pairs)
    query = "&".join(f"{name}={value}" for name, value in encoded if name or value)
    encoded = [(n, v) for n, v in encoded if n or v]
    # The client may send it in any order and with other escapes than the canonical ones.
    sent = "&".join(f"{name}={value}" for name, value in reversed(encoded)).replace("%2F", "/")
    target = path.replace("-", "%2d") + ("?" + sent if sent else "")
    headers = sign(basic(), canonical_path=path, canonical_query=query)
    check(headers, target=target.encode())


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        (b"/b/k?uploads", "uploads="),
        (b"/b/k?uploads=", "uploads="),
        (b"/b/k?b=2&a=1&a=0", "a=0&a=1&b=2"),
        (b"/b/k?a=b=c", "a=b%3Dc"),
        (b"/b/k?a=1+2", "a=1%2B2"),
        (b"/b/k?a=%20~*", "a=%20~%2A"),
        (b"/b/k?delimiter=/&prefix=d/f/", "delimiter=%2F&prefix=d%2Ff%2F"),
        (b"/b/k?", ""),
        (b"/b/k?a-b=1&a=2", "a=2&a-b=1"),
        (b"http://gateway:9000/b/k?x=1", "x=1"),
    ],
)
def test_canonical_queries(target, canonical):
    check(sign(basic(), canonical_query=canonical), target=target)


@pytest.mark.parametrize("path", ["/b//k", "/b/./k", "/b/../k", "/b/", "/", "/b/a%2Bb%20c"])
def test_paths_are_not_tidied(path):
    check(sign(basic(), canonical_path=path), target=path.encode())


def test_header_values_are_trimmed_collapsed_and_joined():
    more = [(b"x-amz-meta-a", b"a   b"), (b"x-amz-meta-b", b"1"), (b"x-amz-meta-b", b"2")]
    check(sign(basic(*more, (b"x-amz-meta-c", b""))))


def test_the_date_header_serves_when_there_is_no_other():
    http_date = b"Sat, 21 Nov 2026 05:28:09 GMT"
    assert parse_http_date(http_date) == NOW
    headers = [HOST, (b"date", http_date), (b"x-amz-content-sha256", EMPTY)]
    check(sign(headers))


def test_the_region_is_what_the_client_says():
    verified = check(sign(basic(), credential="AK/20261121/US/s3/aws4_request"))
    assert verified.region == "US"


def test_access_keys_may_contain_slashes():
    credential = "A/K/20261121/r/s3/aws4_request"
    value = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders=Host,Signature={'0' * 64}"
    parsed = parse_authorization(value.encode())
    assert parsed.access_key == "A/K"
    assert parsed.signed_headers == [b"host"]
    assert parsed.scope == b"20261121/r/s3/aws4_request"


# --- refusals ----------------------------------------------------------------------------------


def test_a_mismatch_says_what_was_signed():
    headers = sign(basic(), secret="wrong")
    error = refused(headers)
    assert isinstance(error, Denied)
    assert error.data["s3_code"] == "SignatureDoesNotMatch"
    xml = error.data["xml"]
    assert xml["AWSAccessKeyId"] == ACCESS_KEY
    assert xml["StringToSign"].startswith("AWS4-HMAC-SHA256\n20261121T052809Z\n20261121/")
    assert bytes.fromhex(xml["StringToSignBytes"]).decode() == xml["StringToSign"]
    assert xml["CanonicalRequest"].startswith("GET\n/b/k\n\nhost:gateway:9000\n")
    assert len(xml["SignatureProvided"]) == 64


def test_an_unknown_key():
    error = refused(sign(basic(), credential="NO/20261121/r/s3/aws4_request"))
    assert error.data["s3_code"] == "InvalidAccessKeyId"
    assert error.data["xml"] == {"AWSAccessKeyId": "NO"}


@pytest.mark.parametrize("minutes", [-16, 16, 60 * 24 * 365 * 20])
def test_a_clock_that_is_too_far_off(minutes):
    error = refused(sign(basic()), now_ms=NOW + minutes * 60_000)
    assert error.data["s3_code"] == "RequestTimeTooSkewed"
    assert error.data["xml"]["MaxAllowedSkewMilliseconds"] == "900000"


@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_a_clock_that_is_near_enough(minutes):
    check(sign(basic()), now_ms=NOW + minutes * 60_000)


@pytest.mark.parametrize(
    "date", [None, (b"x-amz-date", b"yesterday"), (b"x-amz-date", b""), (b"date", b"x")]
)
def test_a_missing_or_bad_date(date):
    headers = [HOST, (b"x-amz-content-sha256", EMPTY)] + ([date] if date else [])
    assert refused(sign(headers)).data["s3_code"] == "AccessDenied"


def test_a_credential_of_another_day():
    error = refused(sign(basic(), credential="AK/20261120/r/s3/aws4_request"))
    assert error.data["s3_code"] == "AuthorizationHeaderMalformed"


def test_the_payload_hash_is_required():
    error = refused(sign([HOST, (b"x-amz-date", DATE)]))
    assert error.data["s3_code"] == "InvalidRequest"


def test_an_unknown_payload_hash():
    headers = [HOST, (b"x-amz-date", DATE), (b"x-amz-content-sha256", b"STREAMING-NONSENSE")]
    assert refused(sign(headers)).data["s3_code"] == "InvalidArgument"


def test_every_amz_header_and_host_must_be_signed():
    names = "host;x-amz-content-sha256;x-amz-date"
    error = refused(sign(basic((b"x-amz-meta-a", b"1")), names=names))
    assert error.data["s3_code"] == "AccessDenied"
    assert error.data["xml"] == {"HeadersNotSigned": "x-amz-meta-a"}
    error = refused(sign(basic(), names="x-amz-content-sha256;x-amz-date"))
    assert error.data["xml"] == {"HeadersNotSigned": "host"}
    check(sign(basic((b"content-type", b"text/plain")), names=names))


def test_a_session_token_is_not_known():
    error = refused(sign(basic((b"x-amz-security-token", b"t"))))
    assert error.data["s3_code"] == "InvalidToken"
    check(sign(basic((b"x-amz-security-token", b""))))


GOOD_CREDENTIAL = "AK/20261121/r/s3/aws4_request"
GOOD = {"Credential": GOOD_CREDENTIAL, "SignedHeaders": "host", "Signature": "0" * 64}


def authorization(**changes: str | None) -> str:
    parts = {**GOOD, **changes}
    return "AWS4-HMAC-SHA256 " + ", ".join(f"{k}={v}" for k, v in parts.items() if v is not None)


@pytest.mark.parametrize(
    "value",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 nonsense",
        authorization() + ", Signature=" + "0" * 64,
        authorization(Credential=None),
        authorization(SignedHeaders=None),
        authorization(Signature=None),
        authorization(Signature="00"),
        authorization(SignedHeaders="host" + ";a" * limits.HEADER_COUNT_MAX),
        authorization(Signature="g" * 64),
        authorization(Credential="AK/2026112/r/s3/aws4_request"),
        authorization(Credential="AK/20261121/r/ec2/aws4_request"),
        authorization(Credential="AK/20261121/r/s3/aws5_request"),
        authorization(Credential="/20261121/r/s3/aws4_request"),
        authorization(Credential="AK"),
        authorization(Credential="\xff/20261121/r/s3/aws4_request"),
    ],
)
def test_malformed_authorizations(value):
    error = refused(basic((b"authorization", value.encode("latin-1"))))
    assert error.data["s3_code"] == "AuthorizationHeaderMalformed"


@given(st.binary(max_size=60), st.binary(max_size=30), st.binary(max_size=20))
def test_whatever_arrives_is_refused_on_purpose(value, query, date):
    headers = [HOST, (b"authorization", value), (b"x-amz-date", date)]
    headers.append((b"x-amz-content-sha256", EMPTY))
    for prefix in (b"", b"AWS4-HMAC-SHA256 ", b"AWS4-HMAC-SHA256 Credential=AK/"):
        headers[1] = (b"authorization", prefix + value)
        with pytest.raises(SidegateError):
            check(headers, target=b"/b/k?" + query)


# --- the other forms ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "value", "form"),
    [
        (b"/b/k", None, AuthForm.NONE),
        (b"/b/k", b"", AuthForm.NONE),
        (b"/b/k", b"AWS AK:c2ln", AuthForm.V2_HEADER),
        (b"/b/k?X-Amz-Algorithm=A&X-Amz-Signature=0", None, AuthForm.V4_QUERY),
        (b"/b/k?X-Amz-Credential=A", None, AuthForm.V4_QUERY),
        (b"/b/k?AWSAccessKeyId=A&Signature=B&Expires=1", None, AuthForm.V2_QUERY),
        (b"/b/k?Signature=B", None, AuthForm.NONE),
    ],
)
def test_the_forms_are_told_apart(target, value, form):
    headers = [HOST] + ([] if value is None else [(b"authorization", value)])
    assert detect(*request_of(b"GET", target, headers)) is form


def test_forms_that_are_refused():
    def fails(target: bytes, value: bytes):
        with pytest.raises((Invalid, Unsupported)) as caught:
            detect(*request_of(b"GET", target, [HOST, (b"authorization", value)]))
        return caught.value.data["s3_code"]

    assert fails(b"/b?X-Amz-Signature=1", b"AWS4-HMAC-SHA256 x") == "InvalidArgument"
    assert fails(b"/b", b"Bearer x") == "InvalidArgument"
    assert fails(b"/b", b"AWS4-ECDSA-P256-SHA256 x") == "NotImplemented"


# --- keys --------------------------------------------------------------------------------------


def test_signing_keys_are_bounded_and_right():
    keys = SigningKeys(2)
    first = keys.get("s", b"20260101", b"r")
    key = derive_key("s", b"20260101", b"r")
    assert first.digest(b"text") == hmac.digest(key, b"text", "sha256")
    keys.get("s", b"20260102", b"r")
    keys.get("s", b"20260101", b"r")
    keys.get("s", b"20260103", b"r")
    assert len(keys) == 2
    assert keys.get("s", b"20260101", b"r") is first


def test_the_published_example_of_key_derivation():
    # AWS documentation, "Examples of how to derive a signing key".
    key = derive_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", b"20120215", b"us-east-1", b"iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
