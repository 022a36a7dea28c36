"""The rows about segments: one each, made before its first extent counts.

The files are the truth about what is stored; the rows tell what must be there, so that a file that
vanished, was cut short or was taken for another is noticed. A file without a row is taken over
(`docs/write-order.md`). One more row binds the index to its last clean close.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.chunks.index import Index
from gateway.chunks.pack import CLASS_DATA, Superblock
from gateway.chunks.recovery import Found, Known
from gateway.metadata.base import Delete, Metadata, Op, Put, Unit, Update
from gateway.metadata.schema import META, SEGMENT

_PAGE = 1000
_INDEX = "index"
_CLASSES = {CLASS_DATA: "data"}


async def load(metadata: Metadata) -> tuple[dict[int, Known], bytes | None]:
    """Return what the rows say of each segment, and the seal of the index, if it has one."""
    known: dict[int, Known] = {}
    async with metadata.snapshot() as snapshot:
        after = None
        while True:
            rows = await snapshot.scan(SEGMENT, after=after, limit=_PAGE)
            for row in rows:
                number, length = row["id"], row["length"]
                if isinstance(number, int) and isinstance(length, int):
                    known[number] = Known(str(row["uuid"]), row["state"] == "sealed", length)
                    after = number
            if len(rows) < _PAGE:
                break
        row_of_index = await snapshot.get(META, (_INDEX,))
    seal = row_of_index["value"] if row_of_index is not None else None
    return known, seal if isinstance(seal, bytes) else None


def seal_of(index: Index) -> bytes:
    """Return what names the state of an index: which one it is, how much is in it, and what.

    Reads all of it: a byte that changed while it lay on disk would lead to other bytes than those
    that a chunk's id names.
    """
    size, crc = len(index).to_bytes(8, "little"), index.checksum().to_bytes(4, "little")
    return index.instance + size + crc


def row_of(superblock: Superblock, length: int) -> Put:
    """Return what states the row of a segment that is being written, again if need be."""
    return Put(
        SEGMENT,
        {
            "id": superblock.segment,
            "uuid": superblock.uuid.hex(),
            "class": _CLASSES.get(superblock.klass, str(superblock.klass)),
            "state": "active",
            "life": superblock.life,
            "length": length,
            "created": superblock.created_ms,
        },
    )


def set_length(number: int, length: int, *, sealed: bool) -> Update:
    """Return the change that states how much of a segment is durable."""
    state = "sealed" if sealed else "active"
    return Update(SEGMENT, (number,), set={"state": state, "length": length})


async def reconcile(
    metadata: Metadata, known: dict[int, Known], found: Sequence[Found], *, forget_index: bool
) -> None:
    """Bring the rows to what was found: take over files, note what was sealed meanwhile."""
    ops: list[Op] = [Delete(META, (_INDEX,))] if forget_index else []
    for item in found:
        number = item.segment.number
        sealed = item.trailer is not None
        row = known.get(number)
        if row is None:
            ops.append(row_of(item.segment.superblock, item.length))
        if sealed and (row is None or not row.sealed):
            ops.append(set_length(number, item.length, sealed=True))
    if ops:
        await metadata.commit(Unit(ops))


async def close(metadata: Metadata, active: tuple[int, int] | None, seal: bytes | None) -> None:
    """State how far the active segment (number, length) reaches, and which index is clean."""
    ops: list[Op] = []
    if seal is not None:
        ops.append(Put(META, {"name": _INDEX, "value": seal}))
    if active is not None:
        ops.append(set_length(*active, sealed=False))
    if ops:
        await metadata.commit(Unit(ops))
