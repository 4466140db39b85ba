"""Connections to the files of an environment, and what SQLite's errors may say.

A session's main database is the file of the records; files of a copy are attached to it, so that rows
and the note of their chunk are one transaction over both files (SQLite's super-journal). Transactions
are begun and ended here by name: the driver begins none behind our back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from replication_assets.errors import RefreshError, TargetUnavailable, VerificationFailed
from replication_assets.targets.sql.sqlite.tables import quoted

BUSY_SECONDS = 30


@contextmanager
def connected(path: Path, where: str) -> Iterator[sa.Connection]:
    """A connection to a file, or to an empty database in memory as long as there is no such file."""

    def opened() -> sqlite3.Connection:
        there = f"{path.absolute().as_uri()}?mode=rw" if path.exists() else "file::memory:"
        connection = sqlite3.connect(
            there, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = sa.create_engine("sqlite://", creator=opened, poolclass=NullPool, hide_parameters=True)
    with translated(where), engine.connect() as connection:
        yield connection


def driver_of(connection: sa.Connection) -> sqlite3.Connection:
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def attach(connection: sqlite3.Connection, path: Path, name: str) -> None:
    """Anew if another file has the name."""
    there = {row[1]: row[2] for row in connection.execute("PRAGMA database_list")}
    if there.get(name) == str(path.resolve()):
        return
    if name in there:
        connection.execute(f"DETACH DATABASE {quoted(name)}")
    connection.execute(f"ATTACH DATABASE ? AS {quoted(name)}", (str(path.resolve()),))


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of SQLite as the project's own. Messages may quote what a statement or a trigger says, so
    only their names are told."""
    try:
        yield
    except sqlite3.Error as error:
        raise told(error, where) from None
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise told(error.orig, where) from None
        raise RefreshError("an error in the driver of SQLite", where=where) from None


_CONSTRAINT = 19
_DATATYPE = 19 | 12 << 8
"""SQLITE_CONSTRAINT and SQLITE_CONSTRAINT_DATATYPE of sqlite3.h: older drivers have no name for it."""


def told(error: sqlite3.Error, where: str) -> Exception:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    code = getattr(error, "sqlite_errorcode", 0)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN")):
        return TargetUnavailable(f"SQLite answered {name}", where=where, fix="try again")
    if code == _DATATYPE:
        return RefreshError(
            "a value is not of its column's type",
            where=where,
            fix="give the column a rule whose values fit its type",
        )
    if code & 255 == _CONSTRAINT:
        return VerificationFailed(f"rows break a rule of the copy: {name}", where=where)
    return RefreshError(f"SQLite refused with {name}", where=where)
