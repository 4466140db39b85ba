"""A database file of a test, and the applications that write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication_assets.sources.sqlite.connection import SqliteDatabase
from replication_assets.sources.sqlite.source import SqliteSource


@dataclass(frozen=True)
class SqlitePlace:
    """See `contracts.change_source.SourcePlace`."""

    path: Path
    schema: str = "main"
    writers: int = 3

    @classmethod
    def at(cls, path: Path, journal: str = "wal") -> SqlitePlace:
        with closing(sqlite3.connect(path)) as session:
            session.execute(f"PRAGMA journal_mode = {journal}")
        return cls(path)

    @property
    def source(self) -> SqliteSource:
        return SqliteSource("app", SqliteDatabase(str(self.path)))

    def create(self, table: str, columns: str) -> None:
        quoted = '"' + table.replace('"', '""') + '"'
        self.execute(f"CREATE TABLE {quoted} ({columns})")

    def session(self) -> sqlite3.Connection:
        # A transaction begins as a writer's: one that began as a reader's cannot wait for its turn.
        return sqlite3.connect(self.path, timeout=30, isolation_level="IMMEDIATE")

    def execute(self, *statements: str) -> None:
        with closing(self.session()) as session, session:
            for statement in statements:
                session.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(self.session()) as session:
            return session.execute(query).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self.session()) as session:
            yield session
