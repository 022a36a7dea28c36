"""How fast a versioned tree is built, edited, searched, listed and compared, on a real chunk store.

Prints, for N paths like those of an image set: a build from nothing; commits of one change, of
N/1000 changes here and there, and of N/1000 in one place (with what each wrote); lookups with
leaves cached and not; a listing; the difference of the two commits. Times are CPU of this
process, which is all there is to them but the commits' one sync.

    python bench/micro/tree.py [--smoke] [--paths N] [--directory DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Self

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from gateway.backends.local import LocalFiles
from gateway.chunks.chunk import Domain
from gateway.chunks.store import ChunkStore
from gateway.clock import SystemClock
from gateway.entropy import SystemEntropy
from gateway.metadata.sqlite import SqliteMetadata
from gateway.objects.record import ObjectRecord, Single
from gateway.objects.store import ObjectStore
from gateway.objects.trees import TreeRoot, Trees

DOMAIN = Domain.from_salt("bench", bytes(32))


class Measure:
    """CPU seconds of this process over a block."""

    def __enter__(self) -> Self:
        gc.collect()  # of what came before, not in the middle of this
        self._start = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = time.process_time() - self._start


def report(what: str, value: str) -> None:
    print(f"{what:<52} {value}")


def record(rng: random.Random) -> ObjectRecord:
    size = rng.randrange(20_000, 60_000)
    return ObjectRecord(
        size,
        1_700_000_000_000 + rng.randrange(10**9),
        rng.randbytes(16),
        content=Single(rng.randbytes(32), 0, size),
        headers={"content-type": "image/jpeg"},
    )


class Bench:
    def __init__(self, store: ObjectStore, chunks: ChunkStore, paths: int) -> None:
        self.store, self.chunks, self.trees = store, chunks, store.trees
        self.rng = random.Random(1)
        self.keys = tuple(b"train/class%05d/img_%08d.jpg" % (i // 1300, i) for i in range(paths))

    async def edit(self, what: str, root: bytes | None, changes: Sequence[bytes]) -> TreeRoot:
        rows = [(key, record(self.rng)) for key in changes]
        before = self.chunks.stats()
        with Measure() as took:
            tree = await self.trees.edit(DOMAIN, root, rows)
            await self.store.durable(tree.ticket)
        after = self.chunks.stats()
        nodes = after.chunks - before.chunks
        size = after.payload_bytes - before.payload_bytes
        report(
            what,
            f"{took.cpu * 1000:9.2f} ms  {took.cpu / len(rows) * 1e6:8.1f} us a path"
            f"  {nodes:6} nodes  {size / 1e6:8.3f} MB",
        )
        return tree

    async def lookups(self, what: str, trees: Trees, root: bytes | None, count: int) -> None:
        wanted = self.rng.sample(self.keys, count)
        with Measure() as took:
            for key in wanted:
                await trees.get(DOMAIN, root, key)
        report(what, f"{took.cpu / count * 1e6:9.2f} us")

    async def run(self) -> None:
        keys, rng = self.keys, self.rng
        part = max(1, len(keys) // 1000)
        first = await self.edit(f"build of {len(keys)} paths", None, keys)
        await self.edit("commit of 1 change", first.root, [rng.choice(keys)])
        at = rng.randrange(len(keys) - part)
        await self.edit(f"commit of {part} changes in one place", first.root, keys[at : at + part])
        second = await self.edit(
            f"commit of {part} changes here and there", first.root, sorted(rng.sample(keys, part))
        )
        with Measure() as took:
            count = len([1 async for _ in self.trees.diff(DOMAIN, first.root, second.root)])
        report(f"difference of the two ({count} paths)", f"{took.cpu * 1000:9.2f} ms")
        with Measure() as took:
            again = [1 async for _ in self.trees.diff(DOMAIN, first.root, second.root)]
        report(f"the same again ({len(again)} paths)", f"{took.cpu * 1000:9.2f} ms")
        count = min(20_000, len(keys))
        everything = Trees(self.chunks, cache_size=1 << 40)
        cursor = everything.cursor(DOMAIN, first.root)
        while await cursor.take(1000):
            pass
        await self.lookups("lookup, every node cached", everything, first.root, count)
        await self.lookups("lookup, cache of 64 MiB", self.trees, first.root, count)
        fresh = Trees(self.chunks)
        await self.lookups("(the first, to have inner nodes)", fresh, first.root, 1)
        few = max(1, len(keys) // 1000)  # so that few leaves are met twice
        await self.lookups("lookup, leaf not cached", fresh, first.root, few)
        await cursor.seek(keys[len(keys) // 2])
        with Measure() as took:
            page = await cursor.take(1000)
        report(f"listing of {len(page)} paths, cached", f"{took.cpu * 1000:9.2f} ms")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--smoke", action="store_true", help="tiny, to see that it runs")
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--directory", help="where the store is made and removed")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="bench-tree-", dir=options.directory)
    try:
        metadata = SqliteMetadata.open(os.path.join(directory, "metadata.sqlite"))
        chunks = await ChunkStore.open(
            directory, LocalFiles(), metadata, SystemClock(), SystemEntropy()
        )
        store = ObjectStore(chunks)
        await Bench(store, chunks, 2000 if options.smoke else options.paths).run()
        store.close()
        await chunks.close()
        await metadata.close()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    asyncio.run(main())
