"""The offset sensor keeps exactly one capture and shows where the source stands."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from replication_assets.catalog import Table
from replication_assets.defs import sensors
from replication_assets.defs.naming import CAPTURE_TAG
from replication_assets.defs.sensors import wanted_capture
from replication_assets_tests.defs.conftest import Graph
from replication_assets_tests.defs.test_event_store_assets import EVENTS, THIS_MONTH, cell


def tick(graph: Graph, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    sensor = graph.definitions.resolve_sensor_def("shop_offsets")
    context = dg.build_sensor_context(
        instance=graph.instance, cursor=cursor, resources={"replication": graph.replication}
    )
    return sensor(context)


def launched(result: dg.SensorResult | dg.SkipReason) -> list[str | None]:
    return (
        []
        if isinstance(result, dg.SkipReason)
        else [request.job_name for request in result.run_requests or []]
    )


def test_a_source_that_was_never_set_up_is_set_up_first(graph: Graph) -> None:
    assert launched(tick(graph)) == ["shop_setup"]


def test_an_offset_that_moved_starts_one_capture_and_the_same_offset_none(ready: Graph) -> None:
    first = tick(ready)
    assert isinstance(first, dg.SensorResult)
    assert launched(first) == ["shop_capture"]
    again = tick(ready, first.cursor)
    assert isinstance(again, dg.SkipReason)
    ready.sql("DELETE FROM items WHERE id = 1")
    assert launched(tick(ready, first.cursor)) == ["shop_capture"]


def test_no_second_capture_is_asked_for_while_one_is_in_flight(ready: Graph) -> None:
    job = ready.definitions.resolve_job_def("shop_capture")
    ready.instance.create_run_for_job(job, tags={CAPTURE_TAG: "shop"}, status=dg.DagsterRunStatus.STARTED)
    assert launched(tick(ready)) == []


def test_source_tables_show_position_lag_and_greatest_key(ready: Graph) -> None:
    result = tick(ready)
    assert isinstance(result, dg.SensorResult)
    facts = {event.asset_key.path[-1]: event.metadata for event in result.asset_events}
    assert facts["items"]["max_key"].value == 250
    assert {"position", "lag_bytes", "lag_seconds", "retained_bytes", "slot_state"} <= facts["items"].keys()


def test_keys_that_grew_are_listed_as_new_id_ranges(ready: Graph) -> None:
    ready.materialize(EVENTS, cell(THIS_MONTH, "r000002"))
    ready.sql("INSERT INTO items VALUES (350, 'next')")
    result = tick(ready)
    assert isinstance(result, dg.SensorResult)
    assert [list(request.partition_keys) for request in result.dynamic_partitions_requests] == [["r000003"]]


def test_a_lost_slot_fails_the_tick_with_its_remedy(ready: Graph) -> None:
    ready.run("shop_teardown")
    with pytest.raises(dg.DagsterError, match=r"slot or change log is missing.*shop_recover"):
        tick(ready)


@pytest.mark.parametrize(
    ("mode", "moved", "ages", "wanted"),
    [
        ("micro-batch", True, [], True),
        ("micro-batch", False, [], False),
        ("micro-batch", True, [1.0], False),
        ("continuous", False, [], True),
        ("continuous", True, [10.0], False),
        ("continuous", True, [4000.0], True),
        ("continuous", True, [5.0, 4000.0], False),
    ],
)
def test_captures_are_kept_at_one_and_overlap_only_to_hand_over(mode, moved, ages, wanted) -> None:
    assert wanted_capture(mode, moved, ages, lifetime=3600.0) is wanted


def test_a_key_that_no_range_could_be_cut_on_does_not_fail_the_tick(ready: Graph) -> None:
    result = tick(ready)
    assert isinstance(result, dg.SensorResult)
    facts = {event.asset_key.path[-1]: event.metadata for event in result.asset_events}
    assert "max_key" not in facts["readings"]
    assert "lag_bytes" in facts["readings"]


def test_tables_that_a_report_had_no_time_for_are_in_the_next_ones(
    ready: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "MOST_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "REPORT_SECONDS", 0.0)
    cursor, told = None, []
    for _ in range(4):
        ready.sql("INSERT INTO items SELECT max(id) + 1 FROM items")
        result = tick(ready, cursor)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        told.append([event.asset_key.path[-1] for event in result.asset_events])
    assert told == [["items"], ["readings"], ["notes"], ["items"]]


def test_a_table_that_is_new_in_the_catalog_is_set_up(ready: Graph) -> None:
    first = tick(ready)
    assert isinstance(first, dg.SensorResult)
    ready.sql("CREATE TABLE added (id bigint PRIMARY KEY)")
    ready.catalog = replace(ready.catalog, tables=[*ready.catalog.tables, Table("shop.public.added")])
    assert launched(tick(ready, first.cursor)) == ["shop_setup"]
