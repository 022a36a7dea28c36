"""The global gateway's buckets: every branch of every repo.

Which buckets there are changes seldom and is asked with every request, so what a name means is
kept until a name changes (`State.names_generation`). A commit's own bucket is not kept: it may be
open, and then it becomes read-only one day.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import Conflict, Denied, Invalid, NotFound, Reason
from gateway.ids import BranchName, ProjectName, RepoId, RepoName
from gateway.metadata.base import Expect, Unit
from gateway.metadata.schema import HOLD, PIPELINE, PROJECT, REF, REPO
from gateway.versions import branches, repos
from gateway.versions.folding import purge_orphans
from gateway.versions.model import BucketInfo, BucketName
from gateway.versions.reading import Reading, layers_of
from gateway.versions.resolving import Resolving
from gateway.versions.rows import number, text
from gateway.versions.state import State, no_project
from gateway.versions.views import BucketView

NAMES_MAX: Final = 10_000  # bucket names kept: about a kilobyte each


class GlobalBuckets:
    """All branches as buckets; implements `views.Buckets`."""

    def __init__(self, state: State, resolving: Resolving, reading: Reading) -> None:
        self._state = state
        self._resolving = resolving
        self._reading = reading
        self._known: dict[str, BucketView] = {}
        self._generation = -1

    async def resolve(self, name: str) -> BucketView:
        """Return what a bucket's name means.

        Raises:
            NotFound(NO_SUCH_BUCKET): there is none of that name.
            Invalid(BAD_NAME): there could be none.
        """
        generation = self._state.names_generation
        if self._generation != generation or len(self._known) >= NAMES_MAX:
            self._known.clear()
            self._generation = generation
        view = self._known.get(name)
        if view is None:
            view = await self._resolving.bucket(name)
            # What was read may be older than a change that ended meanwhile.
            if view.commit is None and self._state.names_generation == generation:
                self._known[name] = view
        return view

    async def list(self) -> list[BucketInfo]:
        """Return a bucket for each branch of each repo, by name."""
        async with self._state.metadata.snapshot() as rows:
            known = {row["id"]: row for row in await rows.scan(REPO)}
            refs = await rows.scan(REF)
        found = []
        for ref in refs:
            repo = known.get(ref["repo"])
            if repo is not None:
                name = BucketName(
                    RepoName(text(repo["name"])),
                    BranchName(text(ref["name"])),
                    ProjectName(text(repo["project"])),
                )
                found.append(
                    BucketInfo(name.render(), number(ref["created"]), text(repo["location"] or ""))
                )
        return sorted(found, key=lambda info: info.name)

    async def create(self, name: str, location: str = "") -> None:
        """Make the branch that a bucket's name says, and its repo where it is missing.

        Raises:
            Conflict(ALREADY_EXISTS): both are there.
            Invalid(BAD_NAME): it is not a name for a new bucket.
            NotFound(NO_SUCH_PROJECT): its project is not there.
        """
        parsed = _for_writing(name)
        state = self._state
        async with state.naming:
            async with state.metadata.snapshot() as rows:
                if await rows.get(PROJECT, (parsed.project,)) is None:
                    raise no_project(parsed.project)
                repo = await rows.find(REPO, "by_name", (parsed.project, parsed.repo))
                if repo is not None and await rows.get(REF, (repo["id"], parsed.branch)):
                    raise Conflict(
                        Reason.ALREADY_EXISTS, f"bucket {name!r} is there already", name=name
                    )
            if repo is None:
                repo_id = RepoId(state.new_id())
                await repos.Repos(state).create_repo(
                    parsed.project,
                    parsed.repo,
                    location=location,
                    extra=[branches.ref_row(state, repo_id, parsed.branch)],
                    repo_id=repo_id,
                )
                return
            repo_id = RepoId(text(repo["id"]))
            await state.metadata.commit(
                Unit(
                    [
                        Expect(REPO, (repo_id,), {"name": parsed.repo}),
                        branches.ref_row(state, repo_id, parsed.branch),
                    ]
                )
            )
            state.forget_names()

    async def delete(self, name: str) -> None:
        """Remove the branch of an empty bucket, and its repo with the last one.

        Raises:
            NotFound(NO_SUCH_BUCKET): there is none of that name.
            Conflict(NOT_EMPTY): it shows objects.
            Conflict(IN_USE): someone holds it, or a commit was started on it by hand.
            Denied(PROTECTED): it is the output of a pipeline.
            Denied(NOT_ALLOWED): it is a commit's own bucket.
        """
        state = self._state
        view = await self.resolve(name)
        if view.commit is not None or view.branch is None:
            raise Denied(Reason.NOT_ALLOWED, f"bucket {name!r} is a commit: that stays")
        async with state.naming, state.gate(view.repo_id, view.branch).closed():
            await state.retry(lambda: self._delete(view))

    async def _delete(self, view: BucketView) -> None:
        state = self._state
        key = (view.repo_id, view.branch)
        async with state.metadata.snapshot() as rows:
            layers = await layers_of(state, rows, view)
            ref = await rows.get(REF, key)
            repo = await rows.get(REPO, (view.repo_id,))
            if ref is None or repo is None:
                raise NotFound(Reason.NO_SUCH_BUCKET, f"there is no bucket {view.name!r}")
            branches.check_removable(ref, await branches.holds_of(rows, ref))
            if not await self._reading.is_empty(rows, view, layers):
                raise Conflict(
                    Reason.NOT_EMPTY, f"bucket {view.name!r} is not empty", "remove its objects"
                )
            ops = await branches.removal(rows, ref)
            last = len(await rows.scan(REF, (view.repo_id,), limit=2)) == 1
            pipeline = await rows.get(PIPELINE, (repo["project"], repo["name"]))
            held = await rows.scan(HOLD, (view.repo_id,), limit=1)
            if last and pipeline is None and not held:
                ops += await repos.removal(rows, repo)
        await state.metadata.commit(Unit(ops))
        state.forget_names()
        await purge_orphans(state)


def _for_writing(name: str) -> BucketName:
    """Read the name of a bucket to be made."""
    try:
        parsed = BucketName.parse(name)
    except NotFound as error:
        raise Invalid(Reason.BAD_NAME, error.message, error.hint, name=name) from error
    if parsed.commit is not None:
        raise Invalid(
            Reason.BAD_NAME,
            f"bucket {name!r} is a commit's, and cannot be made",
            "use branch.repo",
            name=name,
        )
    return parsed
