"""What differs between two trees, in time that goes with the differences.

Both trees are descended together, each side at a subtree or an entry. Subtrees of one id are
passed over unread, at every level. Otherwise the higher side is opened first, so that both come
to the same level and meet again at the next cut they have in common: where the boundaries of old
and new differ, both are read down to the leaf, and no further than that.

This module only decides; it asks for nodes by yielding their ids, and yields lists of differences
in between.
"""

from __future__ import annotations

from collections.abc import Generator

from gateway.errors import Corrupt, Reason
from gateway.objects.node import Node

Difference = tuple[bytes, bytes | None, bytes | None]
"""A key, its value in the first tree and in the second; None where it is not there."""

_BATCH = 256


class _Side:
    """A walk over one tree that goes into a subtree only when asked to."""

    def __init__(self, root: bytes | None) -> None:
        self._stack: list[tuple[Node, int]] = []
        self._root = root

    def is_done(self) -> bool:
        return self._root is None and not self._stack

    def subtree(self) -> tuple[int, bytes] | None:
        """Return level and id of the subtree ahead; None before an entry."""
        if self._root is not None:
            return 256, self._root  # above any level, for the root's own is not known yet
        node, index = self._stack[-1]
        return (node.level - 1, node.child(index)) if node.level else None

    def entry(self) -> tuple[bytes, bytes]:
        """Return the entry ahead."""
        node, index = self._stack[-1]
        return node.keys[index], node.value(index)

    def enter(self, node: Node) -> None:
        """Go into the subtree ahead, whose node this is."""
        if self._root is not None:
            self._root = None
        else:
            parent, index = self._stack[-1]
            parent.check_child(index, node)
        self._stack.append((node, 0))

    def skip(self) -> None:
        """Pass over the subtree or entry ahead."""
        if self._root is not None:
            self._root = None
            return
        while self._stack:
            node, index = self._stack.pop()
            if index + 1 < len(node.keys):
                self._stack.append((node, index + 1))
                return


def diff(
    first: bytes | None, second: bytes | None
) -> Generator[bytes | list[Difference], Node | None, None]:
    """Yield what differs between the trees of two roots, in ascending order of key.

    Answer an id with its node, and a list with None.
    """
    a, b = _Side(first), _Side(second)
    found: list[Difference] = []
    while not (a.is_done() and b.is_done()):
        side = _to_open(a, b)
        if side is not None:
            ahead = side.subtree()
            node = None if ahead is None else (yield ahead[1])
            if node is None:
                raise Corrupt(Reason.DAMAGED, "a diff was not given the node it asked for")
            side.enter(node)
            continue
        found += _step(a, b)
        if len(found) >= _BATCH:
            yield found
            found = []
    if found:
        yield found


def _to_open(a: _Side, b: _Side) -> _Side | None:
    """Return the side that must be opened before the two can be compared; None if neither."""
    left = None if a.is_done() else a.subtree()
    right = None if b.is_done() else b.subtree()
    if left is None:
        return None if right is None else b
    if right is None:
        return a
    if left == right:
        return None
    return a if left[0] >= right[0] else b


def _step(a: _Side, b: _Side) -> list[Difference]:
    """Pass over what is ahead: the same subtree on both sides, or the lower entry."""
    if a.is_done():
        key, value = b.entry()
        b.skip()
        return [(key, None, value)]
    if b.is_done():
        key, value = a.entry()
        a.skip()
        return [(key, value, None)]
    if a.subtree() is not None:
        a.skip()
        b.skip()
        return []
    (key, old), (other, new) = a.entry(), b.entry()
    if key < other:
        a.skip()
        return [(key, old, None)]
    b.skip()
    if key > other:
        return [(other, None, new)]
    a.skip()
    return [] if old == new else [(key, old, new)]
