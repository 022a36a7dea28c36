"""What real clients sent gets the statuses that they got from S3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.access.keys import Credentials
from gateway.clock import ManualClock
from gateway.s3.auth import KeyAuthenticator
from tests.integration.replay import Capture, Replayer, captures
from tests.integration.stack import Stack, raw, stack

# Recognised and answered with 501, by the operation's name.
NOT_OFFERED = {
    "PutBucketVersioning": {23},
    "PutObjectTagging": {24},
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[Stack, ManualClock, str]]:
    clock = ManualClock()
    with stack(tmp_path / "data", clock=clock) as running:
        running.run(running.app.versions.buckets.create("bktp"))  # was there before the capture
        yield running, clock, running.listen(domain="localhost")


def send(address: str, replayer: Replayer, capture: Capture) -> tuple[int, bytes]:
    answer = raw(address, replayer.request(capture))
    head, _, body = answer.partition(b"\r\n\r\n")
    head += b"\r\n"
    assert head.startswith(b"HTTP/1.1 "), (capture.number, capture.first)
    assert re.search(rb"\r\nx-amz-request-id: [0-9A-F]{16}\r\n", head)
    replayer.answered(capture, head, body)
    return int(head.split(b" ")[1]), body


def test_signatures_of_real_clients(gateway: tuple[Stack, ManualClock, str]) -> None:
    running, clock, _ = gateway
    everything = captures()
    for name in {capture.path.split("/")[1] for capture in everything} - {"", "a", "bktp"}:
        running.run(running.app.versions.buckets.create(name))
    address = running.listen(
        authenticator=KeyAuthenticator(Credentials({"AK": "SK"})), domain="localhost"
    )
    seen = {"signed": 0, "chunks": 0, "other": 0}
    for capture in everything:
        if capture.body is None:
            continue
        now = capture.time_ms()
        if now is not None:
            clock.set_ms(now)
        lines = [line for line in capture.headers if not line.lower().startswith("expect:")]
        head = "\r\n".join([capture.first, *lines, "", ""]).encode("latin-1")
        answer = raw(address, head + capture.body)
        status = int(answer.split(b" ")[1])
        if (capture.header("authorization") or "").startswith("AWS4-HMAC-SHA256"):
            seen["signed"] += 1
            payload = capture.header("x-amz-content-sha256") or ""
            seen["chunks"] += payload.startswith("STREAMING-AWS4") and status == 200
            assert status not in {400, 403}, (capture.number, capture.first, answer)
        else:  # presigned, or of Signature Version 2, or by nobody
            seen["other"] += 1
            assert status in {403, 501}, (capture.number, capture.first, answer)
    assert seen["signed"] > 300
    assert seen["chunks"] >= 5
    assert seen["other"] == 5


def test_replay(gateway: tuple[Stack, ManualClock, str]) -> None:
    _, clock, address = gateway
    not_offered = {number: name for name, found in NOT_OFFERED.items() for number in found}
    replayer = Replayer()
    wrong = []
    everything = captures()
    assert len(everything) == 496
    for capture in everything:
        now = capture.time_ms()
        if now is not None:
            clock.set_ms(now)
        status, body = send(address, replayer, capture)
        name = not_offered.get(capture.number)
        if name is not None:
            assert status == 501
            assert f"<Operation>{name}</Operation>".encode() in body
        elif status != capture.status:
            wrong.append((capture.number, capture.client, capture.first, capture.status, status))
    assert not wrong
