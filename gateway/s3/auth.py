"""Who makes a request, and what vouches for its body.

Two modes. `OpenAuthenticator` lets everybody in, and ignores whatever signature a request carries:
on a loopback address, and inside a job. `KeyAuthenticator` wants Signature Version 4 in the
Authorization header. The other forms are recognised, so that the answer says which one was used.

What a request promises about its payload (hash, framing, checksums) is not authentication: `body`
verifies it in both modes. Only chunk signatures need the signing key, and are ignored without.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.access.keys import Credentials
from gateway.access.principal import ANYONE, Principal
from gateway.s3.errors import S3Error
from gateway.wire.aws_chunked import Chain
from gateway.wire.messages import Request
from gateway.wire.payload import Payload, parse_payload
from gateway.wire.sigv4 import AuthForm, SigningKeys, detect, verify
from gateway.wire.target import Target

_REFUSED = {
    AuthForm.V4_QUERY: "Presigned URLs (AWS4-HMAC-SHA256 in the query) are not implemented; "
    "sign the Authorization header.",
    AuthForm.V2_QUERY: "Presigned URLs of Signature Version 2 are not implemented; sign the "
    "Authorization header with AWS4-HMAC-SHA256.",
    AuthForm.V2_HEADER: "Signature Version 2 is not implemented; please use AWS4-HMAC-SHA256.",
}


class Identity(NamedTuple):
    """Who asks. `payload` is None where it was not read yet; `chain` signs chunks."""

    principal: Principal
    payload: Payload | None = None
    chain: Chain | None = None

    def payload_of(self, request: Request) -> Payload:
        """Return what x-amz-content-sha256 says.

        Raises:
            Invalid(BAD_ARGUMENT): it is neither a hash nor a known word (InvalidArgument).
        """
        if self.payload is not None:
            return self.payload
        return parse_payload(request.header(b"x-amz-content-sha256"))


class Authenticator(Protocol):
    """Decides who makes a request, from its head alone."""

    def authenticate(self, request: Request, target: Target, now_ms: int) -> Identity:
        """Return who makes the request.

        Raises:
            S3Error: anonymous (AccessDenied), or a form that is not offered (NotImplemented).
            Invalid: the authorization is malformed.
            Denied: the key, the time or the signature is wrong.
        """
        ...


class OpenAuthenticator:
    """Everybody may do everything; signatures are not looked at."""

    _ANYONE = Identity(ANYONE)

    def authenticate(self, request: Request, target: Target, now_ms: int) -> Identity:
        """Return `ANYONE`."""
        del request, target, now_ms
        return self._ANYONE


class KeyAuthenticator:
    """Only requests that are signed with a known key."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._keys = SigningKeys()

    def authenticate(self, request: Request, target: Target, now_ms: int) -> Identity:
        """Return the owner of the key that the request is signed with; see `Authenticator`."""
        form = detect(request, target)
        if form is AuthForm.NONE:
            raise S3Error("AccessDenied")
        if form is not AuthForm.V4_HEADER:
            raise S3Error("NotImplemented", _REFUSED[form])
        verified = verify(request, target, self._credentials.secret, now_ms, self._keys)
        principal = self._credentials.principal(verified.access_key)
        return Identity(principal, verified.payload, verified.chain)
