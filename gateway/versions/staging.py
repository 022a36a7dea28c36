"""Writes: from a stored object to a staged row, in one unit of work.

Every write is one unit: the counter of its scope rises (`seq`), the rows are put, and the unit
expects what it relies on: that the branch's open commit is still the one whose scope it writes
to, and, for a conditional write, that the row it was judged by has not changed. What does not hold
any more is read again and judged again. The first write to a branch without an open commit opens
an automatic one in the same unit.

What the rows refer to is durable before the unit is committed: the caller sees to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from gateway.errors import Denied, Reason
from gateway.ids import CommitId, RepoId, ScopeId
from gateway.limits import AUTO_COMMIT_BYTES, AUTO_COMMIT_KEYS
from gateway.metadata.base import (
    Bound,
    Expect,
    Insert,
    Next,
    Op,
    Put,
    Snapshot,
    Unit,
    Update,
    Value,
)
from gateway.metadata.schema import COMMIT, REF, SCOPE, STAGING
from gateway.objects.record import ObjectRecord
from gateway.versions.model import Condition, Origin
from gateway.versions.reading import Layers, layers_of, must_write
from gateway.versions.rows import maybe_blob
from gateway.versions.state import State
from gateway.versions.views import BucketView

CHECK_EVERY: Final = 256  # writes to a scope between two looks at whether it is full
CHECK_SIZE: Final = AUTO_COMMIT_BYTES // 16  # a write of so many bytes is worth a look


class Change(NamedTuple):
    """One key to be staged."""

    key: bytes
    record: ObjectRecord | None  # None: a deletion
    new_bytes: int = 0


Recheck = Callable[[Snapshot, Layers], Awaitable[None]]
Extra = Callable[[CommitId | None], Sequence[Op]]


def open_commit_ops(
    state: State,
    commit: CommitId,
    repo: RepoId,
    branch: str,
    head: CommitId | None,
    origin: Origin,
    message: str = "",
    author: str = "",
) -> list[Op]:
    """Return what opens a commit on a branch that has none open; its scope bears its id."""
    now = state.clock.now_ms()
    ops: list[Op] = [
        Update(REF, (repo, branch), set={"open": commit}, expect={"open": None}),
        Insert(
            COMMIT,
            {
                "id": commit,
                "repo": repo,
                "branch": branch,
                "state": "open",
                "origin": origin.value,
                "parent": head,
                "cause": commit,
                "message": message,
                "author": author,
                "started": now,
                "objects": 0,
                "bytes": 0,
                "logical_bytes": 0,
                "new_bytes": 0,
                "scope": commit,
            },
        ),
        scope_op(state, ScopeId(commit), repo, commit, auto=origin is Origin.AUTO),
    ]
    return ops


def scope_op(
    state: State, scope: ScopeId, repo: RepoId, commit: CommitId | None, *, auto: bool
) -> Op:
    """Return what makes an empty scope."""
    now = state.clock.now_ms()
    row: dict[str, Value] = {
        "id": scope,
        "repo": repo,
        "commit_id": commit,
        "seq": 0,
        "writes": 0,
        "logical_bytes": 0,
        "new_bytes": 0,
        "auto": int(auto),
        "started": now,
        "last_write": now,
    }
    return Insert(SCOPE, row)


class Stager:
    """Stages changes through views."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def stage(
        self,
        view: BucketView,
        changes: Sequence[Change],
        condition: Condition | None = None,
        recheck: Recheck | None = None,
        extra: Extra | None = None,
    ) -> CommitId | None:
        """Stage changes in one unit and return the commit that they will be part of.

        Args:
            view: where to.
            changes: each key once.
            condition: held against the one key of `changes` at the moment of the write.
            recheck: called with the rows of each attempt; raises when the write must not be.
            extra: further operations of the same unit, given the commit.

        Raises:
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
            PreconditionFailed, NotFound(NO_SUCH_KEY): the condition does not hold.
            Busy(BUSY): too many others write the same key.
        """
        state = self._state

        async def attempt() -> CommitId | None:
            return await self._attempt(view, changes, condition, recheck, extra)

        if view.scope is not None or view.branch is None:
            commit = await state.retry(attempt)
        else:
            gate = state.gate(view.repo_id, view.branch)

            async def passing() -> CommitId | None:
                await gate.enter()
                try:
                    return await attempt()
                finally:
                    gate.leave()

            commit = await state.retry(passing)
        if view.recorder is not None:
            for change in changes:
                view.recorder.wrote(change.key, change.record)
        return commit

    async def _attempt(
        self,
        view: BucketView,
        changes: Sequence[Change],
        condition: Condition | None,
        recheck: Recheck | None,
        extra: Extra | None,
    ) -> CommitId | None:
        state = self._state
        async with state.metadata.snapshot() as rows:
            layers = await layers_of(state, rows, view)
            must_write(view, layers)
            if view.scope is not None and await rows.get(SCOPE, (view.scope,)) is None:
                raise Denied(Reason.READ_ONLY, f"bucket {view.name!r} is closed", name=view.name)
            if recheck is not None:
                await recheck(rows, layers)
            ops: list[Op] = []
            if condition:
                ops += await self._hold(rows, view, layers, changes[0].key, condition)
        now = state.clock.now_ms()
        scope, commit, branch = layers.scope, layers.commit, view.branch
        opening = scope is None
        if scope is None:
            if branch is None:
                raise Denied(Reason.READ_ONLY, f"bucket {view.name!r} is read-only")
            commit = CommitId(state.new_id())
            scope = ScopeId(commit)
            ops += open_commit_ops(state, commit, view.repo_id, branch, layers.head, Origin.AUTO)
        elif view.scope is None and not condition:
            ops.append(Expect(REF, (view.repo_id, branch), {"open": commit}))
        size = sum(0 if c.record is None else c.record.size for c in changes)
        new_bytes = sum(c.new_bytes for c in changes)
        ops.append(
            Next(
                SCOPE,
                (scope,),
                "seq",
                "seq",
                add={"writes": len(changes), "logical_bytes": size, "new_bytes": new_bytes},
                set={"last_write": now},
            )
        )
        seq = Bound("seq")
        for key, record, _ in changes:
            data = None if record is None else record.encode()
            ops.append(Put(STAGING, {"scope": scope, "path": key, "seq": seq, "record": data}))
        if extra is not None:
            ops += extra(commit)
        bound = await state.metadata.commit(Unit(ops))
        if opening or size >= CHECK_SIZE or not bound["seq"] % CHECK_EVERY:
            state.on_window()
        return commit

    async def _hold(
        self,
        rows: Snapshot,
        view: BucketView,
        layers: Layers,
        key: bytes,
        condition: Condition,
    ) -> list[Op]:
        """Check a condition, and return what the unit must expect for it to hold still."""
        ops: list[Op] = []
        row = None
        if layers.scope is not None:
            row = await rows.get(STAGING, (layers.scope, key))
            seen = None if row is None else {"seq": row["seq"]}
            ops.append(Expect(STAGING, (layers.scope, key), seen))
        if view.scope is None:
            # Without a staged row the head decides, and with one it must still be staged.
            expected: dict[str, Value] = {
                "open": None if layers.scope is None else layers.commit,
                "ver": layers.version,
            }
            ops.append(Expect(REF, (view.repo_id, view.branch), expected))
        record: ObjectRecord | None = None
        if row is not None:
            data = maybe_blob(row["record"])
            record = None if data is None else ObjectRecord.decode(data)
        elif layers.base.root is not None:
            state = self._state
            record = await state.objects.trees.get(view.domain, layers.base.root, key)
        condition.check(key, record)
        return ops


def full(writes: int, logical_bytes: int) -> bool:
    """Tell whether an automatic commit has gathered enough."""
    return writes >= AUTO_COMMIT_KEYS or logical_bytes >= AUTO_COMMIT_BYTES
