"""Rows as values of the model: what each column means, checked as it is read."""

from __future__ import annotations

from gateway.errors import Corrupt, Reason
from gateway.ids import BranchName, CommitId, JobId, ProjectName, RepoId, RepoName, ScopeId
from gateway.metadata.base import Row, Value
from gateway.versions.model import (
    BranchInfo,
    CommitInfo,
    CommitState,
    Edge,
    HoldInfo,
    Move,
    Origin,
    ProjectInfo,
    RepoInfo,
)


def text(value: Value) -> str:
    """Return a text column that is never NULL."""
    if type(value) is not str:
        raise _odd(value, "text")
    return value


def number(value: Value) -> int:
    """Return an integer column; NULL counts as 0."""
    if value is None:
        return 0
    if type(value) is not int:
        raise _odd(value, "a number")
    return value


def blob(value: Value) -> bytes:
    """Return a bytes column that is never NULL."""
    if type(value) is not bytes:
        raise _odd(value, "bytes")
    return value


def maybe_blob(value: Value) -> bytes | None:
    """Return a bytes column."""
    return None if value is None else blob(value)


def maybe_commit(value: Value) -> CommitId | None:
    """Return a column that may hold a commit id."""
    return None if value is None else CommitId(text(value))


def maybe_scope(value: Value) -> ScopeId | None:
    """Return a column that may hold a scope id."""
    return None if value is None else ScopeId(text(value))


def _odd(value: Value, wanted: str) -> Corrupt:
    return Corrupt(Reason.DAMAGED, f"a row holds {type(value).__name__} instead of {wanted}")


def project_of(row: Row) -> ProjectInfo:
    """Return a project."""
    return ProjectInfo(
        ProjectName(text(row["name"])), text(row["description"] or ""), number(row["created"])
    )


def repo_of(row: Row, branches: tuple[BranchName, ...] = ()) -> RepoInfo:
    """Return a repo."""
    return RepoInfo(
        RepoId(text(row["id"])),
        ProjectName(text(row["project"])),
        RepoName(text(row["name"])),
        text(row["description"] or ""),
        text(row["location"] or ""),
        number(row["created"]),
        branches,
    )


def branch_of(row: Row, repo: Row, holds: tuple[HoldInfo, ...] = ()) -> BranchInfo:
    """Return a branch."""
    return BranchInfo(
        RepoId(text(row["repo"])),
        RepoName(text(repo["name"])),
        ProjectName(text(repo["project"])),
        BranchName(text(row["name"])),
        maybe_commit(row["head"]),
        number(row["ver"]),
        maybe_commit(row["open"]),
        bool(row["protected"]),
        number(row["created"]),
        holds,
    )


def edge_of(row: Row) -> Edge:
    """Return a line of provenance."""
    return Edge(
        CommitId(text(row["commit_id"])), CommitId(text(row["upstream"])), text(row["input"])
    )


def commit_of(
    row: Row,
    repo: Row,
    provenance: tuple[Edge, ...] = (),
    subvenance: tuple[Edge, ...] = (),
) -> CommitInfo:
    """Return a commit."""
    commit = CommitId(text(row["id"]))
    return CommitInfo(
        commit,
        RepoId(text(row["repo"])),
        RepoName(text(repo["name"])),
        ProjectName(text(repo["project"])),
        BranchName(text(row["branch"])),
        CommitState(text(row["state"])),
        Origin(text(row["origin"])),
        maybe_commit(row["parent"]),
        maybe_blob(row["root"]),
        maybe_commit(row["cause"]) or commit,
        None if row["job"] is None else JobId(text(row["job"])),
        text(row["message"] or ""),
        text(row["author"] or ""),
        number(row["started"]),
        None if row["finished"] is None else number(row["finished"]),
        number(row["objects"]),
        number(row["bytes"]),
        number(row["logical_bytes"]),
        number(row["new_bytes"]),
        provenance,
        subvenance,
    )


def move_of(row: Row) -> Move:
    """Return a head's move."""
    return Move(
        number(row["id"]),
        RepoId(text(row["repo"])),
        BranchName(text(row["ref"])),
        maybe_commit(row["head"]),
        CommitId(text(row["cause"])),
        number(row["time"]),
    )
