"""Materializing event-store partitions loads what a user means by them, or is refused."""

from __future__ import annotations

import dagster as dg

from replication_assets.core.range_plans import RangePlan
from replication_assets.defs import metadata, partitions
from replication_assets_tests.defs.conftest import ITEMS, NOTES, TODAY, Graph

EVENTS = ["event_store", "shop", "public", "items"]
NOTE_EVENTS = ["event_store", "shop", "public", "notes"]
THIS_MONTH = TODAY.replace(day=1).isoformat()


def cell(date: str, id_range: str) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({partitions.DATE: date, partitions.ID_RANGE: id_range})


def rows_by_range(graph: Graph, table=ITEMS) -> dict[str, int]:
    snapshot = graph.replication.store().log(table).snapshot()
    return {key: snapshot.events(key).count_rows() for key in snapshot.range_keys() if key != "all"}


def test_setup_lists_the_id_ranges_that_keys_reach(ready: Graph) -> None:
    assert list(ready.instance.get_dynamic_partitions("shop__public__items__id_range")) == [
        "r000000",
        "r000001",
        "r000002",
    ]


def test_one_partition_loads_one_id_range(ready: Graph) -> None:
    assert ready.materialize(EVENTS, cell(THIS_MONTH, "r000001")).success
    assert rows_by_range(ready) == {"r000001": 100}
    facts = ready.materialized(EVENTS)[cell(THIS_MONTH, "r000001")]
    assert facts["rows"] == 100
    assert facts["id_range"] == "[100, 200)"
    assert facts["scanned"] == "nothing"
    assert "public.items" in facts["read_by"]
    assert "advice" not in facts


def test_metadata_of_a_load_says_what_it_read_whole_and_which_index_mends_that() -> None:
    plan = RangePlan(("t",), "CREATE INDEX ON t (id)", "", ("Seq Scan on t",))
    assert metadata.planned(plan) == {
        "read_by": "Seq Scan on t",
        "scanned": "t",
        "advice": "each id range reads t whole. Fix: CREATE INDEX ON t (id)",
    }
    assert metadata.planned(None) == {}


def test_a_range_of_partitions_loads_each_id_range_once_in_one_run(ready: Graph) -> None:
    ready.materialize(EVENTS, cell(THIS_MONTH, "r000000"), cell(THIS_MONTH, "r000002"))
    assert rows_by_range(ready) == {"r000000": 99, "r000001": 100, "r000002": 51}
    assert set(ready.materialized(EVENTS)) == {cell(THIS_MONTH, f"r00000{i}") for i in range(3)}


def test_a_past_date_of_a_table_without_date_column_is_refused_before_anything_is_read(ready: Graph) -> None:
    past = ready.catalog.table(ITEMS).event_date.pinned().first_bucket.isoformat()
    result = ready.materialize(EVENTS, cell(past, "r000001"), raise_on_error=False)
    assert not result.success
    assert "declares no date column" in str(result.all_events)
    assert rows_by_range(ready) == {}


def test_a_date_of_a_table_with_a_date_column_loads_that_date_alone(ready: Graph) -> None:
    ready.materialize(NOTE_EVENTS, cell("2026-02-01", "r000000"))
    assert rows_by_range(ready, NOTES) == {"r000000": 30}


def test_all_dates_together_are_one_load_of_the_whole_range(ready: Graph) -> None:
    ready.materialize(NOTE_EVENTS, cell("2026-01-01", "r000000"), cell(THIS_MONTH, "r000000"))
    loads = ready.replication.store().log(NOTES).snapshot().controls().loads
    assert [(load.rows, load.dates) for load in loads] == [(90, None)]
    assert ready.materialized(NOTE_EVENTS)[cell("2026-03-01", "r000000")]["rows"] == 30


def test_a_partition_run_twice_projects_the_same_rows(ready: Graph) -> None:
    for _ in range(2):
        ready.materialize(EVENTS, cell(THIS_MONTH, "r000001"))
    ready.materialize(["lake", "shop", "public", "items"], "r000001")
    assert ready.materialized(["lake", "shop", "public", "items"])["r000001"]["dagster/row_count"] == 100


def test_a_job_backfill_that_dagster_would_cut_to_its_first_partition_is_refused(ready: Graph) -> None:
    clash = {"dagster/partition/date": THIS_MONTH, "dagster/partition/id_range": "r000000"}
    result = ready.materialize(
        EVENTS, cell(THIS_MONTH, "r000000"), cell(THIS_MONTH, "r000002"), tags=clash, raise_on_error=False
    )
    assert not result.success
    assert "silently produce its first partition only" in str(result.all_events)
    assert rows_by_range(ready) == {}


def test_a_failure_says_what_where_and_how_to_fix_it(graph: Graph) -> None:
    graph.instance.add_dynamic_partitions("shop__public__items__id_range", ["r000000"])
    result = graph.materialize(EVENTS, cell(THIS_MONTH, "r000000"), raise_on_error=False)
    assert not result.success
    assert "shop.public.items: it was never prepared. Fix: prepare source shop" in str(result.all_events)


def test_setup_bounds_how_many_loads_read_the_source_at_a_time(ready: Graph) -> None:
    pool = ready.instance.event_log_storage.get_concurrency_info("shop_load")
    assert pool.slot_count == ready.catalog.source("shop").max_parallel_loads
