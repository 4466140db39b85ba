"""Restores as the runbook has them: of the event store, of a part of it, of a target."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from replication_assets.errors import SlotLost, StoreCorrupt
from replication_assets_tests.e2e.cutovers import bank
from replication_assets_tests.e2e.system import System
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    return bank(database, tmp_path, switch=None, back=None)


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name(f"{folder.name}.copy")))


def replaced(folder: Path, copy: Path) -> None:
    shutil.rmtree(folder)
    copy.rename(folder)


def test_an_event_store_from_a_backup_is_found_out_recovered_and_loaded(
    system: System, tmp_path: Path
) -> None:
    copy = copied(tmp_path / "event_store")
    system.execute("UPDATE accounts SET owner = 'after the backup' WHERE id < 50")
    system.capture()
    system.project()
    replaced(tmp_path / "event_store", copy)
    with pytest.raises(SlotLost, match="past the last durable commit"):
        system.capture()
    system.recover()
    system.load_all()
    system.finish()


def test_an_event_store_that_is_gone_is_set_up_and_loaded_again(system: System, tmp_path: Path) -> None:
    system.execute("DELETE FROM accounts WHERE id = 700")
    shutil.rmtree(tmp_path / "event_store")
    system.prepare()
    system.load_all()
    system.execute("UPDATE accounts SET owner = 'later' WHERE id = 1")
    system.finish()


def test_a_file_of_the_event_store_that_is_gone_is_named_and_a_load_mends_its_range(
    system: System, tmp_path: Path
) -> None:
    files = sorted((tmp_path / "event_store").glob("app/public.accounts/_id_range=r000001/**/*.parquet"))
    assert files
    for file in files:
        file.unlink()
    table = system.table("accounts")
    with pytest.raises(StoreCorrupt, match=r"file .*_id_range=r000001.*\.parquet.* is missing"):
        system.in_store(table.id)
    system.load_range(table, table.id_ranges.at(1))
    assert system.in_store(table.id) == system.in_source(table.id, table.schema)


def test_a_target_from_a_backup_or_gone_is_brought_up_again(system: System, tmp_path: Path) -> None:
    copy = copied(tmp_path / "lakehouse")
    system.execute("DELETE FROM accounts WHERE id % 3 = 0")
    system.capture()
    system.project()
    replaced(tmp_path / "lakehouse", copy)
    system.finish()
    shutil.rmtree(tmp_path / "lakehouse")
    system.finish()
