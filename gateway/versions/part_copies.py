"""Parts of an upload that are ranges of objects already here.

Within a dedup domain a part names the chunks of its source, and nothing is written but manifests.
What has to be known of a part besides, its MD5 and the checksum that its upload was begun with, is
taken from the source where the range is a whole object or one of the parts it was completed from
(clients that copy with the part size they uploaded with ask for just those); else the range is read
once. Between domains, which have different keys, the bytes are taken in anew.
"""

from __future__ import annotations

from contextlib import aclosing

from gateway.objects.parts import PartTable
from gateway.objects.record import ChecksumValue, ObjectRecord
from gateway.versions.bodies import StoredBody
from gateway.versions.model import ObjectInfo, PartInfo
from gateway.versions.reading import Reading
from gateway.versions.state import State
from gateway.versions.uploads import Uploads, part_of
from gateway.versions.views import BucketView

_Digests = tuple[bytes, tuple[ChecksumValue, ...]]


class PartCopies:
    """Ranges of objects into uploads, and the parts of objects."""

    def __init__(self, state: State, reading: Reading, uploads: Uploads) -> None:
        self._state = state
        self._reading = reading
        self._uploads = uploads

    async def put_part_copy(
        self,
        view: BucketView,
        key: bytes,
        upload: str,
        number: int,
        source: BucketView,
        info: ObjectInfo,
        start: int,
        end: int,
    ) -> PartInfo:
        """Store a range of an object as a part; one of the same number is replaced.

        Args:
            view: of the upload.
            key: of the upload.
            upload: which one.
            number: of the part.
            source: the view that `info` is from.
            info: what to copy from.
            start: first byte of the range.
            end: the byte behind it, `info.record.size` at the most.

        Raises:
            Invalid(BAD_ARGUMENT): the number cannot be, or the range is not one of the object.
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
            NotFound(NO_SUCH_UPLOAD): it is not there; also when it ended meanwhile.
            Unavailable: it cannot be stored.
        """
        objects = self._state.objects
        begun = await self._uploads.may_take(view, key, upload, number)
        names = frozenset((begun.checksum_algorithm,) if begun.checksum_algorithm else ())
        if source.domain.id != view.domain.id:
            views = await self._reading.open(source, info, start, end)
            async with aclosing(StoredBody(views, names)) as body:
                return await self._uploads.put_part(view, key, upload, number, body)
        content, ticket = await objects.slice(view.domain, info.record, start, end)
        if source.recorder is not None:
            source.recorder.read(info.key, info.record, start, end)
        found = await self._known(source, info, start, end, names)
        if found is None:
            found = await objects.digest(view.domain, info.record, start, end, names)
        md5, checksums = found
        record = ObjectRecord(
            end - start, self._state.clock.now_ms(), md5, content=content, checksums=checksums
        )
        await self._uploads.keep_part(upload, number, record, ticket)
        return part_of(number, record, 0, record.size)

    async def _known(
        self, source: BucketView, info: ObjectInfo, start: int, end: int, names: frozenset[str]
    ) -> _Digests | None:
        """Return the digests of a range if they were computed when it was stored."""
        record = info.record
        if record.parts == 0 and end - start == record.size:
            md5, checksums = record.md5, record.checksums
        else:
            table = await self.parts(source, info)
            part = None if table is None else table.find(start, end)
            if part is None:
                return None
            md5, checksums = part.md5, part.checksums
        wanted = tuple(
            checksum
            for checksum in checksums
            if checksum.algorithm in names and checksum.kind == "FULL_OBJECT"
        )
        return (md5, wanted) if len(wanted) == len(names) else None

    async def parts(self, view: BucketView, info: ObjectInfo) -> PartTable | None:
        """Return what an object was completed from; None if it was not completed from parts.

        Raises:
            Corrupt: the table is missing or damaged.
        """
        table_id = info.record.part_table
        if table_id is None:
            return None
        return await self._state.objects.get_parts(view.domain, table_id)
