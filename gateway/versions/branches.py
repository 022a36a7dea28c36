"""Branches: movable names of commits, and the holds on them.

Each move of a head is a row of `ref_log` and one of the outbox, in the same unit. A hold says who
needs a branch to stay, and why; a branch that is held, or that only jobs write, is not removed by
hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Conflict, Denied, NotFound, Reason
from gateway.ids import BranchName, CommitId, RepoId
from gateway.metadata.base import (
    Bound,
    Delete,
    DeleteWhere,
    Expect,
    Insert,
    Next,
    Op,
    Put,
    Row,
    Snapshot,
    Unit,
    Update,
)
from gateway.metadata.schema import (
    COMMIT,
    COUNTER,
    HOLD,
    OUTBOX,
    PART,
    REF,
    REF_LOG,
    REPO,
    SCOPE,
    UPLOAD,
)
from gateway.versions.folding import purge
from gateway.versions.model import BranchInfo, HoldInfo
from gateway.versions.rows import branch_of, maybe_commit, maybe_scope, number, text
from gateway.versions.state import State

OUTBOX_COUNTER = "outbox"


def move_ops(
    state: State, repo: RepoId, branch: str, version: int, head: CommitId, cause: CommitId
) -> list[Op]:
    """Return what records that a head moved; `version` is the one it has from now on."""
    now = state.clock.now_ms()
    return [
        Put(
            REF_LOG,
            {"repo": repo, "ref": branch, "ver": version, "head": head, "time": now},
        ),
        Next(COUNTER, (OUTBOX_COUNTER,), "value", "move"),
        Put(
            OUTBOX,
            {
                "id": Bound("move"),
                "repo": repo,
                "ref": branch,
                "head": head,
                "cause": cause,
                "time": now,
            },
        ),
    ]


def ref_row(state: State, repo: RepoId, name: BranchName, *, protected: bool = False) -> Insert:
    """Return what makes a branch without commits."""
    return Insert(
        REF,
        {
            "repo": repo,
            "name": name,
            "head": None,
            "ver": 0,
            "open": None,
            "protected": int(protected),
            "created": state.clock.now_ms(),
        },
    )


def no_branch(repo: str, name: str) -> NotFound:
    """Return the error for a branch that is not there."""
    return NotFound(
        Reason.NO_SUCH_BRANCH,
        f"there is no branch {name} in repo {repo}",
        f"make it with: branch create {repo}@{name}",
    )


class Branches:
    """The branches of repos. A repo is named `[project/]repo`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def create_branch(
        self,
        repo: str,
        name: BranchName,
        from_commit: CommitId | None = None,
        *,
        protected: bool = False,
    ) -> BranchInfo:
        """Make a branch, at a commit of the same repo or without any.

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_COMMIT): the repo or the commit is not there.
            Conflict(ALREADY_EXISTS): the branch is there.
            Conflict(COMMIT_OPEN): the commit is not finished.
        """
        state = self._state
        async with state.naming:
            async with state.metadata.snapshot() as rows:
                found = await state.repo(rows, repo)
                start = None
                if from_commit is not None:
                    start = await self._finished(rows, found, from_commit)
            repo_id = RepoId(text(found["id"]))
            unit = Unit([Expect(REPO, (repo_id,), {"name": found["name"]})])
            unit.add(ref_row(state, repo_id, name, protected=protected))
            if from_commit is not None and start is not None:
                unit.add(Update(REF, (repo_id, name), set={"head": from_commit, "ver": 1}))
                cause = maybe_commit(start["cause"]) or from_commit
                unit.add(*move_ops(state, repo_id, name, 1, from_commit, cause))
            try:
                await self._move(unit)
            except Conflict as error:
                if error.reason is not Reason.ALREADY_EXISTS:
                    raise
                raise Conflict(
                    Reason.ALREADY_EXISTS, f"branch {name} of repo {repo} is there already"
                ) from error
            state.forget_names()
        return await self.inspect_branch(repo, name)

    async def _finished(self, rows: Snapshot, repo: Row, commit: CommitId) -> Row:
        row = await rows.get(COMMIT, (commit,))
        if row is None or row["repo"] != repo["id"] or row["state"] == "discarded":
            raise NotFound(
                Reason.NO_SUCH_COMMIT, f"there is no commit {commit} in repo {text(repo['name'])}"
            )
        if row["state"] != "finished":
            raise Conflict(Reason.COMMIT_OPEN, f"commit {commit} is not finished")
        return row

    async def list_branches(self, repo: str) -> list[BranchInfo]:
        """Return the branches of a repo, by name.

        Raises:
            NotFound(NO_SUCH_REPO): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            found = await self._state.repo(rows, repo)
            return [
                branch_of(row, found, await holds_of(rows, row))
                for row in await rows.scan(REF, (found["id"],))
            ]

    async def inspect_branch(self, repo: str, name: BranchName) -> BranchInfo:
        """Return a branch.

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            found = await self._state.repo(rows, repo)
            row = await rows.get(REF, (found["id"], name))
            if row is None:
                raise no_branch(repo, name)
            return branch_of(row, found, await holds_of(rows, row))

    async def move_branch(
        self,
        repo: str,
        name: BranchName,
        to: CommitId,
        expect: CommitId | None = None,
    ) -> BranchInfo:
        """Point a branch at a finished commit of its repo; staged rows stay, over the new head.

        Args:
            repo: `[project/]repo`.
            name: of the branch.
            to: the new head.
            expect: compare-and-swap: the head that the caller saw.

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH | NO_SUCH_COMMIT): one of them is not there.
            Conflict(WRONG_STATE): the head is not `expect`.
            Denied(PROTECTED): only jobs move it.
        """
        state = self._state

        async def attempt() -> None:
            async with state.metadata.snapshot() as rows:
                found = await state.repo(rows, repo)
                row = await rows.get(REF, (found["id"], name))
                if row is None:
                    raise no_branch(repo, name)
                target = await self._finished(rows, found, to)
            if row["protected"]:
                raise Denied(Reason.PROTECTED, f"only jobs move branch {name} of {repo}")
            if expect is not None and row["head"] != expect:
                raise Conflict(
                    Reason.WRONG_STATE,
                    f"branch {name} of {repo} is at {maybe_commit(row['head'])}, not at {expect}",
                    "look at it again",
                )
            if row["head"] == to:
                return
            repo_id = RepoId(text(found["id"]))
            version = number(row["ver"])
            cause = maybe_commit(target["cause"]) or to
            await self._move(
                Unit(
                    [
                        Update(
                            REF,
                            (repo_id, name),
                            set={"head": to},
                            add={"ver": 1},
                            expect={"ver": version},
                        ),
                        *move_ops(state, repo_id, name, version + 1, to, cause),
                    ]
                )
            )

        await state.retry(attempt)
        return await self.inspect_branch(repo, name)

    async def _move(self, unit: Unit) -> None:
        """Commit a unit that moves a head, and tell those who wait for it."""

        async def moved() -> None:
            await self._state.metadata.commit(unit)
            self._state.on_move()

        await self._state.see_through(moved())

    async def delete_branch(self, repo: str, name: BranchName, *, force: bool = False) -> None:
        """Remove a branch; its commits stay, and what is staged on it is dropped.

        Args:
            repo: `[project/]repo`.
            name: of the branch.
            force: also when only jobs write it (for those who own the pipeline).

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH): it is not there.
            Conflict(IN_USE): someone holds it.
            Denied(PROTECTED): only jobs write it.
        """
        state = self._state
        async with state.metadata.snapshot() as rows:
            found = await state.repo(rows, repo)
        repo_id = RepoId(text(found["id"]))

        async def attempt() -> None:
            async with state.metadata.snapshot() as rows:
                row = await rows.get(REF, (repo_id, name))
                if row is None:
                    raise no_branch(repo, name)
                check_removable(row, await holds_of(rows, row), force=force)
                ops = await removal(rows, row)
            await state.metadata.commit(Unit(ops))
            state.forget_names()
            scope = maybe_scope(row["open"])
            if scope is not None:
                await purge(state, scope)

        async with state.naming, state.gate(repo_id, name).closed():
            await state.retry(attempt)

    async def protect(self, repo: str, name: BranchName, *, protected: bool) -> None:
        """Say whether only jobs write to a branch.

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH): it is not there.
        """
        info = await self.inspect_branch(repo, name)
        await self._state.metadata.commit(
            Unit([Update(REF, (info.repo_id, name), set={"protected": int(protected)})])
        )
        self._state.forget_names()

    async def hold(self, repo: str, name: BranchName, who: str, why: str) -> None:
        """Keep a branch from being removed, until `release`; again is harmless.

        Raises:
            NotFound(NO_SUCH_REPO | NO_SUCH_BRANCH): it is not there.
        """
        async with self._state.naming:
            info = await self.inspect_branch(repo, name)
            await self._state.metadata.commit(
                Unit([Put(HOLD, {"repo": info.repo_id, "ref": name, "who": who, "why": why})])
            )

    async def release(self, repo: str, name: BranchName, who: str) -> None:
        """End a hold; harmless when there is none."""
        async with self._state.metadata.snapshot() as rows:
            found = await self._state.repo(rows, repo)
        await self._state.metadata.commit(Unit([Delete(HOLD, (found["id"], name, who))]))


async def holds_of(rows: Snapshot, ref: Row) -> tuple[HoldInfo, ...]:
    """Return who holds a branch."""
    found = await rows.scan(HOLD, (ref["repo"], ref["name"]))
    return tuple(HoldInfo(text(row["who"]), text(row["why"])) for row in found)


def check_removable(row: Row, holds: Sequence[HoldInfo], *, force: bool = False) -> None:
    """Refuse to remove a branch that is needed.

    Raises:
        Conflict(IN_USE): someone holds it.
        Denied(PROTECTED): only jobs write it.
    """
    if holds:
        reasons = ", ".join(f"{hold.who} ({hold.why})" for hold in holds)
        raise Conflict(Reason.IN_USE, f"branch {text(row['name'])} is in use by {reasons}")
    if row["protected"] and not force:
        raise Denied(
            Reason.PROTECTED,
            f"branch {text(row['name'])} is the output of a pipeline",
            "delete the pipeline instead",
        )


async def removal(rows: Snapshot, row: Row) -> list[Op]:
    """Return what removes a branch, if it is still as it was read; its staged rows come after."""
    repo_id, name = row["repo"], row["name"]
    ops: list[Op] = [Expect(REF, (repo_id, name), {"ver": row["ver"], "open": row["open"]})]
    if row["open"] is not None:
        scope = await rows.get(SCOPE, (row["open"],))
        if scope is not None:
            ops.append(Expect(SCOPE, (row["open"],), {"seq": scope["seq"]}))
        ops += [Delete(SCOPE, (row["open"],)), Delete(COMMIT, (row["open"],))]
    ops += [Delete(REF, (repo_id, name)), DeleteWhere(REF_LOG, (repo_id, name))]
    targets = [""] if row["open"] is None else ["", row["open"]]
    for target in targets:
        for upload in await rows.scan(UPLOAD, (repo_id, name, target), index="by_target"):
            ops += [DeleteWhere(PART, (upload["id"],)), Delete(UPLOAD, (upload["id"],))]
    return ops
