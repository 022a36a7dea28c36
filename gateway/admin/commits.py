"""Calls on commits."""

from __future__ import annotations

from gateway.admin import records
from gateway.admin.arguments import Arguments, Record
from gateway.admin.handler import Services
from gateway.admin.repos import branch_of, repo_of
from gateway.errors import Conflict, Invalid, NotFound, Reason
from gateway.ids import CommitId
from gateway.versions.model import CommitInfo, Edge
from gateway.versions.refs import Ref
from gateway.wire.messages import Request

_LIMIT_MAX = 10_000  # commits in one answer


async def commit_of(services: Services, ref: str) -> CommitId:
    """Return the commit that a ref names.

    Raises:
        NotFound(NO_SUCH_COMMIT): it names a branch that has no commits yet.
    """
    resolved = await services.versions.resolve(ref)
    if resolved.commit is None:
        raise NotFound(
            Reason.NO_SUCH_COMMIT,
            f"{ref} has no commits yet",
            "put a file into it, or finish a commit",
        )
    return resolved.commit


async def _open_commit_of(services: Services, ref: str) -> CommitId:
    """Return the open commit of a branch, or the commit that a ref names otherwise."""
    resolved = await services.versions.resolve(ref)
    if resolved.branch is None:
        return await commit_of(services, ref)
    branch = await services.versions.inspect_branch(resolved.repo.render(), resolved.branch)
    if branch.open is None:
        raise Conflict(
            Reason.COMMIT_NOT_OPEN,
            f"{ref} has no open commit",
            "open one with 'sidegate commit start'",
        )
    return branch.open


async def start(services: Services, arguments: Arguments, _: Request) -> Record:
    """Open a commit on a branch."""
    repo, branch = branch_of(arguments.text("branch"))
    message, author = arguments.text("message", ""), arguments.text("author", "")
    arguments.done()
    return records.commit(await services.versions.start_commit(repo, branch, message, author))


async def finish(services: Services, arguments: Arguments, _: Request) -> Record:
    """Finish an open commit."""
    ref, message = arguments.text("ref"), arguments.maybe("message")
    arguments.done()
    commit = await _open_commit_of(services, ref)
    return records.commit(await services.versions.finish_commit(commit, message))


async def discard(services: Services, arguments: Arguments, _: Request) -> Record:
    """Drop an open commit with its writes."""
    ref = arguments.text("ref")
    arguments.done()
    commit = await _open_commit_of(services, ref)
    await services.versions.discard_commit(commit)
    return {"commit": commit}


async def list_commits(services: Services, arguments: Arguments, _: Request) -> Record:
    """List the commits of a repo or branch, newest first."""
    text = arguments.text("ref")
    limit = int(arguments.number("limit", 100) or 0)
    arguments.done()
    if not 0 < limit <= _LIMIT_MAX:
        raise Invalid(Reason.BAD_ARGUMENT, f"limit {limit} is not from 1 to {_LIMIT_MAX}")
    ref = Ref.parse(text)
    branch = branch_of(text)[1] if "@" in text else None
    found = await services.versions.list_commits(repo_of(ref), branch, limit)
    return {"commits": [records.commit(info) for info in found]}


async def inspect(services: Services, arguments: Arguments, _: Request) -> Record:
    """Describe a commit: what it holds, what it came from, what came from it."""
    ref = arguments.text("ref")
    arguments.done()
    info = await services.versions.inspect_commit(await commit_of(services, ref))
    provenance = [await _edge(services, edge, edge.upstream) for edge in info.provenance]
    subvenance = [await _edge(services, edge, edge.commit) for edge in info.subvenance]
    return records.commit(info) | {"provenance": provenance, "subvenance": subvenance}


async def _edge(services: Services, edge: Edge, other: CommitId) -> Record:
    """Describe the other end of a line of provenance."""
    record: Record = {"input": edge.input, "commit": other}
    try:
        info = await services.versions.inspect_commit(other)
    except NotFound:
        return record
    return {"repo": info.render_repo(), "branch": info.branch} | record


async def diff(services: Services, arguments: Arguments, _: Request) -> Record:
    """Tell what differs between two commits, and count it."""
    old = await _known(services, arguments.text("old"))
    new = await _known(services, arguments.text("new"))
    stat = arguments.flag("stat")
    arguments.done()
    entries: list[Record] = []
    totals = {"added": 0, "changed": 0, "removed": 0}
    async for entry in services.versions.diff_commits(old.id, new.id):
        totals[entry.kind.value] += 1
        if not stat:
            entries.append(records.difference(entry))
    unchanged = new.objects - totals["added"] - totals["changed"]
    return {"entries": entries, "totals": totals | {"unchanged": unchanged}}


async def _known(services: Services, ref: str) -> CommitInfo:
    return await services.versions.inspect_commit(await commit_of(services, ref))
