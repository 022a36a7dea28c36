"""What the admin API says of things: records with stable field names, times as ISO 8601. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.admin.arguments import Record
from gateway.versions.model import BranchInfo, CommitInfo, DiffEntry, ProjectInfo, RepoInfo


def text_of(key: bytes) -> str:
    """Return a key as text; bytes that are not UTF-8 survive a round trip."""
    return key.decode("utf-8", "surrogateescape")


def time_of(time_ms: int | None) -> str | None:
    """Return a time in milliseconds since the epoch as ISO 8601 in UTC."""
    if time_ms is None:
        return None
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def project(info: ProjectInfo) -> Record:
    """Describe a project."""
    return {
        "project": info.name,
        "description": info.description,
        "created": time_of(info.created_ms),
    }


def repo(info: RepoInfo) -> Record:
    """Describe a repo."""
    return {
        "repo": info.render(),
        "project": info.project,
        "description": info.description,
        "created": time_of(info.created_ms),
        "branches": list(info.branches),
    }


def branch(info: BranchInfo) -> Record:
    """Describe a branch."""
    return {
        "branch": info.name,
        "repo": info.repo,
        "project": info.project,
        "head": info.head,
        "open": info.open,
        "protected": info.protected,
        "created": time_of(info.created_ms),
        "holds": [f"{hold.who} ({hold.why})" for hold in info.holds],
    }


def commit(info: CommitInfo) -> Record:
    """Describe a commit, without its provenance."""
    return {
        "commit": info.id,
        "repo": info.render_repo(),
        "branch": info.branch,
        "state": info.state.value,
        "origin": info.origin.value,
        "message": info.message,
        "author": info.author,
        "parent": info.parent,
        "cause": info.cause,
        "job": info.job,
        "started": time_of(info.started_ms),
        "finished": time_of(info.finished_ms),
        "objects": info.objects,
        "bytes": info.bytes,
        "logical_bytes": info.logical_bytes,
        "new_bytes": info.new_bytes,
    }


def difference(entry: DiffEntry) -> Record:
    """Describe a key that differs."""
    return {
        "change": entry.kind.value,
        "path": text_of(entry.key),
        "old_size": entry.before.size if entry.before else None,
        "new_size": entry.after.size if entry.after else None,
        "old_etag": entry.before.etag() if entry.before else None,
        "new_etag": entry.after.etag() if entry.after else None,
    }
