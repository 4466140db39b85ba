"""The contract of targets, and what else projections into SQL databases promise, against a real SQL Server:
`make test-sqlserver`, and nothing else, runs it.

SQLSERVER_URL is that of the contract of sources. Schemas `copied`, `s` and some more are made in its
database, and dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from replication_assets.core.schema import TableId
from replication_assets.targets.sql.projection.database import Database
from replication_assets.targets.sql.projection.sqlserver import SqlServerDatabase, SqlServerLogin, statements
from replication_assets.targets.sql.projection.sqlserver.names import named, quoted, text
from replication_assets_tests.contracts.projection_target import (
    ProjectionTargetContract,
    random_histories_equal_a_dict,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.sources.sqlserver.against_server import connection
from replication_assets_tests.targets.sql.projection import test_faults, test_types
from replication_assets_tests.targets.sql.projection.engines import Places, asking_for_places
from replication_assets_tests.targets.sql.projection.places import ORDERS, SqlPlace

_OWN = "name NOT IN (N'dbo', N'sys', N'guest', N'INFORMATION_SCHEMA', N'cdc') AND schema_id < 16384"


globals().update(asking_for_places(test_types, test_faults))


@dataclass
class SqlServerPlace(SqlPlace):
    login: SqlServerLogin
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        # A role has the name of the contract's schema.
        return SqlServerDatabase(self.login, into="copied" if self.table.schema == "public" else None)

    @property
    def name(self) -> str:
        return named(self.database.place(self.table))

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """As an application that the triggers do not know."""
        with closing(self.login.open()) as session:
            key = text(statements.WRITER)
            session.run(f"EXEC sp_set_session_context @key = {key}, @value = NULL")
            if statement.startswith("SELECT"):
                return session.rows(statement)
            session.run(statements.READ_COMMITTED)
            session.run(statement)
            return []


def _emptied(login: SqlServerLogin) -> None:
    with closing(login.open()) as session:
        session.run(statements.READ_COMMITTED)
        for (schema,) in session.rows(f"SELECT name FROM sys.schemas WHERE {_OWN}"):
            tables = f"SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID({text(schema)})"
            found = [str(row[0]) for row in session.rows(tables)]
            for table in found:
                keys = "SELECT name FROM sys.foreign_keys WHERE parent_object_id = OBJECT_ID({})"
                name = quoted(str(schema), table)
                for (key,) in session.rows(keys.format(text(name))):
                    session.run(f"ALTER TABLE {name} DROP CONSTRAINT {quoted(str(key))}")
            for table in found:
                session.run(statements.drop_table(quoted(str(schema), table)))
            session.run(f"DROP SCHEMA {quoted(str(schema))}")


@pytest.fixture
def login() -> Iterator[SqlServerLogin]:
    given = connection()
    found = SqlServerLogin(
        given.host,
        given.database,
        given.user,
        given.password,
        given.port,
        given.encrypt,
        given.trust_server_certificate,
    )
    with closing(given.connect()) as session:
        session.run("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
    _emptied(found)
    yield found
    _emptied(found)


@pytest.fixture
def places(login: SqlServerLogin) -> Places:
    return lambda table: SqlServerPlace(login, table)


class TestSqlServer(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, login: SqlServerLogin) -> SqlServerPlace:
        return SqlServerPlace(login)


def test_any_history_in_any_pieces_equals_a_dict(login: SqlServerLogin) -> None:
    count = iter(range(10**6))
    random_histories_equal_a_dict(lambda: SqlServerPlace(login, TableId("shop", "s", f"t{next(count)}")))
