"""How fast the store takes bytes in, without a network: cut, named, written, durable.

Prints, for one process: streams of fresh bytes (GB/s and CPU seconds per GB) with extents written
past the page cache and through it; the same stream again (all known); small records with many and
with one waiting (a second, and CPU microseconds each); reading back, first and mapped.

    python bench/engine.py [--smoke] [--directory DIR] [--mib N] [--puts N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from gateway.backends.local import LocalFiles
from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.chunks.writer import Sizes
from gateway.clock import SystemClock
from gateway.entropy import SystemEntropy
from gateway.limits import MIB
from gateway.metadata.sqlite import SqliteMetadata

VIEW = MIB
DOMAIN = Domain.from_salt("bench", bytes(32))


class Measure:
    """Wall and CPU seconds of this process over a block."""

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu


def report(what: str, value: str) -> None:
    print(f"{what:<58} {value}")


def rate(what: str, size: int, took: Measure) -> None:
    report(what, f"{size / took.wall / 1e9:6.2f} GB/s  {took.cpu / size * 1e9:6.2f} CPU s/GB")


def made(seed: int, size: int) -> memoryview:
    source = random.Random(seed)
    return memoryview(b"".join(source.randbytes(min(VIEW, size)) for _ in range(-(-size // VIEW))))


async def stream(store: ChunkStore, data: memoryview) -> list[bytes]:
    writer = store.writer(DOMAIN)
    for at in range(0, len(data), VIEW):
        await writer.write(data[at : at + VIEW])
    written = await writer.finish()
    await store.durable(written.ticket)
    return [entry.id for entry in written.entries]


async def small(store: ChunkStore, count: int, size: int, clients: int) -> None:
    bodies = [os.urandom(size) for _ in range(count)]

    async def client(mine: list[bytes]) -> None:
        for body in mine:
            stored = await store.put(DOMAIN, RecordKind.SMALL, body)
            await store.durable(stored.ticket)

    with Measure() as took:
        await asyncio.gather(*(client(bodies[first::clients]) for first in range(clients)))
    report(
        f"durable records of {size} bytes, {clients} waiting",
        f"{count / took.wall:8.0f} /s  {took.cpu / count * 1e6:6.1f} CPU us each",
    )


async def opened(
    directory: str, direct: bool, work: Callable[[ChunkStore], Awaitable[None]]
) -> None:
    place = tempfile.mkdtemp(prefix="bench-engine-", dir=directory)
    try:
        metadata = SqliteMetadata.open(f"{place}/metadata.sqlite")
        store = await ChunkStore.open(
            place,
            LocalFiles(),
            metadata,
            SystemClock(),
            SystemEntropy(),
            sizes=Sizes(direct=direct),
        )
        await work(store)
        await store.close()
        await metadata.close()
    finally:
        shutil.rmtree(place)


async def run(directory: str, mib: int, puts: int) -> None:
    fresh = [made(seed, mib * MIB // 4) for seed in range(4)]
    size = sum(len(data) for data in fresh)

    for direct in (True, False):
        how = "past the page cache" if direct else "through the page cache"

        async def ingest(store: ChunkStore, how: str = how) -> None:
            with Measure() as took:
                ids = await stream(store, fresh[0])
                ids += await stream(store, fresh[1])
            rate(f"one stream, {how}", size // 2, took)
            with Measure() as took:
                await asyncio.gather(stream(store, fresh[2]), stream(store, fresh[3]))
            rate(f"two streams, {how}", size // 2, took)
            with Measure() as took:
                await stream(store, fresh[0])
            rate(f"the same again, {how}", size // 4, took)
            with Measure() as took:
                await store.read(ids)
            rate(f"first read (checked), written {how}", size // 2, took)
            with Measure() as took:
                views = await store.read(ids)
            report("a mapped chunk, found again", f"{took.cpu / len(views) * 1e6:6.2f} CPU us")
            for clients in (1, 16, 64):
                await small(store, puts if clients > 1 else puts // 8, 4096, clients)

        await opened(directory, direct, ingest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--smoke", action="store_true", help="tiny, to see that it runs")
    parser.add_argument("--directory", default=None, help="on the file system to measure")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--puts", type=int, default=20_000)
    options = parser.parse_args()
    mib, puts = (8, 200) if options.smoke else (options.mib, options.puts)
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run(options.directory or tempfile.gettempdir(), mib, puts))


if __name__ == "__main__":
    main()
