"""AWS Signature Version 4 in the Authorization header.

The canonical request is built from what arrived: the path decoded once and encoded again, the query
likewise and sorted, the headers that the client says it signed with their raw values. The region is
the client's fiction and only has to be the same in the scope and the signature; the service must be
`s3`. `host` and every `x-amz-*` header present must be signed.

Errors carry S3's code in `data["s3_code"]` and the elements that its document has besides in
`data["xml"]`; S3 names its codes, this module only uses them. Signatures are compared in constant
time. Which of the other forms a request uses is told by `detect`, without judging them.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from gateway import limits
from gateway.digests import HmacSha256
from gateway.errors import Denied, Invalid, Reason, Unsupported
from gateway.wire.aws_chunked import Chain
from gateway.wire.dates import format_amz_date, format_iso8601, parse_amz_date, parse_http_date
from gateway.wire.messages import Request
from gateway.wire.payload import Payload, parse_payload
from gateway.wire.target import Target, canonical_path, canonical_query

_ALGORITHM = b"AWS4-HMAC-SHA256"
_SIGNATURE_SIZE = 64
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_DIGITS = frozenset(b"0123456789")
_KEYS_MAX = 1024  # signing keys: one per access key, day and region
_QUERY_V4 = (b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Signature")
_QUERY_V2 = (b"AWSAccessKeyId", b"Signature")


class AuthForm(enum.Enum):
    """Where and how a request is signed."""

    NONE = "none"
    V4_HEADER = "v4 header"
    V4_QUERY = "v4 query"
    V2_HEADER = "v2 header"
    V2_QUERY = "v2 query"


class Authorization(NamedTuple):
    """The parts of a V4 Authorization header."""

    access_key: str
    date: bytes  # YYYYMMDD
    region: bytes
    signed_headers: list[bytes]  # lower case, in the order given
    signature: bytes  # 64 hex digits

    @property
    def scope(self) -> bytes:
        """Return `date/region/s3/aws4_request`."""
        return b"%b/%b/s3/aws4_request" % (self.date, self.region)


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that holds."""

    access_key: str
    region: str
    payload: Payload
    chain: Chain | None  # for bodies in signed chunks


class SigningKeys:
    """Derived keys by (secret, date, region), the least recently used forgotten first."""

    __slots__ = ("_keys", "_size_max")

    def __init__(self, size_max: int = _KEYS_MAX) -> None:
        self._keys: dict[tuple[str, bytes, bytes], HmacSha256] = {}
        self._size_max = size_max

    def get(self, secret: str, date: bytes, region: bytes) -> HmacSha256:
        """Return what signs strings of that scope."""
        entry = (secret, date, region)
        key = self._keys.pop(entry, None)
        if key is None:
            key = HmacSha256(derive_key(secret, date, region))
            if len(self._keys) >= self._size_max:
                del self._keys[next(iter(self._keys))]
        self._keys[entry] = key
        return key

    def __len__(self) -> int:
        return len(self._keys)


def derive_key(secret: str, date: bytes, region: bytes, service: bytes = b"s3") -> bytes:
    """Derive the signing key of a secret for a day (YYYYMMDD), region and service."""
    key = b"AWS4" + secret.encode()
    for text in (date, region, service, b"aws4_request"):
        key = hmac.digest(key, text, "sha256")
    return key


def detect(request: Request, target: Target) -> AuthForm:
    """Tell which form of authentication a request uses; an empty header is none.

    Raises:
        Invalid(BAD_ARGUMENT): two forms at once, or an unknown scheme (InvalidArgument).
        Unsupported(NOT_IMPLEMENTED): asymmetric signatures (NotImplemented).
    """
    query = AuthForm.NONE
    if target.pairs:
        if any(name in target for name in _QUERY_V4):
            query = AuthForm.V4_QUERY
        elif all(name in target for name in _QUERY_V2):
            query = AuthForm.V2_QUERY
    value = request.header(b"authorization")
    if not value:
        return query
    if query is not AuthForm.NONE:
        raise Invalid(
            Reason.BAD_ARGUMENT,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature "
            "query string parameter or the Authorization header should be specified",
            s3_code="InvalidArgument",
            xml={"ArgumentName": "Authorization", "ArgumentValue": _text(value)},
        )
    scheme = value.partition(b" ")[0]
    if scheme == _ALGORITHM:
        return AuthForm.V4_HEADER
    if scheme == b"AWS":
        return AuthForm.V2_HEADER
    if scheme.startswith(b"AWS4-ECDSA"):
        raise Unsupported(
            Reason.NOT_IMPLEMENTED,
            "Asymmetric signatures are not implemented.",
            s3_code="NotImplemented",
        )
    raise Invalid(
        Reason.BAD_ARGUMENT,
        "Unsupported Authorization Type",
        s3_code="InvalidArgument",
        xml={"ArgumentName": "Authorization", "ArgumentValue": _text(value)},
    )


def parse_authorization(value: bytes) -> Authorization:
    """Parse a V4 Authorization header; its parts are parted by commas, with or without spaces.

    Raises:
        Invalid(BAD_ARGUMENT): not of that form (AuthorizationHeaderMalformed).
    """
    scheme, _, rest = value.partition(b" ")
    if scheme != _ALGORITHM:
        _malformed("the scheme is not AWS4-HMAC-SHA256.")
    parts: dict[bytes, bytes] = {}
    for piece in rest.split(b","):
        name, equals, content = piece.strip(b" \t").partition(b"=")
        if not equals or name in parts:
            _malformed("it is not a list of name=value.")
        parts[name] = content
    credential = parts.get(b"Credential")
    signed = parts.get(b"SignedHeaders")
    signature = parts.get(b"Signature")
    if not credential or not signed or not signature:
        _malformed("it needs Credential, SignedHeaders and Signature.")
    if len(signature) != _SIGNATURE_SIZE or not _HEX_DIGITS.issuperset(signature):
        _malformed("the Signature is not 64 hex digits.")
    if signed.count(b";") >= limits.HEADER_COUNT_MAX:
        _malformed("SignedHeaders names too many headers.")
    access_key, date, region = _parse_credential(credential)
    return Authorization(access_key, date, region, signed.lower().split(b";"), signature)


def _parse_credential(credential: bytes) -> tuple[str, bytes, bytes]:
    fields = credential.rsplit(b"/", 4)  # from the right: access keys may contain slashes
    if len(fields) != 5 or not fields[0]:
        _malformed(
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/'
            'aws4_request".'
        )
    access_key, date, region, service, terminal = fields
    if len(date) != 8 or not _DIGITS.issuperset(date):
        _malformed(
            f'incorrect date format "{_text(date)}". This date in the credential must be in '
            'the format "yyyyMMdd".'
        )
    if service != b"s3":
        _malformed(f'incorrect service "{_text(service)}". This endpoint belongs to "s3".')
    if terminal != b"aws4_request":
        _malformed(f'incorrect terminal "{_text(terminal)}". This endpoint uses "aws4_request".')
    try:
        return access_key.decode("utf-8"), date, region
    except UnicodeDecodeError:
        _malformed("the access key is not UTF-8.")


def canonical_request(
    request: Request, target: Target, signed_headers: Sequence[bytes], payload_hash: bytes
) -> bytes:
    """Return the canonical request: what the client hashed before it signed.

    A signed header that is absent counts as empty: then the signature cannot hold.
    """
    index = request.index
    lines = [
        request.method,
        canonical_path(target.path),
        canonical_query(target.pairs) if target.pairs else b"",
    ]
    for name in signed_headers:
        value = index.get(name, b"")
        if b"  " in value or b"\t" in value or value[:1] == b" ":
            value = b" ".join(value.split())
        lines.append(name + b":" + value)
    lines += (b"", b";".join(signed_headers), payload_hash)
    return b"\n".join(lines)


def string_to_sign(amz_date: bytes, scope: bytes, canonical: bytes) -> bytes:
    """Return what is signed: the hash of a canonical request with its time and scope."""
    digest = hashlib.sha256(canonical).hexdigest().encode("ascii")
    return b"\n".join((_ALGORITHM, amz_date, scope, digest))


def verify(
    request: Request,
    target: Target,
    secret_of: Callable[[str], str | None],
    now_ms: int,
    keys: SigningKeys,
) -> Verified:
    """Verify the V4 Authorization header of a request (`detect` said V4_HEADER).

    Args:
        request: as it arrived.
        target: its target, taken apart.
        secret_of: returns the secret of an access key, or None when there is no such key.
        now_ms: the server's time.
        keys: the cache of derived keys.

    Raises:
        Invalid(BAD_ARGUMENT): malformed (AuthorizationHeaderMalformed, InvalidRequest,
            InvalidArgument, InvalidToken).
        Denied(NOT_ALLOWED): AccessDenied, RequestTimeTooSkewed, InvalidAccessKeyId or
            SignatureDoesNotMatch.
    """
    authorization = parse_authorization(request.index[b"authorization"])
    amz_date = _request_date(request, authorization, now_ms)
    secret = secret_of(authorization.access_key)
    if secret is None:
        raise Denied(
            Reason.NOT_ALLOWED,
            "The AWS Access Key Id you provided does not exist in our records.",
            s3_code="InvalidAccessKeyId",
            xml={"AWSAccessKeyId": authorization.access_key},
        )
    payload_hash = request.index.get(b"x-amz-content-sha256")
    if payload_hash is None:
        raise Invalid(
            Reason.BAD_ARGUMENT,
            "Missing required header for this request: x-amz-content-sha256",
            s3_code="InvalidRequest",
        )
    payload = parse_payload(payload_hash)
    _check_signed(request, authorization.signed_headers)

    canonical = canonical_request(request, target, authorization.signed_headers, payload_hash)
    scope = authorization.scope
    text = string_to_sign(amz_date, scope, canonical)
    key = keys.get(secret, authorization.date, authorization.region)
    expected = key.digest(text).hex().encode("ascii")
    if not hmac.compare_digest(expected, authorization.signature):
        _mismatch(authorization, text, canonical)
    if request.index.get(b"x-amz-security-token"):
        raise Invalid(
            Reason.BAD_ARGUMENT,
            "The provided token is malformed or otherwise invalid.",
            "keys here have no session token; unset AWS_SESSION_TOKEN",
            s3_code="InvalidToken",
        )
    chain = Chain(key, amz_date, scope, expected) if payload.mode.signed_chunks else None
    return Verified(authorization.access_key, _text(authorization.region), payload, chain)


def _request_date(request: Request, authorization: Authorization, now_ms: int) -> bytes:
    """Return the request's time in basic form: X-Amz-Date, else Date; check it and its skew."""
    amz_date = request.index.get(b"x-amz-date")
    if amz_date is not None:
        time_ms = parse_amz_date(amz_date)
    else:
        date = request.index.get(b"date")
        time_ms = None
        if date is not None:
            time_ms = parse_http_date(date)
            if time_ms is None:
                time_ms = parse_amz_date(date)
        amz_date = b"" if time_ms is None else format_amz_date(time_ms).encode("ascii")
    if time_ms is None:
        raise Denied(
            Reason.NOT_ALLOWED,
            "AWS authentication requires a valid Date or x-amz-date header",
            s3_code="AccessDenied",
        )
    if abs(now_ms - time_ms) > limits.CLOCK_SKEW_MAX_S * 1000:
        raise Denied(
            Reason.NOT_ALLOWED,
            "The difference between the request time and the current time is too large.",
            "set the clock of the client",
            s3_code="RequestTimeTooSkewed",
            xml={
                "RequestTime": _text(amz_date),
                "ServerTime": format_iso8601(now_ms),
                "MaxAllowedSkewMilliseconds": str(limits.CLOCK_SKEW_MAX_S * 1000),
            },
        )
    if amz_date[:8] != authorization.date:
        _malformed("the date in the credential is not that of the request.")
    return amz_date


def _check_signed(request: Request, signed_headers: Sequence[bytes]) -> None:
    """Refuse headers that change what a request means and are not covered by the signature."""
    signed = frozenset(signed_headers)
    unsigned = [
        name
        for name in request.index
        if name not in signed and (name.startswith(b"x-amz-") or name == b"host")
    ]
    if b"host" not in signed and b"host" not in unsigned:
        unsigned.append(b"host")
    if unsigned:
        names = ", ".join(_text(name) for name in unsigned)
        raise Denied(
            Reason.NOT_ALLOWED,
            "There were headers present in the request which were not signed",
            f"not signed: {names}",
            s3_code="AccessDenied",
            xml={"HeadersNotSigned": names},
        )


def _mismatch(authorization: Authorization, text: bytes, canonical: bytes) -> NoReturn:
    raise Denied(
        Reason.NOT_ALLOWED,
        "The request signature we calculated does not match the signature you provided. Check your "
        "key and signing method.",
        s3_code="SignatureDoesNotMatch",
        xml={
            "AWSAccessKeyId": authorization.access_key,
            "StringToSign": _text(text),
            "SignatureProvided": _text(authorization.signature),
            "StringToSignBytes": text.hex(" "),
            "CanonicalRequest": _text(canonical),
            "CanonicalRequestBytes": canonical.hex(" "),
        },
    )


def _malformed(detail: str) -> NoReturn:
    raise Invalid(
        Reason.BAD_ARGUMENT,
        f"The authorization header is malformed; {detail}",
        s3_code="AuthorizationHeaderMalformed",
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
