"""Calls on projects, repos and branches."""

from __future__ import annotations

from gateway.admin import records
from gateway.admin.arguments import Arguments, Record
from gateway.admin.handler import Services
from gateway.errors import Invalid, Reason
from gateway.ids import DEFAULT_BRANCH, BranchName, CommitId, project_name
from gateway.versions.model import RepoInfo
from gateway.versions.refs import Ref
from gateway.wire.messages import Request


def branch_of(text: str) -> tuple[str, BranchName]:
    """Return the repo and branch that `[project/]repo[@branch]` names.

    Raises:
        Invalid(BAD_ARGUMENT): it names a commit or an ancestor, not a branch itself.
    """
    ref = Ref.parse(text)
    if ref.branch is None or ref.back or ref.time_ms is not None:
        raise Invalid(Reason.BAD_ARGUMENT, f"{text!r} does not name a branch", "write REPO@BRANCH")
    return repo_of(ref), ref.branch


def repo_of(ref: Ref) -> str:
    """Return the repo that a ref names, with its project where it is not the default."""
    return ref.repo if ref.project == "default" else f"{ref.project}/{ref.repo}"


async def create_project(services: Services, arguments: Arguments, _: Request) -> Record:
    """Make a project."""
    name = project_name(arguments.text("project"))
    description = arguments.text("description", "")
    arguments.done()
    return records.project(await services.versions.create_project(name, description))


async def list_projects(services: Services, arguments: Arguments, _: Request) -> Record:
    """List the projects."""
    arguments.done()
    found = await services.versions.list_projects()
    return {"projects": [records.project(info) for info in found]}


async def inspect_project(services: Services, arguments: Arguments, _: Request) -> Record:
    """Describe a project and name its repos."""
    name = project_name(arguments.text("project"))
    arguments.done()
    record = records.project(await services.versions.inspect_project(name))
    repos = await services.versions.list_repos(name)
    return record | {"repos": [info.name for info in repos]}


async def delete_project(services: Services, arguments: Arguments, _: Request) -> Record:
    """Delete a project that has no repos."""
    name = project_name(arguments.text("project"))
    arguments.done()
    await services.versions.delete_project(name)
    return {}


async def create_repo(services: Services, arguments: Arguments, _: Request) -> Record:
    """Make a repo with a master branch."""
    ref = Ref.parse(arguments.text("repo"))
    description = arguments.text("description", "")
    arguments.done()
    repo = await services.versions.create_repo(ref.project, ref.repo, description)
    await services.versions.create_branch(repo.render(), DEFAULT_BRANCH)
    return records.repo(await services.versions.inspect_repo(repo.render()))


async def _described(services: Services, info: RepoInfo) -> Record:
    """Describe a repo and how much the heads of its branches hold."""
    branches = await services.versions.list_branches(info.render())
    heads = {branch.head for branch in branches if branch.head is not None}
    commits = [await services.versions.inspect_commit(head) for head in sorted(heads)]
    return records.repo(info) | {
        "objects": max((commit.objects for commit in commits), default=0),
        "bytes": max((commit.bytes for commit in commits), default=0),
    }


async def list_repos(services: Services, arguments: Arguments, _: Request) -> Record:
    """List the repos, of one project or all."""
    project = arguments.maybe("project")
    arguments.done()
    found = await services.versions.list_repos(project_name(project) if project else None)
    return {"repos": [await _described(services, info) for info in found]}


async def inspect_repo(services: Services, arguments: Arguments, _: Request) -> Record:
    """Describe a repo."""
    name = arguments.text("repo")
    arguments.done()
    return await _described(services, await services.versions.inspect_repo(name))


async def delete_repo(services: Services, arguments: Arguments, _: Request) -> Record:
    """Delete a repo with its branches and commits."""
    name = arguments.text("repo")
    arguments.done()
    await services.versions.delete_repo(name)
    return {}


async def create_branch(services: Services, arguments: Arguments, _: Request) -> Record:
    """Make a branch, at a ref or without commits."""
    repo, branch = branch_of(arguments.text("branch"))
    source = arguments.maybe("source")
    arguments.done()
    commit = None
    if source is not None:
        commit = (await services.versions.resolve(_within(repo, source))).commit
    return records.branch(await services.versions.create_branch(repo, branch, commit))


def _within(repo: str, ref: str) -> str:
    """Return a ref in full: `master^` alone means one of the same repo."""
    return ref if "@" in ref.partition("@{")[0] else f"{repo}@{ref}"


async def list_branches(services: Services, arguments: Arguments, _: Request) -> Record:
    """List the branches of a repo."""
    name = arguments.text("repo")
    arguments.done()
    found = await services.versions.list_branches(name)
    return {"branches": [records.branch(info) for info in found]}


async def inspect_branch(services: Services, arguments: Arguments, _: Request) -> Record:
    """Describe a branch."""
    repo, branch = branch_of(arguments.text("branch"))
    arguments.done()
    return records.branch(await services.versions.inspect_branch(repo, branch))


async def delete_branch(services: Services, arguments: Arguments, _: Request) -> Record:
    """Delete a branch; its commits stay."""
    repo, branch = branch_of(arguments.text("branch"))
    arguments.done()
    await services.versions.delete_branch(repo, branch)
    return {}


async def move_branch(services: Services, arguments: Arguments, _: Request) -> Record:
    """Point a branch at a commit; with `expect`, only from there."""
    repo, branch = branch_of(arguments.text("branch"))
    to = await services.versions.resolve(_within(repo, arguments.text("to")))
    expect = arguments.maybe("expect")
    arguments.done()
    if to.commit is None:
        raise Invalid(Reason.BAD_ARGUMENT, "there is no commit to move to yet")
    expected: CommitId | None = None
    if expect is not None:
        expected = (await services.versions.resolve(_within(repo, expect))).commit
    moved = await services.versions.move_branch(repo, branch, to.commit, expected)
    return records.branch(moved)


async def flush_branch(services: Services, arguments: Arguments, _: Request) -> Record:
    """Finish the automatic commit of a branch now; an open commit made by hand stays open."""
    repo, branch = branch_of(arguments.text("branch"))
    message = arguments.text("message", "")
    arguments.done()
    info = await services.versions.flush(repo, branch, message)
    if info is None:
        now = await services.versions.inspect_branch(repo, branch)
        if now.open is not None:
            return {"commit": now.open, "state": "open"}
        return {"commit": now.head, "state": "unchanged"}
    return records.commit(info)
