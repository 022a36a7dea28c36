"""Commits: started, finished, discarded.

A branch has one open commit at most. Finishing folds its staged rows over the branch's head and
moves the head to it, in this order: tree nodes durable, then one unit that expects the last write
folded (`scope.seq`) and the head folded upon (`ref.ver`), records the commit, moves the head, logs
the move, tells the outbox and removes the scope. A crash before the unit leaves garbage nodes; one
after it leaves staged rows of no scope, which are purged.

Rows are folded while writers go on; only what they added since is folded again with the gate
closed. An automatic commit that changed nothing is dropped instead of recorded.

Staged rows of a commit lie in the scope of the commit's own id. A job's output lies in scopes of
its own and is on no branch until it is finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.errors import Conflict, Denied, NotFound, Reason, TooLarge
from gateway.ids import BranchName, CommitId, ProjectName, RepoId, ScopeId
from gateway.limits import MESSAGE_SIZE_MAX
from gateway.metadata.base import (
    Delete,
    DeleteWhere,
    Expect,
    Op,
    Row,
    Snapshot,
    Unit,
    Update,
    Value,
)
from gateway.metadata.schema import (
    COMMIT,
    PART,
    PROVENANCE,
    REF,
    REPO,
    SCOPE,
    STAGING,
    UPLOAD,
)
from gateway.objects.store import Domain
from gateway.versions.branches import move_ops, no_branch, ref_row
from gateway.versions.folding import Folded, fold, purge
from gateway.versions.model import CommitInfo, CommitState, Origin
from gateway.versions.rows import (
    commit_of,
    edge_of,
    maybe_commit,
    number,
    text,
)
from gateway.versions.staging import open_commit_ops
from gateway.versions.state import Content, State

SMALL: Final = 200  # staged rows folded at once, with the gate closed, and removed in the unit
CATCH_UP: Final = 4  # folds of what was written during the one before, with writers going on
LIST_STEP: Final = 100
EDGES_MAX: Final = 1000  # shown of one commit


def check_message(message: str) -> None:
    """Refuse a message that is too long.

    Raises:
        TooLarge(LIMIT): above `limits.MESSAGE_SIZE_MAX` bytes.
    """
    if len(message.encode("utf-8", "surrogateescape")) > MESSAGE_SIZE_MAX:
        raise TooLarge(Reason.LIMIT, f"a message of more than {MESSAGE_SIZE_MAX} bytes")


async def commit_row(rows: Snapshot, commit: CommitId) -> Row:
    """Return a commit's row.

    Raises:
        NotFound(NO_SUCH_COMMIT): it is not there.
    """
    row = await rows.get(COMMIT, (commit,))
    if row is None:
        raise NotFound(Reason.NO_SUCH_COMMIT, f"there is no commit {commit}", commit=commit)
    return row


async def repo_of_commit(rows: Snapshot, commit: Row) -> Row:
    """Return the row of the repo that a commit is in."""
    row = await rows.get(REPO, (commit["repo"],))
    if row is None:
        raise NotFound(Reason.NO_SUCH_COMMIT, f"the repo of commit {text(commit['id'])} is gone")
    return row


def must_be_open(row: Row) -> None:
    """Refuse what needs an open commit.

    Raises:
        Conflict(COMMIT_NOT_OPEN): it is finished or discarded.
    """
    if row["state"] != "open":
        raise Conflict(
            Reason.COMMIT_NOT_OPEN,
            f"commit {text(row['id'])} is {text(row['state'])} already",
        )


async def scope_totals(rows: Snapshot, scope: ScopeId) -> Row:
    """Return the row of a scope, or one of zeros."""
    row = await rows.get(SCOPE, (scope,))
    return row or {"seq": 0, "writes": 0, "logical_bytes": 0, "new_bytes": 0}


def finished_values(
    state: State, content: Content, head: CommitId | None, scope: Row
) -> dict[str, Value]:
    """Return what the row of a finished commit says."""
    return {
        "state": CommitState.FINISHED.value,
        "parent": head,
        "root": content.root,
        "finished": state.clock.now_ms(),
        "objects": content.objects,
        "bytes": content.bytes,
        "logical_bytes": scope["logical_bytes"],
        "new_bytes": scope["new_bytes"],
        "scope": None,
    }


def drop_scope_ops(scope: ScopeId, uploads: Sequence[Row]) -> list[Op]:
    """Return what removes a scope and the uploads into it; its rows are purged after."""
    ops: list[Op] = [Delete(SCOPE, (scope,))]
    for upload in uploads:
        ops += [DeleteWhere(PART, (upload["id"],)), Delete(UPLOAD, (upload["id"],))]
    return ops


class Commits:
    """The life of commits by hand and of automatic ones."""

    def __init__(self, state: State) -> None:
        self._state = state

    # --- reading -------------------------------------------------------------------------------

    async def inspect_commit(self, commit: CommitId) -> CommitInfo:
        """Return a commit with its provenance and subvenance.

        Raises:
            NotFound(NO_SUCH_COMMIT): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            row = await commit_row(rows, commit)
            return await self._info(rows, row)

    async def _info(self, rows: Snapshot, row: Row) -> CommitInfo:
        up = await rows.scan(PROVENANCE, (row["id"],), limit=EDGES_MAX)
        down = await rows.scan(PROVENANCE, (row["id"],), index="by_upstream", limit=EDGES_MAX)
        repo = await repo_of_commit(rows, row)
        if row["state"] == "open" and row["scope"] is not None:
            scope = await scope_totals(rows, ScopeId(text(row["scope"])))
            row = {
                **row,
                "logical_bytes": scope["logical_bytes"],
                "new_bytes": scope["new_bytes"],
            }
        return commit_of(
            row,
            repo,
            tuple(edge_of(edge) for edge in up),
            tuple(edge_of(edge) for edge in down),
        )

    async def list_commits(
        self,
        repo: str,
        branch: BranchName | None = None,
        limit: int = LIST_STEP,
        *,
        before: CommitId | None = None,
    ) -> list[CommitInfo]:
        """Return commits, newest first.

        Args:
            repo: `[project/]repo`.
            branch: only its open commit and the ancestors of its head; None: all of the repo.
            limit: at most so many.
            before: go on after this one (of a branch: with its parent).

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH | NO_SUCH_COMMIT): one of them is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            found = await self._state.repo(rows, repo)
            if branch is None:
                return await self._list_all(rows, found, limit, before)
            ref = await rows.get(REF, (found["id"], branch))
            if ref is None:
                raise no_branch(repo, branch)
            if before is None:
                start = [maybe_commit(ref["open"]), maybe_commit(ref["head"])]
            else:
                start = [maybe_commit((await commit_row(rows, before))["parent"])]
            infos: list[CommitInfo] = []
            for first in start:
                commit = first
                while commit is not None and len(infos) < limit:
                    row = await commit_row(rows, commit)
                    infos.append(await self._info(rows, row))
                    commit = None if row["state"] == "open" else maybe_commit(row["parent"])
            return infos

    async def _list_all(
        self, rows: Snapshot, repo: Row, limit: int, before: CommitId | None
    ) -> list[CommitInfo]:
        until = None
        passing = before is not None
        if before is not None:
            until = number((await commit_row(rows, before))["started"]) + 1
        infos: list[CommitInfo] = []
        for row in await rows.scan(
            COMMIT,
            (repo["id"],),
            index="by_repo",
            until=until,
            reverse=True,
            limit=limit + (LIST_STEP if passing else 0),
        ):
            if passing:  # those of the same millisecond come in order of their ids
                passing = row["id"] != before
            elif row["state"] != "discarded" and len(infos) < limit:
                infos.append(await self._info(rows, row))
        return infos

    # --- starting ------------------------------------------------------------------------------

    async def start_commit(
        self, repo: str, branch: BranchName, message: str = "", author: str = ""
    ) -> CommitInfo:
        """Open a commit on a branch; the branch is made when it is missing.

        An automatic commit that is open there is finished first.

        Raises:
            NotFound(NO_SUCH_REPO): the repo is not there.
            Conflict(COMMIT_OPEN): one is open already.
            Denied(PROTECTED): only jobs write to the branch.
        """
        state = self._state
        check_message(message)

        async def attempt() -> CommitId:
            async with state.metadata.snapshot() as rows:
                found = await state.repo(rows, repo)
                row = await rows.get(REF, (found["id"], branch))
                opened = None if row is None else maybe_commit(row["open"])
                current = None if opened is None else await commit_row(rows, opened)
            repo_id = RepoId(text(found["id"]))
            unit = Unit()
            if row is None:
                unit.add(Expect(REPO, (repo_id,), {"name": found["name"]}))
                unit.add(ref_row(state, repo_id, branch))
            elif row["protected"]:
                raise Denied(Reason.PROTECTED, f"only jobs write to branch {branch} of {repo}")
            if current is not None:
                if current["origin"] != "auto":
                    raise Conflict(
                        Reason.COMMIT_OPEN,
                        f"commit {opened} is open on branch {branch} of {repo}",
                        "finish or discard it first",
                    )
                await self.flush(repo, branch)
                raise Conflict(Reason.RACED, "read it again")
            commit = CommitId(state.new_id())
            head = None if row is None else maybe_commit(row["head"])
            unit.add(
                *open_commit_ops(state, commit, repo_id, branch, head, Origin.USER, message, author)
            )
            await state.metadata.commit(unit)
            if row is None:
                state.forget_names()
            return commit

        return await self.inspect_commit(await state.retry(attempt))

    # --- finishing -----------------------------------------------------------------------------

    async def finish_commit(self, commit: CommitId, message: str | None = None) -> CommitInfo:
        """Finish an open commit: from now on it never changes, and is its branch's head.

        Raises:
            NotFound(NO_SUCH_COMMIT): it is not there.
            Conflict(COMMIT_NOT_OPEN): it is finished or discarded already.
            Conflict(WRONG_STATE): it is a job's, which the job finishes.
        """
        if message is not None:
            check_message(message)
        async with self._state.metadata.snapshot() as rows:
            row = await commit_row(rows, commit)
            must_be_open(row)
            if row["origin"] == "job":
                raise Conflict(Reason.WRONG_STATE, f"commit {commit} is finished by its job")
        await self._finish(commit, message)
        return await self.inspect_commit(commit)

    async def flush(
        self, repo: str, branch: BranchName, message: str | None = None
    ) -> CommitInfo | None:
        """Finish the automatic commit that is open on a branch, and return it.

        Returns None when none is open, or when it had changed nothing.

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            found = await self._state.repo(rows, repo)
            row = await rows.get(REF, (found["id"], branch))
            if row is None:
                raise no_branch(repo, branch)
            opened = maybe_commit(row["open"])
            if opened is None or (await commit_row(rows, opened))["origin"] != "auto":
                return None
        return await self.finish_automatic(opened, message)

    async def finish_automatic(
        self, commit: CommitId, message: str | None = None
    ) -> CommitInfo | None:
        """Finish an automatic commit; None when it was dropped, or was closed by someone else."""
        try:
            recorded = await self._finish(commit, message)
        except (NotFound, Conflict) as error:
            if error.reason in {Reason.NO_SUCH_COMMIT, Reason.COMMIT_NOT_OPEN}:
                return None
            raise
        return await self.inspect_commit(commit) if recorded else None

    async def _finish(self, commit: CommitId, message: str | None) -> bool:
        """Fold, record and move the head; return whether the commit was recorded."""
        state = self._state
        scope = ScopeId(commit)
        async with state.metadata.snapshot() as rows:
            row = await commit_row(rows, commit)
            repo = await repo_of_commit(rows, row)
            domain = await state.domain(rows, ProjectName(text(repo["project"])))
            head = await self._head(rows, row)
            base = await state.content(rows, head)
            writes = number((await scope_totals(rows, scope))["writes"])
        gate = state.gate(RepoId(text(row["repo"])), BranchName(text(row["branch"])))
        first: tuple[CommitId | None, Folded] | None = None
        if writes > SMALL:
            folded = await fold(state, domain, base, scope)
            for _ in range(CATCH_UP):
                seq = folded.seq
                folded = await fold(state, domain, folded.content, scope, seq, folded.ticket)
                if folded.seq - seq <= SMALL:
                    break
            first = head, folded

        async def attempt() -> tuple[bool, bool]:
            return await self._record(commit, domain, first, message)

        async with gate.closed():
            recorded, leftovers = await state.retry(attempt)
        if leftovers:
            await purge(state, scope)
        return recorded

    async def _head(self, rows: Snapshot, commit: Row) -> CommitId | None:
        ref = await rows.get(REF, (commit["repo"], commit["branch"]))
        return None if ref is None else maybe_commit(ref["head"])

    async def _record(
        self,
        commit: CommitId,
        domain: Domain,
        first: tuple[CommitId | None, Folded] | None,
        message: str | None,
    ) -> tuple[bool, bool]:
        """Fold what is not folded yet and commit the unit that finishes a commit.

        Returns whether the commit was recorded, and whether its staged rows are still there.
        """
        state = self._state
        scope = ScopeId(commit)
        async with state.metadata.snapshot() as rows:
            row = await commit_row(rows, commit)
            must_be_open(row)
            repo_id, branch = RepoId(text(row["repo"])), text(row["branch"])
            ref = await rows.get(REF, (repo_id, branch))
            if ref is None or ref["open"] != commit:
                raise Conflict(Reason.COMMIT_NOT_OPEN, f"commit {commit} is on no branch")
            head = maybe_commit(ref["head"])
            base = await state.content(rows, head)
            totals = await scope_totals(rows, scope)
            uploads = await rows.scan(UPLOAD, (repo_id, branch, scope), index="by_target")
        if first is not None and first[0] == head:
            done = first[1]
            folded = await fold(state, domain, done.content, scope, done.seq, done.ticket)
        else:
            folded = await fold(state, domain, base, scope)
        if folded.seq != totals["seq"]:
            raise Conflict(Reason.RACED, "the open commit was written to meanwhile")
        unit = Unit([Expect(SCOPE, (scope,), {"seq": folded.seq})])
        unchanged = folded.content.root == base.root
        content = base if unchanged else folded.content
        dropped = unchanged and row["origin"] == "auto"
        version = number(ref["ver"])
        moved: dict[str, Value] = {"open": None} if dropped else {"open": None, "head": commit}
        unit.add(
            Update(
                REF,
                (repo_id, branch),
                set=moved,
                add={} if dropped else {"ver": 1},
                expect={"open": commit, "ver": version},
            )
        )
        if dropped:
            unit.add(Delete(COMMIT, (commit,)))
        else:
            await state.objects.durable(folded.ticket)
            values = finished_values(state, content, head, totals)
            if message is not None:
                values["message"] = message
            unit.add(Update(COMMIT, (commit,), set=values, expect={"state": "open"}))
            cause = maybe_commit(row["cause"]) or commit
            unit.add(*move_ops(state, repo_id, branch, version + 1, commit, cause))
        unit.add(*drop_scope_ops(scope, uploads))
        leftovers = number(totals["writes"]) > SMALL
        if not leftovers:
            unit.add(DeleteWhere(STAGING, (scope,)))
        await state.see_through(self._commit(unit, None if dropped else (commit, content)))
        return not dropped, leftovers

    async def _commit(self, unit: Unit, recorded: tuple[CommitId, Content] | None) -> None:
        await self._state.metadata.commit(unit)
        if recorded is not None:
            self._state.learn(*recorded)
            self._state.on_move()

    async def discard_commit(self, commit: CommitId) -> None:
        """Drop an open commit and all that was written to it.

        Raises:
            NotFound(NO_SUCH_COMMIT): it is not there.
            Conflict(COMMIT_NOT_OPEN): it is finished or discarded already.
            Conflict(WRONG_STATE): it is a job's.
        """
        state = self._state
        scope = ScopeId(commit)

        async def attempt() -> None:
            async with state.metadata.snapshot() as rows:
                row = await commit_row(rows, commit)
                must_be_open(row)
                if row["origin"] == "job":
                    raise Conflict(Reason.WRONG_STATE, f"commit {commit} is dropped by its job")
                key = (row["repo"], row["branch"])
                uploads = await rows.scan(UPLOAD, (*key, scope), index="by_target")
            discarded: Mapping[str, Value] = {
                "state": CommitState.DISCARDED.value,
                "finished": state.clock.now_ms(),
                "scope": None,
            }
            await state.metadata.commit(
                Unit(
                    [
                        Update(REF, key, set={"open": None}, expect={"open": commit}),
                        Update(COMMIT, (commit,), set=discarded, expect={"state": "open"}),
                        *drop_scope_ops(scope, uploads),
                    ]
                )
            )

        await state.retry(attempt)
        await purge(state, scope)
