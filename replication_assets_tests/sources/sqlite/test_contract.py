"""The contract of change sources, on a database file with either kind of journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets_tests.contracts.change_source import ChangeSourceContract
from replication_assets_tests.sources.sqlite.places import SqlitePlace


class TestWriteAheadLog(ChangeSourceContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace.at(tmp_path / "app.db", "wal")


class TestRollbackJournal(ChangeSourceContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace.at(tmp_path / "app.db", "delete")
