"""The output of jobs: commits on no branch until they are finished.

A job's commit is opened with the job and knows its provenance from the start. What the job writes
lies in scopes of its own, over nothing: one for each attempt, or several. Nobody else sees any of
it. Finishing folds one scope into a tree and puts the commit on its branch; dropping leaves the
branch as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Conflict, NotFound, Reason
from gateway.ids import BranchName, CommitId, JobId, ProjectName, RepoId, ScopeId
from gateway.metadata.base import (
    DeleteWhere,
    Expect,
    Insert,
    Op,
    Row,
    Snapshot,
    Unit,
    Update,
    Value,
)
from gateway.metadata.schema import COMMIT, PROVENANCE, REF, REPO, SCOPE, UPLOAD
from gateway.versions.branches import move_ops, ref_row
from gateway.versions.commits import (
    commit_row,
    drop_scope_ops,
    finished_values,
    must_be_open,
    repo_of_commit,
    scope_totals,
)
from gateway.versions.folding import fold, purge
from gateway.versions.model import CommitState, Origin
from gateway.versions.rows import maybe_commit, number, repo_of, text
from gateway.versions.staging import scope_op
from gateway.versions.state import NOTHING, State
from gateway.versions.views import BucketView


class Outputs:
    """Open output commits and their scopes."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def open_output(
        self,
        repo: str,
        branch: BranchName,
        job: JobId,
        cause: CommitId | None,
        provenance: Sequence[tuple[CommitId, str]],
        message: str = "",
    ) -> CommitId:
        """Open the output commit of a job; its branch is made, protected, when it is missing.

        Args:
            repo: `[project/]repo`.
            branch: where it will be.
            job: whose it is.
            cause: the commit that set everything off; None: this one.
            provenance: the input commits, each with the name that the job knows it by.
            message: of the commit.

        Raises:
            NotFound(NO_SUCH_REPO): it is not there.
        """
        state = self._state
        commit = CommitId(state.new_id())

        async def attempt() -> None:
            async with state.metadata.snapshot() as rows:
                found = await state.repo(rows, repo)
                ref = await rows.get(REF, (found["id"], branch))
            repo_id = RepoId(text(found["id"]))
            unit = Unit([Expect(REPO, (repo_id,), {"name": found["name"]})])
            if ref is None:
                unit.add(ref_row(state, repo_id, branch, protected=True))
            row: dict[str, Value] = {
                "id": commit,
                "repo": repo_id,
                "branch": branch,
                "state": CommitState.OPEN.value,
                "origin": Origin.JOB.value,
                "parent": None if ref is None else ref["head"],
                "cause": cause or commit,
                "job": job,
                "message": message,
                "author": "",
                "started": state.clock.now_ms(),
                "objects": 0,
                "bytes": 0,
                "logical_bytes": 0,
                "new_bytes": 0,
            }
            unit.add(Insert(COMMIT, row))
            for upstream, name in provenance:
                unit.add(
                    Insert(PROVENANCE, {"commit_id": commit, "upstream": upstream, "input": name})
                )
            await state.metadata.commit(unit)
            if ref is None:
                state.forget_names()

        await state.retry(attempt)
        return commit

    async def open_scope(self, commit: CommitId, name: str = "out") -> BucketView:
        """Make an empty scope of an open output commit and return the view of it.

        Raises:
            NotFound(NO_SUCH_COMMIT): the commit is not there.
            Conflict(COMMIT_NOT_OPEN): it is finished or discarded.
        """
        state = self._state
        scope = ScopeId(state.new_id())
        async with state.metadata.snapshot() as rows:
            row = await commit_row(rows, commit)
            must_be_open(row)
            repo = repo_of(await repo_of_commit(rows, row))
            domain = await state.domain(rows, repo.project)
        await state.metadata.commit(
            Unit(
                [
                    Expect(COMMIT, (commit,), {"state": CommitState.OPEN.value}),
                    scope_op(state, scope, repo.id, commit, auto=False),
                ]
            )
        )
        return BucketView(
            name,
            repo.id,
            repo.name,
            repo.project,
            domain,
            scope=scope,
            created_ms=state.clock.now_ms(),
            location=repo.location,
        )

    async def drop_scope(self, view: BucketView) -> None:
        """Drop a scope and all that was written to it; writers through its view are refused."""
        if view.scope is not None:
            async with self._state.metadata.snapshot() as rows:
                uploads = await self._uploads(rows, view.repo_id, view.scope)
            await self._state.metadata.commit(Unit(drop_scope_ops(view.scope, uploads)))
            await purge(self._state, view.scope)

    async def _uploads(self, rows: Snapshot, repo: RepoId, scope: ScopeId) -> Sequence[Row]:
        return await rows.scan(UPLOAD, (repo, "", scope), index="by_target")

    async def _scopes(self, rows: Snapshot, commit: CommitId) -> list[ScopeId]:
        found = await rows.scan(SCOPE, (commit,), index="by_commit")
        return [ScopeId(text(row["id"])) for row in found]

    async def finish_output(
        self,
        commit: CommitId,
        view: BucketView | None,
        message: str | None = None,
        like: CommitId | None = None,
    ) -> CommitId:
        """Finish a job's commit with what one scope holds, and put it on its branch.

        The writers are done: one that is not is refused from then on, or makes this try again.

        Args:
            commit: the output commit.
            view: the scope's, as `open_scope` gave it; None: no output.
            message: replaces the one given when it was opened.
            like: in place of `view`: a finished commit whose content it takes over (a job that
                was skipped).

        Raises:
            NotFound(NO_SUCH_COMMIT): the commit is not there.
            Conflict(COMMIT_NOT_OPEN): it is finished or discarded.
        """
        state = self._state

        async def attempt() -> None:
            await self._finish(commit, view, message, like)

        await state.retry(attempt)
        if view is not None and view.scope is not None:
            await purge(state, view.scope)
        return commit

    async def _finish(
        self,
        commit: CommitId,
        view: BucketView | None,
        message: str | None,
        like: CommitId | None,
    ) -> None:
        state = self._state
        scope = None if view is None else view.scope
        async with state.metadata.snapshot() as rows:
            row = await commit_row(rows, commit)
            must_be_open(row)
            repo = await repo_of_commit(rows, row)
            domain = await state.domain(rows, ProjectName(text(repo["project"])))
            repo_id, branch = RepoId(text(row["repo"])), BranchName(text(row["branch"]))
            ref = await rows.get(REF, (repo_id, branch))
            totals = await scope_totals(rows, scope or ScopeId(""))
            content = await state.content(rows, like)
            removed: list[Op] = []
            for other in await self._scopes(rows, commit):
                removed += drop_scope_ops(other, await self._uploads(rows, repo_id, other))
        if ref is None:
            raise NotFound(Reason.NO_SUCH_BRANCH, f"branch {branch} of the output is gone")
        unit = Unit()
        if scope is not None:
            folded = await fold(state, domain, NOTHING, scope)
            if folded.seq != totals["seq"]:
                raise Conflict(Reason.RACED, "the output was written to meanwhile")
            content = folded.content
            await state.objects.durable(folded.ticket)
            unit.add(Expect(SCOPE, (scope,), {"seq": folded.seq}))
        head, version = maybe_commit(ref["head"]), number(ref["ver"])
        values = finished_values(state, content, head, totals)
        if message is not None:
            values["message"] = message
        unit.add(
            Update(
                REF,
                (repo_id, branch),
                set={"head": commit},
                add={"ver": 1},
                expect={"ver": version},
            ),
            Update(COMMIT, (commit,), set=values, expect={"state": CommitState.OPEN.value}),
            *move_ops(
                state, repo_id, branch, version + 1, commit, maybe_commit(row["cause"]) or commit
            ),
            *removed,
        )

        async def recorded() -> None:
            await state.metadata.commit(unit)
            state.learn(commit, content)
            state.on_move()

        await state.see_through(recorded())

    async def drop_output(self, commit: CommitId) -> None:
        """Discard a job's open commit with all its scopes; harmless when that was done before.

        Raises:
            NotFound(NO_SUCH_COMMIT): the commit is not there.
            Conflict(COMMIT_NOT_OPEN): it is finished.
        """
        state = self._state
        scopes: list[ScopeId] = []

        async def attempt() -> None:
            async with state.metadata.snapshot() as rows:
                row = await commit_row(rows, commit)
                if row["state"] == CommitState.DISCARDED.value:
                    return
                must_be_open(row)
                scopes[:] = await self._scopes(rows, commit)
                removed: list[Op] = []
                for scope in scopes:
                    uploads = await self._uploads(rows, RepoId(text(row["repo"])), scope)
                    removed += drop_scope_ops(scope, uploads)
            discarded: dict[str, Value] = {
                "state": CommitState.DISCARDED.value,
                "finished": state.clock.now_ms(),
            }
            await state.metadata.commit(
                Unit(
                    [
                        Update(
                            COMMIT,
                            (commit,),
                            set=discarded,
                            expect={"state": CommitState.OPEN.value},
                        ),
                        DeleteWhere(PROVENANCE, (commit,)),
                        *removed,
                    ]
                )
            )

        await state.retry(attempt)
        for scope in scopes:
            await purge(state, scope)
