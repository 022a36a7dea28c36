"""MD5 of all uploads in flight, side by side.

One thread takes what the uploads submit and advances up to eight states in one call without the
interpreter lock (`digests.md5_lanes`): eight lanes together are five times as fast as one after
the other. Batches form by themselves: what is submitted while a call runs is the next batch, and a
lone upload never waits for company. A batch's results go back to the event loop in one step.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from gateway.digests import Md5, md5_lanes
from gateway.errors import Reason, Unavailable

LANES = 8


class _Job(NamedTuple):
    state: Md5
    view: memoryview
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class DigestPool:
    """The thread and its queue. `submit` from any event loop; `close` when no upload is left."""

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sidegate-md5", daemon=True)
        self._thread.start()

    def submit(self, state: Md5, view: memoryview) -> asyncio.Future[None]:
        """Have `state` take `view`, and return a future of when it has.

        Until then neither may be touched, even if the future is cancelled: wait for it. A state
        has one view under way at a time.

        Raises:
            Unavailable(SHUTTING_DOWN): the pool is closed.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._changed:
            if self._closed:
                raise Unavailable(Reason.SHUTTING_DOWN, "the store is closing")
            self._jobs.append(_Job(state, view, loop, done))
            self._changed.notify()
        return done

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        jobs = self._jobs
        while True:
            with self._changed:
                while not jobs and not self._closed:
                    self._changed.wait()
                batch = [jobs.popleft() for _ in range(min(LANES, len(jobs)))]
            if not batch:
                return
            failure: Exception | None = None
            try:
                md5_lanes([(job.state, job.view) for job in batch])
            except Exception as error:  # for the uploads that wait
                failure = error
            for loop in {job.loop for job in batch}:
                mine = [job.done for job in batch if job.loop is loop]
                # A loop that is closed has nobody left who waits.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_resolve, mine, failure)
            del batch


def _resolve(waiting: Sequence[asyncio.Future[None]], failure: Exception | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
