"""The window of automatic commits: when what was gathered becomes a commit.

An automatic commit is finished when its branch has been quiet for `limits.AUTO_COMMIT_QUIET_S`,
when it is `AUTO_COMMIT_AGE_S` old, or when it holds `AUTO_COMMIT_KEYS` writes or
`AUTO_COMMIT_BYTES`, whichever comes first. Its clock is in the scope's row: the deadline outlives
a restart. What decides is `due_in`; the loop only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from gateway.errors import SidegateError
from gateway.ids import CommitId, ScopeId
from gateway.limits import (
    AUTO_COMMIT_AGE_S,
    AUTO_COMMIT_BYTES,
    AUTO_COMMIT_KEYS,
    AUTO_COMMIT_QUIET_S,
)
from gateway.metadata.base import Delete, Row, Unit
from gateway.metadata.schema import COMMIT, SCOPE
from gateway.versions.commits import Commits
from gateway.versions.folding import purge
from gateway.versions.rows import number, text
from gateway.versions.state import State
from gateway.versions.uploads import Uploads

RETRY_S: Final = 5.0  # after a failure (a full disk): writes still gather meanwhile
EXPIRE_EVERY_S: Final = 3600.0  # looks for uploads abandoned

_log = logging.getLogger(__name__)


def due_in(scope: Row, now_ms: int) -> float:
    """Return the seconds until an automatic commit is to be finished; 0 or less: now."""
    writes, size = number(scope["writes"]), number(scope["logical_bytes"])
    started, last = number(scope["started"]), number(scope["last_write"])
    if writes >= AUTO_COMMIT_KEYS or size >= AUTO_COMMIT_BYTES:
        return 0.0
    if started > now_ms or last > now_ms:  # the clock was set back
        return 0.0
    quiet = AUTO_COMMIT_QUIET_S - (now_ms - last) / 1000
    age = AUTO_COMMIT_AGE_S - (now_ms - started) / 1000
    return min(quiet, age)


class Window:
    """Finishes automatic commits when they are due."""

    def __init__(self, state: State, commits: Commits, uploads: Uploads) -> None:
        self._state = state
        self._commits = commits
        self._uploads = uploads
        self._poked = asyncio.Event()
        self._expired_s: float | None = None

    def poke(self) -> None:
        """Have the loop look again: an automatic commit was opened, or may be full."""
        self._poked.set()

    async def close_due(self, *, all_of_them: bool = False) -> float | None:
        """Finish what is due and return the seconds until the next is; None when none is open.

        What fails is logged and tried again; it does not keep the others waiting.
        """
        async with self._state.metadata.snapshot() as rows:
            scopes = await rows.scan(SCOPE, (1,), index="by_auto")
        nearest: float | None = None
        for scope in scopes:
            wait = due_in(scope, self._state.clock.now_ms())
            if wait <= 0 or all_of_them:
                wait = await self._close(CommitId(text(scope["commit_id"])))
            if wait > 0:
                nearest = wait if nearest is None else min(nearest, wait)
        return nearest

    async def _close(self, commit: CommitId) -> float:
        """Finish one; return the seconds after which to try again, 0 when it is done."""
        try:
            if await self._commits.finish_automatic(commit) is None:
                await self._sweep(commit)
        except SidegateError as error:
            _log.warning("cannot finish automatic commit %s: %s", commit, error.line())
            return RETRY_S
        except Exception:  # whatever is wrong with one branch, the others are looked after
            _log.exception("cannot finish automatic commit %s", commit)
            return RETRY_S
        return 0.0

    async def _sweep(self, commit: CommitId) -> None:
        """Remove the scope of a commit that is gone."""
        async with self._state.metadata.snapshot() as rows:
            scope = await rows.get(SCOPE, (commit,))
            row = await rows.get(COMMIT, (commit,))
        if scope is not None and (row is None or row["state"] != "open"):
            await self._state.metadata.commit(Unit([Delete(SCOPE, (commit,))]))
            await purge(self._state, ScopeId(commit))

    async def expire(self) -> None:
        """Drop uploads abandoned, once in `EXPIRE_EVERY_S`."""
        now = self._state.clock.monotonic_s()
        if self._expired_s is None or now - self._expired_s >= EXPIRE_EVERY_S:
            self._expired_s = now
            await self._uploads.expire()

    async def run(self) -> None:
        """Wait and finish, until cancelled."""
        while True:
            self._poked.clear()
            wait: float | None
            try:
                wait = await self.close_due()
                await self.expire()
            except SidegateError as error:
                _log.warning("cannot look after automatic commits: %s", error.line())
                wait = RETRY_S
            except Exception:
                _log.exception("cannot look after automatic commits")
                wait = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXPIRE_EVERY_S if wait is None else wait):
                    await self._poked.wait()
