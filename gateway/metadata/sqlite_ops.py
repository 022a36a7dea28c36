"""The operations of a unit of work, run on a SQLite cursor.

Each is one statement. Nothing here begins or ends a transaction; nothing is translated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.metadata import sql
from gateway.metadata.base import (
    Bound,
    Delete,
    DeleteWhere,
    Expect,
    Insert,
    Next,
    Op,
    Put,
    Setting,
    Update,
    Value,
)

KEY_TAKEN: Final = frozenset({1555, 2067, 2579})  # SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE, _ROWID


class RacedError(Exception):
    """An expectation of a unit does not hold."""


def _settings(values: Mapping[str, Setting], bound: Mapping[str, int]) -> list[Value]:
    return [bound[v.name] if v.__class__ is Bound else v for v in values.values()]  # type: ignore[misc]


def _apply_expect(cursor: sqlite3.Cursor, op: Expect, _bound: dict[str, int]) -> None:
    if op.values is None:
        if cursor.execute(sql.select_one(op.table), op.key).fetchone() is not None:
            raise RacedError
        return
    values = tuple(op.values.values())
    are_null = sql.nulls(values)
    text = sql.expect_row(op.table, tuple(op.values), are_null)
    if cursor.execute(text, [*op.key, *sql.bound_values(values, are_null)]).fetchone() is None:
        raise RacedError


def _apply_insert(cursor: sqlite3.Cursor, op: Insert, bound: dict[str, int]) -> None:
    cursor.execute(sql.insert(op.table, tuple(op.row)), _settings(op.row, bound))


def _apply_put(cursor: sqlite3.Cursor, op: Put, bound: dict[str, int]) -> None:
    cursor.execute(sql.put(op.table, tuple(op.row)), _settings(op.row, bound))


def _apply_update(cursor: sqlite3.Cursor, op: Update, bound: dict[str, int]) -> None:
    expected = tuple(op.expect.values())
    are_null = sql.nulls(expected)
    text = sql.update(op.table, tuple(op.set), tuple(op.add), tuple(op.expect), are_null)
    values = _settings(op.set, bound)
    values += op.add.values()
    values += op.key
    values += sql.bound_values(expected, are_null)
    if cursor.execute(text, values).rowcount != 1:
        raise RacedError


def _apply_next(cursor: sqlite3.Cursor, op: Next, bound: dict[str, int]) -> None:
    expected = tuple(op.expect.values())
    are_null = sql.nulls(expected)
    additions = (op.column, *op.add)
    text = sql.update(op.table, tuple(op.set), additions, tuple(op.expect), are_null, op.column)
    values = _settings(op.set, bound)
    values.append(1)
    values += op.add.values()
    values += op.key
    values += sql.bound_values(expected, are_null)
    rows = cursor.execute(text, values).fetchall()
    if not rows:
        raise RacedError
    bound[op.bind] = rows[0][0]


def _apply_delete(cursor: sqlite3.Cursor, op: Delete, _bound: dict[str, int]) -> None:
    cursor.execute(sql.delete(op.table), op.key)


def _apply_delete_where(cursor: sqlite3.Cursor, op: DeleteWhere, _bound: dict[str, int]) -> None:
    are_null = sql.nulls(op.prefix)
    bounded = op.up_to is not None
    text = sql.delete_where(op.table, op.index, are_null, bounded, op.limit is not None)
    values = sql.bound_values(op.prefix, are_null)
    if bounded:
        values.append(op.up_to)
    if op.limit is not None:
        values.append(op.limit)
    cursor.execute(text, values)


_APPLY: Final[dict[type, Callable[[sqlite3.Cursor, Op, dict[str, int]], None]]] = {
    Expect: _apply_expect,  # type: ignore[dict-item]
    Insert: _apply_insert,  # type: ignore[dict-item]
    Put: _apply_put,  # type: ignore[dict-item]
    Update: _apply_update,  # type: ignore[dict-item]
    Next: _apply_next,  # type: ignore[dict-item]
    Delete: _apply_delete,  # type: ignore[dict-item]
    DeleteWhere: _apply_delete_where,  # type: ignore[dict-item]
}
_MAY_FAIL: Final = frozenset({Expect, Insert, Update, Next})


def _may_fail(op: Op) -> bool:
    return op.__class__ in _MAY_FAIL or (op.__class__ is Put and bool(op.table.unique))


def needs_savepoint(ops: Sequence[Op]) -> bool:
    """Tell whether an operation can fail after an earlier one has changed something."""
    changed = False
    for op in ops:
        if changed and _may_fail(op):
            return True
        if op.__class__ is not Expect:
            changed = True
    return False


def apply(cursor: sqlite3.Cursor, ops: Sequence[Op]) -> dict[str, int]:
    """Run operations in their order; return what the `Next`s among them bound.

    Raises:
        RacedError: an expectation does not hold.
        sqlite3.IntegrityError: with a code in `KEY_TAKEN`, a row of an `Insert` is there already.
    """
    bound: dict[str, int] = {}
    for op in ops:
        _APPLY[op.__class__](cursor, op, bound)
    return bound
