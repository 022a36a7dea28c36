"""A spec as text: JSON or YAML, read into plain values, each with the line it stands on. Pure.

JSON is tried first where the text looks like it, so that its errors are JSON's. YAML is read node
by node: anchors may be used, but what they expand to is bounded, a key given twice is an error in
both languages (the parser's silent "last one wins" has cost people days), and no tag makes anything
but plain values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from gateway import limits
from gateway.errors import Invalid, Reason, TooLarge

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_FLOW_YAML = re.compile(r"\s*\{\s*[A-Za-z_]")  # YAML in braces: its names are without quotes
_PLAIN_TAGS = frozenset({"null", "bool", "int", "float", "str"})


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says: plain values, and the line (from 1) of each by its JSON path."""

    value: object
    lines: Mapping[str, int] = field(default_factory=dict)


def child_path(path: str, key: str) -> str:
    """Return the JSON path of a field below `path`."""
    if _IDENTIFIER.fullmatch(key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def load_document(source: str | bytes) -> Document:
    """Read JSON or YAML text.

    Raises:
        Invalid(BAD_SPEC): it is neither, it is empty, or holds more than one document; the message
            names the line.
        TooLarge(LIMIT): it is longer than `limits.SPEC_SIZE_MAX`, or grows beyond that by aliases.
    """
    raw = source.encode() if isinstance(source, str) else source
    if len(raw) > limits.SPEC_SIZE_MAX:
        raise TooLarge(
            Reason.LIMIT,
            f"the spec has {len(raw)} bytes, more than {limits.SPEC_SIZE_MAX}",
            "keep data out of the spec: put it into a repo",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(f"the spec is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    if not text.strip():
        raise _bad("the spec is empty", 'write at least "pipeline", "input" and "transform"')
    try:
        if text.lstrip()[0] in "{[":
            return _load_json(text)
        return _load_yaml(text)
    except RecursionError:
        raise _bad("the spec is nested too deeply", "a spec needs a dozen levels at most") from None


def _load_json(text: str) -> Document:
    if _FLOW_YAML.match(text):
        return _load_yaml(text)
    try:
        value = json.loads(text, object_pairs_hook=_unique_pairs)
    except json.JSONDecodeError as error:
        raise _bad(
            f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}",
            "check commas and quotes there",
        ) from None
    try:
        lines = _load_yaml(text).lines  # JSON is YAML but for a few corners, such as tabs
    except Invalid:
        lines = {}
    return Document(value, lines)


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for key, value in pairs:
        if key in table:
            raise _bad(f"the field {key!r} is given twice in one object", "keep one of them")
        table[key] = value
    return table


def _load_yaml(text: str) -> Document:
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise _bad(f"not YAML: {' '.join(str(error).split())}", "remove them") from None
    try:
        node = loader.get_single_node()
        if node is None:
            raise _bad("the spec is empty", "it holds only comments")
        walk = _YamlWalk(loader)
        return Document(walk.plain(node, "$"), walk.lines)
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(error) from None
    finally:
        loader.dispose()


def _yaml_error(error: yaml.MarkedYAMLError) -> Invalid:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    if error.problem and "but found another document" in error.problem:
        return _bad(f"{where}a second document begins here", "put each pipeline into its own file")
    return _bad(f"{where}not YAML: {error.problem or error.context}", "check indentation there")


class _YamlWalk:
    """One walk over composed nodes; counts them, for aliases can multiply."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.lines: dict[str, int] = {}
        self._loader = loader
        self._left = 200_000  # of nodes; a spec of the longest text without aliases has fewer

    def plain(self, node: yaml.Node, path: str) -> object:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(
                Reason.LIMIT, "the spec's aliases expand without end", "write it without anchors"
            )
        line = node.start_mark.line + 1 if node.start_mark else 0
        self.lines[path] = line
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, f"{path}[{i}]") for i, item in enumerate(node.value)]
        kind = str(node.tag).rpartition(":")[2]
        if kind not in _PLAIN_TAGS:
            return str(node.value)  # dates and the like stay what was written
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, object]:
        table: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            line = key_node.start_mark.line + 1
            if not key or key_node.tag == "tag:yaml.org,2002:merge":
                raise _bad(f"line {line}: a field's name must be plain text", "write the name out")
            if key in table:
                raise _bad(f"line {line}: the field {key!r} is given twice", "keep one of them")
            below = child_path(path, key)
            table[key] = self.plain(value_node, below)
            self.lines[below] = line
        return table


def _bad(message: str, hint: str) -> Invalid:
    return Invalid(Reason.BAD_SPEC, message, hint, path="$")
