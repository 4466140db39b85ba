"""A hook's statement on the shadow's files, over a connection that has no other file.

SQLite asks an authorizer for every step of a statement while it is compiled: files cannot be attached,
settings not changed, extensions not loaded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from replication_assets.errors import RefreshError
from replication_assets.targets.sql.sqlite.connection import BUSY_SECONDS, transaction

_DENIED = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA})


def run_on(files: Mapping[str, Path], statement: str) -> None:
    """`files` by schema: the first is the main database, the others have their schema's name.

    Raises:
        RefreshError: it failed, or reaches beyond the shadow.
    """
    (_, main), *others = files.items()
    with closing(sqlite3.connect(main, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        for schema, path in others:
            connection.execute("ATTACH DATABASE ? AS " + '"' + schema.replace('"', '""') + '"', (str(path),))
        name = _run(connection, statement)
    if name is not None:
        raise RefreshError(f"the hook's statement failed with {name}", fix="try it on a copy")


def _run(connection: sqlite3.Connection, statement: str) -> str | None:
    """The name of the error, whose text may quote values."""

    def authorize(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK

    try:
        with transaction(connection):
            connection.set_authorizer(authorize)
            try:
                connection.execute(statement)
            finally:
                connection.set_authorizer(None)
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorname", None) or type(error).__name__
    return None
