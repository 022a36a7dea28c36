"""The port for rows that change: branch heads, open commits, uploads, jobs, segments.

All writing is by a *unit of work*: a list of small operations that carries rows of several layers
and takes effect wholly or not at all (decisions/0000.8). A unit is a plain value, so that it can
cross a socket to the process that owns the writer. Units that wait together are committed
together (group commit): `commit` returns when the unit is durable, never before.

Reading goes through a snapshot: all its answers are of one moment.

A unit says what it relies on (`Expect`, `Update.expect`, `Insert`): when that does not hold, the
whole unit is dropped and `Conflict(RACED)` (or `Conflict(ALREADY_EXISTS)`, from `Insert`) is
raised; other units of the same group are not touched. The caller reads again and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

Value = int | str | bytes | None
Row = Mapping[str, Value]
Key = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns with their SQL types, and its primary key (ordered; bytes as bytes)."""

    name: str
    columns: Mapping[str, str]  # name to INTEGER, TEXT or BLOB
    key: tuple[str, ...]
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name to columns
    unique: tuple[str, ...] = ()  # names of those indexes that are unique

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Bound:
    """Stands for a value that an earlier `Next` of the same unit has bound."""

    name: str


Setting = Value | Bound


@dataclass(frozen=True, slots=True)
class Expect:
    """Hold the unit to a row: these columns have these values; or, with None, no row is there."""

    table: Table
    key: Key
    values: Mapping[str, Value] | None


@dataclass(frozen=True, slots=True)
class Insert:
    """Add a row that must be new in its key and every unique index, else ALREADY_EXISTS."""

    table: Table
    row: Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Put:
    """Add a row, or replace the one of the same key."""

    table: Table
    row: Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Update:
    """Change columns of one row that must be there: set some, add to some, expecting others.

    Without a row, or with one that differs from `expect`, the unit fails with `Conflict(RACED)`.
    """

    table: Table
    key: Key
    set: Mapping[str, Setting] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    expect: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Next:
    """Add 1 to an integer column of one row that must be there, and bind the new value.

    `add` and `set` change other columns of the same row in the same step; `expect` as in `Update`.
    """

    table: Table
    key: Key
    column: str
    bind: str
    add: Mapping[str, int] = field(default_factory=dict)
    set: Mapping[str, Setting] = field(default_factory=dict)
    expect: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one row, if it is there."""

    table: Table
    key: Key


@dataclass(frozen=True, slots=True)
class DeleteWhere:
    """Remove the rows whose key (or named index) begins with `prefix`; at most `limit` of them.

    `up_to` bounds the column after the prefix, inclusively. Which rows go first is by key order.
    """

    table: Table
    prefix: Key
    up_to: Value = None
    limit: int | None = None
    index: str | None = None


Op = Expect | Insert | Put | Update | Next | Delete | DeleteWhere


@dataclass(slots=True)
class Unit:
    """A unit of work: operations in the order they are done."""

    ops: list[Op] = field(default_factory=list)

    def add(self, *ops: Op) -> Unit:
        """Append operations and return the unit itself."""
        self.ops.extend(ops)
        return self


class Snapshot(Protocol):
    """The rows of one moment."""

    async def get(self, table: Table, key: Key) -> Row | None:
        """Return the row of that key, or None."""
        ...

    async def find(self, table: Table, index: str, key: Key) -> Row | None:
        """Return the first row of that key in a named index, or None."""
        ...

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
        """Return rows whose key (or named index) begins with `prefix`, in key order.

        The column that follows the prefix can be bounded: `after` exclusively, `start`
        inclusively from below, `until` exclusively from above. `reverse` turns the order (and
        `after` then bounds from above). Keep `limit` small: the rows are held in memory.
        """
        ...


class Metadata(Protocol):
    """The store of rows. One writer, any number of readers."""

    async def commit(self, unit: Unit) -> Mapping[str, int]:
        """Make a unit durable, wholly or not at all; return what its `Next`s bound.

        Raises:
            Conflict: something expected does not hold; nothing was changed.
            Unavailable(DISK_FULL | IO_ERROR | READ_ONLY_STORE): nothing is promised; the unit is
                not visible.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open a consistent view of the rows; close it soon, for it holds the log back."""
        ...

    async def close(self) -> None:
        """Commit what waits and close the store."""
        ...
