"""Bucket views: what a bucket's name means for a caller.

There are three kinds, told apart by what is set:

* a **branch** (`branch` alone): reads show the head with the staged rows of its open commit over
  it; writes go to the open commit, or open an automatic one;
* a **commit** (`commit`, with the branch it belongs to): a finished one never changes; an open one
  is what its branch shows, and turns read-only when it is finished;
* a **scope** (`scope`): a staging layer of its own over `base`, as a job's output has it.

A view is a value and holds no rows: it can be kept, and what it names is looked up at each use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Denied, NotFound, Reason
from gateway.ids import BranchName, CommitId, ProjectName, RepoId, RepoName, ScopeId
from gateway.objects.store import Domain
from gateway.versions.model import AccessRecorder, BucketInfo


@dataclass(frozen=True, slots=True)
class BucketView:
    """What one bucket is for one caller. `dataclasses.replace` makes variants of it."""

    name: str
    repo_id: RepoId
    repo: RepoName
    project: ProjectName
    domain: Domain
    branch: BranchName | None = None
    commit: CommitId | None = None
    scope: ScopeId | None = None
    base: bytes | None = None  # tree under a scope
    writable: bool = True
    created_ms: int = 0
    location: str = ""
    recorder: AccessRecorder | None = None


class Buckets(Protocol):
    """The buckets that a front door serves: all of them, or a job's."""

    async def resolve(self, name: str) -> BucketView:
        """Return what a bucket's name means.

        Raises:
            NotFound(NO_SUCH_BUCKET): there is none of that name.
            Invalid(BAD_NAME): there could be none.
        """
        ...

    async def list(self) -> list[BucketInfo]:
        """Return all buckets, by name."""
        ...

    async def create(self, name: str, location: str = "") -> None:
        """Make a bucket.

        Raises:
            Conflict(ALREADY_EXISTS): it is there.
            Invalid(BAD_NAME): it is not a name for a new bucket.
            NotFound(NO_SUCH_PROJECT): it names a project that is not there.
            Denied(NOT_ALLOWED): not here.
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove a bucket that is empty.

        Raises:
            NotFound(NO_SUCH_BUCKET): there is none of that name.
            Conflict(NOT_EMPTY | IN_USE): it holds objects, or someone needs it.
            Denied(PROTECTED | NOT_ALLOWED): not by this way.
        """
        ...


class JobBuckets:
    """The buckets of one job: given, and never more. `aliases` are other names of some of them."""

    def __init__(
        self, views: Mapping[str, BucketView], aliases: Mapping[str, str] | None = None
    ) -> None:
        self._views = dict(views)
        self._aliases = dict(aliases or {})

    async def resolve(self, name: str) -> BucketView:
        """Return the view of that name or alias."""
        view = self._views.get(self._aliases.get(name, name))
        if view is None:
            raise NotFound(
                Reason.NO_SUCH_BUCKET,
                f"this job has no bucket {name!r}",
                f"it has: {', '.join(sorted(self._views))}",
                name=name,
            )
        return view

    async def list(self) -> list[BucketInfo]:
        """Return the job's buckets, by name, without aliases."""
        return [
            BucketInfo(name, view.created_ms, view.location)
            for name, view in sorted(self._views.items())
        ]

    async def create(self, name: str, location: str = "") -> None:  # noqa: ARG002 - the port's
        """Refuse: a job's buckets are those of its spec."""
        raise Denied(Reason.NOT_ALLOWED, f"a job cannot make bucket {name!r}")

    async def delete(self, name: str) -> None:
        """Refuse: a job's buckets are those of its spec."""
        raise Denied(Reason.NOT_ALLOWED, f"a job cannot remove bucket {name!r}")
