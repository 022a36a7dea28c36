"""What is processed together: globs, datums, their identity. Pure.

A glob matches whole components of a key: `/` is the input as a whole (one item), `/*` is one item
for each entry at the top (a file, or a folder with all below it), `/*/*.csv` goes deeper. An S3
input is always one item. The datums of a cross are all combinations of its inputs' items.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway import limits
from gateway.errors import Reason, TooLarge


class GlobError(ValueError):
    """A glob that is not understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled glob: a pattern for each leading component of a key; none means the whole."""

    components: tuple[re.Pattern[str], ...]

    def item_of(self, key: str) -> str | None:
        """Return the item that a key belongs to: "" for the whole, a prefix, None for no match."""
        if not self.components:
            return ""
        names = key.split("/")
        depth = len(self.components)
        if len(names) < depth or not names[depth - 1]:
            return None
        if all(each.fullmatch(name) for each, name in zip(self.components, names, strict=False)):
            return "/".join(names[:depth])
        return None


class Item(NamedTuple):
    """One input's share of a datum: `path` is "" for all of it, else a file or folder."""

    input: str
    path: str


@dataclass(frozen=True, slots=True)
class Datum:
    """What one run of the user code gets."""

    id: str  # 64 hex digits; the same for the same pipeline and items
    items: tuple[Item, ...]


def compile_glob(text: str) -> Glob:
    """Compile a glob; a missing first `/` is understood.

    Raises:
        GlobError: it holds `**`, `{a,b}`, `(…)`, an open bracket, an empty component or `..`.
    """
    stripped = text.strip("/") if text != "/" else ""
    if not stripped:
        return Glob(())
    return Glob(tuple(_component(part) for part in stripped.split("/")))


def _component(part: str) -> re.Pattern[str]:
    if part in {"", ".", ".."}:
        raise GlobError("a component is empty or a dot")
    if "**" in part:
        raise GlobError("** is not offered")
    out: list[str] = []
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\" and at < len(part):
            out.append(re.escape(part[at]))
            at += 1
        elif char == "[":
            end = part.find("]", at + 1)
            if end < 0:
                raise GlobError("a [ is not closed")
            inner = part[at:end]
            negated = inner[0] in "!^"
            inner = inner[1:] if negated else inner
            if not inner:
                raise GlobError("a [ ] is empty")
            out.append(
                ("[^/" if negated else "[") + re.sub(r"([\\\[\]^&~|])", r"\\\1", inner) + "]"
            )
            at = end + 1
        elif char in "{}()":
            raise GlobError(f"{char} is not offered; put a \\ before it to mean the character")
        else:
            out.append(re.escape(char))
    try:
        return re.compile("".join(out))
    except re.error as error:  # a range that runs backwards
        raise GlobError(str(error)) from None


def items_of(glob: Glob, keys: Iterable[str]) -> Iterator[str]:
    """Yield the items of one input, given its keys in order; each once, in order of appearance."""
    seen: set[str] = set()
    if not glob.components:
        yield ""
        return
    for key in keys:
        item = glob.item_of(key)
        if item is not None and item not in seen:
            seen.add(item)
            yield item


def cross(pipeline: str, inputs: Sequence[tuple[str, Sequence[str]]]) -> list[Datum]:
    """Return the datums of a cross: inputs by name, each with its items.

    Raises:
        TooLarge(LIMIT): there would be more than `limits.DATUMS_MAX`.
    """
    count = math.prod(len(items) for _, items in inputs)
    if count > limits.DATUMS_MAX:
        raise TooLarge(
            Reason.LIMIT,
            f"the inputs make {count} datums, more than {limits.DATUMS_MAX}",
            "use coarser globs",
        )
    named = [[Item(name, path) for path in items] for name, items in inputs]
    return [Datum(datum_id(pipeline, items), items) for items in itertools.product(*named)]


def datum_id(pipeline: str, items: Sequence[Item]) -> str:
    """Return a datum's identity: the pipeline and the items' names, not their content."""
    text = json.dumps([pipeline, sorted(items)], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
