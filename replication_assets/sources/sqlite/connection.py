"""Sessions on a database file, and what the driver's errors mean.

A session waits `busy_seconds` for a lock that another process holds, and then says so. The file is
never created here: a path that is wrong is an error, and not a new and empty database.

Messages of SQLite name tables and columns, never values, with one exception that is cut: text that
is no UTF-8 is quoted by Python's driver.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from replication_assets.errors import LoadBlocked, SourceError, SourceNotReady, SourceUnavailable

NOT_UTF8 = "Could not decode to UTF-8"
_BUSY = ("locked", "busy")
_SECOND_LOOK = ("disk i/o error", "unable to open database file", "disk image is malformed")


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """Where the database file is."""

    path: str
    busy_seconds: float = 30.0

    @property
    def where(self) -> str:
        """For messages."""
        return f"sqlite {self.path}"

    def file_number(self) -> int:
        """The file's number on its disk: `VACUUM` keeps it, a file put in its place has another.

        Raises:
            SourceUnavailable: there is no such file.
        """
        try:
            return Path(self.path).stat().st_ino
        except OSError as error:
            raise SourceUnavailable(
                f"the database file cannot be read: {os.strerror(error.errno or 0)}",
                where=self.where,
                fix="check the path, and that this account may read the file and its folder",
            ) from None


def open_session(database: SqliteDatabase, *, busy_seconds: float | None = None) -> sqlite3.Connection:
    """A session in autocommit: transactions begin and end by statement."""
    database.file_number()
    waits = database.busy_seconds if busy_seconds is None else busy_seconds
    uri = f"file:{quote(str(Path(database.path).absolute()))}?mode=rw"
    with sqlite_errors(database.where):
        # Sessions go from the thread that opened a stream to the one that reads it, never two at once.
        session = sqlite3.connect(
            uri, uri=True, timeout=waits, isolation_level=None, check_same_thread=False, cached_statements=16
        )
        try:
            session.execute("PRAGMA query_only = 0")
            session.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            session.close()
            raise
    return session


@contextmanager
def connect(database: SqliteDatabase, where: str | None = None) -> Iterator[sqlite3.Connection]:
    """A session for small statements, closed at the end; errors in the block are translated."""
    with closing(open_session(database)) as session, sqlite_errors(where or database.where):
        yield session


@contextmanager
def reading(session: sqlite3.Connection) -> Iterator[None]:
    """One read transaction: every query in the block sees the same state of the database."""
    session.execute("BEGIN")
    try:
        # The snapshot is taken by the first read, and not by BEGIN.
        session.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
    finally:
        if session.in_transaction:
            session.execute("ROLLBACK")


@contextmanager
def writing(session: sqlite3.Connection) -> Iterator[None]:
    """One write transaction, which holds other writers off from its beginning; all or nothing."""
    session.execute("BEGIN IMMEDIATE")
    try:
        yield
        session.execute("COMMIT")
    finally:
        if session.in_transaction:
            session.execute("ROLLBACK")


@contextmanager
def sqlite_errors(where: str) -> Iterator[None]:
    """Turn the driver's errors into the project's."""
    try:
        yield
    except sqlite3.Error as error:
        raise source_error(error, where) from None


def source_error(error: sqlite3.Error, where: str) -> SourceError:
    """The project's error for one of the driver."""
    text = str(error)
    if text.startswith(NOT_UTF8):
        return SourceError(
            "a text is not UTF-8", where=where, fix="store it as a BLOB: UPDATE ... SET c = CAST(c AS BLOB)"
        )
    if any(word in text for word in _BUSY):
        return LoadBlocked(
            "another process holds a lock on the database file",
            where=where,
            fix="let its transaction end; PRAGMA journal_mode = WAL lets readers and a writer work at once",
        )
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return SourceError("the database refused a value", where=where)
    if any(words in text.lower() for words in _SECOND_LOOK):
        return SourceUnavailable(text, where=where, fix="check the disk, and run PRAGMA integrity_check")
    if "readonly" in text:
        return SourceNotReady(text, where=where, fix="let this account write to the file and its folder")
    return SourceNotReady(text, where=where)
