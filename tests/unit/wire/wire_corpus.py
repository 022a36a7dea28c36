"""Requests that real clients sent, as values; see docs/wire.md for where they come from."""

from __future__ import annotations

import base64
import functools
import json
import pathlib
import zlib
from dataclasses import dataclass

from gateway.wire.http import Head, parse_head
from gateway.wire.messages import EmptyBody, Request
from gateway.wire.target import Target, parse_target

ACCESS_KEY = "AK"
SECRET = "SK"
_PATH = pathlib.Path(__file__).parents[2] / "vectors" / "wire" / "requests.jsonl"


@dataclass(frozen=True)
class Captured:
    number: int
    client: str
    raw_head: bytes
    body: bytes | None  # None when it was too long to keep
    tls: bool
    head: Head
    request: Request
    target: Target

    def __str__(self) -> str:
        return f"{self.number}-{self.client}"


def secret_of(access_key: str) -> str | None:
    return SECRET if access_key == ACCESS_KEY else None


def as_request(head: Head) -> Request:
    return Request(head.method, head.target, head.headers, EmptyBody(), "0" * 16)


def request_of(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
) -> tuple[Request, Target]:
    request = Request(method, target, headers, EmptyBody(), "0" * 16)
    return request, parse_target(target)


@functools.cache
def captured() -> list[Captured]:
    requests = []
    for number, line in enumerate(_PATH.read_text("utf-8").splitlines()):
        row = json.loads(line)
        raw = "\r\n".join([row["first"], *row["headers"], "", ""]).encode("latin-1")
        if "body_zlib" in row:
            body = zlib.decompress(base64.b64decode(row["body_zlib"]))
        else:
            body = None if row["body"] is None else base64.b64decode(row["body"])
        if body is not None and len(body) != row["blen"]:
            body = None
        head = parse_head(raw)
        request = as_request(head)
        requests.append(
            Captured(
                number,
                row["client"],
                raw,
                body,
                row["tls"],
                head,
                request,
                parse_target(head.target),
            )
        )
    return requests
