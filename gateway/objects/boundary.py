"""Where the nodes of a tree end: the rule that makes a set of entries have one tree.

A level of the tree is a sequence of entries in key order, cut into nodes. Whether a node ends
after an entry depends on that entry's key and on the sizes of the entries since the last cut, and
on nothing else: not on what follows, nor on how the tree came to be. So the same set of entries is
always cut alike, and a change is forgotten at the next cut that old and new have in common.

The chance of a cut grows with the node (the hazard of a Weibull distribution of shape 4), which
keeps sizes close together: with `s0` and `s1` the node's size before and after an entry and `h`
the XXH3-64 of its key, the node ends there if

    h * SCALE**4 < (s1**4 - s0**4) * 2**64

in whole numbers, so that every machine agrees. The expected size is 0.906 * SCALE, about 16 KiB.
A size is that of keys and values as they are; the encoding, which shares the beginnings of keys,
comes out somewhat smaller. All constants are part of the format (`docs/formats/tree.md`).
"""

from __future__ import annotations

from typing import Final

import xxhash

NODE_SIZE_MIN: Final = 2 * 1024  # no cut before; two entries of an inner node at the least
NODE_SIZE_MAX: Final = 64 * 1024  # always cut once reached
SCALE: Final = 18 * 1024
ENTRY_OVERHEAD: Final = 8  # added to the lengths of key and value

_SCALE_4: Final = SCALE**4
_SEED: Final = 0x5369646567617465  # plus the level, so that levels are cut independently


def entry_size(key: bytes, value: bytes) -> int:
    """Return what an entry adds to its node's size under the rule, in bytes."""
    return len(key) + len(value) + ENTRY_OVERHEAD


def ends_node(level: int, key: bytes, before: int, after: int) -> bool:
    """Tell whether a node of `level` ends after the entry of `key`.

    Args:
        level: 0 for leaves.
        key: of the entry.
        before: size of the node's entries before this one, by `entry_size`.
        after: the same with this one.
    """
    if after < NODE_SIZE_MIN:
        return False
    if after >= NODE_SIZE_MAX:
        return True
    old, new = before * before, after * after
    weight = (new - old) * (new + old)
    return xxhash.xxh3_64_intdigest(key, _SEED + level) * _SCALE_4 < weight << 64
