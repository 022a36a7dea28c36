"""`sidegate commit`: immutable states of a repo, and the open ones on their way there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Context, Nouns, add_noun, add_verb
from gateway.cli.output import size, stored

_COLUMNS = ("commit", "branch", "state", "finished", "objects", "bytes", "origin", "message")
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def add(nouns: Nouns) -> None:
    """Add the noun and its verbs."""
    verbs = add_noun(nouns, "commit", "immutable states of a repo, and open ones")
    parser = add_verb(verbs, "start", _start, "open a commit on a branch")
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser.add_argument("-m", "--message", default="")
    parser.add_argument("--author", default="")
    parser = add_verb(verbs, "finish", _finish, "finish the open commit of a branch")
    parser.add_argument("ref", metavar="REPO@BRANCH|COMMIT")
    parser.add_argument("-m", "--message", default=None)
    parser = add_verb(verbs, "discard", _discard, "drop the open commit of a branch")
    parser.add_argument("ref", metavar="REPO@BRANCH|COMMIT")
    parser = add_verb(verbs, "list", _list, "list commits, newest first")
    parser.add_argument("ref", metavar="REPO[@BRANCH]")
    parser.add_argument("-n", "--limit", type=int, default=100)
    parser = add_verb(verbs, "inspect", _inspect, "show a commit and its provenance")
    parser.add_argument("ref", metavar="REPO@REF")
    parser = add_verb(verbs, "diff", _diff, "show what differs between two commits")
    parser.add_argument("old", metavar="A", help="REPO@REF")
    parser.add_argument("new", metavar="B", help="REPO@REF")
    parser.add_argument("--stat", action="store_true", help="totals only")


async def _start(context: Context) -> int:
    arguments = context.arguments
    started = await context.client.call(
        "commit.start", branch=arguments.branch, message=arguments.message, author=arguments.author
    )
    _print_commit(context, started)
    return 0


async def _finish(context: Context) -> int:
    arguments = context.arguments
    finished = await context.client.call(
        "commit.finish", ref=arguments.ref, message=arguments.message
    )
    _print_commit(context, finished)
    return 0


def _print_commit(context: Context, commit: Mapping[str, Any]) -> None:
    if context.out.json_lines:
        context.out.document(commit)
    else:
        context.out.line(commit["commit"])


async def _discard(context: Context) -> int:
    discarded = await context.client.call("commit.discard", ref=context.arguments.ref)
    context.out.say(f"discarded {discarded['commit']}")
    return 0


async def _list(context: Context) -> int:
    answer = await context.client.call(
        "commit.list", ref=context.arguments.ref, limit=context.arguments.limit
    )
    context.out.rows(answer["commits"], _COLUMNS)
    return 0


async def _inspect(context: Context) -> int:
    commit = await context.client.call("commit.inspect", ref=context.arguments.ref)
    context.out.details(commit if context.out.json_lines else _for_person(commit))
    return 0


def _for_person(commit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a commit's record as a person reads it."""
    numbers = ("logical_bytes", "new_bytes", "provenance", "subvenance")
    shown = {name: value for name, value in commit.items() if name not in numbers}
    shown["stored"] = stored(commit["logical_bytes"], commit["new_bytes"])
    shown["came from"] = [_edge(each) for each in commit["provenance"]]
    shown["went into"] = [_edge(each) for each in commit["subvenance"]]
    return shown


def _edge(each: Mapping[str, Any]) -> str:
    where = f"{each['repo']}@{each['branch']}, " if "repo" in each else ""
    return f"{where}commit {each['commit']} (input {each['input']})"


async def _diff(context: Context) -> int:
    answer = await context.client.call(
        "commit.diff",
        old=context.arguments.old,
        new=context.arguments.new,
        stat=context.arguments.stat,
    )
    out = context.out
    if out.json_lines:
        for entry in answer["entries"]:
            out.document(entry)
        if context.arguments.stat:
            out.document(answer["totals"])
        return 0
    for entry in answer["entries"]:
        out.line(f"{_SIGNS[entry['change']]} {entry['path']}  {_sizes(entry)}")
    totals = answer["totals"]
    out.say(
        f"{totals['added']} added, {totals['changed']} changed, {totals['removed']} removed; "
        f"{totals['unchanged']} the same"
    )
    return 0


def _sizes(entry: Mapping[str, Any]) -> str:
    old, new = entry["old_size"], entry["new_size"]
    if old is None:
        return size(new)
    if new is None:
        return size(old)
    return f"{size(old)} -> {size(new)}"
