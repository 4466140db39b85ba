"""Two of a kind at once, started at a barrier in processes of their own: one wins or both agree."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from replication_assets.errors import CommitConflict, SlotBusy
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.e2e.workers import finish_with, start
from replication_assets_tests.faults.kills import STEPS, check_promises, durable
from replication_assets_tests.faults.systems import FaultySystem, T, lake_system, served_system
from replication_assets_tests.postgres_servers import FreshDatabase

OVERTAKEN = 7
"""Exit code of one that was told that another came first: a scheduler starts it again."""
SPAWN = multiprocessing.get_context("spawn")


def _load(system: FaultySystem) -> None:
    table = system.table("t")
    system.load_range(table, system.ranges(table)[1])


def _capture(system: FaultySystem) -> None:
    system.capture()


def _project(system: FaultySystem) -> None:
    system.project(system.table("t"))


STARTED: dict[str, Callable[[FaultySystem], None]] = {
    "load": _load,
    "capture": _capture,
    "compact": STEPS["compact"].run,
    "project": _project,
    "rebuild": STEPS["fill"].run,
}


def _at_the_barrier(system: FaultySystem, name: str, barrier: Barrier) -> None:
    system.store.log(T).snapshot()
    barrier.wait(50)
    try:
        STARTED[name](system)
    except (CommitConflict, SlotBusy):
        sys.exit(OVERTAKEN)


def together(system: FaultySystem, *names: str) -> list[int]:
    """Exit codes of steps that were started at one moment; none but those that a scheduler knows."""
    before = durable(system)
    barrier = SPAWN.Barrier(len(names))
    processes = [start(_at_the_barrier, system, name, barrier) for name in names]
    codes = [finish_with(process) for process in processes]
    assert set(codes) <= {0, OVERTAKEN}, codes
    check_promises(system, before)
    return codes


@pytest.fixture
def lake(database: FreshDatabase, tmp_path: Path) -> FaultySystem:
    made = lake_system(database, tmp_path)
    made.project()
    made.change()
    return made


@pytest.mark.full
def test_two_loads_of_one_range_are_two_generations_of_the_same_rows(lake: FaultySystem) -> None:
    assert together(lake, "load", "load") == [0, 0]
    lake.check_all()


def test_of_two_captures_one_has_the_slot_and_the_other_is_told(lake: FaultySystem) -> None:
    assert 0 in together(lake, "capture", "capture")
    lake.check_all()


@pytest.mark.full
def test_of_two_compactions_one_rewrites_and_the_other_leaves_it(lake: FaultySystem) -> None:
    STEPS["compact"].prepare(lake)
    assert together(lake, "compact", "compact") == [0, 0]
    lake.check_all()


@pytest.mark.full
def test_of_two_projections_of_one_range_one_wins_or_both_agree(lake: FaultySystem) -> None:
    lake.capture()
    assert 0 in together(lake, "project", "project")
    lake.change()
    lake.capture()
    together(lake, "rebuild", "project")
    lake.check_all()


@pytest.mark.full
@pytest.mark.parametrize("dynamodb", ["moto_dynamodb", "dynamodb_local"], indirect=True)
def test_of_two_projections_of_items_one_wins_or_both_agree(
    database: FreshDatabase, tmp_path: Path, dynamodb: DynamoDbServer
) -> None:
    served = served_system(database, tmp_path, dynamodb)
    assert 0 in together(served, "project", "project")
    served.change()
    served.capture()
    assert 0 in together(served, "project", "project")
    served.change()
    served.capture()
    together(served, "rebuild", "project")
    served.check_all()


def test_capture_compaction_projection_and_load_do_not_mind_each_other(lake: FaultySystem) -> None:
    STEPS["compact"].prepare(lake)
    lake.change()
    assert together(lake, "capture", "compact", "project", "load") == [0, 0, 0, 0]
    lake.check_all()
