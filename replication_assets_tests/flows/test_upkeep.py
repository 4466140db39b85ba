"""Files stay few while captures add them, and no row is lost or doubled by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import Table
from replication_assets.core.schema import TableId
from replication_assets.flows import upkeep
from replication_assets.flows.capture import FlushPolicy, FlushReceipt, capture
from replication_assets.flows.upkeep import RunningCompaction, tidy_log, tidy_target
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId("app", "public", "t")


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    built = system_of(database, tmp_path, [Table("app.public.t")])
    built.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    built.prepare()
    built.load_all()
    return built


def active_files(system: System) -> int:
    snapshot = system.store.log(T).snapshot()
    return sum(len(list(snapshot.events(key).get_fragments())) for key in snapshot.range_keys())


def test_a_running_capture_compacts_what_it_writes(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FILES_BEFORE_COMPACTION", 10)
    compaction = RunningCompaction(system.store)
    flushes = []

    def on_flush(receipt: FlushReceipt) -> None:
        flushes.append(receipt)
        compaction.count(receipt)

    for key in range(40):
        system.execute(f"INSERT INTO t VALUES ({key}, 'v')")
        head = system.source.status().head
        capture(
            system.source, system.store, system.tables(), upto=head, policy=FlushPolicy(), on_flush=on_flush
        )
    compaction.close()
    assert sum(receipt.rows for receipt in flushes) == 40
    assert active_files(system) < 30
    system.finish()


def test_tidying_rewrites_small_files_and_keeps_every_row(system: System) -> None:
    for key in range(12):
        system.execute(f"INSERT INTO t VALUES ({key}, 'v')")
        system.capture()
    before = active_files(system)
    done = list(tidy_log(system.store, T))
    assert "small files rewritten" in done[0]
    assert active_files(system) < before
    system.finish()


def test_a_target_that_was_never_filled_has_nothing_to_tidy(system: System) -> None:
    assert list(tidy_target(system.target(T), "lake")) == []
