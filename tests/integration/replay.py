"""Requests of real clients, sent again: what must be changed in one so that it can be.

A capture cannot be sent quite as it was. Upload ids are ours, not those of the server it was made
against. Bodies above 400 kB were not kept: zeros of the same length stand for them, without the
promises (hashes, checksums, framing) that were made about the real ones; the ETags in a Complete,
in an If-Match and in the condition of a copy are then those that this server gave.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from gateway.wire.dates import parse_amz_date, parse_http_date

CORPUS = Path(__file__).parents[1] / "vectors" / "wire" / "requests.jsonl"

_PROMISES = (
    "content-md5",
    "content-length",
    "transfer-encoding",
    "content-encoding",
    "expect",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "x-amz-sdk-checksum-algorithm",
)
_UPLOAD_ID = re.compile(r"uploadId=([^& ]+)")
_PART_NUMBER = re.compile(r"partNumber=(\d+)")


@dataclass
class Capture:
    """One request as it was, and the status that its client got."""

    number: int
    client: str
    first: str
    headers: list[str]
    body: bytes | None  # None: too long to keep
    body_size: int
    status: int

    @property
    def method(self) -> str:
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        return self.first.split(" ")[1]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> set[str]:
        return {pair.partition("=")[0] for pair in self.target.partition("?")[2].split("&") if pair}

    def header(self, name: str) -> str | None:
        for line in self.headers:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return None

    def time_ms(self) -> int | None:
        """Return when it was sent, if it says so."""
        found = re.search(r"X-Amz-Date=([0-9TZ]+)", self.target)
        stamp = found[1] if found else self.header("x-amz-date")
        if stamp is not None:
            return parse_amz_date(stamp)
        date = self.header("date")
        return None if date is None else parse_http_date(date)


def captures() -> list[Capture]:
    """Return all of them, in order."""
    found = []
    for number, line in enumerate(CORPUS.read_text("utf-8").splitlines()):
        row = json.loads(line)
        if "body_zlib" in row:
            body = zlib.decompress(base64.b64decode(row["body_zlib"]))
        else:
            body = None if row["body"] is None else base64.b64decode(row["body"])
        if body is not None and len(body) != row["blen"]:
            body = None
        found.append(
            Capture(
                number,
                row["client"],
                row["first"],
                row["headers"],
                body,
                row["blen"],
                int(row["status"]),
            )
        )
    return found


@dataclass
class Replayer:
    """Keeps what this server answered, where later requests name it."""

    uploads: dict[str, str] = field(default_factory=dict)  # theirs → ours
    pending: dict[str, list[str]] = field(default_factory=dict)  # path → our uploads not yet named
    parts: dict[tuple[str, int], str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)  # path → ETag after a Complete

    def request(self, capture: Capture) -> bytes:
        """Return the bytes to send."""
        first = self._own_upload(capture)
        headers = list(capture.headers)
        if capture.body is None:
            size = int(capture.header("x-amz-decoded-content-length") or capture.body_size)
            body = bytes(size)
            headers = _without_promises(headers)
            headers.append(f"Content-Length: {size}")
        else:
            body = capture.body
        if capture.method == "POST" and "uploadId" in capture.query:
            body = self._own_parts(capture, body)
            headers = [*_without_promises(headers), f"Content-Length: {len(body)}"]
        headers = [self._own_etag(capture, line) for line in headers]
        headers = [line for line in headers if not line.lower().startswith("expect:")]
        head = "\r\n".join([first, *headers, "", ""])
        return head.encode("latin-1") + body

    def answered(self, capture: Capture, head: bytes, body: bytes) -> None:
        """Take note of an answer."""
        if not head.startswith(b"HTTP/1.1 200"):
            return
        if capture.method == "POST" and "uploads" in capture.query:
            found = re.search(rb"<UploadId>(.*?)</UploadId>", body)
            assert found is not None
            self.pending.setdefault(capture.path, []).append(found[1].decode())
        elif capture.method == "PUT" and "partNumber" in capture.query:
            number = _PART_NUMBER.search(capture.target)
            etag = re.search(rb"\r\nETag: (.*?)\r\n|<ETag>(.*?)</ETag>", head + body)
            assert number is not None
            assert etag is not None
            self.parts[self._upload(capture), int(number[1])] = (etag[1] or etag[2]).decode()
        elif capture.method == "POST" and "uploadId" in capture.query:
            found = re.search(rb"<ETag>(.*?)</ETag>", body)
            assert found is not None
            self.etags[capture.path] = found[1].decode().replace("&quot;", "").strip('"')

    def _upload(self, capture: Capture) -> str:
        found = _UPLOAD_ID.search(capture.target)
        assert found is not None
        theirs = found[1]
        if theirs not in self.uploads:
            self.uploads[theirs] = self.pending[capture.path].pop(0)
        return self.uploads[theirs]

    def _own_upload(self, capture: Capture) -> str:
        if "uploadId" not in capture.query:
            return capture.first
        ours = self._upload(capture)
        return _UPLOAD_ID.sub(f"uploadId={ours}", capture.first)

    def _own_parts(self, capture: Capture, body: bytes) -> bytes:
        numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        ours = self._upload(capture)
        parts = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{self.parts[ours, n]}</ETag></Part>"
            for n in numbers
        )
        return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()

    def _own_etag(self, capture: Capture, line: str) -> str:
        name, _, value = line.partition(":")
        path = {
            "if-match": capture.path,
            "x-amz-copy-source-if-match": f"/{capture.header('x-amz-copy-source')}",
        }.get(name.lower())
        if path is not None and re.fullmatch(r'"?[0-9a-f]{32}-\d+"?', value.strip()):
            return f'{name}: "{self.etags.get(path, "unknown")}"'
        return line


def _without_promises(headers: list[str]) -> list[str]:
    return [
        line
        for line in headers
        if line.partition(":")[0].lower() not in _PROMISES
        and not line.lower().startswith("x-amz-checksum-")
    ]
