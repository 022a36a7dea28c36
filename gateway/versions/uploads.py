"""Multipart uploads: parts stored once, completed without moving a byte.

A part is stored like an object and named by a row; completing makes a manifest of the parts'
manifests and stages the object like a put, in one unit that also closes the upload. An upload
belongs to what its bucket meant when it began: a branch, or the scope of an open commit or a job.

A completed upload is remembered for a while, so that a client that lost the answer gets the same
one again. One that is abandoned is dropped after `limits.UPLOAD_AGE_MAX_S`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.errors import Conflict, Invalid, NotFound, Reason
from gateway.ids import CommitId, UploadId, is_event_id
from gateway.limits import UPLOAD_AGE_MAX_S
from gateway.metadata.base import (
    Delete,
    DeleteWhere,
    Expect,
    Insert,
    Op,
    Put,
    Row,
    Snapshot,
    Unit,
    Update,
)
from gateway.metadata.schema import PART, UPLOAD
from gateway.objects.parts import Part
from gateway.objects.record import ObjectRecord
from gateway.versions.completion import (
    check_kind,
    check_number,
    check_size,
    checksums_of,
    chosen,
    default_kind,
    etag_of,
    same_parts,
)
from gateway.versions.model import (
    CompletedPart,
    Condition,
    ObjectAttributes,
    PartInfo,
    PartListing,
    PutResult,
    Source,
    UploadInfo,
    UploadListing,
    check_key,
)
from gateway.versions.reading import Layers, layers_of, must_write, successor
from gateway.versions.rows import blob, maybe_commit, number, text
from gateway.versions.staging import Change, Stager
from gateway.versions.state import State
from gateway.versions.upload_listing import COMPLETED, OPEN, Walk, upload_of
from gateway.versions.views import BucketView

REMEMBERED_S: Final = 24 * 3600  # a completed upload is kept so long for a repeat of its end
EXPIRE_STEP: Final = 100


def target_of(view: BucketView) -> tuple[str, str]:
    """Return the branch and the scope that an upload through a view belongs to."""
    if view.scope is not None:
        return "", view.scope
    return view.branch or "", view.commit or ""


class Uploads:
    """Uploads in progress."""

    def __init__(self, state: State, stager: Stager) -> None:
        self._state = state
        self._stager = stager

    async def create_upload(
        self,
        view: BucketView,
        key: bytes,
        attributes: ObjectAttributes,
        checksum_algorithm: str = "",
        checksum_kind: str = "",
    ) -> UploadId:
        """Begin an upload.

        Args:
            view: where to.
            key: of the object.
            attributes: of the object.
            checksum_algorithm: announced for its parts; empty: none.
            checksum_kind: FULL_OBJECT, COMPOSITE, or empty for the algorithm's own.

        Raises:
            Invalid(KEY_TOO_LONG | BAD_ARGUMENT): the key or the checksum cannot be.
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
        """
        check_key(key)
        state = self._state
        checksum = ""
        if checksum_algorithm:
            kind = checksum_kind or default_kind(checksum_algorithm)
            check_kind(checksum_algorithm, kind)
            checksum = f"{checksum_algorithm} {kind}"
        async with state.metadata.snapshot() as rows:
            must_write(view, await layers_of(state, rows, view))
        now = state.clock.now_ms()
        record = ObjectRecord(
            0,
            now,
            b"",
            headers=attributes.headers,
            metadata=attributes.metadata,
            tags=attributes.tags,
        )
        upload = UploadId(state.new_id())
        branch, scope = target_of(view)
        await state.metadata.commit(
            Unit(
                [
                    Insert(
                        UPLOAD,
                        {
                            "id": upload,
                            "repo": view.repo_id,
                            "branch": branch,
                            "scope": scope,
                            "path": key,
                            "attrs": record.encode(),
                            "initiated": now,
                            "checksum": checksum,
                            "state": OPEN,
                        },
                    )
                ]
            )
        )
        return upload

    async def _row(
        self, rows: Snapshot, view: BucketView, key: bytes, upload: str, *, done: bool = False
    ) -> Row:
        row = await rows.get(UPLOAD, (upload,)) if is_event_id(upload) else None
        if (
            row is None
            or row["path"] != key
            or row["repo"] != view.repo_id
            or (row["branch"], row["scope"]) != target_of(view)
            or (row["state"] != OPEN and not done)
        ):
            name = key.decode("utf-8", "replace")
            raise NotFound(
                Reason.NO_SUCH_UPLOAD,
                f"there is no upload {upload!r} of {name!r} in bucket {view.name}",
                upload=upload,
            )
        return row

    async def find_upload(self, view: BucketView, key: bytes, upload: str) -> UploadInfo:
        """Return an upload in progress.

        Raises:
            NotFound(NO_SUCH_UPLOAD): it is not there, or of another key or bucket.
        """
        async with self._state.metadata.snapshot() as rows:
            return upload_of(await self._row(rows, view, key, upload))

    async def put_part(
        self, view: BucketView, key: bytes, upload: str, number_: int, source: Source
    ) -> PartInfo:
        """Store a part; one of the same number is replaced.

        Raises:
            Invalid(BAD_ARGUMENT): the number cannot be.
            NotFound(NO_SUCH_UPLOAD): it is not there; also when it ended meanwhile.
            Invalid: what the source's check found wrong.
        """
        state = self._state
        await self.may_take(view, key, upload, number_)
        written = await state.objects.write(view.domain, source)
        record = ObjectRecord(
            written.size,
            state.clock.now_ms(),
            written.md5,
            content=written.content,
            checksums=written.checksums,
        )
        await self.keep_part(upload, number_, record, written.ticket, written.new_bytes)
        return part_of(number_, record, written.new_bytes, written.dedup_bytes)

    async def may_take(self, view: BucketView, key: bytes, upload: str, number_: int) -> UploadInfo:
        """Return an upload that a part of this number may be added to.

        Raises:
            Invalid(BAD_ARGUMENT): the number cannot be.
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
            NotFound(NO_SUCH_BUCKET | NO_SUCH_UPLOAD): it is not there.
        """
        check_number(number_)
        state = self._state
        async with state.metadata.snapshot() as rows:
            must_write(view, await layers_of(state, rows, view))
            return upload_of(await self._row(rows, view, key, upload))

    async def keep_part(
        self, upload: str, number_: int, record: ObjectRecord, ticket: int, new_bytes: int = 0
    ) -> None:
        """Name a part, once everything up to `ticket` is durable.

        `new_bytes` of it the store did not have; they count for the commit that it becomes part of.

        Raises:
            NotFound(NO_SUCH_UPLOAD): the upload ended meanwhile.
            Unavailable: it cannot be made durable.
        """
        await self._state.objects.durable(ticket)
        unit = Unit(
            [
                Expect(UPLOAD, (upload,), {"state": OPEN}),
                Put(
                    PART,
                    {
                        "upload": upload,
                        "number": number_,
                        "record": record.encode(),
                        "time": record.mtime_ms,
                        "new_bytes": new_bytes,
                    },
                ),
            ]
        )
        try:
            await self._state.metadata.commit(unit)
        except Conflict as error:
            raise NotFound(
                Reason.NO_SUCH_UPLOAD, f"upload {upload} ended meanwhile", upload=upload
            ) from error

    async def list_parts(
        self, view: BucketView, key: bytes, upload: str, after: int = 0, limit: int = 1000
    ) -> PartListing:
        """Return a page of the parts stored, by number, beginning above `after`.

        Raises:
            NotFound(NO_SUCH_UPLOAD): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            row = await self._row(rows, view, key, upload)
            found = await rows.scan(PART, (upload,), after=after, limit=limit + 1)
        parts = [
            part_of(number(part["number"]), ObjectRecord.decode(blob(part["record"])))
            for part in found[:limit]
        ]
        last = parts[-1].number if parts else 0
        return PartListing(parts, len(found) > limit > 0, last, upload_of(row))

    async def list_uploads(
        self,
        view: BucketView,
        prefix: bytes = b"",
        delimiter: bytes = b"",
        key_marker: bytes = b"",
        id_marker: str = "",
        limit: int = 1000,
    ) -> UploadListing:
        """Return a page of the uploads in progress, by key and then by id.

        Args:
            view: where.
            prefix: of the keys.
            delimiter: keys that hold it after the prefix are shown as one common prefix each.
            key_marker: begin after this key; with `id_marker`, within it.
            id_marker: begin after this upload of `key_marker`.
            limit: uploads and common prefixes together.

        Raises:
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
        """
        state = self._state
        async with state.metadata.snapshot() as rows:
            await layers_of(state, rows, view)
            walk = Walk(rows, (view.repo_id, *target_of(view)), successor(prefix))
            return await walk.page(prefix, delimiter, key_marker, id_marker, limit)

    async def complete_upload(
        self,
        view: BucketView,
        key: bytes,
        upload: str,
        parts: Sequence[CompletedPart],
        condition: Condition | None = None,
        expected_checksums: Mapping[str, bytes] | None = None,
        expected_size: int | None = None,
    ) -> PutResult:
        """Make the object of an upload from the parts listed, and end the upload.

        Repeating it with the same parts gives the same answer for a day.

        Raises:
            NotFound(NO_SUCH_UPLOAD): it is not there.
            Invalid(BAD_PART | BAD_PART_ORDER | PART_TOO_SMALL | BAD_ARGUMENT | BAD_DIGEST): the
                list does not fit what is stored, or the object not what was promised of it.
            PreconditionFailed, NotFound(NO_SUCH_KEY): the condition does not hold.
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
        """
        state = self._state
        async with state.metadata.snapshot() as rows:
            row = await self._row(rows, view, key, upload, done=True)
            stored = await rows.scan(PART, (upload,))
        if row["state"] == COMPLETED:
            return _again(row, parts)
        record = await self._assembled(
            view, row, stored, parts, expected_checksums or {}, expected_size
        )
        data = record.encode()
        listed = {part.number for part in parts}
        new = sum(number(each["new_bytes"]) for each in stored if number(each["number"]) in listed)

        async def recheck(rows: Snapshot, _layers: Layers) -> None:
            await self._row(rows, view, key, upload)

        def closing(commit: CommitId | None) -> list[Op]:
            result = {"state": COMPLETED, "result": data, "commit_id": commit}
            return [
                Update(UPLOAD, (upload,), set=result, expect={"state": OPEN}),
                DeleteWhere(PART, (upload,)),
            ]

        try:
            commit = await self._stager.stage(
                view, [Change(key, record, new)], condition, recheck, closing
            )
        except NotFound as error:
            if error.reason is not Reason.NO_SUCH_UPLOAD:
                raise
            async with state.metadata.snapshot() as rows:  # another request may have completed it
                row = await self._row(rows, view, key, upload, done=True)
            return _again(row, parts)
        return PutResult(record, commit, new, record.size - new)

    async def _assembled(
        self,
        view: BucketView,
        row: Row,
        stored: Sequence[Row],
        parts: Sequence[CompletedPart],
        expected_checksums: Mapping[str, bytes],
        expected_size: int | None,
    ) -> ObjectRecord:
        """Return the record of the object that parts make; what it names is durable."""
        state = self._state
        records = {
            number(part["number"]): ObjectRecord.decode(blob(part["record"])) for part in stored
        }
        taken = chosen(parts, records)
        in_order = [record for _, record in taken]
        size = sum(record.size for record in in_order)
        check_size(expected_size, size)
        algorithm, _, kind = text(row["checksum"] or "").partition(" ")
        checksums = checksums_of((algorithm, kind), in_order, expected_checksums)
        content, ticket = await state.objects.concat(view.domain, in_order)
        table, table_ticket = await state.objects.put_parts(
            view.domain,
            [Part(number_, r.size, r.md5, r.checksums) for number_, r in taken],
        )
        attributes = ObjectRecord.decode(blob(row["attrs"]))
        record = ObjectRecord(
            size,
            state.clock.now_ms(),
            etag_of(in_order),
            len(taken),
            content,
            attributes.headers,
            attributes.metadata,
            attributes.tags,
            checksums,
            table,
        )
        await state.objects.durable(max(ticket, table_ticket))
        return record

    async def abort_upload(self, view: BucketView, key: bytes, upload: str) -> None:
        """Drop an upload and its parts.

        Raises:
            NotFound(NO_SUCH_UPLOAD): it is not there.
        """
        async with self._state.metadata.snapshot() as rows:
            await self._row(rows, view, key, upload)
        await self._state.metadata.commit(
            Unit([Delete(UPLOAD, (upload,)), DeleteWhere(PART, (upload,))])
        )

    async def expire(self) -> None:
        """Drop uploads abandoned, and forget those completed, long ago."""
        now = self._state.clock.now_ms()
        for state, age_s in ((OPEN, UPLOAD_AGE_MAX_S), (COMPLETED, REMEMBERED_S)):
            while True:
                async with self._state.metadata.snapshot() as rows:
                    found = await rows.scan(
                        UPLOAD,
                        (state,),
                        index="by_state",
                        until=now - age_s * 1000,
                        limit=EXPIRE_STEP,
                    )
                unit = Unit()
                for row in found:
                    unit.add(Delete(UPLOAD, (row["id"],)), DeleteWhere(PART, (row["id"],)))
                if found:
                    await self._state.metadata.commit(unit)
                if len(found) < EXPIRE_STEP:
                    break


def _again(row: Row, parts: Sequence[CompletedPart]) -> PutResult:
    """Return the answer of an upload that was completed before."""
    record = ObjectRecord.decode(blob(row["result"]))
    if not same_parts(parts, record):
        raise Invalid(Reason.BAD_PART, "the upload was completed with other parts")
    return PutResult(record, maybe_commit(row["commit_id"]))


def part_of(
    number_: int, record: ObjectRecord, new_bytes: int = 0, dedup_bytes: int = 0
) -> PartInfo:
    """Return a stored part."""
    return PartInfo(
        number_,
        record.size,
        record.md5.hex(),
        record.mtime_ms,
        record.checksums,
        new_bytes,
        dedup_bytes,
    )
