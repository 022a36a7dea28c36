"""The index, opened if it can be believed, else built anew from what the segments hold.

It is believed when its last writer closed it in order and the rows know it by that state: a file
that was put back from a copy, or comes from another store, is clean but knows too little.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gateway.backends.files import Files
from gateway.chunks import recovery
from gateway.chunks.index import Index
from gateway.chunks.recovery import Found
from gateway.chunks.registry import seal_of
from gateway.errors import Corrupt, NotFound

_BATCH = 4096
_SPARE = 16_384  # entries that go in before the table grows
_log = logging.getLogger(__name__)


def open_index(
    path: str, files: Files, found: Sequence[Found], seal: bytes | None
) -> tuple[Index, bool]:
    """Open the index or build it; return it, and whether it was built.

    Blocks. Building reads the footers: 48 bytes a chunk. Damage met there is noted at its segment.

    Raises:
        Unavailable: the index cannot be read or written.
    """
    try:
        index = Index.open(path)
    except NotFound:
        if found:
            _log.info("there is no chunk index; building it")
    except Corrupt as error:
        # The index is a cache: what cannot be understood is built anew, and nothing is lost.
        _log.warning("%s; building it anew", error.message)
    else:
        if index.was_clean and seal == seal_of(index):
            return index, False
        index.close()
        _log.info("the chunk index was not closed in order; building it anew")
    return _build(path, files, found), True


def _build(path: str, files: Files, found: Sequence[Found]) -> Index:
    total = sum(item.records for item in found)
    index = Index.create(path, total + _SPARE)
    for item in found:
        _enter(index, files, item)
    return index


def _enter(index: Index, files: Files, item: Found) -> None:
    number = item.segment.number
    ids: list[bytes] = []
    places: list[tuple[int, int, int]] = []
    for location in recovery.entries(files, item):
        ids.append(location.id)
        places.append((number, location.offset, location.size))
        if len(ids) == _BATCH:
            index.put_many(ids, places)
            ids, places = [], []
    if ids:
        index.put_many(ids, places)
