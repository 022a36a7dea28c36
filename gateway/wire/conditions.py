"""Preconditions: If-Match and the others, and the entity tags in them.

Tags are compared without their quotes, since clients send `"x"`, `x` and, in XML, `&quot;x&quot;`;
S3's tags contain neither quotes nor commas. Precedence is that of RFC 9110 section 13.2.2: If-Match
hides If-Unmodified-Since, If-None-Match hides If-Modified-Since. Times are compared in whole
seconds, which is all that a header can say. A bad date is ignored.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway.wire.dates import parse_http_date

Tags = tuple[str, ...] | Literal["*"]
"""Entity tags without quotes, or `*`: any."""


class Outcome(enum.Enum):
    """What a condition says about going on."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"  # 304, for GET and HEAD only
    FAILED = "failed"  # 412
    MISSING = "missing"  # If-Match on a write, and there is nothing: 404 in S3


def parse_etag(value: str) -> str:
    """Return one tag as it stands in a header or document, without W/ and quotes."""
    value = value.strip(" \t\r\n")
    return value.removeprefix("W/").strip('"')


def parse_etags(value: bytes | None, *, weak: bool = False) -> Tags | None:
    """Parse a list of tags, or `*`; None when the header is absent.

    If-Match compares strongly (RFC 9110 section 13.1.1), so weak tags are left out unless `weak`.
    """
    if value is None:
        return None
    text = value.decode("latin-1").strip(" \t")
    if text in {"*", '"*"'}:
        return "*"
    pieces = [piece.strip(" \t") for piece in text.split(",")]
    return tuple(
        parse_etag(piece) for piece in pieces if piece and (weak or not piece.startswith("W/"))
    )


def matches(tags: Tags, etag: str | None) -> bool:
    """Tell whether the current tag (unquoted; None when there is no object) is among `tags`."""
    if etag is None:
        return False
    return tags == "*" or etag in tags


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """The conditions of a GET, a HEAD, or of the source of a copy."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None
    if_modified_since_ms: int | None = None
    if_unmodified_since_ms: int | None = None

    @classmethod
    def parse(
        cls, header: Callable[[bytes], bytes | None], prefix: bytes = b""
    ) -> ReadConditions | None:
        """Read the conditions of a request, or None when it states none.

        `prefix` is empty, or `x-amz-copy-source-`.
        """
        match = header(prefix + b"if-match")
        none_match = header(prefix + b"if-none-match")
        modified = header(prefix + b"if-modified-since")
        unmodified = header(prefix + b"if-unmodified-since")
        if match is None and none_match is None and modified is None and unmodified is None:
            return None
        return cls(
            parse_etags(match),
            parse_etags(none_match, weak=True),
            None if modified is None else parse_http_date(modified),
            None if unmodified is None else parse_http_date(unmodified),
        )

    def evaluate(self, etag: str, mtime_ms: int, now_ms: int) -> Outcome:
        """Compare with an existing object; an If-Modified-Since in the future is ignored.

        For the source of a copy, the caller treats NOT_MODIFIED as FAILED: S3 answers 412 there.
        """
        mtime_ms = mtime_ms // 1000 * 1000
        if self.if_match is not None:
            if not matches(self.if_match, etag):
                return Outcome.FAILED
        elif self.if_unmodified_since_ms is not None and mtime_ms > self.if_unmodified_since_ms:
            return Outcome.FAILED
        if self.if_none_match is not None:
            if matches(self.if_none_match, etag):
                return Outcome.NOT_MODIFIED
        elif (
            self.if_modified_since_ms is not None
            and self.if_modified_since_ms <= now_ms
            and mtime_ms <= self.if_modified_since_ms
        ):
            return Outcome.NOT_MODIFIED
        return Outcome.PROCEED


@dataclass(frozen=True, slots=True)
class WriteConditions:
    """The conditions of a PUT, a Complete, a copy's destination or a DELETE."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @classmethod
    def parse(cls, header: Callable[[bytes], bytes | None]) -> WriteConditions | None:
        """Read the conditions of a request, or None when it states none."""
        match = header(b"if-match")
        none_match = header(b"if-none-match")
        if match is None and none_match is None:
            return None
        return cls(parse_etags(match), parse_etags(none_match, weak=True))

    def evaluate(self, etag: str | None) -> Outcome:
        """Compare with what is there now: its tag without quotes, or None for nothing."""
        if self.if_match is not None:
            if etag is None:
                return Outcome.MISSING
            if not matches(self.if_match, etag):
                return Outcome.FAILED
        if self.if_none_match is not None and matches(self.if_none_match, etag):
            return Outcome.FAILED
        return Outcome.PROCEED
