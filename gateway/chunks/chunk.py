"""What a stored record is, and the keys that name it.

A record is a run of bytes that is named by a keyed BLAKE3 of itself. The key belongs to the
record's kind and to its *dedup domain*: the same bytes have other names in another domain, so
that a name proves nothing outside of it, and nobody can choose data that cuts badly without the
domain's salt. All keys of a domain come from its salt (32 random bytes) by BLAKE3's key
derivation, each under a context of its own; a context never changes its meaning.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from gateway import digests
from gateway.chunks.chunker import gear_table

SALT_SIZE = 32
ID_SIZE = 32

_CONTEXT = "sidegate 2026-11 dedup domain: {} ids"


class RecordKind(enum.IntEnum):
    """What a record holds; the number is the one on disk."""

    CHUNK = 1  # a piece that the chunker cut
    SMALL = 2  # a whole object or part of at most `limits.SMALL_SIZE_MAX`
    MANIFEST = 3
    NODE = 4
    PARTS = 5


@dataclass(frozen=True, slots=True)
class Domain:
    """The keys of one dedup domain. 32 bytes each, but for `gear` (256 little-endian u64)."""

    id: str
    gear: bytes
    chunk_key: bytes
    manifest_key: bytes
    node_key: bytes
    parts_key: bytes
    keys: tuple[bytes, ...]  # by RecordKind

    @classmethod
    def from_salt(cls, domain_id: str, salt: bytes) -> Domain:
        """Derive the keys of a domain from its salt of 32 bytes."""
        if len(salt) != SALT_SIZE:
            raise ValueError("a salt has 32 bytes")
        chunk, manifest, node, parts = (
            digests.blake3_derive(_CONTEXT.format(kind), salt)
            for kind in ("chunk", "manifest", "node", "parts")
        )
        by_kind = (b"", chunk, chunk, manifest, node, parts)
        return cls(domain_id, gear_table(salt), chunk, manifest, node, parts, by_kind)

    def name(self, kind: RecordKind, data: bytes | memoryview) -> bytes:
        """Return the id, 32 bytes, of a record of that kind."""
        return digests.blake3_keyed(self.keys[kind], data)


class Stored(NamedTuple):
    """A record taken in: its id, the ticket it waits for, and what it added to the store."""

    id: bytes
    ticket: int
    new_bytes: int


class Entry(NamedTuple):
    """A piece of a stream: `length` bytes of a chunk from `offset` on."""

    id: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Written:
    """A stream taken in: its pieces in order, sizes in bytes, and the ticket it waits for."""

    entries: list[Entry]
    size: int
    new_bytes: int
    dedup_bytes: int
    ticket: int
