"""The nouns of versions: what callers give and get. Values only; nothing here waits.

Front doors know this module and the façade (`versions.store`), and nothing below: the types of
`objects` that they need are handed on from here. Keys are bytes, times are milliseconds since the
epoch, ETags are without quotes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.errors import Invalid, NotFound, PreconditionFailed, Reason
from gateway.ids import BranchName, CommitId, JobId, ProjectName, RepoId, RepoName, UploadId
from gateway.limits import KEY_SIZE_MAX
from gateway.objects.parts import PartTable
from gateway.objects.record import ChecksumValue, ObjectRecord
from gateway.objects.source import Source
from gateway.versions.refs import BucketName, Ref

__all__ = [
    "AccessRecorder",
    "BranchInfo",
    "BucketInfo",
    "BucketName",
    "ChecksumValue",
    "CommitInfo",
    "CommitState",
    "CompletedPart",
    "Condition",
    "DiffEntry",
    "DiffKind",
    "Edge",
    "HoldInfo",
    "Listing",
    "Move",
    "ObjectAttributes",
    "ObjectInfo",
    "ObjectRecord",
    "Origin",
    "PartInfo",
    "PartListing",
    "PartTable",
    "ProjectInfo",
    "PutResult",
    "Ref",
    "RepoInfo",
    "Resolved",
    "Source",
    "UploadInfo",
    "UploadListing",
    "check_key",
]

ANY: Final = "*"


def check_key(key: bytes) -> None:
    """Refuse what cannot be a key.

    Raises:
        Invalid(KEY_TOO_LONG): above `limits.KEY_SIZE_MAX` bytes.
        Invalid(BAD_ARGUMENT): empty.
    """
    if len(key) > KEY_SIZE_MAX:
        raise Invalid(
            Reason.KEY_TOO_LONG,
            f"a key of {len(key)} bytes",
            f"a key has {KEY_SIZE_MAX} bytes of UTF-8 at most",
            size=len(key),
            limit=KEY_SIZE_MAX,
        )
    if not key:
        raise Invalid(Reason.BAD_ARGUMENT, "an empty key")


# --- objects -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """What a writer says about an object, beside its bytes."""

    headers: Mapping[str, str] = field(
        default_factory=dict
    )  # lower-case names, as in `ObjectRecord.headers`
    metadata: Mapping[str, str] = field(default_factory=dict)  # without x-amz-meta-
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of a key at the moment of a write. ETags without quotes; `*` is any."""

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.if_match or self.if_none_match)

    def check(self, key: bytes, record: ObjectRecord | None) -> None:
        """Hold the condition against what is there.

        Raises:
            NotFound(NO_SUCH_KEY): If-Match, and there is nothing (as S3 answers).
            PreconditionFailed: it does not hold; `data["condition"]` names the header.
        """
        etag = None if record is None else record.etag()
        if self.if_match:
            if etag is None:
                raise NotFound(Reason.NO_SUCH_KEY, f"no object {key!r} to match", key=key)
            if ANY not in self.if_match and etag not in self.if_match:
                raise PreconditionFailed(
                    Reason.PRECONDITION_FAILED,
                    f"{key!r} is {etag}",
                    condition="If-Match",
                )
        if (
            self.if_none_match
            and etag is not None
            and (ANY in self.if_none_match or etag in self.if_none_match)
        ):
            raise PreconditionFailed(
                Reason.PRECONDITION_FAILED, f"{key!r} is there: {etag}", condition="If-None-Match"
            )


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a view shows it."""

    record: ObjectRecord
    commit: CommitId | None  # the commit it is read from; an open one when the row is staged
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a write made."""

    record: ObjectRecord
    commit: CommitId | None  # the commit to be; None in a job's own output
    new_bytes: int = 0  # stored
    dedup_bytes: int = 0  # known already


@dataclass(slots=True)
class Listing:
    """One page of a listing, keys and prefixes each in byte order."""

    entries: list[tuple[bytes, ObjectRecord]] = field(default_factory=list)
    prefixes: list[bytes] = field(default_factory=list)
    truncated: bool = False
    next: bytes = b""  # the last key or prefix of the page, when truncated: the next `after`


# --- buckets -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket in the list of buckets."""

    name: str
    created_ms: int
    location: str = ""


class AccessRecorder(Protocol):
    """Told by a view what passes through it. Calls are quick and raise nothing."""

    def looked_up(self, key: bytes, record: ObjectRecord | None) -> None:
        """Note that a key was looked up, and what was found (None: in vain)."""
        ...

    def read(self, key: bytes, record: ObjectRecord, start: int, end: int) -> None:
        """Note that bytes `start` to `end` (exclusive) of an object are being read."""
        ...

    def listed(self, prefix: bytes, delimiter: bytes, after: bytes, page: Listing) -> None:
        """Note a page of a listing."""
        ...

    def wrote(self, key: bytes, record: ObjectRecord | None) -> None:
        """Note that a key was written, or deleted (None)."""
        ...


# --- multipart ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part that is stored."""

    number: int
    size: int  # bytes
    etag: str
    modified_ms: int
    checksums: tuple[ChecksumValue, ...] = ()
    new_bytes: int = 0
    dedup_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part as the client lists it when it completes an upload."""

    number: int
    etag: str  # without quotes
    checksums: Mapping[str, bytes] = field(default_factory=dict)  # algorithm to raw value


@dataclass(slots=True)
class PartListing:
    """One page of an upload's parts, by number."""

    parts: list[PartInfo]
    truncated: bool
    next: int  # number of the last part of the page; 0 on an empty one
    upload: UploadInfo


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """A multipart upload in progress."""

    id: UploadId
    key: bytes
    initiated_ms: int
    storage_class: str = "STANDARD"
    checksum_algorithm: str = ""  # announced when it was created; empty: none
    checksum_kind: str = ""  # FULL_OBJECT or COMPOSITE


@dataclass(slots=True)
class UploadListing:
    """One page of uploads, by key and then id."""

    uploads: list[UploadInfo] = field(default_factory=list)
    prefixes: list[bytes] = field(default_factory=list)
    truncated: bool = False
    next_key: bytes = b""
    next_id: str = ""


# --- versions ----------------------------------------------------------------------------------


class CommitState(enum.StrEnum):
    """Where a commit stands."""

    OPEN = "open"
    FINISHED = "finished"
    DISCARDED = "discarded"


class Origin(enum.StrEnum):
    """Who made a commit."""

    USER = "user"  # started by hand
    AUTO = "auto"  # gathered from writes to a branch
    JOB = "job"


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project."""

    name: ProjectName
    description: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A repo."""

    id: RepoId
    project: ProjectName
    name: RepoName
    description: str
    location: str
    created_ms: int
    branches: tuple[BranchName, ...] = ()

    def render(self) -> str:
        """Return `repo`, or `project/repo` outside the default project."""
        return self.name if self.project == "default" else f"{self.project}/{self.name}"


@dataclass(frozen=True, slots=True)
class HoldInfo:
    """Who needs a branch to stay."""

    who: str
    why: str


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A branch."""

    repo_id: RepoId
    repo: RepoName
    project: ProjectName
    name: BranchName
    head: CommitId | None  # None: nothing was committed yet
    version: int  # rises with each move of the head
    open: CommitId | None  # the open commit that writes go to
    protected: bool  # only jobs write
    created_ms: int
    holds: tuple[HoldInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A line of provenance: one commit was made from another."""

    commit: CommitId
    upstream: CommitId
    input: str  # the name under which the job knew it; empty: none


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit."""

    id: CommitId
    repo_id: RepoId
    repo: RepoName
    project: ProjectName
    branch: BranchName
    state: CommitState
    origin: Origin
    parent: CommitId | None
    root: bytes | None  # tree of its objects; None: no object
    cause: CommitId
    job: JobId | None
    message: str
    author: str
    started_ms: int
    finished_ms: int | None
    objects: int  # of the content; of an open commit, of what it began from
    bytes: int
    logical_bytes: int  # received by its writes
    new_bytes: int  # stored by its writes; the rest was known
    provenance: tuple[Edge, ...] = ()
    subvenance: tuple[Edge, ...] = ()

    def render_repo(self) -> str:
        """Return `repo`, or `project/repo` outside the default project."""
        return self.repo if self.project == "default" else f"{self.project}/{self.repo}"


class DiffKind(enum.StrEnum):
    """How a key differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class DiffEntry:
    """A key that differs between two commits."""

    key: bytes
    before: ObjectRecord | None
    after: ObjectRecord | None

    @property
    def kind(self) -> DiffKind:
        """Tell how it differs."""
        if self.before is None:
            return DiffKind.ADDED
        return DiffKind.REMOVED if self.after is None else DiffKind.CHANGED


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a ref names."""

    repo: RepoInfo
    branch: BranchName | None  # when the ref names a branch itself, without ancestry or time
    commit: CommitId | None  # None: a branch without commits
    path: bytes | None


@dataclass(frozen=True, slots=True)
class Move:
    """A head that moved."""

    id: int  # rises; of the outbox
    repo_id: RepoId
    branch: BranchName
    head: CommitId | None
    cause: CommitId
    time_ms: int


Keys = Sequence[bytes]
