"""What the gateway costs over HTTP: CPU per request and per GB, measured by the kernel.

Starts `sidegate serve` on a fresh directory, pinned to core 0, loads it from core 1, and prints a
table. CPU is utime and stime of the server's process tree over each case's own window; memory is
the highest RssAnon + RssShmem seen in it. PUTs carry unsigned payloads and content that is new
every time; small ones are durable before they are answered.

    python bench/run.py [--smoke] [--auth none|keys|both] [--only TEXT] [--seconds S]
                        [--trivial] [--record] [--directory DIR]

--trivial measures a server whose handler does nothing: the cost of the sockets alone.
--record  appends the figures to bench/results/<date>.jsonl, with the machine they come from.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.http_client import KIB, MIB, Call, Keys, Tally, call, load, once

ROOT = Path(__file__).resolve().parent.parent

_KEYS = Keys("AKBENCHBENCHBENCHBEN", "bench-secret-of-no-importance")
_TICKS = os.sysconf("SC_CLK_TCK")
_START_TIMEOUT_S = 30.0
_SMALL = 4 * KIB
_LARGE = 64 * MIB
_BUCKET = "/bench"


@dataclass(frozen=True)
class Case:
    """One row: `large` rows are reported per GB, the others per request."""

    name: str
    connections: int
    make: Callable[[int], Call]
    large: bool = False


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    seconds: float
    warm_up: int
    large_size: int
    large_calls: int


class Server:
    """A server process and what the kernel says about it."""

    def __init__(self, command: list[str], environment: dict[str, str], core: int | None) -> None:
        mine = os.sched_getaffinity(0)
        if core is not None:
            os.sched_setaffinity(0, {core})  # which the process inherits
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        os.sched_setaffinity(0, mine)
        self.address = self._wait_ready()

    def _wait_ready(self) -> tuple[str, int]:
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("no pipe")
        ready, _, _ = select.select([stdout], [], [], _START_TIMEOUT_S)
        line = stdout.readline() if ready else ""
        if not line.startswith("ready "):
            self._process.kill()
            raise RuntimeError(f"the server did not start: {line!r}")
        urls = dict(field.split("=", 1) for field in line.split()[1:])
        host, _, port = urls["s3"].removeprefix("http://").rpartition(":")
        return host, int(port)

    def tree(self) -> list[int]:
        """Return the process and its children, grandchildren, …"""
        parents: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int(_stat(int(name))[1])
                    parents.setdefault(parent, []).append(int(name))
        found = [self._process.pid]
        for pid in found:
            found.extend(parents.get(pid, ()))
        return found

    def cpu_s(self) -> float:
        """Return user and system time of the tree, ended children included."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                fields = _stat(pid)
                total += sum(int(ticks) for ticks in fields[11:15])
        return total / _TICKS

    def memory(self) -> int:
        """Return RssAnon + RssShmem of the tree in bytes."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(("RssAnon:", "RssShmem:")):
                        total += int(line.split()[1]) * KIB
        return total

    def stop(self) -> None:
        """End it gracefully."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (the name may contain anything)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def peak_memory(server: Server) -> Iterator[list[int]]:
    """Sample the server's memory while the block runs; the list's one item is the highest."""
    highest = [server.memory()]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.1):
            highest[0] = max(highest[0], server.memory())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def serving(arguments: argparse.Namespace, auth: str) -> Iterator[Server]:
    """Start a server on a fresh directory, and remove both in the end."""
    directory = tempfile.mkdtemp(prefix="sidegate-bench-", dir=arguments.directory)
    environment = os.environ | {
        "SIDEGATE_ROOT_ACCESS_KEY": _KEYS.access_key,
        "SIDEGATE_ROOT_SECRET_KEY": _KEYS.secret_key,
    }
    if arguments.trivial:
        command = [sys.executable, str(ROOT / "bench" / "trivial.py")]
    else:
        command = [sys.executable, "-m", "gateway", "--data", directory, "serve", "--auth", auth]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    server = Server(command, environment, _core(0))
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


_CORES = sorted(os.sched_getaffinity(0))


def _core(number: int) -> int | None:
    """Return the server's core (0) or the client's (1); None on a machine with one."""
    return _CORES[number] if len(_CORES) > 1 else None


def cases(host: str, keys: Keys | None, scale: Scale, trivial: bool) -> Iterator[Case]:
    """Yield the rows in order; writing comes before the reading of what was written."""

    def prepared(method: str, path: str, count: int, size: int) -> Callable[[int], Call]:
        paths = [f"{_BUCKET}/{path}{number:02d}-{size}" for number in range(count)]
        made = [
            call(method, host, path, keys=keys, body_size=size if method == "PUT" else 0)
            for path in paths
        ]
        return lambda number: made[number % count]

    if not trivial:
        create = call("PUT", host, _BUCKET, keys=keys)
        once(_address(host), [create])
    yield Case("PUT 4 KiB, 16 connections", 16, prepared("PUT", "small", 64, _SMALL))
    yield Case("GET 4 KiB, 16 connections", 16, prepared("GET", "small", 64, _SMALL))
    yield Case("HEAD, 16 connections", 16, prepared("HEAD", "small", 64, _SMALL))
    large = scale.large_size
    size = f"{large // MIB} MiB" if large >= MIB else f"{large // KIB} KiB"
    yield Case(f"PUT {size}, 8 streams", 8, prepared("PUT", "large", 8, large), large=True)
    yield Case(f"PUT {size}, 1 stream", 1, prepared("PUT", "large", 8, large), large=True)
    yield Case(f"GET {size}, 8 streams", 8, prepared("GET", "large", 8, large), large=True)
    yield Case(f"GET {size}, 1 stream", 1, prepared("GET", "large", 8, large), large=True)


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name, int(port)


def measure(server: Server, case: Case, scale: Scale) -> dict[str, object]:
    """Warm up, load, and return the figures of one row."""
    load(
        server.address,
        case.connections,
        case.make,
        calls=case.connections if case.large else scale.warm_up,
    )
    before = server.cpu_s()
    with peak_memory(server) as highest:
        if case.large:
            tally = load(server.address, case.connections, case.make, calls=scale.large_calls)
        else:
            tally = load(server.address, case.connections, case.make, seconds=scale.seconds)
    cpu_s = server.cpu_s() - before
    return _figures(case, tally, cpu_s, highest[0])


def _figures(case: Case, tally: Tally, cpu_s: float, memory: int) -> dict[str, object]:
    moved = tally.sent + tally.received
    return {
        "case": case.name,
        "calls": tally.calls,
        "per_s": round(tally.calls / tally.seconds, 1),
        "mb_per_s": round(moved / tally.seconds / 1e6, 1),
        "cpu_us": None if case.large else round(cpu_s / tally.calls * 1e6, 1),
        "cpu_s_per_gb": round(cpu_s / moved * 1e9, 3) if case.large else None,
        "busy": round(cpu_s / tally.seconds, 2),
        "p50_ms": round(tally.percentile_ms(0.50), 2),
        "p99_ms": round(tally.percentile_ms(0.99), 2),
        "memory_mib": round(memory / MIB, 1),
    }


_COLUMNS = (
    ("case", "case", 27),
    ("auth", "auth", 5),
    ("per_s", "op/s", 9),
    ("mb_per_s", "MB/s", 8),
    ("cpu_us", "CPU us", 8),
    ("cpu_s_per_gb", "CPU s/GB", 9),
    ("busy", "cores", 6),
    ("p50_ms", "p50 ms", 8),
    ("p99_ms", "p99 ms", 8),
    ("memory_mib", "MiB", 7),
)


def print_row(row: dict[str, object]) -> None:
    cells = []
    for name, _, width in _COLUMNS:
        value = "" if row.get(name) is None else str(row[name])
        cells.append(value.ljust(width) if name in {"case", "auth"} else value.rjust(width))
    print("  ".join(cells).rstrip(), flush=True)


def record(rows: list[dict[str, object]], arguments: argparse.Namespace) -> Path:
    """Append the figures and where they come from to the day's file; return its path."""
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.strftime('%Y-%m-%d', time.gmtime())}.jsonl"
    revision = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": "bench/run.py " + " ".join(sys.argv[1:]),
        "revision": revision,
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "server": "trivial" if arguments.trivial else "sidegate serve",
        "rows": rows,
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="tiny: does it run at all")
    parser.add_argument("--auth", choices=["none", "keys", "both"], default="both")
    parser.add_argument("--only", default="", help="rows whose name contains this, and all PUTs")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each small row")
    parser.add_argument("--large-calls", type=int, default=32, help="requests of each large row")
    parser.add_argument("--trivial", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--directory", help="where the data directory is made (a real disk)")
    return parser.parse_args()


def main() -> int:
    """Run all rows; return 0."""
    arguments = parse()
    if arguments.smoke:
        scale = Scale(seconds=0.1, warm_up=64, large_size=256 * KIB, large_calls=16)
    else:
        scale = Scale(arguments.seconds, 500, _LARGE, arguments.large_calls)
    mine = _core(1)
    if mine is not None:
        os.sched_setaffinity(0, {mine})
    rows = []
    print_row({name: title for name, title, _ in _COLUMNS})
    modes = ["none", "keys"] if arguments.auth == "both" else [arguments.auth]
    for auth in modes[:1] if arguments.trivial else modes:
        with serving(arguments, auth) as server:
            host = f"{server.address[0]}:{server.address[1]}"
            keys = _KEYS if auth == "keys" else None
            for case in cases(host, keys, scale, arguments.trivial):
                if arguments.only not in case.name and not case.name.startswith("PUT"):
                    continue
                row = {"auth": auth} | measure(server, case, scale)
                rows.append(row)
                print_row(row)
    if arguments.record:
        print(f"recorded in {record(rows, arguments)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
