"""What a load of a range would read is told before it, with the index that mends it: and it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId
from replication_assets_tests.sources.sqlite.places import SqlitePlace

RANGE = IdRange("r000001", 1, 5_000, 5_100)
NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"
FILLED = (
    "CREATE TABLE e (pk INTEGER PRIMARY KEY, id INTEGER, version INTEGER, kind TEXT, doc, other INTEGER)",
    f"INSERT INTO e {NUMBERS} SELECT i, i, i, 'k' || i, 'd', 0 FROM n",
    "CREATE TABLE notes (number INTEGER, note TEXT)",
    f"INSERT INTO notes {NUMBERS} SELECT i, 'n' FROM n",
)


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    found = SqlitePlace.at(tmp_path / "app.db")
    found.execute(*FILLED)
    return found


def plan_of(place: SqlitePlace, name: str, column: str = "id", id_range: IdRange = RANGE) -> RangePlan:
    source, table = place.source, TableId("app", "main", name)
    return source.range_plan(table, source.reflect(table, key=[column]), column, id_range)


def test_a_view_without_an_index_beneath_is_told_the_covering_one_and_it_serves(place: SqlitePlace) -> None:
    place.execute(
        "CREATE VIEW inner_ AS SELECT x.pk, x.id, x.version FROM e AS x WHERE x.other = 0",
        "CREATE VIEW v AS SELECT id AS event_id, 'evt#' || version AS sk, pk FROM inner_",
    )
    assert plan_of(place, "e").index == 'CREATE INDEX "e_id" ON "e" ("id")'
    plan = plan_of(place, "v", "event_id")
    assert plan.scanned == ('"e"',)
    assert plan.index == 'CREATE INDEX "e_id" ON "e" ("id", "version", "other")'
    assert plan.told == ("SCAN x",)
    place.execute(plan.index)
    mended = plan_of(place, "v", "event_id")
    assert (mended.scanned, mended.index, mended.reason) == ((), None, "")
    assert mended.told == ("SEARCH x USING COVERING INDEX e_id (id>? AND id<?)",)
    assert plan_of(place, "e", "pk").scanned == ()
    first = plan_of(place, "v", "event_id", IdRange("r000000", 0, None, 100))
    assert (first.scanned, first.index) == (('"e"',), None)
    assert first.reason.startswith("the first range also holds rows whose event_id is no key")


def test_text_and_unions_and_joins_are_told_the_indexes_that_serve(place: SqlitePlace) -> None:
    place.execute(
        "CREATE VIEW both_ AS SELECT id, version FROM e UNION ALL SELECT number, note FROM notes",
        "CREATE VIEW joined AS SELECT e.id, n.note FROM e JOIN notes n ON n.number = e.version",
    )
    text = plan_of(place, "e", "kind", IdRange("r000001", 1, "k2", "k3"))
    assert text.index == 'CREATE INDEX "e_kind" ON "e" ("kind" COLLATE BINARY)'
    both = plan_of(place, "both_")
    assert both.index is not None
    assert both.index.split("; ") == [
        'CREATE INDEX "e_id" ON "e" ("id", "version")',
        'CREATE INDEX "notes_number" ON "notes" ("number", "note")',
    ]
    place.execute(*both.index.split("; "))
    assert plan_of(place, "both_").scanned == ()
    assert plan_of(place, "joined").scanned == ()


def test_where_no_index_can_help_the_reason_is_told(place: SqlitePlace) -> None:
    place.execute("CREATE VIEW v AS SELECT id FROM (SELECT id FROM e LIMIT 11000)")
    plan = plan_of(place, "v")
    assert (plan.scanned, plan.index) == (('"e"',), None)
    assert plan.reason.startswith('no index of a column of "e" spares its scan')


def test_nothing_is_created_and_small_tables_are_let_be(place: SqlitePlace) -> None:
    before = place.rows("SELECT name, sql FROM sqlite_master")
    place.execute("CREATE TABLE small (id INTEGER)", "INSERT INTO small VALUES (1)")
    assert plan_of(place, "small") == RangePlan((), None, "", ("SCAN main.small",))
    plan_of(place, "e")
    place.execute("DROP TABLE small")
    assert place.rows("SELECT name, sql FROM sqlite_master") == before


def test_hostile_names_are_quoted_in_the_advice_and_the_advice_works(place: SqlitePlace) -> None:
    place.execute(
        'CREATE TABLE "t"" (x\'" ("i >= 5000" INTEGER, "other one" TEXT)',
        f'INSERT INTO "t"" (x\'" {NUMBERS} SELECT i, i FROM n',
        'CREATE VIEW v AS SELECT "i >= 5000" AS id, "other one" AS n FROM "t"" (x\'"',
    )
    plan = plan_of(place, "v")
    assert plan.index is not None
    place.execute(plan.index)
    assert plan_of(place, "v").scanned == ()
