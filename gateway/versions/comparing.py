"""What differs between two commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.ids import CommitId
from gateway.objects.record import ObjectRecord
from gateway.versions.model import DiffEntry
from gateway.versions.reading import Reading
from gateway.versions.resolving import Resolving
from gateway.versions.state import State
from gateway.versions.views import BucketView

Entries = AsyncIterator[tuple[bytes, ObjectRecord]]


class Comparing:
    """Differences of commits."""

    def __init__(self, state: State, resolving: Resolving, reading: Reading) -> None:
        self._state = state
        self._resolving = resolving
        self._reading = reading

    async def diff_commits(
        self, before: CommitId | None, after: CommitId | None
    ) -> AsyncIterator[DiffEntry]:
        """Yield the keys whose objects differ, in order; None stands for an empty commit.

        An object that was only written again, the same in all but its time, does not differ.
        Between finished commits of one project, what they share is not read.

        Raises:
            NotFound(NO_SUCH_COMMIT): one of them is not there.
        """
        views = [
            None if commit is None else await self._resolving.commit_view(commit, commit)
            for commit in (before, after)
        ]
        first, second = views
        known = first or second
        if known is None:
            return
        if all(view is None or _plain(view, known) for view in views):
            async with self._state.metadata.snapshot() as rows:
                old = await self._state.content(rows, before)
                new = await self._state.content(rows, after)
            async for key, was, now in self._state.objects.trees.diff(
                known.domain, old.root, new.root
            ):
                if not _same(was, now):
                    yield DiffEntry(key, was, now)
            return
        async for entry in _merge(self._entries(first), self._entries(second)):
            yield entry

    async def _entries(self, view: BucketView | None) -> Entries:
        if view is not None:
            async for entry in self._reading.walk(view):
                yield entry


def _plain(view: BucketView, other: BucketView) -> bool:
    return not view.writable and view.domain.id == other.domain.id


def _same(was: ObjectRecord | None, now: ObjectRecord | None) -> bool:
    """Tell whether two records are of the same object, whenever they were written."""
    if was is None or now is None:
        return was is now
    return was == now or replace(was, mtime_ms=now.mtime_ms) == now


async def _merge(first: Entries, second: Entries) -> AsyncIterator[DiffEntry]:
    was = await anext(first, None)
    now = await anext(second, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was[0] < now[0]):
            if was is not None:
                yield DiffEntry(was[0], was[1], None)
            was = await anext(first, None)
        elif was is None or now[0] < was[0]:
            yield DiffEntry(now[0], None, now[1])
            now = await anext(second, None)
        else:
            if not _same(was[1], now[1]):
                yield DiffEntry(was[0], was[1], now[1])
            was = await anext(first, None)
            now = await anext(second, None)
