"""A PostgreSQL database for the contract of change sources, captured one way or the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.ports import ChangeSource
from replication_assets_tests.postgres_servers import FreshDatabase


class Application:
    """A transaction of psycopg's own, without the project's settings."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        self.commit, self.rollback = session.commit, session.rollback

    def execute(self, statement: str) -> object:
        return self._session.execute(statement.encode())


@dataclass(frozen=True)
class PostgresPlace:
    """See `contracts.change_source.SourcePlace`."""

    database: FreshDatabase
    source: ChangeSource
    by_log: bool
    schema: str = "public"
    writers: int = 4

    def create(self, table: str, columns: str) -> None:
        quoted = '"' + table.replace('"', '""') + '"'
        full = (f"ALTER TABLE {quoted} REPLICA IDENTITY FULL",) if self.by_log else ()
        self.execute(f"CREATE TABLE {quoted} ({columns})", *full)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.database.dsn) as session:
            for statement in statements:
                session.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn) as session:
            return session.execute(query.encode()).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Application]:
        with psycopg.connect(self.database.dsn) as session:
            yield Application(session)
            session.rollback()
