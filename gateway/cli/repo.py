"""`sidegate project`, `repo` and `branch`: the names that hold commits."""

from __future__ import annotations

from gateway.cli.command import Context, Nouns, add_noun, add_verb

_PROJECT_COLUMNS = ("project", "created", "description")
_REPO_COLUMNS = ("repo", "created", "branches", "objects", "bytes", "description")
_BRANCH_COLUMNS = ("branch", "head", "open", "protected", "created")


def add(nouns: Nouns) -> None:
    """Add the nouns and their verbs."""
    _add_project(nouns)
    _add_repo(nouns)
    _add_branch(nouns)


def _add_project(nouns: Nouns) -> None:
    verbs = add_noun(nouns, "project", "groups of repos that share a dedup domain")
    parser = add_verb(verbs, "create", _create_project, "make a project")
    parser.add_argument("project")
    parser.add_argument("--description", default="")
    add_verb(verbs, "list", _list_projects, "list the projects")
    add_verb(verbs, "inspect", _inspect_project, "show a project").add_argument("project")
    add_verb(verbs, "delete", _delete_project, "delete an empty project").add_argument("project")


def _add_repo(nouns: Nouns) -> None:
    verbs = add_noun(nouns, "repo", "named histories of objects")
    parser = add_verb(verbs, "create", _create_repo, "make a repo with a master branch")
    parser.add_argument("repo", metavar="[PROJECT/]REPO")
    parser.add_argument("--description", default="")
    parser = add_verb(verbs, "list", _list_repos, "list the repos")
    parser.add_argument("--project")
    parser = add_verb(verbs, "inspect", _inspect_repo, "show a repo")
    parser.add_argument("repo", metavar="[PROJECT/]REPO")
    parser = add_verb(verbs, "delete", _delete_repo, "delete a repo and its commits")
    parser.add_argument("repo", metavar="[PROJECT/]REPO")


def _add_branch(nouns: Nouns) -> None:
    verbs = add_noun(nouns, "branch", "movable names of commits")
    parser = add_verb(verbs, "create", _create_branch, "make a branch")
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser.add_argument("--from", dest="source", metavar="REF", help="its first head")
    parser = add_verb(verbs, "list", _list_branches, "list the branches of a repo")
    parser.add_argument("repo", metavar="[PROJECT/]REPO")
    parser = add_verb(verbs, "inspect", _inspect_branch, "show a branch")
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser = add_verb(verbs, "delete", _delete_branch, "delete a branch; its commits stay")
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser = add_verb(verbs, "move", _move_branch, "point a branch at another commit")
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser.add_argument("to", metavar="REF")
    parser.add_argument("--expect", metavar="COMMIT", help="only if this is the head now")


async def _create_project(context: Context) -> int:
    project = context.arguments.project
    await context.client.call(
        "project.create", project=project, description=context.arguments.description
    )
    context.out.say(f"created project {project}")
    return 0


async def _list_projects(context: Context) -> int:
    answer = await context.client.call("project.list")
    context.out.rows(answer["projects"], _PROJECT_COLUMNS)
    return 0


async def _inspect_project(context: Context) -> int:
    context.out.details(
        await context.client.call("project.inspect", project=context.arguments.project)
    )
    return 0


async def _delete_project(context: Context) -> int:
    await context.client.call("project.delete", project=context.arguments.project)
    context.out.say(f"deleted project {context.arguments.project}")
    return 0


async def _create_repo(context: Context) -> int:
    repo = context.arguments.repo
    await context.client.call("repo.create", repo=repo, description=context.arguments.description)
    context.out.say(f"created repo {repo}")
    return 0


async def _list_repos(context: Context) -> int:
    answer = await context.client.call("repo.list", project=context.arguments.project)
    context.out.rows(answer["repos"], _REPO_COLUMNS)
    return 0


async def _inspect_repo(context: Context) -> int:
    context.out.details(await context.client.call("repo.inspect", repo=context.arguments.repo))
    return 0


async def _delete_repo(context: Context) -> int:
    await context.client.call("repo.delete", repo=context.arguments.repo)
    context.out.say(f"deleted repo {context.arguments.repo}")
    return 0


async def _create_branch(context: Context) -> int:
    branch = context.arguments.branch
    await context.client.call("branch.create", branch=branch, source=context.arguments.source)
    context.out.say(f"created branch {branch}")
    return 0


async def _list_branches(context: Context) -> int:
    answer = await context.client.call("branch.list", repo=context.arguments.repo)
    context.out.rows(answer["branches"], _BRANCH_COLUMNS)
    return 0


async def _inspect_branch(context: Context) -> int:
    context.out.details(
        await context.client.call("branch.inspect", branch=context.arguments.branch)
    )
    return 0


async def _delete_branch(context: Context) -> int:
    await context.client.call("branch.delete", branch=context.arguments.branch)
    context.out.say(f"deleted branch {context.arguments.branch}")
    return 0


async def _move_branch(context: Context) -> int:
    arguments = context.arguments
    moved = await context.client.call(
        "branch.move", branch=arguments.branch, to=arguments.to, expect=arguments.expect
    )
    context.out.say(f"moved {arguments.branch} to {moved['head']}")
    return 0
