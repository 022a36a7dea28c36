"""Trees in the chunk store: lookups, cursors, edits and differences.

The deciding is done by `edit`, `cursor` and `diff`; here their needs are met, from a cache of
decoded nodes or from the store. A node read from the store is checked against its id, so that a
root of another dedup domain, or a wrong answer of the index, is an error and never another tree. A
node that is being stored enters the cache at once: its tree can be read before it is durable.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from gateway import limits
from gateway.chunks.chunk import Domain, RecordKind
from gateway.chunks.store import ChunkStore
from gateway.errors import Corrupt, Reason
from gateway.objects.cache import Cache
from gateway.objects.cursor import Position
from gateway.objects.diff import diff
from gateway.objects.edit import edit
from gateway.objects.node import Fetch, Node, T, decode_node, find_in_leaf
from gateway.objects.record import ObjectRecord

# Between two chances for others to run: some milliseconds of work.
_NODES_A_TURN = 8
_RECORDS_A_TURN = 500

_LOOKS_KEPT = 1024  # leaves: about half of what the cache holds


class TreeRoot(NamedTuple):
    """A tree as a whole, and the ticket to wait for before it is named anywhere durable."""

    root: bytes | None  # None: no objects
    objects: int
    bytes: int
    ticket: int


class Cursor:
    """Objects of one tree in order of their keys (bytes); at first before all of them."""

    def __init__(self, trees: Trees, domain: Domain, root: bytes | None) -> None:
        self._trees = trees
        self._domain = domain
        self._position = Position(root)

    async def seek(self, key: bytes) -> None:
        """Go to before the first object whose key is `key` or greater; backwards too."""
        await self._trees.fetch(self._domain, self._position.seek(key))

    async def next(self) -> tuple[bytes, ObjectRecord] | None:
        """Return the next object, or None after the last."""
        found = await self._trees.fetch(self._domain, self._position.take(1))
        return (found[0][0], ObjectRecord.decode(found[0][1])) if found else None

    async def take(self, count: int) -> list[tuple[bytes, ObjectRecord]]:
        """Return up to `count` next objects; fewer only at the end."""
        found = await self._trees.fetch(self._domain, self._position.take(count))
        decode = ObjectRecord.decode
        return [(key, decode(value)) for key, value in found]


class Trees:
    """All trees of a store. A root of None is the empty tree."""

    def __init__(self, chunks: ChunkStore, cache_size: int = limits.NODE_CACHE_SIZE) -> None:
        self._chunks = chunks
        self._nodes: Cache[Node] = Cache(cache_size)
        self._looked: set[bytes] = set()  # leaves that were searched in place

    async def get(self, domain: Domain, root: bytes | None, key: bytes) -> ObjectRecord | None:
        """Return the record of one key, or None.

        Raises:
            Corrupt: a node is missing or damaged.
        """
        if root is None:
            return None
        cached = self._nodes.get
        node = cached(root) or await self._load(domain, root)
        while node.level:
            index = bisect_left(node.keys, key)
            if index == len(node.keys):
                return None
            child_id = node.child(index)
            child = cached(child_id)
            if child is None:
                if node.level == 1 and self._is_first_look(child_id):
                    data = await self._read(domain, child_id)
                    value = find_in_leaf(child_id, data, key)
                    return None if value is None else ObjectRecord.decode(value)
                child = await self._load(domain, child_id)
            node = node.check_child(index, child)
        index = bisect_left(node.keys, key)
        if index == len(node.keys) or node.keys[index] != key:
            return None
        return ObjectRecord.decode(node.value(index))

    async def totals(self, domain: Domain, root: bytes | None) -> tuple[int, int]:
        """Return the number of objects in a tree and the sum of their sizes in bytes."""
        if root is None:
            return 0, 0
        node = self._nodes.get(root) or await self._load(domain, root)
        return node.objects, node.bytes

    def cursor(self, domain: Domain, root: bytes | None) -> Cursor:
        """Return a cursor before the first object of a tree."""
        return Cursor(self, domain, root)

    async def edit(
        self,
        domain: Domain,
        root: bytes | None,
        changes: Sequence[tuple[bytes, ObjectRecord | None]],
    ) -> TreeRoot:
        """Make changes to a tree and store what is new of the result.

        Args:
            domain: of the tree.
            root: of the tree that the changes are made to.
            changes: in ascending order of key, each key once; None removes.

        Returns:
            The new tree, readable at once; `ObjectStore.durable` of its ticket makes it last.
        """
        encoded: list[tuple[bytes, bytes | None]] = []
        for start in range(0, len(changes), _RECORDS_A_TURN):
            encoded += [
                (key, None if record is None else record.encode())
                for key, record in changes[start : start + _RECORDS_A_TURN]
            ]
            await asyncio.sleep(0)
        steps = edit(root, encoded)
        ticket = stored = 0
        try:
            need = next(steps)
            while True:
                if isinstance(need, bytes):
                    node = self._nodes.get(need) or await self._load(domain, need)
                else:
                    result = await self._chunks.put(domain, RecordKind.NODE, need.data)
                    ticket = max(ticket, result.ticket)
                    node = Node(result.id, need)
                    self._nodes.put(node)
                    stored += 1
                    if stored % _NODES_A_TURN == 0:
                        await asyncio.sleep(0)
                need = steps.send(node)
        except StopIteration as stop:
            tree = stop.value
            return TreeRoot(tree.root, tree.objects, tree.bytes, ticket)

    async def diff(
        self, domain: Domain, first: bytes | None, second: bytes | None
    ) -> AsyncIterator[tuple[bytes, ObjectRecord | None, ObjectRecord | None]]:
        """Yield key, record in the first and record in the second tree, where they differ.

        In ascending order of key; None stands for absence. Equal subtrees are not read.
        """
        steps = diff(first, second)
        answer: Node | None = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration:
                return
            if isinstance(need, bytes):
                answer = self._nodes.get(need) or await self._load(domain, need)
                continue
            answer = None
            for key, old, new in need:
                yield (
                    key,
                    None if old is None else ObjectRecord.decode(old),
                    None if new is None else ObjectRecord.decode(new),
                )

    async def fetch(self, domain: Domain, steps: Fetch[T]) -> T:
        """Run a computation that asks for nodes; return its result."""
        try:
            need = next(steps)
            while True:
                need = steps.send(self._nodes.get(need) or await self._load(domain, need))
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _is_first_look(self, leaf_id: bytes) -> bool:
        """Tell whether a leaf has not been asked for lately.

        Its first lookup searches it in place, at a tenth of the price of decoding it; so lookups
        all over a large tree are cheap, and do not drive from the cache what is used again.
        """
        if leaf_id in self._looked:
            return False
        if len(self._looked) >= _LOOKS_KEPT:
            self._looked.clear()
        self._looked.add(leaf_id)
        return True

    async def _load(self, domain: Domain, node_id: bytes) -> Node:
        """Read a node and remember it."""
        node = decode_node(node_id, await self._read(domain, node_id))
        self._nodes.put(node)
        return node

    async def _read(self, domain: Domain, node_id: bytes) -> bytes:
        """Return the bytes of a node, checked to be the one named."""
        (view,) = await self._chunks.read((node_id,))
        data = bytes(view)
        if domain.name(RecordKind.NODE, data) != node_id:
            raise Corrupt(
                Reason.DAMAGED,
                f"what is stored as node {node_id.hex()} has another id",
                node=node_id,
            )
        return data
