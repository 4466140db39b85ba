"""kill -9 at every step of a capture, a load and a projection: the next run mends it by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets_tests.e2e.system import System, audit, check_changes, system_of
from replication_assets_tests.e2e.workers import Crash, capture_step, load_step, project_step, run_and_crash
from replication_assets_tests.postgres_servers import FreshDatabase

CAPTURE = [
    Crash("writer", "write", "after"),
    Crash("delta", "commit", "before"),
    Crash("writer", "commit", "after", 1),  # between the commits of two tables
    Crash("writer", "commit", "after", 2),  # all tables, not the ledger
    Crash("ledger", "record", "before"),
    Crash("ledger", "record", "after"),
    Crash("stream", "acknowledge", "after"),
]
LOAD = [
    Crash("writer", "write", "after"),
    Crash("writer", "commit", "before"),
    Crash("delta", "commit", "before"),
    Crash("delta", "commit", "after"),
]
PROJECTION = [
    Crash("projection", "commit", "before", 1),
    Crash("projection", "commit", "after", 1),
    Crash("projection", "commit", "before", 2),
]


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    """Two audited tables, loaded, with changes that nobody captured yet."""
    made = system_of(
        database,
        tmp_path,
        [Table("app.public.t", id_ranges=ByCount(3)), Table("app.public.u", id_ranges=ByCount(2))],
    )
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "CREATE TABLE u (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 300) i",
        "INSERT INTO u SELECT i, 0 FROM generate_series(1, 300) i",
    )
    made.prepare()
    audit(made, "t")
    return made


def changed(system: System) -> None:
    system.execute(
        "UPDATE t SET v = v + 1 WHERE id % 3 = 0",
        "BEGIN; INSERT INTO u SELECT max(id) + 1, 1 FROM u;"
        " UPDATE t SET id = (SELECT max(id) + 1 FROM t) WHERE id = (SELECT min(id) FROM t); COMMIT",
        "DELETE FROM t WHERE id BETWEEN 100 AND 120",
        "UPDATE u SET v = v + 1 WHERE id < 50",
    )


@pytest.mark.parametrize("crash", CAPTURE, ids=str)
def test_a_killed_capture_leaves_nothing_lost_and_nothing_twice(system: System, crash: Crash) -> None:
    system.load_all()
    changed(system)
    run_and_crash(capture_step, system, crash)
    changed(system)
    system.finish()
    check_changes(system, system.table("t").id)


def test_a_killed_load_was_never_there_or_is_whole(system: System) -> None:
    table = system.table("t")
    for crash in LOAD:
        changed(system)
        run_and_crash(load_step, system, crash, table.id, system.ranges(table)[1])
    changed(system)
    system.load_all()
    changed(system)
    system.finish()
    check_changes(system, table.id)


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_a_killed_projection_goes_on_from_its_checkpoint(system: System, filled: bool) -> None:
    system.load_all()
    if filled:
        system.project()
    for crash in PROJECTION:
        changed(system)
        system.capture()
        run_and_crash(project_step, system, crash)
    system.finish()


def test_captures_killed_at_every_step_in_a_row(system: System) -> None:
    system.load_all()
    for crash in CAPTURE:
        changed(system)
        run_and_crash(capture_step, system, crash)
    system.finish()
    check_changes(system, system.table("t").id)


RETYPED = [
    Crash("writer", "commit", "after", 1),
    Crash("ledger", "record", "before"),
]


@pytest.mark.parametrize("crash", RETYPED, ids=str)
def test_a_capture_killed_while_a_type_changes_keeps_every_event_once(system: System, crash: Crash) -> None:
    """The change begins a new chapter of the log: events of both types are told again."""
    system.load_all()
    changed(system)
    system.execute("ALTER TABLE t ALTER v TYPE text USING v::text", "UPDATE t SET v = 'x' WHERE id % 5 = 0")
    run_and_crash(capture_step, system, crash)
    system.execute("INSERT INTO t VALUES (5000, 'y')")
    system.capture()
    table = system.table("t")
    check_changes(system, table.id)
    assert system.store.chapters(table.id) == 2
    system.load_all()
    system.target(table.id).reset(table.schema)
    system.finish()
