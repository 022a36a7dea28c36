"""Nodes of the tree: their bytes, and their decoded form.

A tree maps keys to object records. A leaf (level 0) holds entries of key and encoded record; an
inner node holds, for each child, the child's last key, its id, and the number and the bytes of the
objects below it. The encoding is canonical (one set of entries, one byte string, one id) and can
be searched in place: keys are front-coded with a restart every 16, values are found by offset. The
byte table is `docs/formats/tree.md`; where nodes end is decided by `boundary`.

Decoded nodes are immutable and are shared by all who read the tree. They hold tuples, not lists:
the garbage collector leaves tuples of bytes and numbers alone, and thousands of nodes are cached.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from itertools import accumulate, pairwise
from operator import lt
from typing import Final, NamedTuple, TypeVar

from gateway.errors import Corrupt, Invalid, Reason, TooLarge
from gateway.objects.record import total_size
from gateway.objects.varint import decode_varint, encode_varint

MAGIC: Final = b"SN"
VERSION: Final = 1
LEVEL_MAX: Final = 15  # a node has two entries or more: far above any tree that fits a disk
KEY_SIZE_MAX: Final = 0xFFFF
RESTART: Final = 16
CHILD_SIZE: Final = 48  # id, objects u64, bytes u64

_HEADER: Final = struct.Struct("<2sBBBBHIIQQ")
_U32: Final = struct.Struct("<I")
_TOTALS: Final = struct.Struct("<QQ")
_KEY_WEIGHT: Final = 48  # of a bytes object and its place in a list


class Draft(NamedTuple):
    """A node that has no id yet: what is to be stored, and its decoded form."""

    level: int
    keys: tuple[bytes, ...]
    data: bytes
    ends: Sequence[int]  # end of each value, from `values_at` on
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
        at = self.values_at
        return self.data[at + (ends[index - 1] if index else 0) : at + ends[index]]

    def values(self, start: int, stop: int) -> list[bytes]:
        """Return the values of a range of entries."""
        if start >= stop:
            return []
        data, at = self.data, self.values_at
        ends = [at, *(at + end for end in self.ends[:stop])][start:]
        return [data[begin:end] for begin, end in pairwise(ends)]

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


def encode_node(level: int, keys: Sequence[bytes], values: Sequence[bytes]) -> Draft:
    """Return the canonical node of these entries.

    Args:
        level: 0 for a leaf.
        keys: ascending, unique, one or more.
        values: as many; encoded records, or what `Node.as_child` returns.

    Raises:
        Invalid(KEY_TOO_LONG): a key of more than `KEY_SIZE_MAX` bytes.
        TooLarge(LIMIT): sizes that do not add up to a 64-bit number.
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
    if level:
        totals = struct.unpack("<" + "32xQQ" * count, b"".join(values))
        objects, size_in_all = sum(totals[::2]), sum(totals[1::2])
    else:
        objects, size_in_all = count, total_size(values)
    if size_in_all >> 64:
        raise TooLarge(Reason.LIMIT, "objects of more than 2^64 bytes in one tree")
    head = b"%b%b%b%b" % (
        _HEADER.pack(
            MAGIC, VERSION, level, 0, RESTART, prefix, count, len(block), objects, size_in_all
        ),
        keys[0][:prefix],
        struct.pack(f"<{len(restarts)}I", *restarts),
        bytes(block),
    )
    ends = tuple(accumulate(map(len, values)))
    if not level:
        head += struct.pack(f"<{count}I", *ends)
    data = b"".join((head, *values))
    return Draft(level, tuple(keys), data, ends, len(head), objects, size_in_all)


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


def find_in_leaf(node_id: bytes, data: bytes, key: bytes) -> bytes | None:
    """Return the value of one key from an encoded leaf, or None: without decoding the rest.

    Raises:
        Corrupt: as `decode_node`, as far as it is looked at.
    """
    try:
        layout = _layout(node_id, data)
        if layout.level:
            raise _damaged(node_id)
        if key[: layout.prefix] != data[_HEADER.size : _HEADER.size + layout.prefix]:
            return None
        index = _find_key(data, layout, key[layout.prefix :])
        if index is None:
            return None
        ends = layout.keys_at + layout.block_size
        start = _U32.unpack_from(data, ends + 4 * index - 4)[0] if index else 0
        (end,) = _U32.unpack_from(data, ends + 4 * index)
        return data[layout.values_at + start : layout.values_at + end]
    except (struct.error, IndexError) as error:
        raise _damaged(node_id) from error


def _find_key(data: bytes, layout: _Layout, rest: bytes) -> int | None:
    """Return the index of a key, given without the node's common beginning."""
    low, high = 0, -(-layout.entries // RESTART)
    at = layout.keys_at
    while high - low > 1:  # the last restart whose key is not above
        middle = (low + high) // 2
        position = at + _U32.unpack_from(data, layout.restarts_at + 4 * middle)[0]
        _, _, position, after = _key_at(data, position)
        if data[position:after] <= rest:
            low = middle
        else:
            high = middle
    position = at + _U32.unpack_from(data, layout.restarts_at + 4 * low)[0]
    found = b""
    for index in range(low * RESTART, min((low + 1) * RESTART, layout.entries)):
        shared, _, position, after = _key_at(data, position)
        found = found[:shared] + data[position:after]
        if found >= rest:
            return index if found == rest else None
        position = after
    return None


def _key_at(data: bytes, position: int) -> tuple[int, int, int, int]:
    """Return a key's shared length and own length, and where its own bytes begin and end."""
    shared, length = data[position], data[position + 1]
    position += 2
    if shared >= 128 or length >= 128:
        shared, position = decode_varint(data, position - 2)
        length, position = decode_varint(data, position)
    return shared, length, position, position + length


class _Layout(NamedTuple):
    """Where things are in an encoded node."""

    level: int
    prefix: int  # length of the beginning that all keys share
    entries: int
    restarts_at: int
    keys_at: int
    block_size: int
    values_at: int
    objects: int
    bytes: int


def _layout(node_id: bytes, data: bytes) -> _Layout:
    magic, version, level, flags, restart, prefix, count, block_size, objects, size = (
        _HEADER.unpack_from(data)
    )
    if magic != MAGIC:
        raise _damaged(node_id)
    if version != VERSION or flags or restart != RESTART or level > LEVEL_MAX:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"node {node_id.hex()} is of version {version}, flags {flags}, level {level}",
            "a newer release may have written it",
            node=node_id,
        )
    restarts_at = _HEADER.size + prefix
    keys_at = restarts_at + 4 * (-(-count // RESTART))
    values_at = keys_at + block_size + (0 if level else 4 * count)
    # Every key takes two bytes of the block or more: an absurd count is refused before any loop.
    if not 0 < 2 * count <= block_size or values_at > len(data):
        raise _damaged(node_id)
    return _Layout(level, prefix, count, restarts_at, keys_at, block_size, values_at, objects, size)


def _decode(node_id: bytes, data: bytes) -> Node:
    layout = _layout(node_id, data)
    prefix, count, values_at = layout.prefix, layout.entries, layout.values_at
    position = layout.keys_at
    after_keys = position + layout.block_size
    keys: list[bytes] = []
    key = data[_HEADER.size : layout.restarts_at]
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
    if layout.level:
        ends: Sequence[int] = range(CHILD_SIZE, CHILD_SIZE * count + 1, CHILD_SIZE)
    else:
        ends = struct.unpack_from(f"<{count}I", data, after_keys)
    if (
        position != after_keys
        or values_at + ends[-1] != len(data)
        or not all(map(lt, keys, keys[1:]))
        or any(map(lt, ends[1:], ends))
    ):
        raise _damaged(node_id)
    return Node(
        node_id,
        Draft(layout.level, tuple(keys), data, ends, values_at, layout.objects, layout.bytes),
    )


def _damaged(node_id: bytes) -> Corrupt:
    return Corrupt(Reason.DAMAGED, f"node {node_id.hex()} is not a tree node", node=node_id)


def _common(first: bytes, second: bytes) -> int:
    """Return how many bytes two keys have in common from the start."""
    size = min(len(first), len(second))
    differing = int.from_bytes(first[:size], "big") ^ int.from_bytes(second[:size], "big")
    return size - (differing.bit_length() + 7 >> 3)
