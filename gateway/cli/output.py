"""What a person or a script sees: tables, JSON lines, one-line errors, and the exit codes.

The one table from kind of failure to exit code stands here (`docs/cli.md` lists it). Results go to
standard output, all else to standard error, so that a pipe carries results only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from gateway.errors import Kind, SidegateError

DONE = 0
FAILED = 1  # it ran and failed: a job failed, a check found damage
WRONG_USAGE = 2  # wrong usage, or a spec that is refused
NOT_FOUND = 3
CONFLICT = 4
DENIED = 5
UNAVAILABLE = 6

EXIT_CODES: Mapping[Kind, int] = {
    Kind.NOT_FOUND: NOT_FOUND,
    Kind.CONFLICT: CONFLICT,
    Kind.PRECONDITION: CONFLICT,
    Kind.INVALID: WRONG_USAGE,
    Kind.DENIED: DENIED,
    Kind.TOO_LARGE: WRONG_USAGE,
    Kind.BUSY: UNAVAILABLE,
    Kind.UNSUPPORTED: WRONG_USAGE,
    Kind.CORRUPT: FAILED,
    Kind.UNAVAILABLE: UNAVAILABLE,
}

Record = Mapping[str, Any]

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


class Output:
    """Where a command prints; knows `--json` and `--quiet`."""

    def __init__(
        self,
        *,
        json_lines: bool = False,
        quiet: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.json_lines = json_lines
        self.quiet = quiet
        self.stdout = stdout or sys.stdout
        self.stderr = stderr or sys.stderr

    def rows(self, records: Sequence[Record], columns: Sequence[str], *, head: bool = True) -> None:
        """Print records as an aligned table of these columns, or each whole as a JSON line.

        A table that comes in pages has a head on the first of them.
        """
        if self.json_lines:
            for record in records:
                self.document(record)
            return
        names = [name.upper().replace("_", " ") for name in columns]
        body = [[cell(name, record.get(name)) for name in columns] for record in records]
        if not body:
            return
        widths = [max(len(row[i]) for row in [names, *body]) for i in range(len(columns))]
        for number, row in enumerate([names, *body]):
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            if number:
                self.line(line.rstrip())
            elif head:
                self.line(self.dim(line.rstrip()))

    def details(self, record: Record) -> None:
        """Print one record as `name: value` lines, or as one JSON line."""
        if self.json_lines:
            self.document(record)
            return
        shown = {name: value for name, value in record.items() if value not in (None, "", [], {})}
        width = max((len(name) for name in shown), default=0) + 1
        for name, value in shown.items():
            label = f"{name.replace('_', ' ')}:".ljust(width + 1)
            if isinstance(value, list):
                for item in value:
                    self.line(f"{label}{cell(name, item)}")
                    label = " " * len(label)
            else:
                self.line(f"{label}{cell(name, value)}")

    def document(self, record: Record) -> None:
        """Print one JSON document on one line."""
        self.line(json.dumps(record, ensure_ascii=False, separators=(",", ":")))

    def line(self, text: str) -> None:
        """Print one line of result."""
        print(text, file=self.stdout, flush=False)

    def say(self, text: str) -> None:
        """Tell a person what happened: on standard output, unless `--quiet` or `--json`."""
        if not self.quiet and not self.json_lines:
            self.line(text)

    def note(self, text: str) -> None:
        """Print a notice or a warning on standard error, unless `--quiet`."""
        if not self.quiet:
            print(text, file=self.stderr, flush=True)

    def error(self, error: SidegateError) -> int:
        """Print an error as one line on standard error and return its exit code."""
        print(f"sidegate: {error.line()}", file=self.stderr, flush=True)
        return EXIT_CODES[error.kind]

    def dim(self, text: str) -> str:
        """Return text in a fainter colour, on a terminal that wants colours."""
        if not self.stdout.isatty() or os.environ.get("NO_COLOR"):
            return text
        return f"\x1b[2m{text}\x1b[0m"


def cell(name: str, value: object) -> str:
    """Render one value for a person; the name's ending tells what it is."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("bytes") or name == "size":
        return size(int(str(value)))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={cell(key, item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(name, item) for item in value)
    return str(value)


def size(count: int) -> str:
    """Render a number of bytes: exact below 10 kB, then with a binary unit."""
    if abs(count) < 10_000:
        return f"{count} B"
    power = min((abs(count).bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"


def stored(written: int, new: int) -> str:
    """Say what writes cost: how much of what was written the store did not have."""
    if written == 0:
        return "nothing was written"
    return f"{size(new)} of {size(written)} written were new; {size(written - new)} known already"
