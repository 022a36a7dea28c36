"""Nodes of the tree: their bytes, and their decoded form.

A tree maps keys to object records. A leaf (level 0) holds entries of key and encoded record; an
inner node holds, for each child, the child's last key, its id, and the number and the bytes of the
objects below it. The encoding is canonical (one set of entries, one byte string, one id) and can
be searched in place: keys are front-coded with a restart every 16, values are found by offset. The
byte table is `docs/formats/tree.md`; where nodes end is decided by `boundary`.

Decoded nodes are immutable and are shared by all who read the tree.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from itertools import accumulate
from operator import lt
from typing import Final, NamedTuple, TypeVar

from gateway.errors import Corrupt, Invalid, Reason
from gateway.objects.record import peek_size
from gateway.objects.varint import decode_varint, encode_varint

MAGIC: Final = b"SN"
VERSION: Final = 1
LEVEL_MAX: Final = 15  # a node has two entries or more: far above any tree that fits a disk
KEY_SIZE_MAX: Final = 0xFFFF
RESTART: Final = 16
CHILD_SIZE: Final = 48  # id, objects u64, bytes u64

_HEADER: Final = struct.Struct("<2sBBBBHII")
_TOTALS: Final = struct.Struct("<QQ")
_KEY_WEIGHT: Final = 48  # of a bytes object and its place in a list


class Draft(NamedTuple):
    """A node that has no id yet: what is to be stored, and its decoded form."""

    level: int
    keys: list[bytes]
    data: bytes
    ends: list[int]  # end of each value in `data`
    values_at: int  # start of the first value in `data`
    objects: int
    bytes: int


class Node:
    """A stored node, decoded but for its values."""

    __slots__ = ("bytes", "data", "ends", "id", "keys", "level", "objects", "values_at", "weight")

    def __init__(self, node_id: bytes, draft: Draft) -> None:
        self.id = node_id
        self.level = draft.level  # 0: a leaf
        self.keys = draft.keys  # ascending; of an inner node, the last key of each child
        self.data = draft.data
        self.ends = draft.ends
        self.values_at = draft.values_at
        self.objects = draft.objects  # in this subtree
        self.bytes = draft.bytes  # sum of the sizes of those objects
        self.weight = (  # bytes of memory, roughly
            2 * len(draft.data) + _KEY_WEIGHT * len(draft.keys)
        )

    def value(self, index: int) -> bytes:
        """Return the value of entry `index`: an encoded record, or a child."""
        ends = self.ends
        return self.data[ends[index - 1] if index else self.values_at : ends[index]]

    def values(self, start: int, stop: int) -> list[bytes]:
        """Return the values of a range of entries."""
        if start >= stop:
            return []
        data, ends = self.data, self.ends
        begin = ends[start - 1] if start else self.values_at
        return [data[a:b] for a, b in zip((begin, *ends[start:]), ends[start:stop], strict=False)]

    def child(self, index: int) -> bytes:
        """Return the id of the child of entry `index` of an inner node."""
        at = self.values_at + CHILD_SIZE * index
        return self.data[at : at + 32]

    def as_child(self) -> bytes:
        """Return the value that stands for this node in its parent."""
        return self.id + _TOTALS.pack(self.objects, self.bytes)

    def check_child(self, index: int, child: Node) -> Node:
        """Return `child` if it is what entry `index` of this node promises.

        Raises:
            Corrupt(DAMAGED): it is of another level, or ends with another key.
        """
        if child.level != self.level - 1 or child.keys[-1] != self.keys[index]:
            raise Corrupt(
                Reason.DAMAGED,
                f"node {child.id.hex()} does not fit its parent {self.id.hex()}",
                node=child.id,
            )
        return child


T = TypeVar("T")

Fetch = Generator[bytes, Node, T]
"""A computation that asks for nodes by id and is answered with each."""

Steps = Generator[bytes | Draft, Node, T]
"""A computation that asks for nodes by id, or to store one; the answer is the node either way."""


def encode_node(level: int, keys: list[bytes], values: Sequence[bytes]) -> Draft:
    """Return the canonical node of these entries.

    Args:
        level: 0 for a leaf.
        keys: ascending, unique, one or more.
        values: as many; encoded records, or what `Node.as_child` returns.

    Raises:
        Invalid: a key of more than `KEY_SIZE_MAX` bytes.
    """
    prefix = _common(keys[0], keys[-1])
    if len(keys[-1]) > KEY_SIZE_MAX or len(max(keys, key=len)) > KEY_SIZE_MAX:
        raise Invalid(Reason.KEY_TOO_LONG, f"a key of more than {KEY_SIZE_MAX} bytes")
    restarts: list[int] = []
    block = bytearray()
    previous = b""
    for index, key in enumerate(keys):
        if index % RESTART:
            # The length of the common beginning: the highest byte that differs, by exclusive or.
            size = min(len(previous), len(key))
            differing = int.from_bytes(previous[:size], "big") ^ int.from_bytes(key[:size], "big")
            shared = size - (differing.bit_length() + 7 >> 3)
        else:
            restarts.append(len(block))
            shared = prefix
        rest = key[shared:]
        if shared - prefix < 128 and len(rest) < 128:
            block.append(shared - prefix)
            block.append(len(rest))
        else:
            block += encode_varint(shared - prefix) + encode_varint(len(rest))
        block += rest
        previous = key
    count = len(keys)
    head = b"%b%b%b%b" % (
        _HEADER.pack(MAGIC, VERSION, level, 0, RESTART, prefix, count, len(block)),
        keys[0][:prefix],
        struct.pack(f"<{len(restarts)}I", *restarts),
        bytes(block),
    )
    relative = list(accumulate(map(len, values)))
    if level:
        totals = struct.unpack("<" + "32xQQ" * count, b"".join(values))
        objects, size_in_all = sum(totals[::2]), sum(totals[1::2])
    else:
        head += struct.pack(f"<{count}I", *relative)
        objects, size_in_all = count, sum(map(peek_size, values))
    values_at = len(head)
    ends = [values_at + end for end in relative]
    data = b"".join((head, *values))
    return Draft(level, keys, data, ends, values_at, objects, size_in_all)


def decode_node(node_id: bytes, data: bytes) -> Node:
    """Return the node that `data` encodes.

    Raises:
        Corrupt(UNKNOWN_FORMAT): a version, flag or level that this reader does not know.
        Corrupt(DAMAGED): not a node.
    """
    try:
        return _decode(node_id, data)
    except (struct.error, IndexError) as error:
        raise _damaged(node_id) from error


def _decode(node_id: bytes, data: bytes) -> Node:
    magic, version, level, flags, restart, prefix, count, block_size = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise _damaged(node_id)
    if version != VERSION or flags or restart != RESTART or level > LEVEL_MAX:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"node {node_id.hex()} is of version {version}, flags {flags}, level {level}",
            "a newer release may have written it",
            node=node_id,
        )
    position = _HEADER.size + prefix + 4 * (-(-count // RESTART))
    after_keys = position + block_size
    values_at = after_keys + (0 if level else 4 * count)
    # Every key takes two bytes of the block or more: an absurd count is refused before the loop.
    if not 0 < 2 * count <= block_size or values_at > len(data):
        raise _damaged(node_id)
    keys: list[bytes] = []
    key = data[_HEADER.size : _HEADER.size + prefix]
    for _ in range(count):
        shared, length = data[position], data[position + 1]
        position += 2
        if shared >= 128 or length >= 128:
            shared, position = decode_varint(data, position - 2)
            length, position = decode_varint(data, position)
        after = position + length
        key = key[: prefix + shared] + data[position:after]
        keys.append(key)
        position = after
    if level:
        ends = list(range(values_at + CHILD_SIZE, values_at + CHILD_SIZE * count + 1, CHILD_SIZE))
    else:
        ends = [values_at + end for end in struct.unpack_from(f"<{count}I", data, after_keys)]
    if (
        position != after_keys
        or ends[-1] != len(data)
        or not all(map(lt, keys, keys[1:]))
        or any(map(lt, ends[1:], ends))
    ):
        raise _damaged(node_id)
    if level:
        totals = struct.unpack_from("<" + "32xQQ" * count, data, values_at)
        objects, size_in_all = sum(totals[::2]), sum(totals[1::2])
    else:
        starts = (values_at, *ends)
        objects = count
        size_in_all = sum(
            [peek_size(data[a : a + 11]) for a in starts[:-1]]  # version, tag, length, 8 bytes
        )
    return Node(node_id, Draft(level, keys, data, ends, values_at, objects, size_in_all))


def _damaged(node_id: bytes) -> Corrupt:
    return Corrupt(Reason.DAMAGED, f"node {node_id.hex()} is not a tree node", node=node_id)


def _common(first: bytes, second: bytes) -> int:
    """Return how many bytes two keys have in common from the start."""
    size = min(len(first), len(second))
    differing = int.from_bytes(first[:size], "big") ^ int.from_bytes(second[:size], "big")
    return size - (differing.bit_length() + 7 >> 3)
