"""Capture by triggers on PostgreSQL, killed at every place of a step, and what validation says."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets_tests.e2e.system import SOURCE, System, audit, check_changes, system_of
from replication_assets_tests.e2e.workers import capture_step, run_and_die
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
PLACES = ("capture.recorded", "capture.tables_committed", "capture.table_committed", "capture.acknowledged")


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    tables = [Table("app.public.t", id_ranges=ByWidth(100)), Table("app.public.u")]
    made = system_of(database, tmp_path, tables, capture="triggers")
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "CREATE TABLE u (id int PRIMARY KEY, v int)",
        "INSERT INTO u VALUES (501, 1)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 250) i",
    )
    made.prepare()
    audit(made, "t")
    made.load_all()
    return made


@pytest.mark.parametrize(
    "place", [PLACES[0], *(pytest.param(each, marks=pytest.mark.full) for each in PLACES[1:])]
)
def test_a_capture_that_is_killed_is_gone_on_with(system: System, place: str) -> None:
    system.execute(
        "UPDATE t SET v = 1 WHERE id < 120", "INSERT INTO u SELECT i, i FROM generate_series(1, 50) i"
    )
    run_and_die(place, capture_step, system)
    system.execute("DELETE FROM t WHERE id % 3 = 0", "UPDATE u SET id = id + 1000 WHERE id < 10")
    system.finish()
    check_changes(system, T)


def test_a_log_that_is_lost_is_recovered_by_loads(system: System) -> None:
    system.execute("UPDATE t SET v = 1")
    system.source.teardown()
    system.execute("DELETE FROM t WHERE id < 50", "UPDATE t SET v = 2 WHERE id > 200")
    system.recover()
    system.load_all()
    system.execute("UPDATE t SET v = v + 1 WHERE id < 100")
    system.finish()
    system.source.teardown()
    assert system.source.remains() == ()
