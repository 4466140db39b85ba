"""Who writes: SQLite tells only whether somebody does, and not to which table."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from replication_assets.core.schema import TableId
from replication_assets.ports import Writer
from replication_assets.sources.sqlite.connection import SqliteDatabase, open_session, sqlite_errors


def writers(database: SqliteDatabase, tables: Sequence[TableId]) -> tuple[Writer, ...]:
    """See `ports.ChangeSource.writers`: one for whoever holds the write lock, of every table."""
    with closing(open_session(database, busy_seconds=0)) as session, sqlite_errors(database.where):
        try:
            session.execute("BEGIN IMMEDIATE")
            session.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            ending = f"-- end the process: lsof {database.path}"
            return (
                Writer("a process that SQLite does not name", "", "", "writes", None, tuple(tables), ending),
            )
    return ()


def stop_writes(database: SqliteDatabase) -> tuple[str, ...]:
    """See `ports.ChangeSource.stop_writes`."""
    return (
        "-- SQLite has no users to take rights from. Stop the applications, or have them open the file with",
        "-- mode=ro; then hold the write lock in a shell that stays open while the writes are stopped:",
        f"-- sqlite3 {database.path}",
        "BEGIN IMMEDIATE;",
    )
