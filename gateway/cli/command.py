"""What a command is: its parser, the options that every command takes, and what it runs with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from gateway.cli.client import Client
from gateway.cli.output import WRONG_USAGE, Output
from gateway.errors import Invalid, Reason


@dataclass(frozen=True, slots=True)
class Context:
    """What a command runs with."""

    arguments: argparse.Namespace
    client: Client
    out: Output


Run = Callable[[Context], Awaitable[int]]
# What words are added to; argparse has no public name for it.
Nouns: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors are."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is; exit with 2."""
        print(f"{self.prog}: {message}; see '{self.prog} --help'", file=sys.stderr)
        sys.exit(WRONG_USAGE)


def common_options(*, defaults: bool) -> Parser:
    """Return the options of every command; they may stand before the noun or after the verb.

    Only the ones before the noun have defaults, so that those after it do not undo them.
    """
    parser = Parser(add_help=False)
    nothing = argparse.SUPPRESS
    group = parser.add_argument_group("options of every command")
    group.add_argument(
        "--data", metavar="DIR", default=None if defaults else nothing, help="the data directory"
    )
    group.add_argument(
        "--url", default=None if defaults else nothing, help="the admin API of a running server"
    )
    for flag, help_text in (
        ("--json", "print one JSON document a line"),
        ("--quiet", "print results and errors only"),
        ("--verbose", "print a traceback with an error"),
    ):
        names = ["-v", flag] if flag == "--verbose" else [flag]
        group.add_argument(
            *names, action="store_true", default=False if defaults else nothing, help=help_text
        )
    return parser


def add_noun(nouns: Nouns, name: str, help_text: str) -> Nouns:
    """Add a noun and return what its verbs are added to."""
    parser = nouns.add_parser(name, help=help_text, description=help_text)
    return parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)


def add_verb(verbs: Nouns, name: str, run: Run, help_text: str) -> argparse.ArgumentParser:
    """Add a verb that `run` carries out, and return its parser for the arguments."""
    parser = verbs.add_parser(
        name,
        help=help_text,
        description=help_text[:1].upper() + help_text[1:] + ".",
        parents=[common_options(defaults=False)],
    )
    parser.set_defaults(run=run)
    return parser


def positive_seconds(text: str) -> float:
    """Parse a time such as `90`, `90s`, `5m` or `2h` into seconds."""
    factors = {"s": 1, "m": 60, "h": 3600}
    factor = factors.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 5m or 2h")
    return seconds


def split_target(text: str) -> tuple[str, str]:
    """Split `[project/]repo[@ref][:path]` into the ref part and the path (may be empty).

    Raises:
        Invalid(BAD_NAME): it is not UTF-8.
    """
    refuse_not_utf8(text)
    ref, _, path = text.partition(":") if "@{" not in text else _split_after_brace(text)
    return ref, path


def refuse_not_utf8(text: str) -> None:
    """Refuse text from the command line or the file system whose bytes are not UTF-8.

    Raises:
        Invalid(BAD_NAME): it is such.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(
            Reason.BAD_NAME, f"{text!r} is not UTF-8, as a key has to be", "rename it"
        ) from None


def object_target(text: str) -> tuple[str, str]:
    """Split a target that names one object.

    Raises:
        Invalid(BAD_USAGE): it has no path.
    """
    ref, path = split_target(text)
    if not path:
        raise Invalid(Reason.BAD_USAGE, f"{text!r} names no file", "give its path after ':'")
    return ref, path


def _split_after_brace(text: str) -> tuple[str, str, str]:
    """Split at the first colon after `@{time}`, whose time has colons of its own."""
    end = text.find("}")
    ref, colon, path = text[end:].partition(":")
    return text[:end] + ref, colon, path
