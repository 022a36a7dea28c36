"""Rows in SQLite: one file, one writer, group commit.

Theory. A commit to SQLite costs one fsync, whatever is in it, so units that wait together share one
transaction. There are two steps, in two places:

* the statements of all waiting units run on the event loop, one after the other: they are a few
  microseconds each, and a thread that took the interpreter lock back after each of them would
  cost more than they do;
* the COMMIT, which waits for the disk, runs in the one writer thread. Units that arrive meanwhile
  form the next group. No timer is involved: alone, a unit is a group of one.

A unit whose expectation fails must leave nothing behind and not touch its neighbours. Where a
unit can still fail after its first change it runs in a savepoint; most units are written so that
they cannot (expectations first), and run without one. When something unforeseen fails (a value
of the wrong type), the group is rolled back and run again with a savepoint for each unit.

Reading. A snapshot is a read transaction. While nothing was committed since it began, it shows the
present, so snapshots share one until the next group is done; it is ended when its last reader
leaves. Reads run on the event loop: a point read is shorter than a change of thread.

The log begins anew only when no snapshot needs it. Readers that overlap without a gap would let it
fill the disk: once it is long, groups and snapshots wait for those that are open, for a moment.

What must hold: `commit` returns after the fsync of its group (WAL, synchronous=FULL); readers see
a group only after that. A group that fails (disk full) fails all its units, is rolled back, and
the store goes on. This process is the only writer of the file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Final

from gateway.errors import Conflict, Reason, SidegateError, Unavailable
from gateway.metadata import sql
from gateway.metadata.base import Key, Row, Table, Unit, Value
from gateway.metadata.sqlite_file import (
    BUSY_TIMEOUT_MS,
    CHECKPOINT_PAGES,
    connect,
    not_opened,
    prepare,
    translate,
)
from gateway.metadata.sqlite_ops import KEY_TAKEN, RacedError, apply, needs_savepoint

GROUP_MAX: Final = 128  # units in one transaction: bounds how long the loop is held (about 4 ms)
CACHE_KIB: Final = 16 * 1024  # page cache of the writer; readers have a quarter of it
LOG_SIZE_MAX: Final = 6 * CHECKPOINT_PAGES * 4096  # longer, it has to begin anew
LOG_PATIENCE_MS: Final = 250  # writers wait so long for the readers of a log that is too long
POOL_MAX: Final = 8  # idle read connections kept

_log = logging.getLogger(__name__)


class _Reader:
    """A read connection and the transaction that it is in."""

    __slots__ = ("_connection", "_cursor", "_path", "users")

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._path = path
        self.users = 0

    def begin(self) -> None:
        # The transaction begins with the first read; that it begins now is what makes all
        # snapshots that share it one moment.
        self._cursor.execute("BEGIN")
        self._cursor.execute("SELECT 1 FROM meta LIMIT 1").fetchall()

    def end(self) -> None:
        self._cursor.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def _rows(self, text: str, values: Sequence[Value], table: Table) -> list[Row]:
        try:
            rows = self._cursor.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        columns = table.columns
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def get(self, table: Table, key: Key) -> Row | None:
        """Return the row of that key, or None."""
        try:
            row = self._cursor.execute(sql.select_one(table), key).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        return None if row is None else dict(zip(table.columns, row, strict=True))

    async def find(self, table: Table, index: str, key: Key) -> Row | None:
        """Return the first row of that key in a named index, or None."""
        rows = await self.scan(table, key, index=index, limit=1)
        return rows[0] if rows else None

    async def scan(
        self,
        table: Table,
        prefix: Key = (),
        *,
        index: str | None = None,
        after: Value = None,
        start: Value = None,
        until: Value = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Sequence[Row]:
        """Return rows whose key (or named index) begins with `prefix`, in order."""
        are_null = sql.nulls(prefix)
        values = sql.bound_values(prefix, are_null)
        bounds = ""
        for letter, bound in (("a", after), ("s", start), ("u", until)):
            if bound is not None:
                bounds += letter
                values.append(bound)
        if limit is not None:
            values.append(limit)
        text = sql.select_many(table, index, are_null, bounds, reverse, limit is not None)
        return self._rows(text, values, table)


class _Lease(AbstractAsyncContextManager["_Reader"]):
    """One use of the shared snapshot."""

    __slots__ = ("_reader", "_store")

    def __init__(self, store: SqliteMetadata) -> None:
        self._store = store
        self._reader: _Reader | None = None

    async def __aenter__(self) -> _Reader:
        while self._store.shortening is not None:
            await asyncio.shield(self._store.shortening)
        self._reader = self._store.take_reader()
        return self._reader

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._store.give_back(self._reader)
            self._reader = None


Waiting = tuple[Unit, "asyncio.Future[Mapping[str, int]]"]
Outcomes = list[Mapping[str, int] | Exception]
_SHORTEN: Final[Outcomes] = []  # in place of a group's: begin the log anew


class SqliteMetadata:
    """The `Metadata` port on one SQLite file. Bound to the event loop that first commits."""

    def __init__(self, path: str, writer: sqlite3.Connection) -> None:
        self._path = path
        self._writer = writer
        self._cursor = writer.cursor()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Waiting] = deque()
        self._in_flight: list[Waiting] = []
        self._scheduled = False
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._shared: _Reader | None = None
        self._pool: list[_Reader] = []
        self.shortening: asyncio.Future[None] | None = None  # no snapshot begins before its end
        self._log_size_max = LOG_SIZE_MAX
        self._tasks: queue.SimpleQueue[Outcomes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_groups, name="metadata", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: str) -> SqliteMetadata:
        """Open the file, making it and its tables where they are missing.

        Raises:
            Corrupt(UNKNOWN_FORMAT): it is another program's file, or of another schema.
            Corrupt(DAMAGED): it is no database, or its schema cannot be read.
            Unavailable: it cannot be opened or written.
        """
        try:
            writer = connect(path, CACHE_KIB)
        except sqlite3.Error as error:
            raise not_opened(error, path) from error
        try:
            prepare(writer, path)
        except sqlite3.Error as error:
            writer.close()
            raise not_opened(error, path) from error
        except BaseException:
            writer.close()
            raise
        return cls(path, writer)

    # --- writing -------------------------------------------------------------------------------

    async def commit(self, unit: Unit) -> Mapping[str, int]:
        """Make a unit durable, wholly or not at all; return what its `Next`s bound."""
        if self._closing:
            raise Unavailable(Reason.SHUTTING_DOWN, "the metadata store is being closed")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Mapping[str, int]] = self._loop.create_future()
        self._waiting.append((unit, future))
        if not self._scheduled:
            self._scheduled = True
            self._idle.clear()
            # Not at once: whoever else is ready in this turn of the loop joins the group.
            self._loop.call_soon(self._start_group)
        return await future

    def _start_group(self) -> None:
        if self._shared is not None and self._shared.users == 0:
            # An open read transaction would keep the log from starting over.
            self._retire(self._shared)
        waiting = self._waiting
        group = [waiting.popleft() for _ in range(min(len(waiting), GROUP_MAX))]
        self._in_flight = group
        try:
            outcomes = self._run_group(group)
        except Exception as error:
            self._rollback()
            failed = self._failed(error)
            outcomes = [failed for _ in group]
        if any(not isinstance(outcome, Exception) for outcome in outcomes):
            self._tasks.put(outcomes)
            return
        self._rollback()
        self._group_done(outcomes)

    def _run_group(self, group: Sequence[Waiting]) -> Outcomes:
        self._cursor.execute("BEGIN IMMEDIATE")
        try:
            return [self._run_unit(unit, needs_savepoint(unit.ops)) for unit, _ in group]
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
        except Exception:  # found again, and told, by the second run
            pass
        self._rollback()
        self._cursor.execute("BEGIN IMMEDIATE")
        return [self._run_unit(unit, True, guarded=True) for unit, _ in group]

    def _run_unit(
        self, unit: Unit, savepoint: bool, guarded: bool = False
    ) -> Mapping[str, int] | Exception:
        """Run one unit; return what it bound, or why it was dropped."""
        cursor = self._cursor
        if savepoint:
            cursor.execute("SAVEPOINT unit")
        bound: dict[str, int] = {}
        failure: Exception | None = None
        try:
            bound = apply(cursor, unit.ops)
        except RacedError:
            failure = Conflict(Reason.RACED, "the rows have changed meanwhile", "try again")
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in KEY_TAKEN:
                failure = Conflict(Reason.ALREADY_EXISTS, "it is there already")
            elif guarded:
                failure = error
            else:
                raise
        except (sqlite3.OperationalError, sqlite3.InternalError):
            raise
        except Exception as error:
            if not guarded:
                raise
            failure = error
        if savepoint:
            if failure is not None:
                cursor.execute("ROLLBACK TO unit")
            cursor.execute("RELEASE unit")
        return bound if failure is None else failure

    def _failed(self, error: Exception) -> SidegateError:
        if isinstance(error, sqlite3.Error):
            return translate(error, self._path)
        _log.error("a group of units failed", exc_info=error)
        return Unavailable(Reason.IO_ERROR, f"cannot use {self._path}: {error!r}")

    def _rollback(self) -> None:
        """Undo the group. Where that fails the next is refused, and it is tried again."""
        if self._writer.in_transaction:
            try:
                self._cursor.execute("ROLLBACK")
            except Exception as error:
                if self._writer.in_transaction:  # else SQLite has rolled back by itself
                    _log.error("a group of units is not rolled back yet: %s", error)

    def _commit_groups(self) -> None:
        """Run in the writer thread: one COMMIT a group."""
        while (outcomes := self._tasks.get()) is not None:
            if outcomes is _SHORTEN:
                self._shorten_log()
                self._tell(self._shortened)
                continue
            try:
                self._writer.execute("COMMIT")
            except Exception as error:
                self._rollback()
                failed = self._failed(error)
                outcomes = [
                    outcome if isinstance(outcome, Exception) else failed for outcome in outcomes
                ]
            self._tell(self._group_done, outcomes)

    def _tell(self, call: Callable[..., None], *args: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    def _log_size(self) -> int:
        with suppress(OSError):
            return os.stat(f"{self._path}-wal").st_size
        return 0

    def _shorten_log(self) -> None:
        try:
            self._writer.execute(f"PRAGMA busy_timeout = {LOG_PATIENCE_MS}")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._writer.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        except sqlite3.Error as error:
            _log.warning("%s: its log stays: %s", self._path, error)

    def _shortened(self) -> None:
        shortening, self.shortening = self.shortening, None
        if shortening is not None:
            shortening.set_result(None)
        # For a reader that stays, the next wait is when the log is longer by as much.
        self._log_size_max = self._log_size() + LOG_SIZE_MAX
        self._go_on()

    def _group_done(self, outcomes: Outcomes) -> None:
        group, self._in_flight = self._in_flight, []
        shared = self._shared
        if shared is not None:  # it no longer shows the present
            if shared.users == 0:
                self._retire(shared)
            self._shared = None
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if self._log_size() > self._log_size_max and self._loop is not None:
            self.shortening = self._loop.create_future()
            self._tasks.put(_SHORTEN)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting and self._loop is not None:
            self._loop.call_soon(self._start_group)
        else:
            self._scheduled = False
            self._idle.set()

    # --- reading -------------------------------------------------------------------------------

    def snapshot(self) -> AbstractAsyncContextManager[_Reader]:
        """Open a consistent view of the rows; it shows all that was durable when it was opened."""
        return _Lease(self)

    def take_reader(self) -> _Reader:
        """Return the shared read transaction, beginning one where there is none."""
        reader = self._shared
        if reader is None:
            try:
                reader = self._pool.pop() if self._pool else self._new_reader()
            except sqlite3.Error as error:
                raise translate(error, self._path) from error
            try:
                reader.begin()
            except sqlite3.Error as error:
                reader.close()
                raise translate(error, self._path) from error
            self._shared = reader
        reader.users += 1
        return reader

    def give_back(self, reader: _Reader) -> None:
        """End one use; the transaction ends with its last one, when it is no longer shared."""
        reader.users -= 1
        if reader.users == 0 and (reader is not self._shared or self._closing):
            self._retire(reader)

    def _new_reader(self) -> _Reader:
        if self._closing:
            raise Unavailable(Reason.SHUTTING_DOWN, "the metadata store is closed")
        connection = connect(self._path, CACHE_KIB // 4)
        connection.execute("PRAGMA query_only = ON")
        return _Reader(connection, self._path)

    def _retire(self, reader: _Reader) -> None:
        if reader is self._shared:
            self._shared = None
        try:
            reader.end()
        except sqlite3.Error:  # what it could not read was told where it was read
            reader.close()
            return
        if len(self._pool) < POOL_MAX and not self._closing:
            self._pool.append(reader)
        else:
            reader.close()

    # --- the end -------------------------------------------------------------------------------

    async def close(self) -> None:
        """Commit what waits and close the store. Closing twice is harmless."""
        if self._closing:
            return
        self._closing = True
        await self._idle.wait()
        self._tasks.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._shared is not None and self._shared.users == 0:
            self._retire(self._shared)
        for reader in self._pool:
            reader.close()
        self._pool.clear()
        self._writer.close()
