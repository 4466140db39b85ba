"""A scratch database of a MySQL or MariaDB server; see `ports.scratch`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from replication_assets.core.schema import TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports.scratch import COLUMNS, NOTE, SCRATCH
from replication_assets.sources.mysql.connection import (
    MySqlConnection,
    Session,
    connected,
    literal,
    source_errors,
)

_TABLE = f"{SCRATCH}.orders"


@dataclass(frozen=True, slots=True)
class MySqlScratch:
    connection: MySqlConnection

    @property
    def where(self) -> str:
        return self.connection.where

    def table(self, source: str) -> TableId:
        return TableId(source, SCRATCH, "orders")

    def create(self) -> None:
        with connected(self.connection) as session:
            if session.rows(f"SHOW DATABASES LIKE {literal(SCRATCH)}"):
                raise SourceNotReady(
                    f"database {SCRATCH} exists already",
                    where=self.where,
                    fix=f"if an earlier run left it: DROP DATABASE {SCRATCH}",
                )
            session.rows(f"CREATE DATABASE {SCRATCH} CHARACTER SET utf8mb4")

    def remove(self) -> None:
        with connected(self.connection) as session:
            session.rows(f"DROP DATABASE IF EXISTS {SCRATCH}")

    def fill(self, rows: int) -> None:
        with connected(self.connection, statement_seconds=0) as session:
            session.rows(f"DROP TABLE IF EXISTS {_TABLE}")
            session.rows(
                f"CREATE TABLE {_TABLE} (id BIGINT PRIMARY KEY, customer_id BIGINT, amount DECIMAL(12,2),"
                " status VARCHAR(20), note VARCHAR(200)) ENGINE = InnoDB"
            )
            session.rows(f"INSERT INTO {_TABLE} VALUES (1, 1, 1, 'new', {literal(NOTE)})")
            there = 1
            while there < rows:
                session.rows(
                    f"INSERT INTO {_TABLE} SELECT id + {there}, (id + {there}) % 977, amount, status, note"
                    f" FROM {_TABLE} WHERE id <= {rows - there}"
                )
                there = min(rows, 2 * there)

    @contextmanager
    def client(self) -> Iterator[MySqlScratchClient]:
        with connected(self.connection, statement_seconds=0) as session:
            yield MySqlScratchClient(session)


class MySqlScratchClient:
    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, key: int) -> bool:
        values = f"{key}, {key % 977}, 9.99, 'new', {literal(NOTE)}"
        return self._run(f"INSERT INTO {_TABLE} ({COLUMNS}) VALUES ({values})")

    def select(self, key: int) -> bool:
        return self._run(f"SELECT {COLUMNS} FROM {_TABLE} WHERE id = {key}")

    def update(self, key: int) -> bool:
        return self._run(f"UPDATE {_TABLE} SET amount = amount + 1, status = 'sent' WHERE id = {key}")

    def delete(self, key: int) -> bool:
        return self._run(f"DELETE FROM {_TABLE} WHERE id = {key}")

    def _run(self, statement: str) -> bool:
        with source_errors(self._session.where):
            return bool(self._session.query(statement) == 1)
