"""A column that changes its type begins a new chapter: history stays, and nothing is coerced."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import Table
from replication_assets.errors import NotLoaded
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    built = system_of(database, tmp_path, [Table("app.public.t")])
    built.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 10), (2, 20)")
    built.prepare()
    built.load_all()
    built.finish()
    return built


RETYPE = "ALTER TABLE t ALTER v TYPE text USING v || ' as text'"


def test_a_retyped_column_goes_on_in_a_new_chapter_once_it_is_loaded_again(system: System) -> None:
    system.execute("UPDATE t SET v = 11 WHERE id = 1", RETYPE, "UPDATE t SET v = 'twelve' WHERE id = 1")
    system.capture()
    table = system.table("t").id
    assert system.store.chapters(table) == 2
    with pytest.raises(NotLoaded):
        project_range(
            system.store.log(table).snapshot(), table, system.target(table), system.table("t").id_ranges.at(0)
        )
    system.load_all()
    system.target(table).reset(system.table("t").schema)
    system.finish()
    old = system.store.log(table, chapter=1).snapshot()
    values = [old.events(r.key).to_table().column("v").to_pylist() for r in ranges_of(old)]
    assert sorted(v for value in values for v in value) == [10, 11, 20]


def test_types_that_change_within_one_transaction_keep_each_event_in_its_own_chapter(system: System) -> None:
    with system.sql() as session, session.transaction():
        session.execute("INSERT INTO t VALUES (3, 30)")
        session.execute(RETYPE)
        session.execute("INSERT INTO t VALUES (4, 'forty')")
    system.capture()
    table = system.table("t").id
    first, second = (
        system.store.log(table, chapter=n).snapshot().events("r000000").to_table() for n in (1, 2)
    )
    assert sorted(first.column("v").to_pylist()) == [10, 20, 30]
    assert second.column("v").to_pylist() == ["forty"]
    system.load_all()
    system.target(table).reset(system.table("t").schema)
    system.finish()


def test_a_load_that_meets_the_new_type_first_begins_the_chapter(system: System) -> None:
    system.execute(RETYPE)
    system.load_all()
    table = system.table("t").id
    assert system.store.chapters(table) == 2
    system.execute("UPDATE t SET v = 'later' WHERE id = 2")
    system.capture()
    system.load_all()
    system.target(table).reset(system.table("t").schema)
    system.finish()
