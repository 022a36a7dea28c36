"""SIGKILL in the middle of writes: what was acknowledged is whole, nothing is half there."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.integration.served import running, s3_client, sidegate, start

CLIENTS = 4
BUCKET = "kept"


def content(key: str, attempt: int) -> bytes:
    """Return what an object holds: its size varies from nothing to several chunks."""
    source = random.Random(f"{key}/{attempt}")
    size = source.choice([0, 3, 64, 65, 4096, 70_000, 300_000])
    return source.randbytes(size)


class Writer(threading.Thread):
    """A client that puts until its server is gone, and remembers what was acknowledged."""

    def __init__(self, url: str, name: str, round_number: int) -> None:
        super().__init__()
        self.url = url
        self.prefix = name
        self.round_number = round_number
        self.acknowledged: dict[str, str] = {}
        self.tried: dict[str, list[str]] = {}  # in order

    def run(self) -> None:
        client = s3_client(self.url)
        for number in range(10_000):
            # Every third write replaces an object that an earlier one made.
            key = f"{self.prefix}/{self.round_number}/{number if number % 3 else 0}"
            data = content(key, number)
            digest = hashlib.md5(data).hexdigest()
            self.tried.setdefault(key, []).append(digest)
            try:
                client.put_object(Bucket=BUCKET, Key=key, Body=data)
            except (BotoCoreError, ClientError):
                return
            self.acknowledged[key] = digest


def verify(client: Any, acknowledged: dict[str, str], tried: dict[str, list[str]]) -> None:
    """Hold what is there against what was promised."""
    listed = {
        entry["Key"]: entry
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for entry in page.get("Contents", [])
    }
    assert set(acknowledged) <= set(listed)
    assert set(listed) <= set(tried)
    for key, entry in listed.items():
        answer = client.get_object(Bucket=BUCKET, Key=key)
        body = answer["Body"].read()
        digest = hashlib.md5(body).hexdigest()
        assert entry["ETag"] == answer["ETag"] == f'"{digest}"'
        assert entry["Size"] == len(body)
        # What is there was written whole, and is no older than what was acknowledged last: a later
        # write that was under way at the kill may have won.
        allowed = tried[key]
        if key in acknowledged:
            allowed = allowed[last_index(allowed, acknowledged[key]) :]
        assert digest in allowed, key


def last_index(items: list[str], item: str) -> int:
    """Return where an item stands last in a list."""
    return len(items) - 1 - items[::-1].index(item)


def kill_rounds(data: Path, rounds: int) -> None:
    """Kill a server in the middle of writes, again and again, and check after each time."""
    sidegate("repo", "create", BUCKET, data=data)
    acknowledged: dict[str, str] = {}
    tried: dict[str, list[str]] = {}
    delays = random.Random(11)
    for number in range(rounds):
        server = start(data)
        writers = [Writer(server.url, f"client-{index}", number) for index in range(CLIENTS)]
        for writer in writers:
            writer.start()
        wait_for_writes(writers, delays.randrange(0, 30))
        server.kill()
        for writer in writers:
            writer.join()
            acknowledged |= writer.acknowledged
            for key, digests in writer.tried.items():
                tried.setdefault(key, []).extend(digests)
        if number % 10 == 9 or number == rounds - 1:
            with running(data) as survivor:
                verify(survivor.client(), acknowledged, tried)
                assert survivor.stop() == 0
    assert len(acknowledged) > rounds


def wait_for_writes(writers: list[Writer], count: int) -> None:
    """Wait until so many writes were acknowledged by all writers together."""
    while sum(len(writer.acknowledged) for writer in writers) < count:
        if not any(writer.is_alive() for writer in writers):
            raise AssertionError("the writers gave up before the server was killed")
        threading.Event().wait(0.001)


def test_killed_fifty_times_it_keeps_every_acknowledged_object(tmp_path: Path) -> None:
    kill_rounds(tmp_path / "data", 50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_a_thousand_times(tmp_path: Path) -> None:
    kill_rounds(tmp_path / "data", 1000)


def test_without_its_index_everything_is_found_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    objects = {f"object {number}": content(str(number), 1) for number in range(40)}
    with running(data) as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        for key, body in objects.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        assert server.stop() == 0
    (data / "index").unlink()
    with running(data) as server:
        client = server.client()
        read_all(client, objects)
        # And what is known is known again: nothing of it is stored twice.
        answer = client.put_object(Bucket=BUCKET, Key="again", Body=max(objects.values(), key=len))
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-sidegate-new-bytes"] == "0"


def read_all(client: Any, objects: dict[str, bytes]) -> None:
    for key, body in objects.items():
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body


def test_a_graceful_end_finishes_what_is_under_way(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="a", Body=b"1")
        assert server.stop() == 0
        assert "Traceback" not in "".join(server.log)
