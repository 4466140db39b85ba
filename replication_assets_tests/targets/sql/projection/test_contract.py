"""Projections into SQL databases: the contract of all targets, on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replication_assets.core.schema import TableId
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets_tests.contracts.projection_target import (
    ProjectionTargetContract,
    random_histories_equal_a_dict,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.mysql_servers import MariaDbPrefix
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.targets.sql.projection.places import MariaDbPlace, PostgresPlace, SqlitePlace


class TestSqlite(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace(tmp_path)


def test_any_history_in_any_pieces_equals_a_dict_in_sqlite(tmp_path: Path) -> None:
    count = iter(range(10**6))
    random_histories_equal_a_dict(lambda: SqlitePlace(tmp_path / str(next(count))))


class TestPostgres(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, database: FreshDatabase) -> PostgresPlace:
        return PostgresPlace(database)


@pytest.mark.full
class TestOldestPostgres(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, postgres_15: PostgresServer) -> Iterator[PostgresPlace]:
        with fresh_database(postgres_15) as database:
            yield PostgresPlace(database)


def test_any_history_in_any_pieces_equals_a_dict_in_postgres(database: FreshDatabase) -> None:
    count = iter(range(10**6))
    random_histories_equal_a_dict(lambda: PostgresPlace(database, TableId("shop", "s", f"t{next(count)}")))


class TestMariaDb(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, mariadb_prefix: MariaDbPrefix) -> MariaDbPlace:
        return MariaDbPlace(mariadb_prefix)


def test_any_history_in_any_pieces_equals_a_dict_in_mariadb(mariadb_prefix: MariaDbPrefix) -> None:
    count = iter(range(10**6))
    random_histories_equal_a_dict(
        lambda: MariaDbPlace(mariadb_prefix, TableId("shop", "s", f"t{next(count)}"))
    )
