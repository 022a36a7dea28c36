"""`sidegate file`: objects by path, from and to the local file system."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

from gateway.cli.command import (
    Context,
    Nouns,
    add_noun,
    add_verb,
    object_target,
    refuse_not_utf8,
    split_target,
)
from gateway.errors import Invalid, NotFound, Reason, Unavailable

_COLUMNS = ("type", "size", "modified", "path")


def add(nouns: Nouns) -> None:
    """Add the noun and its verbs."""
    verbs = add_noun(nouns, "file", "objects by path")
    parser = add_verb(verbs, "put", _put, "copy files into a branch, as one commit")
    parser.add_argument("target", metavar="REPO@BRANCH[:PATH]")
    parser.add_argument("files", metavar="FILE", nargs="+", help="'-' is standard input")
    parser.add_argument("-r", "--recursive", action="store_true", help="what is in directories")
    parser.add_argument("-m", "--message", default="", help="of the commit")
    parser = add_verb(verbs, "get", _get, "copy a file, or with -r all under a path, out")
    parser.add_argument("source", metavar="REPO@REF:PATH")
    parser.add_argument("destination", metavar="DEST", help="'-' is standard output")
    parser.add_argument("-r", "--recursive", action="store_true")
    parser = add_verb(verbs, "ls", _ls, "list a path")
    parser.add_argument("source", metavar="REPO@REF[:PATH]")
    parser.add_argument("-r", "--recursive", action="store_true")
    parser = add_verb(verbs, "rm", _rm, "remove a file, or with -r all under a path")
    parser.add_argument("target", metavar="REPO@BRANCH:PATH")
    parser.add_argument("-r", "--recursive", action="store_true")
    parser.add_argument("-m", "--message", default="", help="of the commit")
    parser = add_verb(verbs, "cp", _cp, "copy an object; no data moves")
    parser.add_argument("source", metavar="REPO@REF:PATH")
    parser.add_argument("target", metavar="REPO@BRANCH:PATH")
    parser = add_verb(verbs, "cat", _cat, "print a file")
    parser.add_argument("source", metavar="REPO@REF:PATH")


async def _put(context: Context) -> int:
    arguments, client, out = context.arguments, context.client, context.out
    ref, path = split_target(arguments.target)
    pairs = list(_plan_put(arguments.files, path, recursive=arguments.recursive))
    for local, key in pairs:  # before the first is stored: a put is whole or not at all
        _refuse_unreadable(local)
        refuse_not_utf8(key)
    new = logical = 0
    for local, key in pairs:
        with closing(_open_source(local)) as source:
            stored = await client.send("file.put", source, target=ref, path=key)
        new, logical = new + stored["new_bytes"], logical + stored["size"]
        if len(pairs) > 1:
            out.say(f"{local} -> {ref}:{key}")
    done = await client.call("branch.flush", branch=ref, message=arguments.message)
    result = {"files": len(pairs), "size": logical, "new_bytes": new, "commit": done["commit"]}
    _print_done(context, result, done)
    return 0


def _print_done(context: Context, result: dict[str, Any], done: dict[str, Any]) -> None:
    if context.out.json_lines:
        context.out.document(result)
    elif done["state"] == "open":
        context.out.say(f"staged in the open commit {done['commit']}")
    elif done["commit"]:
        context.out.line(done["commit"])


def _plan_put(files: list[str], path: str, *, recursive: bool) -> Iterator[tuple[str, str]]:
    """Yield (local file, key) pairs; refuses what would be skipped silently."""
    into_prefix = not path or path.endswith("/") or len(files) > 1 or recursive
    prefix = path if not path or path.endswith("/") or not into_prefix else f"{path}/"
    prefix = prefix.lstrip("/")
    for name in files:
        if name == "-":
            if into_prefix:
                raise Invalid(
                    Reason.BAD_USAGE, "standard input has no name", "give the whole path after ':'"
                )
            yield name, path
        elif os.path.isdir(name):
            if not recursive:
                raise Invalid(Reason.BAD_USAGE, f"{name} is a directory", "add -r to copy it")
            yield from _walk(name, prefix)
        else:
            yield name, prefix + os.path.basename(name) if into_prefix else path


def _walk(root: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield what is in a directory; links are followed, to files and to directories."""
    for directory, subdirectories, names in os.walk(root, onerror=_refuse, followlinks=True):
        subdirectories.sort()
        here = os.path.join(os.path.realpath(directory), "")
        for name in subdirectories:
            local = os.path.join(directory, name)
            if os.path.islink(local) and here.startswith(os.path.join(os.path.realpath(local), "")):
                raise Invalid(Reason.BAD_USAGE, f"the link {local} leads round in a circle")
        for name in sorted(names):
            local = os.path.join(directory, name)
            if not stat.S_ISREG(_mode(local)):
                raise Invalid(
                    Reason.BAD_USAGE,
                    f"{local} is neither a file nor a directory",
                    "move it out of the directory",
                )
            yield local, prefix + os.path.relpath(local, root).replace(os.sep, "/")


def _mode(local: str) -> int:
    try:
        return os.stat(local).st_mode
    except FileNotFoundError:
        if os.path.islink(local):
            raise NotFound(
                Reason.NO_SUCH_FILE, f"the link {local} leads nowhere", "remove or mend it"
            ) from None
        raise NotFound(Reason.NO_SUCH_FILE, f"there is no file {local}") from None
    except OSError as error:
        raise Unavailable(Reason.IO_ERROR, f"cannot read {local}: {error.strerror}") from error


def _refuse_unreadable(local: str) -> None:
    """Refuse a file that cannot be read; a pipe that was named is read later, and once."""
    if local != "-" and stat.S_ISREG(_mode(local)):
        _open_source(local).close()


def _refuse(error: OSError) -> None:
    raise Unavailable(Reason.IO_ERROR, f"cannot read {error.filename}: {error.strerror}")


def _open_source(local: str) -> BinaryIO:
    if local == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        return open(local, "rb")
    except FileNotFoundError:
        raise NotFound(Reason.NO_SUCH_FILE, f"there is no file {local}") from None
    except OSError as error:
        raise Unavailable(Reason.IO_ERROR, f"cannot read {local}: {error.strerror}") from error


async def _get(context: Context) -> int:
    arguments, client = context.arguments, context.client
    if not arguments.recursive:
        ref, path = object_target(arguments.source)
        await _fetch(context, ref, path, _file_for(arguments.destination, path))
        return 0
    if arguments.destination == "-":
        raise Invalid(Reason.BAD_USAGE, "-r needs a directory to copy to, not standard output")
    ref, path = split_target(arguments.source)
    prefix = f"{path}/" if path and not path.endswith("/") else path
    after = ""
    count = 0
    while True:
        page = await client.call("file.list", ref=ref, path=prefix, recursive=True, after=after)
        for entry in page["files"]:
            relative = entry["path"][len(prefix) :]
            await _fetch(context, ref, entry["path"], _inside(arguments.destination, relative))
            count += 1
        if not page["truncated"]:
            break
        after = page["next"]
    if not count:
        raise NotFound(Reason.NO_SUCH_KEY, f"there is nothing under {ref}:{prefix}")
    context.out.say(f"{count} files")
    return 0


def _file_for(destination: str, path: str) -> str:
    """Return the local file for one object: in a directory it keeps its base name."""
    if destination != "-" and os.path.isdir(destination):
        return os.path.join(destination, os.path.basename(path))
    return destination


def _inside(root: str, relative: str) -> str:
    """Return where a key belongs under a directory; refuses keys that lead out of it."""
    parts = relative.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise Invalid(
            Reason.BAD_NAME,
            f"the key {relative!r} has no place in a directory",
            "get it alone, with a destination of its own",
        )
    return os.path.join(root, *parts)


async def _fetch(context: Context, ref: str, path: str, destination: str) -> None:
    """Copy one object to a file, which is there wholly or not at all; or to standard output."""
    parts = context.client.receive("file.get", ref=ref, path=path)
    if destination == "-":
        async for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    target = Path(destination)
    unfinished = target.with_name(f".sidegate-{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            async for part in parts:
                file.write(part)
        unfinished.replace(target)
    except OSError as error:
        raise Unavailable(
            Reason.IO_ERROR, f"cannot write {destination}: {error.strerror}"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


async def _ls(context: Context) -> int:
    ref, path = split_target(context.arguments.source)
    after = ""
    while True:
        page = await context.client.call(
            "file.list", ref=ref, path=path, recursive=context.arguments.recursive, after=after
        )
        context.out.rows(page["files"], _COLUMNS, head=not after)
        if not page["truncated"]:
            return 0
        after = page["next"]


async def _rm(context: Context) -> int:
    arguments, client = context.arguments, context.client
    split = split_target if arguments.recursive else object_target
    ref, path = split(arguments.target)
    removed = await client.call("file.remove", ref=ref, path=path, recursive=arguments.recursive)
    done = await client.call("branch.flush", branch=ref, message=arguments.message)
    _print_done(context, {"files": removed["files"], "commit": done["commit"]}, done)
    return 0


async def _cp(context: Context) -> int:
    arguments, client = context.arguments, context.client
    source_ref, source_path = object_target(arguments.source)
    ref, path = object_target(arguments.target)
    await client.call(
        "file.copy", source_ref=source_ref, source_path=source_path, ref=ref, path=path
    )
    done = await client.call("branch.flush", branch=ref, message="")
    _print_done(context, {"files": 1, "commit": done["commit"]}, done)
    return 0


async def _cat(context: Context) -> int:
    ref, path = object_target(context.arguments.source)
    await _fetch(context, ref, path, "-")
    return 0
