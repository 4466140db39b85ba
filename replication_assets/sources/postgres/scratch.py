"""A scratch schema of a PostgreSQL database; see `ports.scratch`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core.schema import TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports.scratch import COLUMNS, NOTE, SCRATCH
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors

_TABLE = f"{SCRATCH}.orders"


@dataclass(frozen=True, slots=True)
class PostgresScratch:
    connection: PostgresConnection

    @property
    def where(self) -> str:
        return self.connection.where

    def table(self, source: str) -> TableId:
        return TableId(source, SCRATCH, "orders")

    def create(self) -> None:
        with connect(self.connection) as session, source_errors(self.where):
            found = session.execute("SELECT FROM pg_namespace WHERE nspname = %s", (SCRATCH,)).fetchone()
            if found is not None:
                raise SourceNotReady(
                    f"schema {SCRATCH} exists already",
                    where=self.where,
                    fix=f"if an earlier run left it: DROP SCHEMA {SCRATCH} CASCADE",
                )
            session.execute(f"CREATE SCHEMA {SCRATCH}".encode())

    def remove(self) -> None:
        with connect(self.connection) as session, source_errors(self.where):
            session.execute(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE".encode())

    def fill(self, rows: int) -> None:
        with connect(self.connection) as session, source_errors(self.where):
            session.execute(f"DROP TABLE IF EXISTS {_TABLE}".encode())
            session.execute(
                f"CREATE TABLE {_TABLE} (id bigint PRIMARY KEY, customer_id bigint, amount numeric(12,2),"
                " status varchar(20), note varchar(200))".encode()
            )
            session.execute(
                f"INSERT INTO {_TABLE} SELECT n, n %% 977, n %% 1000, 'new', %s"
                " FROM generate_series(1, %s) AS n".encode(),
                (NOTE, rows),
            )
            session.execute(f"VACUUM ANALYZE {_TABLE}".encode())

    @contextmanager
    def client(self) -> Iterator[PostgresScratchClient]:
        with connect(self.connection, statement_timeout="0") as session, source_errors(self.where):
            yield PostgresScratchClient(session)


class PostgresScratchClient:
    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session

    def insert(self, key: int) -> bool:
        return self._run(
            f"INSERT INTO {_TABLE} ({COLUMNS}) VALUES (%s, %s, 9.99, 'new', %s)", key, key % 977, NOTE
        )

    def select(self, key: int) -> bool:
        return self._run(f"SELECT {COLUMNS} FROM {_TABLE} WHERE id = %s", key)

    def update(self, key: int) -> bool:
        return self._run(f"UPDATE {_TABLE} SET amount = amount + 1, status = 'sent' WHERE id = %s", key)

    def delete(self, key: int) -> bool:
        return self._run(f"DELETE FROM {_TABLE} WHERE id = %s", key)

    def _run(self, statement: str, *values: object) -> bool:
        return self._session.execute(statement.encode(), values).rowcount == 1
