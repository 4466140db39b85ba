"""kill -9 of a capture that meets a changed type, which ends one chapter of the log and begins another."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets_tests.e2e.system import check_changes
from replication_assets_tests.faults.kills import STEPS, die
from replication_assets_tests.faults.systems import T, lake_system
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.mark.full
@pytest.mark.parametrize("place", STEPS["capture"].places)
def test_a_capture_killed_while_a_type_changes_keeps_every_event_once(
    database: FreshDatabase, tmp_path: Path, place: str
) -> None:
    """Events before and after the change are told again, each in its own chapter."""
    system = lake_system(database, tmp_path)
    system.change()
    system.execute("ALTER TABLE t ALTER v TYPE text USING v::text", "UPDATE t SET v = 'x' WHERE id % 5 = 0")
    die(system, "retyping", place)
    system.execute("INSERT INTO t VALUES (5000, 'y', NULL)")
    system.capture()
    check_changes(system, T)
    assert system.store.chapters(T) == 2
    system.load_all()
    system.target(T).reset(system.table("t").schema)
    system.finish()
