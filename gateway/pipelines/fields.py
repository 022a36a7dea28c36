"""Reading fields of a spec: names in either spelling, types, and what to say of the rest. Pure.

A field is *read*, *idle* (known to Pachyderm and without effect here: a warning) or *refused*
(known, and leaving it out would change the result). A name in none of the three tables is a typing
error and refused with the nearest known name: a misspelt `s3_out` that is silently ignored loses
the output of a job.

Problems are gathered, the first decides; their order is that of reading and of the rules.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.errors import Invalid, Reason
from gateway.pipelines.document import Document, child_path

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Problem(NamedTuple):
    """One thing that is wrong: where, what, and what to do."""

    path: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class FieldTable:
    """The names one object of a spec may have, in snake_case."""

    read: frozenset[str]
    idle: Mapping[str, str] = field(default_factory=dict)  # name to why it has no effect
    refused: Mapping[str, str] = field(default_factory=dict)  # name to what to do instead


class Field(NamedTuple):
    """A field as it stands in the spec."""

    path: str
    value: object


class Reading:
    """One reading of one document: gathers problems and warnings."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._lines = document.lines

    def refuse(self, path: str, message: str, hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(path, message, hint))

    def warn(self, path: str, message: str) -> None:
        """Note something tolerated or without effect."""
        self.warnings.append(f"{self._where(path)}: {message}")

    def finish(self) -> None:
        """Raise the first problem, all of them in its data, or return."""
        if not self.problems:
            return
        first = self.problems[0]
        raise Invalid(
            Reason.BAD_SPEC,
            f"{self._where(first.path)}: {first.message}",
            first.hint,
            path=first.path,
            line=self._lines.get(first.path),
            problems=tuple(f"{self._where(each.path)}: {each.message}" for each in self.problems),
        )

    def _where(self, path: str) -> str:
        line = self._lines.get(path)
        return f"{path} (line {line})" if line else path

    def table(self, value: object, path: str, names: FieldTable) -> dict[str, Field]:
        """Return an object's fields by snake_case name; null counts as not given.

        Unknown and refused names are problems, idle ones warnings.
        """
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(path, f"{_kind(value)} stands where an object is wanted", "write { … }")
            return {}
        found: dict[str, Field] = {}
        for key, item in value.items():
            name, below = snake(key), child_path(path, key)
            if item is None:
                continue
            if name in names.idle:
                if item not in ("", 0, False, [], {}):
                    self.warn(below, f"has no effect here: {names.idle[name]}")
            elif name in names.refused:
                if item not in ("", 0, False, [], {}):
                    self.refuse(below, "is not offered here", names.refused[name])
            elif name not in names.read:
                self._unknown(below, key, names)
            elif name in found:
                self.refuse(below, f"is given twice, also as {found[name].path}", "keep one")
            else:
                found[name] = Field(below, item)
        return found

    def _unknown(self, path: str, key: str, names: FieldTable) -> None:
        known = sorted(names.read | names.idle.keys() | names.refused.keys())
        near = difflib.get_close_matches(snake(key).lower(), known, 1, 0.6)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(names.read))}"
        )
        self.refuse(path, "is not a field of a pipeline spec", hint)

    def text(self, found: Mapping[str, Field], name: str, default: str = "") -> str:
        """Return a text field."""
        if name not in found:
            return default
        path, value = found[name]
        if isinstance(value, str):
            if "\x00" in value:
                self.refuse(path, "holds a NUL character", "remove it")
            return value
        self.refuse(path, f"{_kind(value)} stands where text is wanted", "put it in quotes")
        return default

    def flag(self, found: Mapping[str, Field], name: str) -> bool:
        """Return a yes-or-no field; the texts "true" and "false" are tolerated with a warning."""
        if name not in found:
            return False
        path, value = found[name]
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            self.warn(path, f'"{value}" is text; write {value.lower()} without quotes')
            return value.lower() == "true"
        self.refuse(
            path, f"{_kind(value)} stands where true or false is wanted", "write true or false"
        )
        return False

    def whole(self, found: Mapping[str, Field], name: str, default: int) -> int:
        """Return a whole number, 0 or more; protobuf's form as text is read too."""
        if name not in found:
            return default
        path, value = found[name]
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            self.refuse(path, f"{value!r} is not a whole number, 0 or more", "write digits only")
            return default
        return value

    def texts(self, found: Mapping[str, Field], name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        if name not in found:
            return ()
        path, value = found[name]
        if not isinstance(value, list):
            self.refuse(
                path, f"{_kind(value)} stands where a list of texts is wanted", "write [ … ]"
            )
            return ()
        items: list[str] = []
        for number, item in enumerate(value):
            below = f"{path}[{number}]"
            items.append(self.text({name: Field(below, item)}, name))
        return tuple(items)

    def seconds(self, found: Mapping[str, Field], name: str) -> float | None:
        """Return a duration such as `90s`, `1h30m` or `500ms` in seconds; None when not given."""
        if name not in found:
            return None
        path, value = found[name]
        text = value if isinstance(value, str) else ""
        parts = _DURATION.findall(text)
        total = math.fsum(float(amount) * _UNITS_S[unit] for amount, unit in parts)
        if "".join(amount + unit for amount, unit in parts) != text or not 0 < total < 1e9:
            self.refuse(path, f"{value!r} is not a duration", 'write it as "90s", "5m" or "1h30m"')
            return None
        return total


def snake(name: str) -> str:
    """Return a field's name in snake_case: `s3Out` is `s3_out`."""
    return _CAPITAL.sub(lambda match: "_" + match[1].lower(), name)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {value}"
