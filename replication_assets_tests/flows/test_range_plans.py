"""One range stands for all of a table, prepared or not; what cannot be examined stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import ByBounds, ByCount, ByWidth, RangeSpec, Table
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId
from replication_assets.flows.range_plans import plan_of_declared
from replication_assets.table_fit import fit_table
from replication_assets_tests.sources.sqlite.places import SqlitePlace

T = TableId("app", "main", "t")
NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    found = SqlitePlace.at(tmp_path / "app.db")
    found.execute(
        "CREATE TABLE t (id INTEGER NOT NULL, name TEXT NOT NULL, note TEXT)",
        f"INSERT INTO t {NUMBERS} SELECT i, 'n' || i, 'x' FROM n",
    )
    return found


def planned(place: SqlitePlace, spec: RangeSpec, key: str) -> RangePlan | None:
    declared = Table(str(T), key=(key,), id_ranges=spec)
    schema = place.source.reflect(T, key=(key,))
    return plan_of_declared(place.source, T, schema, fit_table(declared, schema))


@pytest.mark.parametrize(
    ("spec", "key", "column"),
    [
        (ByWidth(1_000), "id", '"id"'),
        (ByCount(4), "id", '"id"'),
        (ByBounds((100, 5_000)), "id", '"id"'),
        (ByCount(4), "name", '"name" COLLATE BINARY'),
        (ByBounds(("n2", "n3")), "name", '"name" COLLATE BINARY'),
    ],
)
def test_every_declared_cut_of_a_table_that_was_never_prepared_is_examined(
    place: SqlitePlace, spec: RangeSpec, key: str, column: str
) -> None:
    plan = planned(place, spec, key)
    assert plan is not None
    assert str(plan) == 'each id range reads "t" whole'
    assert plan.fix == f'CREATE INDEX "t_{key}" ON "t" ({column})'


def test_a_table_that_is_one_range_is_read_whole_by_intent(place: SqlitePlace) -> None:
    assert planned(place, ByCount(1), "id") is None


def test_what_cannot_be_examined_is_a_reason_and_no_error(place: SqlitePlace) -> None:
    declared = Table(str(T), key=("id",), id_ranges=ByWidth(1_000))
    schema = place.source.reflect(T, key=("id",))
    place.execute("DROP TABLE t")
    plan = plan_of_declared(place.source, T, schema, fit_table(declared, schema))
    assert plan is not None
    assert (plan.scanned, plan.index, str(plan), plan.fix) == ((), None, "", "")
    assert plan.reason.startswith("the plan could not be examined: there is no table")


def test_advice_without_an_index_tells_what_else_can_be_done() -> None:
    plan = RangePlan(("t",), None, "because", ())
    assert str(plan) == "each id range reads t whole: because"
    assert plan.fix.startswith("cut by a column that a table holds")
