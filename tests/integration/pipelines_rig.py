"""What the tests of pipelines start from: a real data directory, real user code, real gateways."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.assembly import Assembly
from gateway.pipelines.files import keys_of
from gateway.pipelines.job import Job
from gateway.versions.model import ChecksumValue, ObjectAttributes

PYTHON = sys.executable

# User code begins so: a client that finds its gateway by the environment alone.
CLIENT = """
import os, sys, boto3, botocore
from botocore.config import Config
s3 = boto3.client("s3", config=Config(retries={"total_max_attempts": 1}))
def keys(bucket):
    found = s3.list_objects_v2(Bucket=bucket)
    return sorted(each["Key"] for each in found.get("Contents", []))
def get(bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
def put(key, body=b"x"):
    return s3.put_object(Bucket="out", Key=key, Body=body)
def refusal(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"
"""


class Held:
    """Bytes in memory, as the source of an object."""

    algorithms: frozenset[str] = frozenset()

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    async def read(self) -> memoryview | None:
        data, self._data = self._data, None
        return memoryview(bytearray(data)) if data else None

    def check(self, size: int, md5: bytes, digests: Any) -> tuple[ChecksumValue, ...]:
        return ()


@asynccontextmanager
async def opened(directory: Any) -> AsyncIterator[Assembly]:
    """Open a data directory for the length of a block."""
    assembly = await Assembly.open(str(directory))
    try:
        yield assembly
    finally:
        await assembly.close()


async def make_repo(assembly: Assembly, name: str, **files: bytes) -> None:
    """Make a repo with a branch `master`, and a commit if files are given."""
    await assembly.versions.create_repo("default", name)
    await assembly.versions.create_branch(name, "master")
    if files:
        await commit(assembly, name, dict(files))


async def commit(assembly: Assembly, repo: str, files: dict[str, bytes | None]) -> str:
    """Commit changes to `master` of a repo (None deletes) and return the commit's id."""
    versions = assembly.versions
    started = await versions.start_commit(repo, "master")
    view = await versions.view(f"{repo}@master")
    for key, body in files.items():
        if body is None:
            await versions.delete(view, key.encode())
        else:
            await versions.put(view, key.encode(), ObjectAttributes(), Held(body))
    await versions.finish_commit(started.id)
    return str(started.id)


async def read(assembly: Assembly, ref: str) -> dict[str, bytes]:
    """Return all objects of a ref."""
    versions = assembly.versions
    view = await versions.view(ref)
    found: dict[str, bytes] = {}
    async for key in keys_of(versions, view):
        info = await versions.head(view, key)
        body = await versions.open(view, info, 0, info.record.size)
        parts = [bytes(part) for part in body] if isinstance(body, (list, tuple)) else []
        if not isinstance(body, (list, tuple)):
            parts = [bytes(part) async for part in body]
        found[key.decode()] = b"".join(parts)
    return found


def pfs(repo: str, *, s3: bool = True, glob: str = "/", **more: Any) -> dict[str, Any]:
    """Return an input."""
    return {"pfs": {"repo": repo, "glob": glob, "s3": s3} | more}


def spec(name: str, inputs: Any, code: str = "", *, s3_out: bool = True, **more: Any) -> str:
    """Return a spec that runs Python code with a client."""
    values = {
        "pipeline": {"name": name},
        "input": inputs if isinstance(inputs, dict) else {"cross": inputs},
        "transform": {"cmd": [PYTHON, "-"], "stdin": (CLIENT + code).splitlines()},
        "s3_out": s3_out,
        "datum_tries": 1,
    }
    return json.dumps(values | more)


async def run(assembly: Assembly, text: str) -> Job:
    """Create or update a pipeline and run one job."""
    applied = await assembly.pipelines.apply(text)
    pipeline = applied.pipeline
    return await assembly.pipelines.run_now(pipeline.project, pipeline.name)


async def log_of(assembly: Assembly, job: Job) -> str:
    """Return what a job printed."""
    parts = [part async for part in assembly.pipelines.job_logs(job.id)]
    return b"".join(parts).decode()
