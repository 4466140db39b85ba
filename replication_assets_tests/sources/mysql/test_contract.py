"""The contract of change sources, on a MariaDB that is captured from its binlog."""

from __future__ import annotations

import pytest

from replication_assets_tests.contracts.whole_log import WholeLogContract
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.places import MySqlPlace


class TestBinlog(WholeLogContract):
    @pytest.fixture
    def place(self, database: Database) -> MySqlPlace:
        return MySqlPlace(database)
