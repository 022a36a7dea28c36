"""A real `sidegate serve` in a process of its own, and the real AWS CLI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
AWS = ROOT / ".venv-aws/bin/aws"

# Where nothing of this machine's own settings can be found.
CLEAN = {
    "PATH": f"{AWS.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    "LANG": "C.UTF-8",
    "AWS_ACCESS_KEY_ID": "AK",
    "AWS_SECRET_ACCESS_KEY": "SK",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}


def sidegate(*arguments: str, data: Path, check: bool = True, **options: Any) -> Any:
    """Run the `sidegate` command in a process and return what it did."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--data", str(data), *arguments],
        cwd=ROOT,
        env=CLEAN | {"HOME": str(data.parent)},
        check=False,
        capture_output=True,
        text=options.pop("text", True),
        timeout=120,
        **options,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"sidegate {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        self.process = process
        self.data = data
        self.log: deque[str] = deque(maxlen=400)
        threading.Thread(target=self._drain, daemon=True).start()
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        if not ready or ready[0] != "ready":
            process.wait(timeout=30)
            raise AssertionError(f"the server did not start: {''.join(self.log)}")
        self.url = ready[1].removeprefix("s3=")
        self.admin_url = ready[2].removeprefix("admin=")

    def _drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)

    def client(self, **settings: Any) -> Any:
        """Return a boto3 client of it: no retries, so that nothing is hidden."""
        return s3_client(self.url, **settings)

    def aws(self, *arguments: str, check: bool = True, **options: Any) -> Any:
        """Run the real AWS CLI against it."""
        done = subprocess.run(
            [str(AWS), "--endpoint-url", self.url, *arguments],
            env=CLEAN | {"HOME": str(self.data.parent)},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            **options,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"aws {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done

    def kill(self) -> None:
        """End it as a power failure of the process would."""
        self.process.kill()
        self.process.wait(timeout=30)
        self._close()

    def stop(self) -> int:
        """End it gracefully and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self._close()
        return code

    def _close(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def start(data: Path, *flags: str, environ: dict[str, str] | None = None) -> Server:
    """Start `sidegate serve` on free ports."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gateway", "--data", str(data), "serve"),
            *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *flags),
        ],
        cwd=ROOT,
        env=CLEAN | {"HOME": str(data.parent)} | (environ or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Server(process, data)


@contextmanager
def running(data: Path, *flags: str, environ: dict[str, str] | None = None) -> Iterator[Server]:
    """Start a server, and end it whatever happens."""
    server = start(data, *flags, environ=environ)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def s3_client(url: str, access_key: str = "AK", secret_key: str = "SK", **settings: Any) -> Any:
    """Return a boto3 client that shows every failure."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}, max_pool_connections=50, **settings),
    )


def tree(root: Path) -> dict[str, bytes]:
    """Return the files under a directory by relative path."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def resident_kib(pid: int, names: Sequence[str] = ("RssAnon", "RssShmem")) -> int:
    """Return the memory of a process that is not the page cache's, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    return sum(int(values[name].split()[0]) for name in names)
