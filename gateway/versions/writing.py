"""Writing through a view: bytes in, then a staged row.

The order is the law of the store: the object's chunks are durable before the unit that names them
is committed. A condition is held twice: early, so that a large body is not taken in vain, and in
the unit itself, where it decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from gateway.errors import Invalid, SidegateError
from gateway.ids import CommitId
from gateway.metadata.schema import STAGING
from gateway.objects.record import ObjectRecord
from gateway.versions.bodies import StoredBody
from gateway.versions.model import (
    Condition,
    ObjectAttributes,
    ObjectInfo,
    PutResult,
    Source,
    check_key,
)
from gateway.versions.reading import Reading, layers_of, must_write
from gateway.versions.staging import Change, Stager
from gateway.versions.state import State
from gateway.versions.views import BucketView


class Writing:
    """Puts, copies and deletions."""

    def __init__(self, state: State, reading: Reading, stager: Stager) -> None:
        self._state = state
        self._reading = reading
        self._stager = stager

    async def _early(self, view: BucketView, key: bytes, condition: Condition | None) -> None:
        """Refuse what would be refused later anyway."""
        check_key(key)
        if view.writable and view.branch is not None and view.commit is None and not condition:
            return  # the view was looked up for this request, and the unit looks again
        state = self._state
        async with state.metadata.snapshot() as rows:
            must_write(view, await layers_of(state, rows, view))
        if condition:
            info = await self._reading.find(replace(view, recorder=None), key)
            condition.check(key, None if info is None else info.record)

    async def put(
        self,
        view: BucketView,
        key: bytes,
        attributes: ObjectAttributes,
        source: Source,
        condition: Condition | None = None,
    ) -> PutResult:
        """Store an object under a key. When this returns it is durable, and every reader sees it.

        Raises:
            Invalid: the key cannot be, or what the source's check found wrong.
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
            PreconditionFailed, NotFound(NO_SUCH_KEY): the condition does not hold.
            Unavailable: it cannot be stored.
        """
        await self._early(view, key, condition)
        state = self._state
        written = await state.objects.write(view.domain, source)
        record = ObjectRecord(
            written.size,
            state.clock.now_ms(),
            written.md5,
            0,
            written.content,
            attributes.headers,
            attributes.metadata,
            attributes.tags,
            written.checksums,
        )
        await state.objects.durable(written.ticket)
        change = Change(key, record, written.new_bytes)
        commit = await self._stager.stage(view, [change], condition)
        return PutResult(record, commit, written.new_bytes, written.dedup_bytes)

    async def copy(
        self,
        source: BucketView,
        info: ObjectInfo,
        view: BucketView,
        key: bytes,
        attributes: ObjectAttributes | None = None,
        condition: Condition | None = None,
    ) -> PutResult:
        """Store what `info` describes under another key, or the same one.

        Within a dedup domain no data moves; from another project it is read and stored anew.

        Args:
            source: the view that `info` is from.
            info: what to copy.
            view: where to.
            key: the new key.
            attributes: in place of the source's; None keeps them.
            condition: on what is under the new key.

        Raises:
            As `put`.
        """
        kept = attributes or ObjectAttributes(
            info.record.headers, info.record.metadata, info.record.tags
        )
        if source.domain.id != view.domain.id:
            views = await self._reading.open(source, info, 0, info.record.size)
            names = [checksum.algorithm for checksum in info.record.checksums]
            async with aclosing(StoredBody(views, names)) as body:
                return await self.put(view, key, kept, body, condition)
        await self._early(view, key, condition)
        if source.recorder is not None:
            source.recorder.read(info.key, info.record, 0, info.record.size)
        record = replace(
            info.record,
            mtime_ms=self._state.clock.now_ms(),
            headers=kept.headers,
            metadata=kept.metadata,
            tags=kept.tags,
        )
        commit = await self._stager.stage(view, [Change(key, record)], condition)
        return PutResult(record, commit, 0, record.size)

    async def delete(
        self, view: BucketView, key: bytes, condition: Condition | None = None
    ) -> CommitId | None:
        """Remove a key; harmless when it is not there, and then nothing is written.

        Returns:
            The commit that it will be gone from; None when it was not there.

        Raises:
            As `put`.
        """
        await self._early(view, key, condition)
        if not await self._present(view, [key]):
            return None
        return await self._stager.stage(view, [Change(key, None)], condition)

    async def delete_many(
        self, view: BucketView, keys: Sequence[bytes]
    ) -> list[SidegateError | None]:
        """Remove keys in one unit; return for each what kept it from being removed, or None.

        Raises:
            Denied(READ_ONLY | PROTECTED): the view does not allow it.
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
        """
        outcome: list[SidegateError | None] = []
        good: list[bytes] = []
        for key in keys:
            try:
                check_key(key)
            except Invalid as error:
                outcome.append(error)
            else:
                outcome.append(None)
                good.append(key)
        state = self._state
        async with state.metadata.snapshot() as rows:
            must_write(view, await layers_of(state, rows, view))
        present = await self._present(view, list(dict.fromkeys(good)))
        if present:
            await self._stager.stage(view, [Change(key, None) for key in present])
        return outcome

    async def _present(self, view: BucketView, keys: Sequence[bytes]) -> list[bytes]:
        """Return those of the keys that a deletion would change something for."""
        state = self._state
        present: list[bytes] = []
        async with state.metadata.snapshot() as rows:
            layers = await layers_of(state, rows, view)
            for key in keys:
                row = None
                if layers.scope is not None:
                    row = await rows.get(STAGING, (layers.scope, key))
                if row is not None:
                    if row["record"] is not None:
                        present.append(key)
                elif (
                    layers.base.root is not None
                    and await state.objects.trees.get(view.domain, layers.base.root, key)
                    is not None
                ):
                    present.append(key)
        return present
