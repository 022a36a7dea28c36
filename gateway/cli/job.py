"""`sidegate job`: runs of pipelines, their logs and results."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Context, Nouns, add_noun, add_verb, positive_seconds
from gateway.cli.output import FAILED

_COLUMNS = ("job", "pipeline", "state", "created", "seconds", "output_commit", "reason")


def add(nouns: Nouns) -> None:
    """Add the noun and its verbs."""
    verbs = add_noun(nouns, "job", "runs of pipelines")
    parser = add_verb(verbs, "list", _list, "list jobs, newest first")
    parser.add_argument("--pipeline", metavar="[PROJECT/]PIPELINE")
    parser.add_argument("-n", "--limit", type=int, default=100)
    parser = add_verb(verbs, "inspect", _inspect, "show a job")
    parser.add_argument("job")
    parser = add_verb(verbs, "logs", _logs, "print what the user code of a job printed")
    parser.add_argument("job")
    parser.add_argument("-f", "--follow", action="store_true", help="until the job ends")
    parser = add_verb(verbs, "wait", _wait, "wait until a job has ended")
    parser.add_argument("job")
    parser.add_argument("--timeout", type=positive_seconds, metavar="T")
    parser = add_verb(verbs, "stop", _stop, "kill a job; its output is dropped")
    parser.add_argument("job")
    parser = add_verb(verbs, "delete", _delete, "delete the record and logs of an ended job")
    parser.add_argument("job")


def report(context: Context, job: Mapping[str, Any]) -> None:
    """Print a job as its result: for a person in full, for a script as one document."""
    if not context.out.json_lines and not context.out.quiet:
        context.out.line("")
    context.out.details(job)


async def follow(context: Context, job: str) -> None:
    """Print a job's log while it runs; on standard error, for results go to standard output."""
    async for part in context.client.receive("job.log", job=job, follow="1"):
        if not context.out.quiet:
            sys.stderr.buffer.write(part)
            sys.stderr.buffer.flush()


async def _list(context: Context) -> int:
    arguments = context.arguments
    answer = await context.client.call(
        "job.list", pipeline=arguments.pipeline, limit=arguments.limit
    )
    context.out.rows(answer["jobs"], _COLUMNS)
    return 0


async def _inspect(context: Context) -> int:
    context.out.details(await context.client.call("job.inspect", job=context.arguments.job))
    return 0


async def _logs(context: Context) -> int:
    query = {"follow": "1"} if context.arguments.follow else {}
    async for part in context.client.receive("job.log", job=context.arguments.job, **query):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    return 0


async def _wait(context: Context) -> int:
    job = await context.client.call(
        "job.wait", job=context.arguments.job, timeout=context.arguments.timeout
    )
    report(context, job)
    return 0 if job["state"] == "success" else FAILED


async def _stop(context: Context) -> int:
    await context.client.call("job.stop", job=context.arguments.job)
    context.out.say(f"stopped job {context.arguments.job}")
    return 0


async def _delete(context: Context) -> int:
    await context.client.call("job.delete", job=context.arguments.job)
    context.out.say(f"deleted job {context.arguments.job}")
    return 0
