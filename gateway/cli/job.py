"""`sidegate job`: runs of pipelines, their logs and results."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from gateway.cli.command import Context, Nouns, add_noun, add_verb, positive_seconds
from gateway.cli.output import FAILED, size, stored

_COLUMNS = ("job", "pipeline", "state", "created", "seconds", "output_commit", "reason")
_KEYS_SHOWN = 10
_LINE_MAX = 64 * 1024
# What a person is told in other words, or not at all.
_RETOLD = frozenset(
    {
        *("inputs", "buckets", "datums", "datums_done", "objects", "bytes", "logical_bytes"),
        *("new_bytes", "attempts", "notices"),
    }
)
_TRAFFIC = {
    "gets": ("GET", "GETs"),
    "puts": ("PUT", "PUTs"),
    "deletes": ("deletion", "deletions"),
    "lists": ("listing", "listings"),
    "lookups": ("lookup", "lookups"),
}


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
    _show(context, job)


def _show(context: Context, job: Mapping[str, Any]) -> None:
    context.out.details(job if context.out.json_lines else job_for_person(job))


def job_for_person(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's record as a person reads it: traffic, files and provenance in words."""
    shown = {name: value for name, value in job.items() if name not in _RETOLD}
    written = [key for each in job["buckets"] for key in each.get("written", [])]
    seen = list(dict.fromkeys(written))
    more = [f"... and more: {len(seen) - _KEYS_SHOWN}"] if len(seen) > _KEYS_SHOWN else []
    shown["inputs"] = [_input(each) for each in job["inputs"]]
    shown["buckets"] = [_traffic(each) for each in job["buckets"]]
    shown["files written"] = seen[:_KEYS_SHOWN] + more
    shown["datums"] = f"{job['datums_done']} of {job['datums']}"
    if job["state"] == "success":
        objects = "1 object" if job["objects"] == 1 else f"{job['objects']} objects"
        shown["output"] = f"{objects}, {size(job['bytes'])}"
        shown["stored"] = stored(job["logical_bytes"], job["new_bytes"])
    if "attempts" in job:
        shown["attempts"] = [_attempt(each) for each in job["attempts"]]
    shown["notices"] = job["notices"]
    return shown


def _input(each: Mapping[str, Any]) -> str:
    where = f"{each.get('repo', '(deleted)')}@{each['branch']}"
    return f"{each['name']}: {where}, commit {each['commit']}"


def _traffic(each: Mapping[str, Any]) -> str:
    told = [
        (f"{each[kind]} {words[0] if each[kind] == 1 else words[1]}")
        for kind, words in _TRAFFIC.items()
        if each.get(kind)
    ]
    told += [
        f"{size(each[kind])} {words}"
        for kind, words in (("bytes_read", "read"), ("bytes_written", "written"))
        if each.get(kind)
    ]
    return f"s3://{each['bucket']}: {', '.join(told) or 'not used'}"


def _attempt(each: Mapping[str, Any]) -> str:
    why = f" ({each['reason']})" if each["reason"] else ""
    return f"{each['number']}: {each['state']}{why}"


async def follow(context: Context, job: str) -> None:
    """Print a job's log while it runs; on standard error, for results go to standard output."""
    settle = None if sys.stderr.isatty() else Settled()
    async for part in context.client.receive("job.log", job=job, follow="1"):
        if not context.out.quiet:
            sys.stderr.buffer.write(part if settle is None else settle.take(part))
            sys.stderr.buffer.flush()
    if settle is not None:
        sys.stderr.buffer.write(settle.rest())
        sys.stderr.buffer.flush()


class Settled:
    """A log as a terminal would leave it: progress that overwrote itself is left out."""

    def __init__(self) -> None:
        self._line = b""

    def take(self, part: bytes) -> bytes:
        """Take the next part; return the lines that are complete."""
        *lines, self._line = (self._line + part).split(b"\n")
        if len(self._line) > _LINE_MAX:  # whoever prints so has no lines
            lines, self._line = [*lines, self._line], b""
            return b"\n".join([_last_written(line) for line in lines])
        return b"".join([_last_written(line) + b"\n" for line in lines])

    def rest(self) -> bytes:
        """Return what had no end of line."""
        line, self._line = self._line, b""
        return _last_written(line)


def _last_written(line: bytes) -> bytes:
    kept = line.rstrip(b"\r")
    return kept[kept.rfind(b"\r") + 1 :].rstrip(b" ")


async def _list(context: Context) -> int:
    arguments = context.arguments
    answer = await context.client.call(
        "job.list", pipeline=arguments.pipeline, limit=arguments.limit
    )
    context.out.rows(answer["jobs"], _COLUMNS)
    return 0


async def _inspect(context: Context) -> int:
    _show(context, await context.client.call("job.inspect", job=context.arguments.job))
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
