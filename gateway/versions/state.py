"""What the hands of this package share: the ports, and what is known by heart.

Kept by heart is only what cannot change (the tree of a finished commit, the keys of a domain), and
which buckets there are: `forget_names` is called after each unit that makes or removes a project,
a repo or a branch, or protects one. Branch heads are read anew each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import Busy, Conflict, Corrupt, NotFound, Reason
from gateway.ids import (
    BranchName,
    CommitId,
    ProjectName,
    RepoId,
    RepoName,
    new_event_id,
    project_name,
    repo_name,
)
from gateway.metadata.base import Metadata, Row, Snapshot
from gateway.metadata.schema import COMMIT, DOMAIN, PROJECT, REPO
from gateway.objects.store import Domain, ObjectStore
from gateway.versions.gate import Gate
from gateway.versions.rows import blob, maybe_blob, number, text

T = TypeVar("T")

ROOTS_MAX: Final = 10_000  # finished commits kept by heart: about 200 bytes each
TRIES: Final = 24  # of a unit that lost a race; each round at least one contender wins


class Content(NamedTuple):
    """What a finished commit holds."""

    root: bytes | None
    objects: int
    bytes: int


NOTHING: Final = Content(None, 0, 0)


class State:
    """The ports and the caches; one for each `Versions`."""

    def __init__(
        self, metadata: Metadata, objects: ObjectStore, clock: Clock, entropy: Entropy
    ) -> None:
        self.metadata = metadata
        self.objects = objects
        self.clock = clock
        self.entropy = entropy
        self.naming = asyncio.Lock()  # one change of names at a time
        self.names_generation = 0  # rises whenever a bucket may have come, gone or changed
        self.on_window: Callable[[], None] = _nobody  # an automatic commit was opened, or is full
        self.on_move: Callable[[], None] = _nobody  # a head moved
        self._contents: dict[CommitId, Content] = {}
        self._domains: dict[str, Domain] = {}
        self._under_way: set[asyncio.Future[Any]] = set()
        self._gates: WeakValueDictionary[tuple[RepoId, BranchName], Gate] = WeakValueDictionary()

    def new_id(self) -> str:
        """Return a fresh id of an event."""
        return new_event_id(self.entropy)

    def gate(self, repo: RepoId, branch: BranchName) -> Gate:
        """Return the gate of a branch; keep it while it is used."""
        gate = self._gates.get((repo, branch))
        if gate is None:
            gate = self._gates[repo, branch] = Gate()
        return gate

    def forget_names(self) -> None:
        """Note that buckets have come, gone or changed."""
        self.names_generation += 1

    async def content(self, rows: Snapshot, commit: CommitId | None) -> Content:
        """Return what a finished commit holds; of None, nothing.

        Raises:
            Corrupt(DAMAGED): there is no such commit, or it is not finished.
        """
        if commit is None:
            return NOTHING
        known = self._contents.get(commit)
        if known is not None:
            return known
        row = await rows.get(COMMIT, (commit,))
        if row is None or row["state"] != "finished":
            raise Corrupt(Reason.DAMAGED, f"a head names commit {commit}, which is not finished")
        return self.learn(commit, content_of(row))

    def known(self, commit: CommitId) -> Content | None:
        """Return what a finished commit holds, if that is known by heart."""
        return self._contents.get(commit)

    def learn(self, commit: CommitId, content: Content) -> Content:
        """Keep by heart what a finished commit holds, and return it."""
        if len(self._contents) >= ROOTS_MAX:
            del self._contents[next(iter(self._contents))]
        self._contents[commit] = content
        return content

    async def domain(self, rows: Snapshot, project: ProjectName) -> Domain:
        """Return the dedup domain of a project.

        Raises:
            NotFound(NO_SUCH_PROJECT): there is no such project.
        """
        known = self._domains.get(project)
        if known is not None:
            return known
        row = await rows.get(PROJECT, (project,))
        if row is None:
            raise no_project(project)
        keys = await rows.get(DOMAIN, (row["domain"],))
        if keys is None:
            raise Corrupt(Reason.DAMAGED, f"the keys of project {project} are missing")
        domain = self.objects.domain(text(keys["id"]), blob(keys["salt"]))
        self._domains[project] = domain
        return domain

    def forget_domain(self, project: ProjectName) -> None:
        """Drop the keys of a project that is gone: its name may come back with others."""
        self._domains.pop(project, None)

    async def repo(self, rows: Snapshot, name: str) -> Row:
        """Return the row of a repo named `[project/]repo`.

        Raises:
            NotFound(NO_SUCH_PROJECT | NO_SUCH_REPO): it is not there.
            Invalid(BAD_NAME): it could not be.
        """
        project, slash, repo = name.rpartition("/")
        return await self.repo_named(
            rows, project_name(project) if slash else project_name("default"), repo_name(repo)
        )

    async def repo_named(self, rows: Snapshot, project: ProjectName, repo: RepoName) -> Row:
        """Return the row of a repo, or raise `NotFound`."""
        row = await rows.find(REPO, "by_name", (project, repo))
        if row is not None:
            return row
        if await rows.get(PROJECT, (project,)) is None:
            raise no_project(project)
        raise NotFound(Reason.NO_SUCH_REPO, f"there is no repo {repo} in project {project}")

    async def see_through(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` to its end, even when the caller goes away meanwhile.

        For a unit and what must be told once it is committed.
        """
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Future[T]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # its caller was told, or is gone

    async def retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run `attempt`, which reads and then commits a unit, until it does not lose a race.

        Raises:
            Busy(BUSY): it lost `TRIES` times.
        """
        for _ in range(TRIES):
            try:
                return await attempt()
            except Conflict as error:
                if error.reason is not Reason.RACED:
                    raise
        raise Busy(Reason.BUSY, "others keep changing the same thing", "try again")


def content_of(row: Row) -> Content:
    """Return what the row of a finished commit says that it holds."""
    return Content(maybe_blob(row["root"]), number(row["objects"]), number(row["bytes"]))


def no_project(name: str) -> NotFound:
    """Return the error for a project that is not there."""
    return NotFound(
        Reason.NO_SUCH_PROJECT, f"there is no project {name}", "make it with: project create"
    )


def _nobody() -> None:
    return None
