"""The file of the rows: opened, checked, prepared; and what SQLite's errors mean.

A file of another program, of a newer schema, or whose tables are not those of the schema it names,
is refused before anything is changed in it.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from gateway.errors import Corrupt, Reason, SidegateError, Unavailable
from gateway.metadata import schema, sql

APPLICATION_ID: Final = 0x53474D44  # "SGMD", in the header of the file
CHECKPOINT_PAGES: Final = 2000  # 8 MiB of log are copied into the file at a time
BUSY_TIMEOUT_MS: Final = 2000  # someone else's tool (a backup) may hold the file for a moment


def translate(error: sqlite3.Error, path: str) -> SidegateError:
    """Return our error for one of SQLite's own."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    where = f"{path}: {error} ({name})"
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(Reason.DISK_FULL, f"no space for {where}", "free some disk space")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return Unavailable(Reason.READ_ONLY_STORE, f"cannot write {where}", "check permissions")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Corrupt(Reason.DAMAGED, f"damaged: {where}", "restore it from a backup")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Unavailable(Reason.LOCKED, f"another process holds {where}")
    return Unavailable(Reason.IO_ERROR, f"cannot use {where}")


def connect(path: str, cache_kib: int) -> sqlite3.Connection:
    """Open a connection whose commits are durable; `cache_kib` bounds its pages in memory."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def not_opened(error: sqlite3.Error, path: str) -> SidegateError:
    """Return our error for a file that could not be opened."""
    directory = os.path.dirname(path) or "."
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN and not os.access(
        directory, os.W_OK
    ):
        return Unavailable(
            Reason.READ_ONLY_STORE, f"cannot write in {directory}", "check its permissions"
        )
    return translate(error, path)


def prepare(writer: sqlite3.Connection, path: str) -> None:
    """Check whose file it is and that its tables are those of the schema; make what is missing.

    Raises:
        Corrupt(UNKNOWN_FORMAT): it is another program's file, or of another schema.
    """
    application = writer.execute("PRAGMA application_id").fetchone()[0]
    version = writer.execute("PRAGMA user_version").fetchone()[0]
    tables = writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (application or version or tables):
        raise Corrupt(Reason.UNKNOWN_FORMAT, f"{path} is a database of another program")
    if version > schema.VERSION:
        raise Corrupt(
            Reason.UNKNOWN_FORMAT,
            f"{path} has schema {version}; this program knows {schema.VERSION}",
            "use a newer version of the program",
        )
    for table in schema.TABLES:
        found = [row[1] for row in writer.execute(f"PRAGMA table_info({table.name})")]
        if found and set(found) != set(table.columns):
            odd = ", ".join(sorted(set(found) ^ set(table.columns)))
            raise Corrupt(
                Reason.UNKNOWN_FORMAT,
                f"{path} was made by an unfinished version: table {table.name} differs in {odd}",
                "export its data with the version that made it, or begin a new directory",
            )
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    writer.execute(f"PRAGMA journal_size_limit = {CHECKPOINT_PAGES * 4096 * 4}")
    writer.execute("BEGIN IMMEDIATE")
    for table in schema.TABLES:
        for statement in sql.create_statements(table):
            writer.execute(statement)
    writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    writer.execute(f"PRAGMA user_version = {schema.VERSION}")
    writer.execute("COMMIT")
