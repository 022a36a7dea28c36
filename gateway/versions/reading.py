"""Reading through a view: staged rows over a tree, as one ordered set of keys.

A lookup asks the staged row first, then the tree. A listing merges both in order; a staged
deletion hides the tree's entry of its key. A delimiter is a seek past the prefix on both sides,
never a filter: a page costs what it shows, not what lies beneath.

Everything that one call shows is of one moment: the rows are read in one snapshot, the tree that
the snapshot names never changes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from gateway.errors import Denied, NotFound, Reason
from gateway.ids import CommitId, ScopeId
from gateway.metadata.base import Snapshot
from gateway.metadata.schema import COMMIT, REF, STAGING
from gateway.objects.record import ObjectRecord
from gateway.objects.trees import Cursor
from gateway.versions.model import Listing, ObjectInfo
from gateway.versions.rows import blob, maybe_blob, maybe_commit
from gateway.versions.state import Content, State, content_of
from gateway.versions.views import BucketView

STEP_MIN: Final = 8  # entries read ahead; doubled while they are all used
STEP_MAX: Final = 512


class Layers(NamedTuple):
    """What lies under a view at one moment."""

    scope: ScopeId | None  # staged rows, if there are any
    base: Content  # the tree under them; its totals are known only of a commit's
    commit: CommitId | None  # whose content it is: the open commit's, else the head's
    head: CommitId | None
    version: int  # of the head
    protected: bool  # only jobs write to the branch
    sealed: bool = False  # a finished commit


async def layers_of(state: State, rows: Snapshot, view: BucketView) -> Layers:
    """Return what lies under a view.

    Raises:
        NotFound(NO_SUCH_BUCKET): what it showed is gone.
    """
    if view.scope is not None:
        return Layers(view.scope, Content(view.base, 0, 0), view.commit, None, 0, False)
    if view.branch is not None:
        row = await rows.get(REF, (view.repo_id, view.branch))
        if row is not None:
            opened = row["open"]
            if view.commit is None or view.commit == opened:
                head = maybe_commit(row["head"])
                base = await state.content(rows, head)
                return Layers(
                    None if opened is None else ScopeId(str(opened)),
                    base,
                    head if opened is None else CommitId(str(opened)),
                    head,
                    int(row["ver"] or 0),
                    bool(row["protected"]),
                )
    if view.commit is None:
        raise gone(view)
    content = state.known(view.commit)
    if content is None:
        found = await rows.get(COMMIT, (view.commit,))
        if found is None or found["state"] != "finished":
            raise gone(view)
        content = state.learn(view.commit, content_of(found))
    return Layers(None, content, view.commit, view.commit, 0, False, sealed=True)


def gone(view: BucketView) -> NotFound:
    """Return the error for a view whose branch or commit is not there any more."""
    return NotFound(Reason.NO_SUCH_BUCKET, f"there is no bucket {view.name!r}", name=view.name)


def successor(prefix: bytes) -> bytes | None:
    """Return the least key above all that begin with `prefix`; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


def rolled_up(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """Return the common prefix under which a listing shows `key`; None: it shows the key."""
    if not delimiter:
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]


def first_after(after: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """Return where a page begins that follows `after`; None: there is nothing.

    What `after` has rolled up, or lies beneath, was shown: it is passed over whole.
    """
    if not after or after < prefix:
        return prefix
    if not after.startswith(prefix):
        return None
    above = rolled_up(after, prefix, delimiter)
    return after + b"\x00" if above is None else successor(above)


class _Rows:
    """The staged rows of a scope from some key on, read ahead a little."""

    def __init__(self, rows: Snapshot, scope: ScopeId, until: bytes | None) -> None:
        self._rows = rows
        self._scope = scope
        self._until = until
        self._keys: list[bytes] = []
        self._records: list[bytes | None] = []
        self._at = 0
        self._step = STEP_MIN
        self._more = True  # rows beyond those read ahead

    async def seek(self, key: bytes) -> None:
        """Go to the first row at or after `key`."""
        self._at = bisect_left(self._keys, key, self._at)
        if self._at == len(self._keys) and self._more:
            self._step = STEP_MIN
            await self._read(start=key)

    async def _read(self, *, start: bytes | None = None, after: bytes | None = None) -> None:
        found = await self._rows.scan(
            STAGING,
            (self._scope,),
            start=start,
            after=after,
            until=self._until,
            limit=self._step,
        )
        self._keys = [blob(row["path"]) for row in found]
        self._records = [maybe_blob(row["record"]) for row in found]
        self._more = len(found) == self._step
        self._step = min(self._step * 2, STEP_MAX)
        self._at = 0

    async def peek(self) -> tuple[bytes, bytes | None] | None:
        """Return the row here: its key, and its record (None: a deletion)."""
        if self._at == len(self._keys):
            if not self._more or not self._keys:
                return None
            await self._read(after=self._keys[-1])
            if not self._keys:
                return None
        return self._keys[self._at], self._records[self._at]

    def step(self) -> None:
        """Go to the next row."""
        self._at += 1


class _Tree:
    """The entries of a tree from some key on, read ahead a little."""

    def __init__(self, cursor: Cursor, until: bytes | None) -> None:
        self._cursor = cursor
        self._until = until
        self._entries: list[tuple[bytes, ObjectRecord]] = []
        self._at = 0
        self._step = STEP_MIN
        self._more = True

    async def seek(self, key: bytes) -> None:
        """Go to the first entry at or after `key`."""
        self._at = bisect_left(self._entries, key, self._at, key=lambda entry: entry[0])
        if self._at == len(self._entries) and self._more:
            self._step = STEP_MIN
            await self._cursor.seek(key)
            await self._read()

    async def _read(self) -> None:
        self._entries = list(await self._cursor.take(self._step))
        self._more = len(self._entries) == self._step
        self._step = min(self._step * 2, STEP_MAX)
        self._at = 0

    async def peek(self) -> tuple[bytes, ObjectRecord] | None:
        """Return the entry here."""
        if self._at == len(self._entries):
            if not self._more or not self._entries:
                return None
            await self._read()
            if not self._entries:
                return None
        entry = self._entries[self._at]
        if self._until is not None and entry[0] >= self._until:
            return None
        return entry

    def step(self) -> None:
        """Go to the next entry."""
        self._at += 1


class Merged:
    """Staged rows over a tree, in order of keys, deletions left out."""

    def __init__(
        self, state: State, rows: Snapshot, view: BucketView, layers: Layers, until: bytes | None
    ) -> None:
        self._staged = None if layers.scope is None else _Rows(rows, layers.scope, until)
        root = layers.base.root
        self._tree = (
            None if root is None else _Tree(state.objects.trees.cursor(view.domain, root), until)
        )

    async def seek(self, key: bytes) -> None:
        """Go to the first key at or after `key`; never back."""
        if self._staged is not None:
            await self._staged.seek(key)
        if self._tree is not None:
            await self._tree.seek(key)

    async def next(self) -> tuple[bytes, ObjectRecord] | None:
        """Return the entry here and go on to the next; None at the end."""
        while True:
            staged = None if self._staged is None else await self._staged.peek()
            entry = None if self._tree is None else await self._tree.peek()
            if staged is None or self._staged is None:
                if entry is not None and self._tree is not None:
                    self._tree.step()
                return entry
            key, record = staged
            if entry is not None and self._tree is not None:
                if entry[0] < key:
                    self._tree.step()
                    return entry
                if entry[0] == key:
                    self._tree.step()
            self._staged.step()
            if record is not None:
                return key, ObjectRecord.decode(record)


class Reading:
    """Lookups and listings through views."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def find(self, view: BucketView, key: bytes) -> ObjectInfo | None:
        """Return what a view shows under a key, or None.

        Raises:
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
        """
        state = self._state
        info: ObjectInfo | None = None
        async with state.metadata.snapshot() as rows:
            layers = await layers_of(state, rows, view)
            staged = None if layers.scope is None else await rows.get(STAGING, (layers.scope, key))
        if staged is not None:
            data = maybe_blob(staged["record"])
            if data is not None:
                info = ObjectInfo(ObjectRecord.decode(data), layers.commit, key)
        elif layers.base.root is not None:
            record = await state.objects.trees.get(view.domain, layers.base.root, key)
            if record is not None:
                info = ObjectInfo(record, layers.head, key)
        if view.recorder is not None:
            view.recorder.looked_up(key, None if info is None else info.record)
        return info

    async def head(self, view: BucketView, key: bytes) -> ObjectInfo:
        """Return what a view shows under a key.

        Raises:
            NotFound(NO_SUCH_KEY): nothing.
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
        """
        info = await self.find(view, key)
        if info is None:
            name = key.decode("utf-8", "replace")
            raise NotFound(
                Reason.NO_SUCH_KEY, f"there is no {name!r} in bucket {view.name}", key=key
            )
        return info

    async def open(
        self, view: BucketView, info: ObjectInfo, start: int, end: int
    ) -> Sequence[memoryview] | AsyncIterator[memoryview]:
        """Return the bytes `start` to `end` (exclusive) of an object, as views."""
        if view.recorder is not None:
            view.recorder.read(info.key, info.record, start, end)
        return await self._state.objects.open(view.domain, info.record, start, end)

    async def list_objects(
        self,
        view: BucketView,
        prefix: bytes = b"",
        delimiter: bytes = b"",
        after: bytes = b"",
        limit: int = 1000,
    ) -> Listing:
        """Return one page of what a view shows under a prefix.

        Keys that hold `delimiter` after the prefix are shown as one common prefix each. Keys and
        common prefixes count alike towards `limit`. The page holds what is greater than `after`;
        what lies beneath a common prefix that `after` is, or lies beneath, is passed over.

        Raises:
            NotFound(NO_SUCH_BUCKET): what the view showed is gone.
        """
        state = self._state
        page = Listing()
        async with state.metadata.snapshot() as rows:
            layers = await layers_of(state, rows, view)
            start = first_after(after, prefix, delimiter)
            if limit > 0 and start is not None and layers.scope is None and not delimiter:
                await self._fill_plain(page, view, layers, start, successor(prefix), limit)
            elif limit > 0 and start is not None:
                merged = Merged(state, rows, view, layers, successor(prefix))
                await merged.seek(start)
                await _fill(page, merged, prefix, delimiter, limit)
        if view.recorder is not None:
            view.recorder.listed(prefix, delimiter, after, page)
        return page

    async def _fill_plain(
        self,
        page: Listing,
        view: BucketView,
        layers: Layers,
        start: bytes,
        until: bytes | None,
        limit: int,
    ) -> None:
        """Fill a page with neighbours of a tree: nothing staged, nothing rolled up."""
        cursor = self._state.objects.trees.cursor(view.domain, layers.base.root)
        await cursor.seek(start)
        entries: list[tuple[bytes, ObjectRecord]] = []
        step = STEP_MIN if until is not None else limit + 1
        while len(entries) <= limit:
            wanted = min(step, limit + 1 - len(entries))
            found = await cursor.take(wanted)
            entries += found
            step *= 4
            if until is not None and entries and entries[-1][0] >= until:
                del entries[bisect_left(entries, until, key=lambda entry: entry[0]) :]
                break
            if len(found) < wanted:
                break
        if len(entries) > limit:
            del entries[limit:]
            page.truncated, page.next = True, entries[-1][0]
        page.entries = entries

    async def is_empty(self, rows: Snapshot, view: BucketView, layers: Layers) -> bool:
        """Tell whether a view shows no object at all."""
        merged = Merged(self._state, rows, view, layers, None)
        await merged.seek(b"")
        return await merged.next() is None

    async def walk(self, view: BucketView) -> AsyncIterator[tuple[bytes, ObjectRecord]]:
        """Yield everything that a view shows, in order of keys."""
        after, more = b"", True
        while more:
            page = await self.list_objects(view, after=after)
            for entry in page.entries:
                yield entry
            after, more = page.next, page.truncated


async def _fill(page: Listing, merged: Merged, prefix: bytes, delimiter: bytes, limit: int) -> None:
    """Take entries into a page until it is full; find out whether there are more."""
    last = b""
    count = 0
    while (entry := await merged.next()) is not None:
        if count == limit:
            page.truncated, page.next = True, last
            return
        count += 1
        above = rolled_up(entry[0], prefix, delimiter)
        if above is None:
            page.entries.append(entry)
            last = entry[0]
            continue
        page.prefixes.append(above)
        last = above
        beyond = successor(above)
        if beyond is None:
            return
        await merged.seek(beyond)


def must_write(view: BucketView, layers: Layers) -> None:
    """Refuse a write that a view does not allow.

    Raises:
        Denied(READ_ONLY): the view is read-only.
        Denied(PROTECTED): only jobs write to the branch.
    """
    if layers.sealed or not view.writable:
        raise Denied(Reason.READ_ONLY, f"bucket {view.name!r} is read-only", name=view.name)
    if layers.protected:
        raise Denied(
            Reason.PROTECTED,
            f"bucket {view.name!r} is the output of a pipeline: only its jobs write to it",
            name=view.name,
        )
