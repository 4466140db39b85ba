"""Sources and application sessions on fresh databases of a real MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from replication_assets.core.schema import TableId
from replication_assets.sources.mysql import MySqlConnection, MySqlSource
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a server, and what a test does in it as an application."""

    server: MariaDbServer
    name: str

    @property
    def connection(self) -> MySqlConnection:
        return MySqlConnection(self.server.host, self.server.user, port=self.server.port)

    def source(self, **settings: Any) -> MySqlSource:
        return MySqlSource("shop", self.connection, **{"load_wait": 5, **settings})

    def table(self, name: str) -> TableId:
        return TableId("shop", self.name, name)

    def session(self, **settings: Any) -> pymysql.connections.Connection:
        return self.server.connect(database=self.name, **settings)

    def run(self, *statements: str) -> None:
        """Each statement on its own, committed."""
        with closing(self.session()) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture
def database(mariadb_with_binlog: MariaDbServer) -> Iterator[Database]:
    """A database that nobody has yet; it goes with the test."""
    with fresh_prefix(mariadb_with_binlog) as prefix:
        found = Database(mariadb_with_binlog, f"{prefix.prefix}db")
        with closing(mariadb_with_binlog.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{found.name}` CHARACTER SET utf8mb4")
        yield found
