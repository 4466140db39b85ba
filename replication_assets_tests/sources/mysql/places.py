"""A database of a test, and the applications that write to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
import pymysql.constants.ER

from replication_assets.sources.mysql import MySqlSource
from replication_assets.sources.mysql.log_places import LogPlace
from replication_assets_tests.sources.mysql.conftest import Database


def purge(database: Database) -> None:
    """All files but the one that is written, of which somebody may still read."""
    newest = LogPlace.at(database.source().status().head, "binlog").file
    for _ in range(100):
        database.run(f"PURGE BINARY LOGS TO '{newest}'")
        with closing(database.session()) as session, session.cursor() as cursor:
            if cursor.execute("SHOW BINARY LOGS") == 1:
                return
        time.sleep(0.05)
    raise AssertionError("files are still there")


_OR_NOT = " ON CONFLICT DO NOTHING"


class ApplicationTransaction:
    """An open transaction. Names may be quoted as standard SQL does."""

    def __init__(self, session: pymysql.connections.Connection) -> None:
        self._session = session

    def execute(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        if statement.endswith(_OR_NOT):
            statement = statement.removesuffix(_OR_NOT).replace("INSERT", "INSERT IGNORE", 1)
        with self._session.cursor() as cursor:
            try:
                cursor.execute(statement)
            except pymysql.err.OperationalError as error:
                if error.args[0] != pymysql.constants.ER.LOCK_DEADLOCK:
                    raise
                # The server undid the transaction; the application goes on with the next one.
                self.rollback()
            return tuple(cursor.fetchall())

    def commit(self) -> None:
        self._session.commit()
        self._session.begin()

    def rollback(self) -> None:
        self._session.rollback()
        self._session.begin()


@dataclass(frozen=True)
class MySqlPlace:
    """See `contracts.change_source.SourcePlace`."""

    database: Database
    writers: int = 3

    @property
    def source(self) -> MySqlSource:
        return self.database.source()

    @property
    def schema(self) -> str:
        return self.database.name

    def create(self, table: str, columns: str) -> None:
        quoted = '"' + table.replace('"', '""') + '"'
        self.execute(f"CREATE TABLE {quoted} ({columns})")

    def execute(self, *statements: str) -> None:
        with self.transaction() as session:
            for statement in statements:
                session.execute(statement)
            session.commit()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.transaction() as session:
            return list(session.execute(query))

    @contextmanager
    def transaction(self) -> Iterator[ApplicationTransaction]:
        with closing(self.database.session(sql_mode="ANSI_QUOTES,NO_BACKSLASH_ESCAPES")) as session:
            session.autocommit(False)
            session.begin()
            yield ApplicationTransaction(session)
