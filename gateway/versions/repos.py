"""Projects and repos: made, listed, removed.

Changes of names go one at a time (`State.naming`), and each unit expects what it was decided by,
so that a repo is never left in a project that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from gateway.errors import Conflict, Denied, NotFound, Reason
from gateway.ids import (
    DEFAULT_PROJECT,
    BranchName,
    ProjectName,
    RepoId,
    RepoName,
)
from gateway.metadata.base import Delete, DeleteWhere, Expect, Insert, Op, Row, Snapshot, Unit
from gateway.metadata.schema import (
    COMMIT,
    DOMAIN,
    HOLD,
    PART,
    PIPELINE,
    PROJECT,
    PROVENANCE,
    REF,
    REF_LOG,
    REPO,
    SCOPE,
    UPLOAD,
)
from gateway.versions.folding import purge_orphans
from gateway.versions.model import ProjectInfo, RepoInfo
from gateway.versions.rows import project_of, repo_of, text
from gateway.versions.state import State, no_project

CHUNKER: Final = "gear64k-32-64-256/1"
SALT_SIZE: Final = 32


class Repos:
    """Projects and repos."""

    def __init__(self, state: State) -> None:
        self._state = state

    # --- projects ------------------------------------------------------------------------------

    async def create_project(self, name: ProjectName, description: str = "") -> ProjectInfo:
        """Make a project with a dedup domain of its own.

        Raises:
            Conflict(ALREADY_EXISTS): it is there.
        """
        state = self._state
        now = state.clock.now_ms()
        domain = state.new_id()
        row: Row = {"name": name, "domain": domain, "description": description, "created": now}
        salt = state.entropy.random_bytes(SALT_SIZE)
        unit = Unit(
            [
                Insert(PROJECT, row),
                Insert(DOMAIN, {"id": domain, "chunker": CHUNKER, "salt": salt, "created": now}),
            ]
        )
        async with state.naming:
            try:
                await state.metadata.commit(unit)
            except Conflict as error:
                raise _taken(error, f"project {name}") from error
        return project_of(row)

    async def list_projects(self) -> list[ProjectInfo]:
        """Return all projects, by name."""
        async with self._state.metadata.snapshot() as rows:
            return [project_of(row) for row in await rows.scan(PROJECT)]

    async def inspect_project(self, name: ProjectName) -> ProjectInfo:
        """Return a project.

        Raises:
            NotFound(NO_SUCH_PROJECT): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            row = await rows.get(PROJECT, (name,))
        if row is None:
            raise no_project(name)
        return project_of(row)

    async def delete_project(self, name: ProjectName) -> None:
        """Remove a project that has no repos.

        Raises:
            NotFound(NO_SUCH_PROJECT): it is not there.
            Conflict(NOT_EMPTY): it has repos or pipelines.
            Denied(PROTECTED): it is the default project.
        """
        state = self._state
        if name == DEFAULT_PROJECT:
            raise Denied(Reason.PROTECTED, "the default project stays")
        async with state.naming:
            async with state.metadata.snapshot() as rows:
                row = await rows.get(PROJECT, (name,))
                if row is None:
                    raise no_project(name)
                repos = await rows.scan(REPO, (name,), index="by_name", limit=1)
                pipelines = await rows.scan(PIPELINE, (name,), limit=1)
            if repos or pipelines:
                raise Conflict(
                    Reason.NOT_EMPTY,
                    f"project {name} has {'repos' if repos else 'pipelines'}",
                    "delete them first",
                )

            async def removed() -> None:
                # Its domain stays: chunks made with its keys may still be in the packs.
                await state.metadata.commit(Unit([Delete(PROJECT, (name,))]))
                state.forget_domain(name)
                state.forget_names()

            # A name that comes back has other keys: never be left with those of before.
            await state.see_through(removed())

    # --- repos ---------------------------------------------------------------------------------

    async def create_repo(
        self,
        project: ProjectName,
        name: RepoName,
        description: str = "",
        location: str = "",
        *,
        extra: Sequence[Op] = (),
        repo_id: RepoId | None = None,
    ) -> RepoInfo:
        """Make a repo without branches; `extra` goes into the same unit.

        Raises:
            NotFound(NO_SUCH_PROJECT): its project is not there.
            Conflict(ALREADY_EXISTS): it is there.
        """
        state = self._state
        row: Row = {
            "id": repo_id or state.new_id(),
            "project": project,
            "name": name,
            "description": description,
            "location": location,
            "created": state.clock.now_ms(),
        }
        await self.inspect_project(project)
        unit = Unit([Expect(PROJECT, (project,), {"name": project}), Insert(REPO, row), *extra])
        try:
            await state.metadata.commit(unit)
        except Conflict as error:
            raise _taken(error, f"repo {name} in project {project}") from error
        state.forget_names()
        return repo_of(row)

    async def list_repos(self, project: ProjectName | None = None) -> list[RepoInfo]:
        """Return the repos of a project, or all, by project and name."""
        async with self._state.metadata.snapshot() as rows:
            prefix = () if project is None else (project,)
            found = await rows.scan(REPO, prefix, index="by_name")
            return [repo_of(row, await branch_names(rows, row)) for row in found]

    async def inspect_repo(self, name: str) -> RepoInfo:
        """Return a repo named `[project/]repo`.

        Raises:
            NotFound(NO_SUCH_PROJECT | NO_SUCH_REPO): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            row = await self._state.repo(rows, name)
            return repo_of(row, await branch_names(rows, row))

    async def delete_repo(self, name: str) -> None:
        """Remove a repo with all its branches and commits.

        Raises:
            NotFound(NO_SUCH_PROJECT | NO_SUCH_REPO): it is not there.
            Conflict(IN_USE): a pipeline makes it or needs it.
        """
        state = self._state
        async with state.naming, AsyncExitStack() as gates:
            repo = await self.inspect_repo(name)
            for branch in repo.branches:
                await gates.enter_async_context(state.gate(repo.id, branch).closed())
            async with state.metadata.snapshot() as rows:
                row = await state.repo(rows, name)
                holds = await rows.scan(HOLD, (row["id"],), limit=1)
                if holds:
                    raise Conflict(
                        Reason.IN_USE,
                        f"repo {name} is in use by {text(holds[0]['who'])}",
                    )
                if await rows.get(PIPELINE, (row["project"], row["name"])) is not None:
                    raise Conflict(
                        Reason.IN_USE,
                        f"repo {name} is the output of a pipeline",
                        "delete the pipeline first",
                    )
                unit = Unit(await removal(rows, row))
            await state.metadata.commit(unit)
            state.forget_names()
        await purge_orphans(state)


async def branch_names(rows: Snapshot, repo: Row) -> tuple[BranchName, ...]:
    """Return the names of a repo's branches, in order."""
    return tuple(BranchName(text(row["name"])) for row in await rows.scan(REF, (repo["id"],)))


async def removal(rows: Snapshot, repo: Row) -> list[Op]:
    """Return what removes a repo and all that belongs to it, in one unit.

    Staged rows may be many: they are left without their scopes, to `purge_orphans`.
    """
    repo_id = repo["id"]
    ops: list[Op] = [
        Delete(REPO, (repo_id,)),
        DeleteWhere(REF, (repo_id,)),
        DeleteWhere(REF_LOG, (repo_id,)),
        DeleteWhere(HOLD, (repo_id,)),
    ]
    for state in ("open", "finished", "discarded"):
        for commit in await rows.scan(COMMIT, (state, repo_id), index="by_branch_state"):
            ops.append(DeleteWhere(PROVENANCE, (commit["id"],)))
            if state == "open":
                scopes = await rows.scan(SCOPE, (commit["id"],), index="by_commit")
                ops += [Delete(SCOPE, (scope["id"],)) for scope in scopes]
    ops.append(DeleteWhere(COMMIT, (repo_id,), index="by_repo"))
    for upload in await rows.scan(UPLOAD, (repo_id,), index="by_target"):
        ops += [DeleteWhere(PART, (upload["id"],)), Delete(UPLOAD, (upload["id"],))]
    return ops


def _taken(error: Conflict, what: str) -> Exception:
    if error.reason is Reason.ALREADY_EXISTS:
        return Conflict(Reason.ALREADY_EXISTS, f"{what} is there already")
    if error.reason is Reason.RACED:
        return NotFound(Reason.NO_SUCH_PROJECT, f"the project of {what} was removed meanwhile")
    return error
