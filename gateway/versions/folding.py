"""Folding: staged rows become a tree.

Rows are read in order of their keys, a page at a time, and edited into the tree page by page, so
that memory is bounded whatever was staged; what was written while that went on is found by its
sequence number, and is little. Nodes are stored as they are made and named by nobody
until the commit is recorded: folding that is given up leaves garbage, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.ids import ScopeId
from gateway.metadata.base import DeleteWhere, Row, Unit
from gateway.metadata.schema import SCOPE, STAGING
from gateway.objects.record import ObjectRecord
from gateway.objects.store import Domain
from gateway.versions.rows import blob, maybe_blob, number
from gateway.versions.state import Content, State

PAGE: Final = 1000  # rows edited in one go
LATE: Final = 4000  # rows of later writes, read in one go: more than one write has
PURGE: Final = 500  # rows removed in one unit: some 2 ms of the writer


class Folded(NamedTuple):
    """A tree, and the writes up to which it holds its scope's rows."""

    content: Content
    seq: int
    ticket: int  # to wait for before the tree is named


async def fold(
    state: State, domain: Domain, base: Content, scope: ScopeId, since: int = 0, ticket: int = 0
) -> Folded:
    """Return `base` with the rows of a scope over it: all, or those written after `since`.

    Rows written meanwhile may be in it or not; those above the `seq` returned are to be folded
    again, which is harmless.
    """
    async with state.metadata.snapshot() as rows:
        row = await rows.get(SCOPE, (scope,))
        upto = 0 if row is None else number(row["seq"])
    content = base
    if since:
        while since < upto:
            later, since = await _later(state, scope, since, upto)
            content, ticket = await _edit(state, domain, content, _in_order(later), ticket)
        return Folded(content, upto, ticket)
    after: bytes | None = None
    while upto:
        async with state.metadata.snapshot() as rows:
            page = await rows.scan(STAGING, (scope,), after=after, limit=PAGE)
        content, ticket = await _edit(state, domain, content, page, ticket)
        if len(page) < PAGE:
            break
        after = blob(page[-1]["path"])
    return Folded(content, upto, ticket)


async def _later(state: State, scope: ScopeId, since: int, upto: int) -> tuple[Sequence[Row], int]:
    """Return rows written after `since`, whole writes only, and up to which write they go."""
    async with state.metadata.snapshot() as rows:
        found = await rows.scan(STAGING, (scope,), index="by_seq", after=since, limit=LATE)
        if len(found) < LATE:
            return found, upto
        last = number(found[-1]["seq"])
        whole = [row for row in found if number(row["seq"]) < last]
        if whole:
            return whole, last - 1
        return await rows.scan(STAGING, (scope, last), index="by_seq"), last


def _in_order(rows: Sequence[Row]) -> Sequence[Row]:
    return sorted(rows, key=lambda row: blob(row["path"]))


async def _edit(
    state: State, domain: Domain, base: Content, rows: Sequence[Row], ticket: int
) -> tuple[Content, int]:
    """Return a tree with rows over it, which are in order of their keys."""
    if not rows:
        return base, ticket
    changes: list[tuple[bytes, ObjectRecord | None]] = []
    for row in rows:
        data = maybe_blob(row["record"])
        record = None if data is None else ObjectRecord.decode(data)
        changes.append((blob(row["path"]), record))
    tree = await state.objects.trees.edit(domain, base.root, changes)
    return Content(tree.root, tree.objects, tree.bytes), max(ticket, tree.ticket)


async def purge(state: State, scope: ScopeId) -> None:
    """Remove the staged rows of a scope that is gone, some at a time."""
    while True:
        await state.metadata.commit(Unit([DeleteWhere(STAGING, (scope,), limit=PURGE)]))
        async with state.metadata.snapshot() as rows:
            if not await rows.scan(STAGING, (scope,), limit=1):
                return


async def purge_orphans(state: State) -> None:
    """Remove staged rows that a crash has left without their scope."""
    after: str | None = None
    while True:
        async with state.metadata.snapshot() as rows:
            found = await rows.scan(STAGING, after=after, limit=1)
            if not found:
                return
            after = str(found[0]["scope"])
            alive = await rows.get(SCOPE, (after,)) is not None
        if not alive:
            await purge(state, ScopeId(after))
