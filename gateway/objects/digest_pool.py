"""MD5 of all uploads in flight, side by side.

One thread takes what the uploads submit and advances up to eight states in one call without the
interpreter lock (`digests.md5_lanes`): eight lanes together take hardly longer than one, so that a
half empty call is half wasted. What is submitted while a call runs is the next batch. Beyond that
the thread waits a moment for uploads that are about to come with their next window, and only for
those: their pace so far says when they are due, and an upload waits for no other that is much
slower than itself, nor longer than about its own pace from window to window (`WAIT_MAX_S` at the
most). Uploads of one pace thus fall into step; a lone one, or one that has just begun, never waits
for company. Sockets fill the next window meanwhile, so that waiting costs the uploads little.

A batch's results go back to the event loop in one step.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from gateway.digests import Md5, md5_lanes
from gateway.errors import Reason, Unavailable

LANES = 8
WAIT_MAX_S = 0.02
WORTH_WAITING = 256 * 1024  # bytes; smaller views are done sooner than company comes
_SLOWER = 2.0  # an upload of so many times the interval is not waited for


class _Peer:
    """An upload's pace: when it submitted last, and how long it takes from window to window."""

    __slots__ = ("interval_s", "last_s", "queued")

    def __init__(self) -> None:
        self.last_s = 0.0
        self.interval_s = 0.0  # not known yet
        self.queued = False

    def note(self, now_s: float) -> None:
        """Take note of a window."""
        if self.last_s:
            since_s = now_s - self.last_s
            # From the second window on; a mean that follows quickly.
            self.interval_s = (self.interval_s + since_s) / 2 if self.interval_s else since_s
        self.last_s = now_s
        self.queued = True


class _Job:
    __slots__ = ("done", "loop", "peer", "state", "view")

    def __init__(
        self,
        state: Md5,
        view: memoryview,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[None],
        peer: _Peer,
    ) -> None:
        self.state = state
        self.view = view
        self.loop = loop
        self.done = done
        self.peer = peer


class DigestPool:
    """The thread and its queue. `submit` from any event loop; `close` when no upload is left."""

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._peers: dict[Md5, _Peer] = {}
        self._enough = 1  # so many jobs are waited for
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sidegate-md5", daemon=True)
        self._thread.start()

    def submit(self, state: Md5, view: memoryview) -> asyncio.Future[None]:
        """Have `state` take `view`, and return a future of when it has.

        Until then neither may be touched, even if the future is cancelled: wait for it. A state
        has one view under way at a time. Call `forget` when it has taken its last.

        Raises:
            Unavailable(SHUTTING_DOWN): the pool is closed.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._changed:
            if self._closed:
                raise Unavailable(Reason.SHUTTING_DOWN, "the store is closing")
            peer = self._peers.get(state)
            if peer is None:
                peer = self._peers[state] = _Peer()
            peer.note(time.monotonic())
            self._jobs.append(_Job(state, view, loop, done, peer))
            if len(self._jobs) >= self._enough:
                self._changed.notify()
        return done

    def forget(self, state: Md5) -> None:
        """Expect no more of a state; no view of it is under way."""
        with self._changed:
            if self._peers.pop(state, None) is not None and len(self._jobs) + 1 >= self._enough:
                self._changed.notify()

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _take(self) -> list[_Job]:
        """Return the next batch, empty when there will be none."""
        jobs = self._jobs
        with self._changed:
            while not jobs and not self._closed:
                self._enough = 1
                self._changed.wait()
            while jobs and not self._closed:
                left_s = self._company()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break
            batch = [jobs.popleft() for _ in range(min(LANES, len(jobs)))]
            for job in batch:
                job.peer.queued = False
        return batch

    def _company(self) -> float:
        """Return how long to wait for company, in seconds, and set how many jobs are enough."""
        jobs = self._jobs
        first = jobs[0]
        if len(jobs) >= LANES or len(self._peers) == len(jobs) or len(first.view) < WORTH_WAITING:
            return 0.0
        now_s = time.monotonic()
        mine = first.peer
        left_s = mine.last_s + min(mine.interval_s, WAIT_MAX_S) - now_s
        if left_s <= 0:
            return 0.0
        slowest_s = mine.interval_s * _SLOWER
        coming = 0
        for peer in self._peers.values():
            # One that is long overdue has stopped: its client, or the disk, holds it back.
            if not peer.queued and 0 < peer.interval_s <= slowest_s:
                coming += now_s < peer.last_s + _SLOWER * peer.interval_s
        self._enough = min(LANES, len(jobs) + coming)
        return left_s if coming else 0.0

    def _run(self) -> None:
        while batch := self._take():
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
