"""A place in a tree, from which entries are taken in order of their keys.

The path from the root is held, one node a level; nothing is loaded ahead. Seeking within the leaf
at hand costs a bisection, elsewhere a descent, so that a listing passes over a whole prefix by one
seek. A position is not bound to change: trees are immutable.

This module only decides; it asks for nodes by yielding their ids (`node.Fetch`).
"""

from __future__ import annotations

from bisect import bisect_left

from gateway.objects.node import Fetch, Node


class Position:
    """A place between the entries of one tree; at first before all of them."""

    def __init__(self, root: bytes | None) -> None:
        self._root = root
        self._path: list[tuple[Node, int]] = []  # inner nodes, and the child taken in each
        self._leaf: Node | None = None
        self._index = 0
        self._started = root is None

    def seek(self, key: bytes) -> Fetch[None]:
        """Go to before the first entry whose key is `key` or greater; backwards too."""
        leaf = self._leaf
        if leaf is not None and leaf.keys[0] <= key <= leaf.keys[-1]:
            self._index = bisect_left(leaf.keys, key)
            return
        self._started = True
        self._path.clear()
        self._leaf = None
        if self._root is None:
            return
        node = yield self._root
        while node.level:
            index = bisect_left(node.keys, key)
            if index == len(node.keys):
                return
            self._path.append((node, index))
            node = node.check_child(index, (yield node.child(index)))
        self._index = bisect_left(node.keys, key)
        if self._index < len(node.keys):
            self._leaf = node

    def take(self, count: int) -> Fetch[list[tuple[bytes, bytes]]]:
        """Return up to `count` next entries, key and encoded record; fewer only at the end."""
        if not self._started:
            yield from self.seek(b"")
        taken: list[tuple[bytes, bytes]] = []
        while (leaf := self._leaf) is not None and len(taken) < count:
            start = self._index
            stop = min(start + count - len(taken), len(leaf.keys))
            taken += zip(leaf.keys[start:stop], leaf.values(start, stop), strict=True)
            self._index = stop
            if stop == len(leaf.keys):
                yield from self._next_leaf()
        return taken

    def _next_leaf(self) -> Fetch[None]:
        self._leaf = None
        self._index = 0
        while self._path:
            node, index = self._path.pop()
            if index + 1 == len(node.keys):
                continue
            index += 1
            while node.level:
                self._path.append((node, index))
                node = node.check_child(index, (yield node.child(index)))
                index = 0
            self._leaf = node
            return
