"""`sidegate pipeline` and `run`: specs, and running them."""

from __future__ import annotations

import argparse
import asyncio
import sys

from gateway import limits
from gateway.cli.command import Context, Nouns, add_noun, add_verb, common_options, positive_seconds
from gateway.cli.job import follow, report
from gateway.cli.output import FAILED
from gateway.errors import Invalid, NotFound, Reason, Unavailable

_COLUMNS = ("pipeline", "version", "state", "input", "last_job", "last_state", "updated")


def add(nouns: Nouns) -> None:
    """Add the nouns and their verbs."""
    verbs = add_noun(nouns, "pipeline", "specs that turn input commits into output commits")
    for name, run, text in (
        ("create", _create, "make a pipeline from a spec"),
        ("update", _update, "give a pipeline a new spec"),
        ("run", _run_file, "make or update a pipeline and run one job on the present heads"),
    ):
        parser = add_verb(verbs, name, run, text)
        parser.add_argument("-f", "--file", dest="spec", metavar="SPEC", required=True)
        parser.add_argument("--project", default=None)
        if name == "run":
            _add_run_options(parser)
        else:
            parser.add_argument("--dry-run", action="store_true", help="print what is understood")
    parser = add_verb(verbs, "list", _list, "list the pipelines")
    parser.add_argument("--project")
    for name, text in (
        ("inspect", "show a pipeline"),
        ("delete", "delete a pipeline; its output repo stays"),
        ("start", "let new input commits run jobs again"),
        ("stop", "run no more jobs"),
    ):
        parser = add_verb(verbs, name, _inspect if name == "inspect" else _act, text)
        parser.add_argument("pipeline", metavar="[PROJECT/]PIPELINE")
        parser.set_defaults(verb=name)
    runner = nouns.add_parser(
        "run",
        help="run a pipeline spec once, on the present heads of its inputs",
        parents=[common_options(defaults=False)],
    )
    runner.add_argument("spec", metavar="SPEC", help="JSON or YAML; '-' is standard input")
    runner.add_argument("--project", default=None)
    _add_run_options(runner)
    runner.set_defaults(run=_run_file)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reprocess", action="store_true", help="even if nothing has changed")
    parser.add_argument("--timeout", type=positive_seconds, metavar="T", help="such as 90s or 5m")


def _read_spec(name: str) -> str:
    """Read a spec's text from a file or standard input."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(limits.SPEC_SIZE_MAX + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(limits.SPEC_SIZE_MAX + 1)
    except FileNotFoundError:
        raise NotFound(Reason.NO_SUCH_FILE, f"there is no file {name}") from None
    except IsADirectoryError:
        raise Invalid(Reason.BAD_USAGE, f"{name} is a directory", "name a spec in it") from None
    except OSError as error:
        raise Unavailable(Reason.IO_ERROR, f"cannot read {name}: {error.strerror}") from error
    if len(data) > limits.SPEC_SIZE_MAX:
        raise Invalid(Reason.BAD_SPEC, f"{name} is larger than {limits.SPEC_SIZE_MAX} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        shown = "standard input" if name == "-" else name
        raise Invalid(Reason.BAD_SPEC, f"{shown} is not UTF-8 at byte {error.start}") from None


async def _apply(context: Context, verb: str, *, dry_run: bool = False) -> dict[str, object]:
    arguments = context.arguments
    applied = await context.client.call(
        f"pipeline.{verb}",
        spec=_read_spec(arguments.spec),
        project=arguments.project,
        dry_run=dry_run,
    )
    for warning in applied.pop("warnings", []):
        context.out.note(f"warning: {warning}")
    return applied


async def _create(context: Context) -> int:
    return await _create_or_update(context, "create")


async def _update(context: Context) -> int:
    return await _create_or_update(context, "update")


async def _create_or_update(context: Context, verb: str) -> int:
    applied = await _apply(context, verb, dry_run=context.arguments.dry_run)
    if context.out.json_lines or context.arguments.dry_run:
        context.out.details(applied)
    else:
        context.out.say(f"{verb}d pipeline {applied['pipeline']} (version {applied['version']})")
    return 0


async def _run_file(context: Context) -> int:
    arguments, client = context.arguments, context.client
    applied = await _apply(context, "apply")
    started = await client.call(
        "pipeline.run",
        pipeline=applied["pipeline"],
        reprocess=arguments.reprocess,
        timeout=arguments.timeout,
    )
    try:
        await follow(context, started["job"])
        job = await client.call("job.wait", job=started["job"])
    except asyncio.CancelledError:
        name = started["job"]
        context.out.note(
            f"sidegate: interrupted; job {name} is still in line: "
            f"'sidegate job stop {name}' ends it, 'sidegate run' or 'serve' goes on with it"
        )
        raise
    report(context, job)
    return 0 if job["state"] == "success" else FAILED


async def _list(context: Context) -> int:
    answer = await context.client.call("pipeline.list", project=context.arguments.project)
    context.out.rows(answer["pipelines"], _COLUMNS)
    return 0


async def _inspect(context: Context) -> int:
    context.out.details(
        await context.client.call("pipeline.inspect", pipeline=context.arguments.pipeline)
    )
    return 0


async def _act(context: Context) -> int:
    verb, name = context.arguments.verb, context.arguments.pipeline
    await context.client.call(f"pipeline.{verb}", pipeline=name)
    done = {"delete": "deleted", "start": "started", "stop": "stopped"}[verb]
    context.out.say(f"{done} pipeline {name}")
    return 0
