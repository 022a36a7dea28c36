"""Jobs as values: their states, what may follow what, and what is recorded of them. Pure.

A job is one run of one version of a pipeline on one set of input commits. Its states are data:
`MOVES` says which may follow which, and every change of a row goes through `check_move`. Only the
runner of this process changes a job that is not `created`; after a crash whatever was under way is
`created` again, its attempts dropped (`RECOVERED`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Conflict, Reason
from gateway.ids import BranchName, CommitId, JobId, ProjectName, RepoId, ScopeId


class JobState(enum.StrEnum):
    """Where a job stands."""

    CREATED = "created"  # it waits for its turn
    RUNNING = "running"  # user code runs
    FINISHING = "finishing"  # the output is being committed
    SUCCESS = "success"
    FAILURE = "failure"
    KILLED = "killed"

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will happen to the job."""
        return not MOVES[self]


class AttemptState(enum.StrEnum):
    """Where one try at one datum stands."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    DROPPED = "dropped"  # it was cut off: a crash, a stop, a job that failed elsewhere


class PipelineState(enum.StrEnum):
    """Whether new input commits make jobs."""

    RUNNING = "running"
    PAUSED = "paused"


MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.CREATED: frozenset({JobState.RUNNING, JobState.FAILURE, JobState.KILLED}),
    JobState.RUNNING: frozenset({JobState.FINISHING, JobState.FAILURE, JobState.KILLED}),
    JobState.FINISHING: frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.KILLED}),
    JobState.SUCCESS: frozenset(),
    JobState.FAILURE: frozenset(),
    JobState.KILLED: frozenset(),
}
RECOVERED = frozenset({JobState.RUNNING, JobState.FINISHING})  # back to CREATED after a crash
UNFINISHED = (JobState.CREATED, JobState.RUNNING, JobState.FINISHING)


def check_move(job: JobId, old: JobState, new: JobState) -> None:
    """Refuse a change of state that may not be.

    Raises:
        Conflict(WRONG_STATE): `new` does not follow `old`.
    """
    if new not in MOVES[old]:
        raise Conflict(
            Reason.WRONG_STATE,
            f"job {job} is in state {old} and cannot become {new}",
            "inspect the job: it may have ended",
            job=job,
            state=str(old),
        )


@dataclass(frozen=True, slots=True)
class JobInput:
    """One input of a job, pinned."""

    name: str
    repo_id: RepoId
    branch: BranchName
    commit: CommitId
    s3: bool


@dataclass(slots=True)
class Traffic:
    """What passed through a job's gateway, of one bucket."""

    gets: int = 0
    bytes_read: int = 0  # of what GETs announced
    lists: int = 0
    lookups: int = 0  # of single keys, by HEAD or GET
    puts: int = 0
    deletes: int = 0
    bytes_written: int = 0
    written: list[str] = field(default_factory=list)  # keys, `limits.WRITTEN_KEYS_MAX` at most

    def document(self) -> dict[str, Any]:
        """Return it as plain values, without what is nought."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value}


@dataclass(slots=True)
class JobDetail:
    """What a job did; kept as JSON in its row."""

    endpoint: str = ""  # of the last attempt's gateway
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)  # name to `Traffic`
    datums: int = 0
    datums_done: int = 0
    exit_code: int | None = None  # of the last run of the user code
    objects: int = 0  # of the output commit
    bytes: int = 0
    logical_bytes: int = 0  # received
    new_bytes: int = 0  # stored; the rest was known
    notices: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> JobDetail:
        """Return the detail that a row's JSON holds; fields of a newer writer are left out."""
        return cls(**{name: values[name] for name in cls.__slots__ if name in values})


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a pipeline. Times are milliseconds since the epoch."""

    id: JobId
    project: ProjectName
    pipeline: str
    version: int
    spec: str  # normalised, as JSON
    state: JobState
    reason: str  # why it is in it; empty while all is well
    output_commit: CommitId | None
    cause: CommitId
    created_ms: int
    started_ms: int | None = None
    finished_ms: int | None = None
    detail: JobDetail = field(default_factory=JobDetail)
    inputs: tuple[JobInput, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long it ran, when it has ended."""
        if self.started_ms is None or self.finished_ms is None:
            return None
        return (self.finished_ms - self.started_ms) / 1000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one datum of a job."""

    job: JobId
    datum: str
    number: int  # from 1
    state: AttemptState
    scope: ScopeId | None
    exit_code: int | None
    reason: str
    started_ms: int
    finished_ms: int | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline as it is stored."""

    project: ProjectName
    name: str
    version: int
    state: PipelineState
    spec: str  # normalised, as JSON
    source: str  # as given
    repo_id: RepoId
    created_ms: int
    updated_ms: int

    @property
    def key(self) -> str:
        """The name people use: `pipeline`, or `project/pipeline` outside the default project."""
        return self.name if self.project == "default" else f"{self.project}/{self.name}"
