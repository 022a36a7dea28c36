"""Listing the uploads of one bucket: by key and then by id, in pages.

Completed uploads lie in the same index and are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.ids import UploadId
from gateway.metadata.base import Row, Snapshot
from gateway.metadata.schema import UPLOAD
from gateway.objects.record import ObjectRecord
from gateway.versions.model import UploadInfo, UploadListing
from gateway.versions.reading import first_after, rolled_up, successor
from gateway.versions.rows import blob, number, text

STEP: Final = 256  # rows read ahead
OPEN: Final = "open"
COMPLETED: Final = "completed"


def upload_of(row: Row) -> UploadInfo:
    """Return an upload in progress."""
    attributes = ObjectRecord.decode(blob(row["attrs"]))
    algorithm, _, kind = text(row["checksum"] or "").partition(" ")
    return UploadInfo(
        UploadId(text(row["id"])),
        blob(row["path"]),
        number(row["initiated"]),
        attributes.headers.get("x-amz-storage-class", "STANDARD"),
        algorithm,
        kind,
    )


class Walk:
    """The open uploads of one target in order, from a key on."""

    def __init__(self, rows: Snapshot, target: tuple[str, ...], until: bytes | None) -> None:
        self._rows = rows
        self._target = target
        self._until = until
        self._ready: list[Row] = []
        self._place: tuple[bytes, str] | None = None  # the upload last seen

    async def page(
        self, prefix: bytes, delimiter: bytes, key_marker: bytes, id_marker: str, limit: int
    ) -> UploadListing:
        """Return one page, from after the markers on; see `Uploads.list_uploads`."""
        page = UploadListing()
        if id_marker and key_marker.startswith(prefix):
            start: bytes | None = key_marker
            self._place = (key_marker, id_marker)
        else:
            start = first_after(key_marker, prefix, delimiter)
        if start is None or limit <= 0:
            return page
        count = 0
        last: tuple[bytes, str] = (b"", "")
        while (row := await self._next(start)) is not None:
            if count == limit:
                page.truncated = True
                page.next_key, page.next_id = last
                break
            count += 1
            info = upload_of(row)
            above = rolled_up(info.key, prefix, delimiter)
            if above is None:
                page.uploads.append(info)
                last = info.key, info.id
                start = info.key
                continue
            page.prefixes.append(above)
            last = above, ""
            beyond = successor(above)
            if beyond is None:
                break
            start = beyond
            self._place = None
        return page

    async def _next(self, start: bytes) -> Row | None:
        """Return the next upload: after the place, or at `start` or after it."""
        while True:
            while self._ready:
                row = self._ready.pop()
                if blob(row["path"]) < start:
                    continue
                self._place = blob(row["path"]), text(row["id"])
                if row["state"] == OPEN:
                    return row
            found = await self._page(start)
            if not found:
                return None
            self._ready = list(reversed(found))

    async def _page(self, start: bytes) -> Sequence[Row]:
        """Read ahead: the rest of the key at hand first, then the keys after it."""
        if self._place is None:
            return await self._rows.scan(
                UPLOAD,
                self._target,
                index="by_target",
                start=start,
                until=self._until,
                limit=STEP,
            )
        key, upload = self._place
        found = await self._rows.scan(
            UPLOAD, (*self._target, key), index="by_target", after=upload, limit=STEP
        )
        if found:
            return found
        return await self._rows.scan(
            UPLOAD,
            self._target,
            index="by_target",
            after=key,
            until=self._until,
            limit=STEP,
        )
