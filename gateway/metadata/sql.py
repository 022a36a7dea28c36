"""The SQL of each shape of operation: pure text, made once per shape and then kept.

A shape is a table together with the *names* of the columns that an operation touches; values are
always bound, never written into the text. Both SQLite and PostgreSQL understand what is made here,
but for the table declarations, which are SQLite's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from gateway.metadata.base import Key, Table, Value

Nulls = tuple[bool, ...]  # which of the values compared with are NULL: `=` would never match


def create_statements(table: Table) -> list[str]:
    """Return what creates a table and its indexes, where they are not there yet."""
    columns = []
    single_integer = len(table.key) == 1 and table.columns[table.key[0]] == "INTEGER"
    for name, kind in table.columns.items():
        if single_integer and name == table.key[0]:
            columns.append(f"{_q(name)} INTEGER PRIMARY KEY")
        else:
            columns.append(f"{_q(name)} {kind}" + (" NOT NULL" if name in table.key else ""))
    options = "STRICT"
    if not single_integer:
        columns.append(f"PRIMARY KEY ({', '.join(_q(name) for name in table.key)})")
        options = "STRICT, WITHOUT ROWID"
    made = [f"CREATE TABLE IF NOT EXISTS {table.name} ({', '.join(columns)}) {options}"]
    for index, on in table.indexes.items():
        unique = "UNIQUE " if index in table.unique else ""
        made.append(
            f"CREATE {unique}INDEX IF NOT EXISTS {table.name}_{index} "
            f"ON {table.name} ({', '.join(_q(name) for name in on)})"
        )
    return made


def _q(name: str) -> str:
    return f'"{name}"'


def nulls(values: Sequence[Value]) -> Nulls:
    """Tell which values are NULL: part of the shape of a comparison."""
    return tuple(value is None for value in values)


def _match(columns: Sequence[str], are_null: Nulls) -> list[str]:
    return [
        f"{_q(column)} IS NULL" if null else f"{_q(column)} = ?"
        for column, null in zip(columns, are_null, strict=True)
    ]


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


@cache
def select_one(table: Table) -> str:
    """Return the SELECT of all columns of the row of one key."""
    columns = ", ".join(_q(name) for name in table.columns)
    where = _where(_match(table.key, (False,) * len(table.key)))
    return f"SELECT {columns} FROM {table.name}{where}"


@cache
def expect_row(table: Table, columns: tuple[str, ...], are_null: Nulls) -> str:
    """Return the SELECT that finds a row only when it has the expected values."""
    conditions = _match(table.key, (False,) * len(table.key)) + _match(columns, are_null)
    return f"SELECT 1 FROM {table.name}{_where(conditions)}"


@cache
def insert(table: Table, columns: tuple[str, ...]) -> str:
    """Return the INSERT of a row that must be new."""
    names = ", ".join(_q(name) for name in columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"


@cache
def put(table: Table, columns: tuple[str, ...]) -> str:
    """Return the INSERT that replaces the row of the same key; columns not named become NULL."""
    changes = [
        f"{_q(name)} = excluded.{_q(name)}" if name in columns else f"{_q(name)} = NULL"
        for name in table.columns
        if name not in table.key
    ]
    action = f"DO UPDATE SET {', '.join(changes)}" if changes else "DO NOTHING"
    key = ", ".join(_q(name) for name in table.key)
    return f"{insert(table, columns)} ON CONFLICT ({key}) {action}"


@cache
def update(
    table: Table,
    settings: tuple[str, ...],
    additions: tuple[str, ...],
    expected: tuple[str, ...],
    are_null: Nulls,
    returning: str | None = None,
) -> str:
    """Return the UPDATE of one row: values in the order set, add, key, expected."""
    changes = [f"{_q(name)} = ?" for name in settings]
    changes += [f"{_q(name)} = coalesce({_q(name)}, 0) + ?" for name in additions]
    if not changes:
        changes = [f"{_q(table.key[0])} = {_q(table.key[0])}"]
    conditions = _match(table.key, (False,) * len(table.key)) + _match(expected, are_null)
    text = f"UPDATE {table.name} SET {', '.join(changes)}{_where(conditions)}"
    return f"{text} RETURNING {_q(returning)}" if returning else text


@cache
def delete(table: Table) -> str:
    """Return the DELETE of the row of one key."""
    return f"DELETE FROM {table.name}{_where(_match(table.key, (False,) * len(table.key)))}"


def order_of(table: Table, index: str | None) -> tuple[str, ...]:
    """Return the columns that order a table, or one of its indexes; the key breaks ties."""
    if index is None:
        return table.key
    on = table.indexes[index]
    return on + tuple(name for name in table.key if name not in on)


@cache
def delete_where(
    table: Table, index: str | None, are_null: Nulls, bounded: bool, limited: bool
) -> str:
    """Return the DELETE of rows under a prefix; values in the order prefix, up_to, limit."""
    order = order_of(table, index)
    conditions = _match(order[: len(are_null)], are_null)
    if bounded:
        conditions.append(f"{_q(order[len(are_null)])} <= ?")
    where = _where(conditions)
    if not limited:
        return f"DELETE FROM {table.name}{where}"
    key = ", ".join(_q(name) for name in table.key)
    by = ", ".join(_q(name) for name in order)
    left = f"({key})" if len(table.key) > 1 else key
    return (
        f"DELETE FROM {table.name} WHERE {left} IN "
        f"(SELECT {key} FROM {table.name}{where} ORDER BY {by} LIMIT ?)"
    )


@cache
def select_many(
    table: Table, index: str | None, are_null: Nulls, bounds: str, reverse: bool, limited: bool
) -> str:
    """Return the SELECT of rows under a prefix, in order.

    `bounds` has one letter for each bound that is given, in the order in which their values are
    bound after the prefix: `a` after, `s` start, `u` until.
    """
    order = order_of(table, index)
    conditions = _match(order[: len(are_null)], are_null)
    operators = {"a": "<" if reverse else ">", "s": ">=", "u": "<"}
    conditions += [f"{_q(order[len(are_null)])} {operators[bound]} ?" for bound in bounds]
    columns = ", ".join(_q(name) for name in table.columns)
    direction = " DESC" if reverse else ""
    by = ", ".join(f"{_q(name)}{direction}" for name in order[len(are_null) :])
    ordered = f" ORDER BY {by}" if by else ""
    limit = " LIMIT ?" if limited else ""
    return f"SELECT {columns} FROM {table.name}{_where(conditions)}{ordered}{limit}"


def bound_values(prefix: Key, are_null: Nulls) -> list[Value]:
    """Return the values of a prefix that are bound: the NULLs are in the text."""
    return [value for value, null in zip(prefix, are_null, strict=True) if not null]
