"""Partitions that come or go between two captures are noticed by the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import Table
from replication_assets.errors import NeedsReload
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

LEAF = "CREATE TABLE {0} PARTITION OF t FOR VALUES FROM ({1}) TO ({2})"


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    built = system_of(database, tmp_path, [Table("app.public.t")])
    built.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
        LEAF.format("t_low", 0, 100),
        LEAF.format("t_high", 100, 200),
        "INSERT INTO t SELECT g, 'v' FROM generate_series(0, 199) g",
    )
    built.prepare()
    built.load_all()
    built.capture()
    return built


@pytest.mark.parametrize("statement", ["ALTER TABLE t DETACH PARTITION t_high", "DROP TABLE t_high"])
def test_rows_that_left_with_a_partition_are_not_served_until_loaded_again(
    system: System, statement: str
) -> None:
    system.execute(statement)
    system.capture()
    with pytest.raises(NeedsReload, match=r"partition public.t_high was detached or dropped"):
        system.project()
    system.load_all()
    system.finish()


def test_rows_that_came_with_an_attached_partition_are_not_missed(system: System) -> None:
    system.execute(
        "CREATE TABLE filled (id int NOT NULL, v text)",
        "INSERT INTO filled SELECT g, 'f' FROM generate_series(200, 250) g",
        "ALTER TABLE filled ADD PRIMARY KEY (id)",
        "ALTER TABLE t ATTACH PARTITION filled FOR VALUES FROM (200) TO (300)",
    )
    system.capture()
    with pytest.raises(NeedsReload, match=r"partition public.filled was attached"):
        system.project()
    system.load_all()
    system.finish()


def test_a_partition_that_began_empty_needs_no_reload(system: System) -> None:
    system.execute(LEAF.format("t_next", 200, 300), "INSERT INTO t VALUES (250, 'new')")
    system.finish()
    system.capture()
    system.finish()
