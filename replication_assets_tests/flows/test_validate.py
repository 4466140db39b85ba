"""Mismatches between source, event store and projection are found, named and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from replication_assets.catalog import Table
from replication_assets.core.events import ID_RANGE
from replication_assets.core.id_ranges import ByBounds
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.flows.validation.findings import SHOWN, Shown, Validation
from replication_assets.flows.validation.validate import validate_projection, validate_source
from replication_assets.sources.postgres.membership import find_publication, record
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId("app", "public", "t")
BAG = TableId("app", "public", "bag")


@pytest.fixture
def made(database: FreshDatabase, tmp_path: Path) -> Iterator[System]:
    """Thirty rows in three ranges, and a table without key; loaded, captured and projected."""
    system = system_of(
        database,
        tmp_path,
        [Table("app.public.t", id_ranges=ByBounds((10, 20))), Table("app.public.bag")],
    )
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text, at timestamp)",
        "INSERT INTO t SELECT i, 'v' || i, '2024-01-01' FROM generate_series(0, 29) i",
        "CREATE TABLE bag (v text, n float8); ALTER TABLE bag REPLICA IDENTITY FULL",
        "INSERT INTO bag VALUES ('a', 'NaN'), ('a', 'NaN'), (NULL, -0.0)",
    )
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    yield system
    system.source.teardown()


def at_source(system: System, name: str = "t", **options: Any) -> Validation:
    options = {"catch_up": system.reach, **options}
    return validate_source(system.source, system.store, system.table(name), **options)


def in_lake(system: System, table: TableId = T, **options: Any) -> Validation:
    return validate_projection(system.store, system.target(table), table, projection="lake", **options)


def states(found: Validation) -> dict[str, str]:
    return {each.id_range: each.state for each in found.ranges}


def listed(found: Validation) -> list[tuple[Any, ...]]:
    """All findings of the list, which is where the validation says."""
    assert found.listed is not None
    rows = pq.read_table(found.listed).to_pylist()
    return sorted(((r["kind"], r["id_range"], r["key"], tuple(r["columns"] or ())) for r in rows), key=repr)


def unnoticed(system: System, *statements: str) -> None:
    """Change the source in a way that no change stream tells."""
    system.execute("SET session_replication_role = replica", *statements)


def silently(system: System, *statements: str) -> None:
    """Change rows while the table is out of the publication, and hide that it was: as if capture had
    lost changes."""
    publication = f"e2e_{system.catalog.sources[0].database}"
    system.capture()
    with system.sql() as session:
        session.execute(f"ALTER PUBLICATION {publication} DROP TABLE t, bag".encode())
        for statement in statements:
            session.execute(statement.encode())
        session.execute(f"ALTER PUBLICATION {publication} ADD TABLE t, bag".encode())
        found = find_publication(session, publication)
        assert found is not None
        record(session, publication, held=found.members)
    system.capture()


# --- against the source ------------------------------------------------------------------


def test_what_is_equal_passes_range_by_range(made: System) -> None:
    made.execute("UPDATE t SET v = v || '!' WHERE id < 5", "DELETE FROM bag WHERE v IS NULL")
    found = at_source(made)
    assert states(found) == {"r000000": "equal", "r000001": "equal", "r000002": "equal"}
    assert (found.rows, found.mismatches, found.listed, found.passed) == (30, 0, None, True)
    assert states(at_source(made, "bag")) == {"r000000": "equal"}


def test_lost_changes_are_named_by_key_and_column(made: System) -> None:
    silently(
        made,
        "UPDATE t SET v = 'lost', at = 'infinity' WHERE id = 11",
        "DELETE FROM t WHERE id = 12",
        "INSERT INTO t VALUES (100, 'lost', NULL)",
    )
    found = at_source(made)
    assert states(found) == {"r000000": "equal", "r000001": "differs", "r000002": "differs"}
    assert listed(found) == [
        ("differing", "r000001", '{"id":"11"}', ("v", "at", "_overflow")),
        ("extra", "r000001", '{"id":"12"}', ()),
        ("missing", "r000002", '{"id":"100"}', ()),
    ]
    assert {each.key for each in found.shown} == {'{"id":"11"}', '{"id":"12"}', '{"id":"100"}'}
    assert (found.count("missing"), found.count("extra"), found.count("differing")) == (1, 1, 1)
    assert "lost" not in str(found) + str(found.shown)


def test_equal_rows_without_key_are_counted(made: System) -> None:
    silently(made, "INSERT INTO bag VALUES ('a', 'NaN')", "DELETE FROM bag WHERE v IS NULL")
    found = at_source(made, "bag")
    assert (found.count("missing"), found.count("extra")) == (1, 1)
    assert [(kind, key) for kind, _, key, _ in listed(found)] == [
        ("extra", '{"v":null,"n":"0"}'),
        ("missing", '{"v":"a","n":"NaN"}'),
    ]
    assert all(each.key is None for each in found.shown)


def test_changes_that_capture_has_not_reached_are_late_and_no_mismatch(made: System) -> None:
    made.execute("UPDATE t SET v = 'new'")
    found = at_source(made, catch_up=None, wait_seconds=0.2)
    assert set(states(found).values()) == {"late"}
    assert found.passed
    assert found.mismatches == 0
    assert "capture has reached" in found.ranges[0].reason


def test_a_source_that_is_written_to_meanwhile_is_equal(made: System) -> None:
    def written_and_captured(position: Position) -> None:
        made.execute("UPDATE t SET v = v || '+' WHERE id = 3", "INSERT INTO t SELECT max(id) + 1 FROM t")
        made.reach(position)

    assert set(states(at_source(made, catch_up=written_and_captured)).values()) == {"equal"}


def test_a_difference_that_is_gone_at_the_second_look_is_mended(made: System) -> None:
    silently(made, "UPDATE t SET v = 'lost' WHERE id = 11")
    looks: list[Position] = []

    def mended_after_the_first(position: Position) -> None:
        made.reach(position)
        if not looks:
            made.execute("UPDATE t SET v = 'told' WHERE id = 11")
        looks.append(position)

    found = at_source(made, catch_up=mended_after_the_first)
    assert states(found)["r000001"] == "mended"
    assert found.passed
    assert found.total == 0


def test_a_range_that_is_not_loaded_is_unknown_unless_it_is_empty(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByBounds((10, 20)))])
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO t SELECT generate_series(0, 19)",
    )
    (table,) = system.prepare()
    system.load_range(table, table.id_ranges.at(0))
    found = at_source(system)
    assert states(found) == {"r000000": "equal", "r000001": "unknown", "r000002": "equal"}
    assert "no complete load" in found.ranges[1].reason
    assert not found.passed
    system.source.teardown()


def test_single_ranges_can_be_validated(made: System) -> None:
    silently(made, "DELETE FROM t WHERE id IN (5, 25)")
    assert states(at_source(made, id_ranges=["r000002"])) == {"r000002": "differs"}


def test_a_column_that_capture_has_not_met_is_left_out_and_told(made: System) -> None:
    made.execute("ALTER TABLE t ADD COLUMN more int")
    found = at_source(made)
    assert set(states(found).values()) == {"equal"}
    assert found.notes == ("not compared, since capture has not met them yet: more",)


def test_a_view_is_late_where_it_changed_since_its_load(database: FreshDatabase, tmp_path: Path) -> None:
    system = system_of(database, tmp_path, [Table("app.public.w", key=("id",))])
    system.execute(
        "CREATE TABLE b (id int, v text)",
        "INSERT INTO b VALUES (1, 'a')",
        "CREATE VIEW w AS SELECT id, v FROM b",
    )
    system.prepare()
    system.load_all()
    assert set(states(at_source(system, "w")).values()) == {"equal"}
    system.execute("UPDATE b SET v = 'b'")
    found = at_source(system, "w")
    assert states(found) == {"r000000": "late"}
    assert "no change stream" in found.ranges[0].reason


def test_every_finding_is_listed_and_some_are_shown(made: System) -> None:
    silently(made, "INSERT INTO t SELECT i, 'lost', NULL FROM generate_series(1000, 1999) i")
    found = at_source(made)
    assert found.total == 1000
    assert len(found.shown) == SHOWN
    assert {key for _, _, key, _ in listed(found)} == {f'{{"id":"{i}"}}' for i in range(1000, 2000)}


def test_ranges_without_new_events_are_not_folded_again(made: System) -> None:
    at_source(made)
    folder = Path(made.store.log(T).snapshot()._place.uri).parents[1] / "_digests"  # type: ignore[attr-defined]
    before = {path.name for path in folder.rglob("*.parquet")}
    assert before
    assert set(states(at_source(made)).values()) == {"equal"}
    assert {path.name for path in folder.rglob("*.parquet")} == before
    made.execute("UPDATE t SET v = 'x' WHERE id = 1")
    assert set(states(at_source(made)).values()) == {"equal"}
    assert len({path.name for path in folder.rglob("*.parquet")}) == len(before) + 1


# --- against the event store -------------------------------------------------------------


def lake(system: System, table: TableId = T) -> DeltaTable:
    return DeltaTable(str(Path(system.catalog.projections[0].root) / table.folder))  # type: ignore[union-attr]


def as_stored(system: System, rows: Sequence[dict[str, Any]], id_range: str | None) -> pa.Table:
    """Rows with the columns of the projection's table."""
    columns = pa.schema(lake(system).schema())
    filled = [{"_epoch": 1, "_commit_position": 1, "_sequence": 0, ID_RANGE: id_range, **row} for row in rows]
    return pa.Table.from_pylist(filled, schema=columns)


def test_an_equal_projection_passes(made: System) -> None:
    made.execute("UPDATE t SET v = NULL WHERE id = 3", "DELETE FROM t WHERE id = 4")
    made.capture()
    made.project()
    found = in_lake(made)
    assert states(found) == {"r000000": "equal", "r000001": "equal", "r000002": "equal"}
    assert (found.rows, found.total, found.listed) == (29, 0, None)
    assert states(in_lake(made, BAG)) == {"r000000": "equal"}


def test_a_projection_that_lags_is_not_wrong(made: System) -> None:
    made.execute("UPDATE t SET v = 'new'", "DELETE FROM t WHERE id = 4")
    made.capture()
    assert set(states(in_lake(made)).values()) == {"equal"}
    made.load(made.table("t"))
    assert set(states(in_lake(made)).values()) == {"equal"}


def test_edited_rows_are_named_by_key_and_column(made: System) -> None:
    lake(made).update({"v": "'edited'"}, predicate="id = 11")
    lake(made).delete("id = 12")
    write_deltalake(lake(made), as_stored(made, [{"id": 13, "v": "v13"}], "r000001"), mode="append")
    write_deltalake(lake(made), as_stored(made, [{"id": 77, "v": "x"}], "r000002"), mode="append")
    found = in_lake(made)
    assert states(found) == {"r000000": "equal", "r000001": "differs", "r000002": "differs"}
    assert listed(found) == [
        ("differing", "r000001", '{"id":"11"}', ("v",)),
        ("extra", "r000001", '{"id":"13"}', ()),
        ("extra", "r000002", '{"id":"77"}', ()),
        ("missing", "r000001", '{"id":"12"}', ()),
    ]
    assert Shown("differing", "r000001", '{"id":"11"}', ("v",)) in found.shown
    assert "edited" not in str(found) + str(found.shown)


def test_rows_of_no_range_are_extra_and_an_overwritten_one_differs(made: System) -> None:
    lake(made).delete("id = 12")
    strays = [{"id": 12, "v": "stray"}, {"id": 99, "v": "stray"}]
    write_deltalake(lake(made), as_stored(made, strays, None), mode="append")
    found = in_lake(made)
    assert states(found) == {"r000000": "equal", "r000001": "differs", "r000002": "equal", "": "differs"}
    assert [row[:3] for row in listed(found)] == [
        ("differing", "r000001", '{"id":"12"}'),
        ("extra", "", '{"id":"99"}'),
    ]


def test_an_emptied_projection_misses_every_row(made: System) -> None:
    lake(made).delete()
    found = in_lake(made)
    assert found.count("missing") == 30
    assert not found.passed


def test_rows_without_key_are_compared_as_a_multiset(made: System) -> None:
    lake(made, BAG).delete("v IS NULL")
    found = in_lake(made, BAG)
    assert (found.count("missing"), found.count("extra")) == (1, 0)


def test_a_range_that_was_never_projected_is_unknown(made: System) -> None:
    made.target(T).drop()  # type: ignore[attr-defined]
    found = in_lake(made)
    assert set(states(found).values()) == {"unknown"}
    assert "never projected" in found.ranges[0].reason


def test_single_ranges_of_a_projection_can_be_validated(made: System) -> None:
    lake(made).delete("id IN (12, 25)")
    assert states(in_lake(made, id_ranges=["r000001"])) == {"r000001": "differs"}


def test_ranges_compared_in_groups_are_compared_as_all_together(
    made: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication_assets.flows.validation.row_comparison.ROWS_AT_A_TIME", 1)
    lake(made).delete("id IN (2, 12, 22)")
    strays = [{"id": 12, "v": "stray"}, {"id": 99, "v": "stray"}]
    write_deltalake(lake(made), as_stored(made, strays, None), mode="append")
    assert [row[:3] for row in listed(in_lake(made))] == [
        ("differing", "r000001", '{"id":"12"}'),
        ("extra", "", '{"id":"99"}'),
        ("missing", "r000000", '{"id":"2"}'),
        ("missing", "r000002", '{"id":"22"}'),
    ]
