"""Trees in a dictionary: runs the steps of edit, cursor and diff without a chunk store."""

from __future__ import annotations

from hashlib import blake2b

from gateway.objects.cursor import Position
from gateway.objects.diff import diff
from gateway.objects.edit import Tree, edit
from gateway.objects.node import Node, decode_node
from gateway.objects.record import Inline, ObjectRecord


def record(size: int = 0, note: str = "") -> bytes:
    """Return an encoded record of a given size; `note` makes it longer."""
    metadata = {"note": note} if note else {}
    return ObjectRecord(
        size, 1_700_000_000_000, bytes(16), metadata=metadata, content=Inline(b"")
    ).encode()


class MemoryNodes:
    """Every node is decoded from its bytes when asked for, as after a restart."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.fetched = 0
        self.stored = 0

    def node(self, node_id: bytes) -> Node:
        self.fetched += 1
        return decode_node(node_id, self.data[node_id])

    def run(self, steps):
        answer = None
        try:
            while True:
                need = steps.send(answer)
                if isinstance(need, bytes):
                    answer = self.node(need)
                else:
                    node_id = blake2b(need.data, digest_size=32).digest()
                    self.stored += node_id not in self.data
                    self.data[node_id] = need.data
                    answer = Node(node_id, need)
        except StopIteration as stop:
            return stop.value

    def edit(self, root, changes) -> Tree:
        return self.run(edit(root, sorted(dict(changes).items())))

    def build(self, entries) -> Tree:
        return self.edit(None, entries)

    def entries(self, root) -> list[tuple[bytes, bytes]]:
        return self.run(Position(root).take(1 << 30))

    def diff(self, first, second):
        found = []
        steps = diff(first, second)
        answer = None
        try:
            while True:
                need = steps.send(answer)
                answer = self.node(need) if isinstance(need, bytes) else found.extend(need)
        except StopIteration:
            return found

    def nodes(self, root) -> list[Node]:
        """Return all nodes of a tree, top first."""
        if root is None:
            return []
        found = [self.node(root)]
        for node in found:
            if node.level:
                found += [self.node(node.child(i)) for i in range(len(node.keys))]
        return found
