"""Tables that must stay whole, and documents that must stay true."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from gateway.cli.main import build_parser
from gateway.cli.output import EXIT_CODES
from gateway.errors import Kind, SidegateError
from gateway.metadata import schema
from gateway.metadata.base import Table

ROOT = Path(__file__).resolve().parents[2]


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> list[str]:
    """Return every complete command of a parser, such as `repo create`."""
    below = [
        found
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, child in action.choices.items()
        for found in commands(child, (*words, name))
    ]
    return below or [" ".join(words)]


def test_every_kind_of_failure_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(Kind)


def test_every_kind_of_failure_has_one_class() -> None:
    assert sorted(kind.kind.name for kind in SidegateError.__subclasses__()) == sorted(
        kind.name for kind in Kind
    )


def test_every_table_is_listed_in_the_schema() -> None:
    defined = {table.name for table in vars(schema).values() if isinstance(table, Table)}
    assert {table.name for table in schema.TABLES} == defined


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    assert [name for name in commands(build_parser()) if f"`{name}" not in text] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("demo/*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []
