"""Several id ranges of a table are brought forward at once, each by one thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.errors import NotLoaded
from replication_assets.flows.project_beside import Lane, Projected, project_ranges
from replication_assets.flows.read import ranges_of
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    built = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(10))])
    built.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT g, g FROM generate_series(1, 59) g",
    )
    built.prepare()
    return built


def projected(system: System, lanes: int) -> Projected:
    table = system.table("t")
    snapshot = system.store.log(table.id).snapshot()
    made = [Lane(system.target(table.id), None) for _ in range(lanes)]
    return project_ranges(snapshot, table.id, ranges_of(snapshot), made)


def test_every_range_is_brought_forward_once_by_any_number_of_lanes(system: System) -> None:
    system.load_all()
    system.capture()
    filled = projected(system, 3)
    assert {each.how for each in filled.done.values()} == {"replaced"}
    assert len(filled.done) == 6
    assert sum(each.rows for each in filled.done.values()) == 59
    system.execute("UPDATE t SET v = -v WHERE id % 3 = 0", "DELETE FROM t WHERE id % 7 = 0")
    system.capture()
    assert {each.how for each in projected(system, 9).done.values()} == {"applied"}
    system.finish()


def test_a_range_that_fails_keeps_no_other_from_being_brought_forward(system: System) -> None:
    table = system.table("t")
    for id_range in system.ranges(table)[1:]:
        system.load_range(table, id_range)
    system.execute("UPDATE t SET v = -v WHERE id = 1")
    system.capture()
    result = projected(system, 3)
    (failure,) = result.failed.values()
    assert isinstance(failure, NotLoaded)
    assert len(result.done) == 5
