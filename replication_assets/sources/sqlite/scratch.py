"""A scratch file beside a SQLite database; see `ports.scratch`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from replication_assets.core.schema import TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports.scratch import COLUMNS, NOTE, SCRATCH
from replication_assets.sources.sqlite.connection import SqliteDatabase, sqlite_errors

_BUSY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class SqliteScratch:
    """`folder` is where the file is made: on the disk whose speed matters."""

    folder: str

    @property
    def path(self) -> Path:
        return Path(self.folder) / f"{SCRATCH}.db"

    @property
    def where(self) -> str:
        return SqliteDatabase(str(self.path)).where

    def table(self, source: str) -> TableId:
        return TableId(source, "main", "orders")

    def create(self) -> None:
        if self.path.exists():
            raise SourceNotReady(
                f"{self.path} exists already",
                where=self.where,
                fix="if an earlier run left it, delete it",
            )
        try:
            with sqlite_errors(self.where), closing(sqlite3.connect(self.path)) as session:
                session.execute("PRAGMA journal_mode = wal")
        except BaseException:
            # Interrupted: the file is there, and nobody was told.
            self.remove()
            raise

    def remove(self) -> None:
        for ending in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    def fill(self, rows: int) -> None:
        with sqlite_errors(self.where), closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as session:
            session.execute("DROP TABLE IF EXISTS orders")
            session.execute(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, amount REAL, status TEXT,"
                " note TEXT)"
            )
            session.execute(
                "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
                " INSERT INTO orders SELECT n, n % 977, n % 1000 + 0.5, 'new', ? FROM numbers",
                (rows, NOTE),
            )
            session.commit()

    @contextmanager
    def client(self) -> Iterator[SqliteScratchClient]:
        # A thread of the process may end what another began.
        session = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        with closing(session), sqlite_errors(self.where):
            session.execute("PRAGMA synchronous = normal")
            yield SqliteScratchClient(session)


class SqliteScratchClient:
    def __init__(self, session: sqlite3.Connection) -> None:
        self._session = session

    def insert(self, key: int) -> bool:
        return self._run(
            f"INSERT INTO orders ({COLUMNS}) VALUES (?, ?, 9.99, 'new', ?)", key, key % 977, NOTE
        )

    def select(self, key: int) -> bool:
        found = self._session.execute(f"SELECT {COLUMNS} FROM orders WHERE id = ?", (key,))
        return found.fetchone() is not None

    def update(self, key: int) -> bool:
        return self._run("UPDATE orders SET amount = amount + 1, status = 'sent' WHERE id = ?", key)

    def delete(self, key: int) -> bool:
        return self._run("DELETE FROM orders WHERE id = ?", key)

    def _run(self, statement: str, *values: object) -> bool:
        return self._session.execute(statement, values).rowcount == 1
