"""Fresh targets of each engine, and the ways around them."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import TableId
from replication_assets.targets.sql.mysql import MySqlServer
from replication_assets.targets.sql.postgres import TargetConnection
from replication_assets.targets.sql.projection import SqlTarget
from replication_assets.targets.sql.projection.database import Database
from replication_assets.targets.sql.projection.mysql import MySqlDatabase
from replication_assets.targets.sql.projection.postgres import PostgresDatabase
from replication_assets.targets.sql.projection.sqlite import SqliteDatabase
from replication_assets_tests.mysql_servers import MariaDbPrefix
from replication_assets_tests.postgres_servers import FreshDatabase

ORDERS = TableId("shop", "public", "orders")


class SqlPlace(ABC):
    """A target, and statements of somebody who knows nothing of us."""

    database: Database
    table: TableId
    target: SqlTarget
    options: dict[str, Any]

    def __post_init__(self) -> None:
        self.database = self.opened()
        self.target = SqlTarget(self.database, self.table, **self.options)

    def stored(self, id_range: str) -> pa.Table:
        rows = pa.Table.from_batches(self.target.read())
        return rows.filter(pa.compute.equal(rows[ID_RANGE], id_range))

    def empty(self) -> None:
        self.run(f"DELETE FROM {self.name}")

    @property
    def name(self) -> str:
        return f'"{self.table.schema}"."{self.table.name}"'

    @abstractmethod
    def opened(self) -> Database:
        """The database anew, for a process of its own."""

    @abstractmethod
    def run(self, statement: str) -> list[tuple[Any, ...]]: ...


@dataclass
class SqlitePlace(SqlPlace):
    folder: Path
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        return SqliteDatabase(self.folder)

    @property
    def name(self) -> str:
        return f'"{self.table.name}"'

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        path = self.folder / f"{self.table.schema}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()


@dataclass
class PostgresPlace(SqlPlace):
    fresh: FreshDatabase
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        return PostgresDatabase(postgres_login(self.fresh))

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.fresh.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def postgres_login(fresh: FreshDatabase) -> TargetConnection:
    parts = conninfo_to_dict(fresh.dsn)
    return TargetConnection(
        str(parts["host"]),
        str(parts["dbname"]),
        str(parts["user"]),
        port=int(str(parts["port"])),
        sslmode="prefer",
    )


@dataclass
class MariaDbPlace(SqlPlace):
    fresh: MariaDbPrefix
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        server = self.fresh.server
        login = MySqlServer(server.host, server.user, server.port)
        return MySqlDatabase(login, prefix=self.fresh.prefix)

    @property
    def name(self) -> str:
        return f"`{self.fresh.prefix}{self.table.schema}`.`{self.table.name}`"

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(self.fresh.server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
