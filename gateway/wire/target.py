"""The request target: path and query, decoded once, and encoded again for signatures.

Paths are bytes. They are percent-decoded exactly once and nothing else: no `.` or `..` or `//` is
resolved, because keys may contain them. In a query a `+` is a plus, never a space: every client
sends %20 for a space, and signs %2B for a plus.

The canonical forms are those of Signature Version 4: decode, then encode all but the unreserved
characters `A-Za-z0-9-._~` (and, in a path, `/`) with upper-case hex.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from gateway.errors import Invalid, Reason

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_UNRESERVED_AND_SLASH = _UNRESERVED + b"/"
_ENCODED = [bytes([b]) if b in _UNRESERVED else b"%%%02X" % b for b in range(256)]
_ENCODED_PATH = [b"/" if b == 0x2F else _ENCODED[b] for b in range(256)]
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")

Pairs = list[tuple[bytes, bytes]]


def percent_decode(raw: bytes) -> bytes:
    """Decode each %XX once.

    Raises:
        Invalid(BAD_ARGUMENT): a `%` is not followed by two hex digits (InvalidURI).
    """
    if b"%" not in raw:
        return raw
    for piece in raw.split(b"%")[1:]:
        if len(piece) < 2 or not _HEX_DIGITS.issuperset(piece[:2]):
            raise Invalid(
                Reason.BAD_ARGUMENT,
                "Couldn't parse the specified URI.",
                "a % must be followed by two hex digits; write %25 for the character itself",
                s3_code="InvalidURI",
            )
    return unquote_to_bytes(raw)


def percent_encode(raw: bytes, *, keep_slash: bool = False) -> bytes:
    """Encode all but the unreserved characters (and `/` with `keep_slash`)."""
    if not raw.translate(None, _UNRESERVED_AND_SLASH if keep_slash else _UNRESERVED):
        return raw
    table = _ENCODED_PATH if keep_slash else _ENCODED
    return b"".join([table[byte] for byte in raw])


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Return the raw path and the raw query (after the first `?`) of a request target.

    Of an absolute-form target, scheme and authority are dropped; an empty path is `/`.
    """
    if not target.startswith(b"/") and b"://" in target[:8]:
        rest = target.partition(b"://")[2]
        authority = rest.partition(b"/")[0].partition(b"?")[0]
        target = rest[len(authority) :]
    path, _, query = target.partition(b"?")
    return path or b"/", query


def parse_query(query: bytes) -> Pairs:
    """Return the decoded (name, value) pairs in order; `?uploads` and `?uploads=` are the same.

    Raises:
        Invalid(BAD_ARGUMENT): bad percent encoding (InvalidURI).
    """
    pairs: Pairs = []
    for piece in query.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((percent_decode(name), percent_decode(value)))
    return pairs


def canonical_path(path: bytes) -> bytes:
    """Return a decoded path as signatures want it."""
    return percent_encode(path, keep_slash=True)


def canonical_query(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return decoded pairs as signatures want them: encoded, then sorted by name and value."""
    encoded = [(percent_encode(name), percent_encode(value)) for name, value in pairs]
    encoded.sort()
    return b"&".join([name + b"=" + value for name, value in encoded])


class Target:
    """A request target taken apart: what routing and signatures need of it, computed once."""

    __slots__ = ("_values", "pairs", "path", "raw_path", "raw_query")

    def __init__(self, raw_path: bytes, raw_query: bytes) -> None:
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.path = percent_decode(raw_path)
        self.pairs = parse_query(raw_query) if raw_query else []
        self._values: dict[bytes, bytes] = {}
        for name, value in self.pairs:
            self._values.setdefault(name, value)

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a query parameter, or None when it is absent."""
        return self._values.get(name)

    def __contains__(self, name: bytes) -> bool:
        return name in self._values


def parse_target(target: bytes) -> Target:
    """Take a request target apart.

    Raises:
        Invalid(BAD_ARGUMENT): bad percent encoding (InvalidURI).
    """
    return Target(*split_target(target))
