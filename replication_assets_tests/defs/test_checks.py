"""Checks say what matches, runs of checks alone make them all, and a repair turns them green."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext
from deltalake import DeltaTable

from replication_assets.catalog import DeltaProjection
from replication_assets.declarations import Validation
from replication_assets.defs.build import build_definitions
from replication_assets.defs.checks import MATCHES_EVENT_STORE, MATCHES_SOURCE
from replication_assets.flows.capture import FlushPolicy, capture
from replication_assets.flows.prepare import open_table
from replication_assets_tests.defs.conftest import ITEMS, TODAY, Graph

LAKE = ["lake", "shop", "public", "items"]
EVENTS = ["event_store", "shop", "public", "items"]
BUCKET = TODAY.replace(day=1).isoformat()


@pytest.fixture
def filled(ready: Graph) -> Graph:
    """`items` loaded, captured and projected."""
    fill(ready)
    return ready


def fill(graph: Graph) -> None:
    for key in ("r000000", "r000001", "r000002"):
        graph.materialize(EVENTS, dg.MultiPartitionKey({"date": BUCKET, "id_range": key}))
    graph.run("shop_capture")
    graph.materialize(LAKE, "r000000", "r000002")


def checked(graph: Graph, *, captured: bool = True) -> dict[str, dg.AssetCheckEvaluation]:
    """Make all checks while a capture runs, and return those of `items`."""
    with capturing(graph) if captured else nullcontext():
        done = graph.run("validate")
    found = {"/".join(each.asset_key.path): each for each in done.get_asset_check_evaluations()}
    return {key: each for key, each in found.items() if key.endswith("items")}


@contextmanager
def capturing(graph: Graph) -> Iterator[None]:
    """A continuous capture beside whatever the block does."""
    source, store = graph.replication.source("shop"), graph.replication.store()
    tables = [open_table(source, store, table) for table in graph.catalog.tables]
    ended = Event()
    policy = FlushPolicy(seconds=0.1, idle_seconds=0.1)
    thread = Thread(target=lambda: capture(source, store, tables, stop=ended.is_set, policy=policy))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def figures(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {
        name: value if isinstance(value, dg.TableMetadataValue) else value.value
        for name, value in evaluation.metadata.items()
    }


def delta(graph: Graph) -> DeltaTable:
    (lake,) = graph.catalog.projections
    assert isinstance(lake, DeltaProjection)
    return DeltaTable(str(Path(lake.root) / ITEMS.folder))


def test_what_matches_passes_with_its_figures(filled: Graph) -> None:
    found = checked(filled)
    assert {key: each.passed for key, each in found.items()} == {"/".join(LAKE): True, "/".join(EVENTS): True}
    shown = figures(found["/".join(LAKE)])
    assert (shown["rows"], shown["ranges"], shown["missing"], shown["ranges_equal"]) == (250, 3, 0, 3)


def test_a_mismatch_is_an_error_with_keys_and_repair_turns_the_check_green(filled: Graph) -> None:
    delta(filled).delete("id = 120")
    found = checked(filled)["/".join(LAKE)]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    (row,) = figures(found)["findings"].records
    assert row.data == {"kind": "missing", "id_range": "r000001", "key": '{"id":"120"}', "columns": ""}
    assert Path(figures(found)["all_findings"]).exists()
    done = filled.run(
        "repair",
        run_config={"ops": {"repair_rows": {"config": {"table": str(ITEMS), "projection": "lake"}}}},
    )
    assert done.success
    assert checked(filled)["/".join(LAKE)].passed


def test_changes_that_nobody_captures_are_a_warning(filled: Graph) -> None:
    filled.sql("UPDATE items SET name = 'later'")
    lake = replace(filled.catalog.projections[0], validation=Validation(wait_seconds=0.1))
    catalog = replace(filled.catalog, projections=(lake,))
    late = replace(filled, catalog=catalog, definitions=build_definitions(catalog))
    found = checked(late, captured=False)["/".join(EVENTS)]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert figures(found)["ranges_late"] == 3
    assert "capture has reached" in figures(found)["reasons"].records[0].data["reason"]


def test_runs_that_load_and_project_make_no_advisory_check(filled: Graph) -> None:
    done = filled.materialize(LAKE, "r000000")
    assert [each.check_name for each in done.get_asset_check_evaluations()] == []


def test_a_blocking_check_is_made_by_the_run_that_projects_of_its_ranges(filled: Graph) -> None:
    lake = replace(filled.catalog.projections[0], validation=Validation(blocking=True))
    catalog = replace(filled.catalog, projections=(lake,))
    blocking = replace(filled, catalog=catalog, definitions=build_definitions(catalog))
    done = blocking.materialize(LAKE, "r000000", "r000001")
    (found,) = done.get_asset_check_evaluations()
    assert (found.check_name, found.passed, figures(found)["ranges"]) == (MATCHES_EVENT_STORE, True, 2)


def test_automation_asks_for_projections_without_their_checks(ready: Graph) -> None:
    for key in ("r000000", "r000001", "r000002"):
        ready.materialize(EVENTS, dg.MultiPartitionKey({"date": BUCKET, "id_range": key}))
    tick = AutomationTickEvaluationContext(
        evaluation_id=1,
        instance=ready.instance,
        asset_graph=ready.definitions.resolve_asset_graph(),
        cursor=AssetDaemonCursor.empty(),
        materialize_run_tags={},
        observe_run_tags={},
        auto_observe_asset_keys=set(),
        asset_selection=dg.AssetSelection.assets(LAKE),
        logger=logging.getLogger(__name__),
        emit_backfills=False,
    )
    requests, _, _ = tick.evaluate()
    assert [request.asset_selection for request in requests] == [[dg.AssetKey(LAKE)]] * 3
    assert [request.asset_check_keys for request in requests] == [[]] * 3


def test_the_schedule_asks_for_all_checks(graph: Graph) -> None:
    (schedule,) = [each for each in graph.definitions.schedules or () if each.name == "validate_schedule"]
    assert isinstance(schedule, dg.ScheduleDefinition)
    request = schedule(dg.build_schedule_context(instance=graph.instance))
    assert isinstance(request, dg.RunRequest)
    names = sorted({key.name for key in request.asset_check_keys or ()})
    assert names == [MATCHES_EVENT_STORE, MATCHES_SOURCE]
    assert len(request.asset_check_keys or ()) == 6
    assert schedule.cron_schedule == "41 * * * *"


def test_a_projection_without_cron_has_no_schedule(graph: Graph) -> None:
    lake = replace(graph.catalog.projections[0], validation=Validation(None))
    definitions = build_definitions(replace(graph.catalog, projections=(lake,)))
    assert [each.name for each in definitions.schedules or () if each.name.startswith("validate")] == []


def test_repair_names_a_table_that_it_does_not_know(graph: Graph) -> None:
    with pytest.raises(dg.Failure, match="there is no table"):
        graph.run("repair", run_config={"ops": {"repair_rows": {"config": {"table": "shop.public.absent"}}}})
