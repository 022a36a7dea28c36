"""Speed of every native kernel, and of what it is measured against, on one core.

Prints GB/s (entries a second for the index): the best of several runs over memory that is in the
cache of the second level or close by, as in the store. Python's part of each call is included.

    python bench/micro/kernels.py [--smoke]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import blake3 as blake3_package

from gateway import digests, limits
from gateway.chunks.chunker import THRESHOLD, Cutter, gear_table
from gateway.chunks.index import Index
from native import blake3, chunker, md5

KEY = bytes(range(32))
LANES = 8


def best_s(run: Callable[[], object], runs: int) -> float:
    """Return the seconds of the fastest of several runs."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


class Bench:
    """The data, and how often."""

    def __init__(self, *, smoke: bool) -> None:
        self.runs = 1 if smoke else 30
        self.size = 256 * limits.KIB if smoke else 4 * limits.MIB
        self.entries = 500 if smoke else 500_000
        self.data = memoryview(os.urandom(self.size))

    def rate(self, name: str, run: Callable[[], object], size: int) -> None:
        """Measure and print one line."""
        print(f"{name:<44} {size / best_s(run, self.runs) / 1e9:8.2f} GB/s")

    def md5(self) -> None:
        """One stream, and streams side by side."""
        size = self.size // LANES
        views = [self.data[lane * size : (lane + 1) * size] for lane in range(LANES)]
        self.rate("MD5, hashlib", lambda: hashlib.md5(views[0]), size)
        self.rate("MD5, one stream", lambda: digests.md5(views[0]), size)
        chosen = md5.kernel()
        for kernel in md5.kernels():
            md5.select(kernel)
            for lanes in (2, 4, LANES):
                jobs = [(digests.Md5(), view) for view in views[:lanes]]
                self.rate(
                    f"MD5, {lanes} streams, {kernel}",
                    lambda jobs=jobs: digests.md5_lanes(jobs),  # type: ignore[misc]
                    size * lanes,
                )
        md5.select(chosen)

    def blake3(self) -> None:
        """Keyed ids of pieces of several sizes."""
        chosen = blake3.kernel()
        for size in (limits.KIB, 4 * limits.KIB, 60_700, 64 * limits.KIB, 256 * limits.KIB):
            pieces = [self.data[at : at + size] for at in range(0, self.size - size + 1, size)]

            def ours(pieces: list[memoryview] = pieces) -> None:
                for piece in pieces:
                    blake3.keyed(KEY, piece)

            def package(pieces: list[memoryview] = pieces) -> None:
                for piece in pieces:
                    blake3_package.blake3(piece, key=KEY).digest()

            self.rate(f"BLAKE3, {size} B, the blake3 package", package, size * len(pieces))
            for kernel in blake3.kernels():
                blake3.select(kernel)
                self.rate(f"BLAKE3, {size} B, {kernel}", ours, size * len(pieces))
        blake3.select(chosen)

    def cuts(self) -> None:
        """The chunker alone, and with chunk ids."""
        gear = gear_table(KEY)

        def scan(least: int, most: int, threshold: int) -> None:
            chunker.Scanner(gear, least, most, threshold).feed(self.data)

        def cut() -> None:
            cutter = Cutter(gear, KEY)
            for at in range(0, self.size, limits.MIB):
                cutter.feed(self.data[at : at + limits.MIB], at + limits.MIB >= self.size)
                cutter.release()

        low, high = limits.CHUNK_SIZE_MIN, limits.CHUNK_SIZE_MAX
        self.rate("cuts, 32/64/256 KiB", lambda: scan(low, high, THRESHOLD), self.size)
        self.rate("cuts, no byte skipped", lambda: scan(64, 1 << 40, 0), self.size)
        self.rate("cuts and ids, views of 1 MiB", cut, self.size)

    def checksums(self) -> None:
        """What S3 clients ask for."""
        for size in (4 * limits.KIB, limits.MIB):
            piece = self.data[:size]
            self.rate(f"CRC32, {size} B", lambda piece=piece: digests.crc32(piece), size)  # type: ignore[misc]
            self.rate(f"CRC32C, {size} B", lambda piece=piece: digests.crc32c(piece), size)  # type: ignore[misc]
            self.rate(f"CRC64NVME, {size} B", lambda piece=piece: digests.crc64nvme(piece), size)  # type: ignore[misc]
        self.rate("SHA-256", lambda: hashlib.sha256(self.data).digest(), self.size)

    def index(self) -> None:
        """Puts with growth, and gets, in batches of 32."""
        ids = [os.urandom(32) for _ in range(self.entries)]
        batches = [ids[at : at + 32] for at in range(0, len(ids), 32)]
        places = [(1, 2, 3)] * 32
        with (
            tempfile.TemporaryDirectory() as directory,
            Index.create(f"{directory}/index", 1000) as index,
        ):

            def put() -> None:
                for batch in batches:
                    index.put_many(batch, places[: len(batch)])

            def get() -> None:
                for batch in batches:
                    index.get_many(batch)

            for name, run in (("put and grow", put), ("put again", put), ("get", get)):
                each_ns = best_s(run, 1) / self.entries * 1e9
                print(f"{'index, ' + name + ', batches of 32':<44} {each_ns:8.0f} ns each")


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run at all")
    bench = Bench(smoke=parser.parse_args().smoke)
    for part in (bench.md5, bench.blake3, bench.cuts, bench.checksums, bench.index):
        part()


if __name__ == "__main__":
    main()
