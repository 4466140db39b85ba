"""The contract of change sources, on a database whose log is read and on one that triggers log."""

from __future__ import annotations

import pytest

from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.source import PostgresSource
from replication_assets.sources.postgres.triggers.source import TriggerSource
from replication_assets_tests.contracts.change_source import ChangeSourceContract
from replication_assets_tests.postgres_servers import OLDEST_IN_FULL, FreshDatabase
from replication_assets_tests.sources.postgres.places import PostgresPlace


class TestLog(ChangeSourceContract):
    @pytest.fixture
    def place(self, database: FreshDatabase) -> PostgresPlace:
        source = PostgresSource("app", PostgresConnection.parse(database.dsn), slot=database.name)
        return PostgresPlace(database, source, by_log=True)


# The triggers are the same on every version; those of partitions are tested on both.
@OLDEST_IN_FULL
class TestTriggers(ChangeSourceContract):
    @pytest.fixture
    def place(self, any_postgres_database: FreshDatabase) -> PostgresPlace:
        source = TriggerSource("app", PostgresConnection.parse(any_postgres_database.dsn), load_wait=20)
        return PostgresPlace(any_postgres_database, source, by_log=False)
