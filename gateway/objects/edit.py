"""Editing a tree: a sorted batch of changes makes a new root, writing only what it touches.

Levels are done from the leaves up. In each level the nodes that the changes fall into are taken
apart, merged with the changes and cut anew by `boundary`; where a new cut meets the end of an old
node, old and new run alike from there, and the rest of the level is left alone. What happened to a
level (this node gone, that one new) is the batch of changes of the level above. So the result is
the tree that a build from nothing would give, at the price of the touched nodes and their parents.

This module only decides. It asks for nodes, and to have nodes stored, by yielding (`node.Steps`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.errors import Invalid, Reason
from gateway.objects.boundary import ENTRY_OVERHEAD, ends_node
from gateway.objects.node import Draft, Fetch, Node, Steps, encode_node

Change = tuple[bytes, bytes | None]
"""A key, and its new value; None removes the key."""


class Tree(NamedTuple):
    """A tree as a whole."""

    root: bytes | None  # None: no entries
    objects: int
    bytes: int


EMPTY = Tree(None, 0, 0)


def edit(root: bytes | None, changes: Sequence[Change]) -> Steps[Tree]:
    """Return the tree of `root` with `changes` made.

    Args:
        root: of the old tree; None for the empty one.
        changes: in ascending order of key, each key once; removing a key that is not there is no
            change.
    """
    if any(a[0] >= b[0] for a, b in pairwise(changes)):
        raise Invalid(Reason.BAD_ARGUMENT, "changes of a tree are not in order of their keys")
    if root is None:
        return (yield from _build(0, *_split_pairs(changes)))
    top = yield root
    pending: Sequence[Change] = changes
    for level in range(top.level):
        pending = yield from _edit_level(top, level, pending)
    if not pending:
        return Tree(top.id, top.objects, top.bytes)
    keys, values = _split_pairs(_merge(top, pending))
    return (yield from _build(top.level, keys, values))


def _split_pairs(pairs: Sequence[Change]) -> tuple[list[bytes], list[bytes]]:
    keys: list[bytes] = []
    values: list[bytes] = []
    for key, value in pairs:
        if value is not None:
            keys.append(key)
            values.append(value)
    return keys, values


def _merge(node: Node, changes: Sequence[Change]) -> list[Change]:
    """Return all entries of a node with changes made."""
    entries: dict[bytes, bytes | None] = dict(
        zip(node.keys, node.values(0, len(node.keys)), strict=True)
    )
    entries.update(changes)
    return sorted(entries.items())


def _build(level: int, keys: list[bytes], values: list[bytes]) -> Steps[Tree]:
    """Build what stands on a whole level: its nodes, the levels above, the root."""
    while keys:
        if level and len(keys) == 1:
            return (yield from _lowest(values[0][:32]))
        splitter = _Splitter(level)
        nodes: list[Node] = []
        for key, value in zip(keys, values, strict=True):
            draft = splitter.add(key, value)
            if draft is not None:
                nodes.append((yield draft))
        rest = splitter.flush()
        if rest is not None:
            nodes.append((yield rest))
        if len(nodes) == 1:
            return Tree(nodes[0].id, nodes[0].objects, nodes[0].bytes)
        level += 1
        keys = [node.keys[-1] for node in nodes]
        values = [node.as_child() for node in nodes]
    return EMPTY


def _lowest(root: bytes) -> Fetch[Tree]:
    """Step down from nodes of one child: the root is the lowest node that holds everything."""
    node = yield root
    while node.level and len(node.keys) == 1:
        node = node.check_child(0, (yield node.child(0)))
    return Tree(node.id, node.objects, node.bytes)


def _edit_level(top: Node, level: int, changes: Sequence[Change]) -> Steps[list[Change]]:
    """Make changes in one level below the top; return those of the level above."""
    above: dict[bytes, bytes | None] = {}
    keys = [key for key, _ in changes]
    position = 0
    while position < len(changes):
        path = yield from _seek(top, level, keys[position])
        splitter = _Splitter(level)
        old: list[Node] = []
        new: list[Node] = []
        while True:
            node = path[-1][0]
            is_last = all(index == len(inner.keys) - 1 for inner, index in path[:-1])
            stop = len(keys) if is_last else bisect_right(keys, node.keys[-1], position)
            old.append(node)
            for draft in splitter.replay(node, changes[position:stop]):
                node = yield draft
                new.append(node)
            position = stop
            if is_last:
                rest = splitter.flush()
                if rest is not None:
                    new.append((yield rest))
                break
            if splitter.is_clear():
                break
            yield from _advance(path)
        before = {node.keys[-1]: node.as_child() for node in old}
        after = {node.keys[-1]: node.as_child() for node in new}
        above.update((key, None) for key in before if key not in after)
        above.update((key, value) for key, value in after.items() if before.get(key) != value)
    return sorted(above.items())


_Path = list[tuple[Node, int]]
"""From the top to a node of some level: each with the index of the child that is taken."""


def _seek(top: Node, level: int, key: bytes) -> Fetch[_Path]:
    """Return the path to the node of `level` in which `key` is, or would be."""
    path: _Path = []
    node = top
    while node.level > level:
        index = min(bisect_left(node.keys, key), len(node.keys) - 1)
        path.append((node, index))
        node = node.check_child(index, (yield node.child(index)))
    path.append((node, 0))
    return path


def _advance(path: _Path) -> Fetch[None]:
    """Move a path to the next node of its level; there must be one."""
    level = path.pop()[0].level
    while path[-1][1] == len(path[-1][0].keys) - 1:
        path.pop()
    node, index = path.pop()
    path.append((node, index + 1))
    node = node.check_child(index + 1, (yield node.child(index + 1)))
    while node.level > level:
        path.append((node, 0))
        node = node.check_child(0, (yield node.child(0)))
    path.append((node, 0))


class _Splitter:
    """Cuts a run of entries into nodes, beginning where a node begins."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._size = 0  # of the entries since the last cut, by the rule

    def is_clear(self) -> bool:
        """Tell whether the last entry ended a node."""
        return not self._keys

    def add(self, key: bytes, value: bytes) -> Draft | None:
        """Take the next entry; return the node that it ends, if it does."""
        before = self._size
        self._size = after = before + len(key) + len(value) + ENTRY_OVERHEAD
        self._keys.append(key)
        self._values.append(value)
        return self.flush() if ends_node(self._level, key, before, after) else None

    def flush(self) -> Draft | None:
        """Return the entries since the last cut as a node, if there are any."""
        if not self._keys:
            return None
        draft = encode_node(self._level, self._keys, self._values)
        self._keys, self._values, self._size = [], [], 0
        return draft

    def replay(self, node: Node, changes: Sequence[Change]) -> Iterator[Draft]:
        """Take the entries of an old node with changes made; yield the nodes that are ended.

        As long as the run began with the old node and sizes have come out alike, the rule says
        what it said then (no cut before the node's end), and need not be asked.
        """
        in_step = not self._keys
        count = len(node.keys)
        at = 0
        for key, value in changes:
            index = bisect_left(node.keys, key, at)
            yield from self._copy(node, at, index, in_step)
            at = index
            old_size = -1
            if index < count and node.keys[index] == key:
                old_size = len(node.value(index))
                at = index + 1
            if value is None:
                in_step = in_step and old_size < 0
                continue
            if in_step and len(value) == old_size and at < count:
                self._extend([key], [value])
                continue
            in_step = False
            draft = self.add(key, value)
            if draft is not None:
                yield draft
        yield from self._copy(node, at, count, in_step)

    def _copy(self, node: Node, start: int, stop: int, in_step: bool) -> Iterator[Draft]:
        """Take a range of a node's entries as they are."""
        keys, values = node.keys[start:stop], node.values(start, stop)
        if in_step:
            known = stop - start - (stop == len(node.keys))  # the last one may end the node
            if known > 0:
                self._extend(keys[:known], values[:known])
            else:
                known = 0
            keys, values = keys[known:], values[known:]
        for key, value in zip(keys, values, strict=True):
            draft = self.add(key, value)
            if draft is not None:
                yield draft

    def _extend(self, keys: Sequence[bytes], values: list[bytes]) -> None:
        """Take entries after none of which a node ends."""
        self._size += sum(map(len, keys)) + sum(map(len, values)) + ENTRY_OVERHEAD * len(keys)
        self._keys += keys
        self._values += values
