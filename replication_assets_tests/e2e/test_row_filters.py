"""Tables with a row filter, from a real server to a lakehouse: what the contract of sources leaves open."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import DeltaProjection, Table
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableSchema
from replication_assets.core.shape_specs import Shape
from replication_assets.errors import CatalogError, SchemaConflict
from replication_assets.flows.check import check
from replication_assets.flows.read import fold_range
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

SMALL = [Where("v", [Compare("lte", ["10"])])]
LARGE = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 3000) n)"


def filtered(database: FreshDatabase, folder: Path, where: list[Where] = SMALL) -> System:
    return system_of(database, folder, [Table("app.public.t", where=where)])


def ready(system: System) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    system.project()


def copied(system: System) -> list[dict[str, Any]]:
    system.capture()
    system.project()
    rows = [row for batch in system.target(system.table("t").id).read() for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: int(row["id"]))


def loaded(system: System) -> int:
    snapshot = system.store.log(system.table("t").id).snapshot()
    (load,) = snapshot.controls().loads[-1:]
    return load.rows


@pytest.mark.parametrize(("identity", "read"), [("DEFAULT", 2), ("FULL", 1)])
def test_a_row_with_a_large_value_comes_into_the_filter_whole(
    database: FreshDatabase, tmp_path: Path, identity: str, read: int
) -> None:
    system = filtered(database, tmp_path)
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, body text)",
        f"ALTER TABLE t REPLICA IDENTITY {identity}",
        f"INSERT INTO t VALUES (1, 1, 'small'), (2, 99, {LARGE})",
    )
    ready(system)
    assert loaded(system) == read
    advice = [each.what for one in check(system.replication) for each in one.findings if "large" in each.what]
    assert len(advice) == (identity == "DEFAULT")
    system.execute("UPDATE t SET v = 2 WHERE id = 2")
    assert [(row["id"], len(row["body"])) for row in copied(system)] == [(1, 5), (2, 96_000)]
    system.execute("UPDATE t SET v = 11 WHERE id = 1", "UPDATE t SET v = 3 WHERE id = 2")
    assert [(row["id"], row["v"], len(row["body"])) for row in copied(system)] == [(2, 3, 96_000)]


def test_a_table_is_emptied_and_filled_and_its_projection_filters_further(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = filtered(database, tmp_path)
    odd = Shape("app.public.t", where=[Where("v", [Compare("noteq", ["4"])])])
    lake = dataclasses.replace(system.catalog.projections[0], shapes=[odd])
    assert isinstance(lake, DeltaProjection)
    system = System(dataclasses.replace(system.catalog, projections=(lake,)).validate(), system.dsn)
    system.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)")
    ready(system)
    system.execute("TRUNCATE t", "INSERT INTO t VALUES (2, 2), (3, 99), (4, 4)")
    assert [row["id"] for row in copied(system)] == [2]
    table = system.table("t")
    assert [row[0] for row in system.in_store(table.id)] == [2, 4]
    keys = TableSchema(table.schema.columns[:1], table.schema.key)
    snapshot = system.store.log(table.id).snapshot()
    batches = list(fold_range(snapshot, table.id, table.id_ranges.at(0), schema=keys))
    assert sorted(row["id"] for batch in batches for row in batch.to_pylist()) == [2, 4]
    assert "v" not in batches[0].schema.names


def test_rows_without_a_key_are_filtered_as_a_multiset(database: FreshDatabase, tmp_path: Path) -> None:
    system = filtered(database, tmp_path)
    system.execute(
        "CREATE TABLE t (id int, v int)",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "INSERT INTO t VALUES (1, 1), (1, 1), (2, 99), (2, 99)",
    )
    ready(system)
    system.execute("UPDATE t SET v = 99 WHERE ctid = (SELECT min(ctid) FROM t WHERE id = 1)")
    system.execute("UPDATE t SET v = 5 WHERE ctid = (SELECT min(ctid) FROM t WHERE id = 2)")
    system.execute("DELETE FROM t WHERE id = 2 AND v = 99", "INSERT INTO t VALUES (2, 99), (1, 1)")
    assert [(row["id"], row["v"]) for row in copied(system)] == [(1, 1), (1, 1), (2, 5)]


def test_a_value_that_nobody_can_compare_is_refused_by_name(database: FreshDatabase, tmp_path: Path) -> None:
    system = filtered(database, tmp_path, [Where("d", [Compare("lte", ["2024-01-01"])])])
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, d date)",
        "INSERT INTO t VALUES (1, 'infinity'), (2, '2023-01-01')",
    )
    system.prepare()
    with pytest.raises(SchemaConflict, match="'d', which rows are filtered by"):
        system.load_all()
    system.execute("UPDATE t SET d = '2025-01-01' WHERE id = 1")
    system.load_all()
    assert [row["id"] for row in copied(system)] == [2]


def test_a_filter_that_fits_no_column_is_refused_before_anything_is_made(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = filtered(database, tmp_path, [Where("V", [Compare("eq", ["x"])])])
    system.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    with pytest.raises(CatalogError, match="did you mean v"):
        system.prepare()
    assert not system.store.log(system.catalog.tables[0].id).exists()


def test_a_filter_on_a_table_that_was_loaded_whole_holds_at_once(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t")])
    system.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 99)")
    ready(system)
    later = dataclasses.replace(system.catalog, tables=(Table("app.public.t", where=SMALL),)).validate()
    system = System(later, system.dsn)
    problems = [each for one in check(system.replication) for each in one.findings]
    assert any("row filter is not the one" in each.what for each in problems)
    system.prepare()
    assert [row["id"] for row in copied(system)] == [1]
