"""The command line: parse, reach the store, run the command; failure is one line and a code."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from gateway import __version__
from gateway.cli import commit, file, job, pipeline, repo, serve
from gateway.cli.command import Context, Nouns, Parser, add_verb, common_options
from gateway.cli.connect import connect
from gateway.cli.output import DONE, FAILED, Output
from gateway.errors import SidegateError

INTERRUPTED = 130  # as shells report SIGINT


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="sidegate",
        description="A versioned, deduplicating S3 gateway that runs beside a data pipeline.",
        epilog="A name is [project/]repo[@ref][:path]; a ref is a branch, a commit id or a prefix "
        "of it, branch^, branch^3 or branch@{2026-03-01T12:00:00Z}.",
        parents=[common_options(defaults=True)],
    )
    parser.add_argument("--version", action="version", version=f"sidegate {__version__}")
    nouns = parser.add_subparsers(metavar="NOUN", required=True, parser_class=Parser)
    serve.add(nouns)
    pipeline.add(nouns)
    repo.add(nouns)
    commit.add(nouns)
    file.add(nouns)
    job.add(nouns)
    _add_version(nouns)
    return parser


def _add_version(nouns: Nouns) -> None:
    add_verb(nouns, "version", _version, "print the version").set_defaults(alone=True)


async def _version(context: Context) -> int:
    if context.out.json_lines:
        context.out.document({"version": __version__})
    else:
        context.out.line(f"sidegate {__version__}")
    return DONE


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    parser = build_parser()
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    _settle_streams()
    if not hasattr(parsed, "serve"):
        logging.getLogger().addHandler(_log_handler(verbose=parsed.verbose))
    out = Output(json_lines=parsed.json, quiet=parsed.quiet)
    try:
        if hasattr(parsed, "serve"):
            return serve.run(parsed, out)
        return asyncio.run(_run(Context(parsed, connect(parsed), out)))
    except SidegateError as error:
        if parsed.verbose:
            traceback.print_exc()
        return out.error(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output went away; what was asked for is done. Python would complain at exit.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # a fault of ours: one line, and the traceback for those who ask
        if parsed.verbose:
            traceback.print_exc()
        print(
            f"sidegate: internal error: {type(error).__name__}: {error}; "
            "run it again with -v and report what it prints",
            file=sys.stderr,
        )
        return FAILED


def _settle_streams() -> None:
    """Let every name be printed, whatever its bytes and the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _log_handler(*, verbose: bool) -> logging.Handler:
    """Return where the store's own log goes: nowhere but with `-v`, for a failure is one line.

    Damage is shown all the same: a command may succeed beside it.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("sidegate: %(message)s"))
    if not verbose:
        handler.addFilter(lambda record: record.getMessage().startswith("damage"))
    return handler


async def _run(context: Context) -> int:
    try:
        code: int = await context.arguments.run(context)
        sys.stdout.flush()
        return code
    finally:
        await context.client.close()
