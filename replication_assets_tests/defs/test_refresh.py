"""Refreshes in Dagster: steps, assets, schedule, triggers, and the guard over every job."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from replication_assets import guarded, masks
from replication_assets.catalog import (
    AfterLoad,
    Catalog,
    ColumnPolicy,
    Environment,
    EnvironmentRefresh,
    EnvVar,
    EventStoreConfig,
    MaskingPolicy,
    OneTime,
    PostgresSourceConfig,
    PostgresTarget,
    Schedule,
    Table,
    TablePolicy,
)
from replication_assets.defs import naming
from replication_assets.defs.build import build_definitions
from replication_assets.defs.refresh.guard import ENVIRONMENTS
from replication_assets.defs.refresh.steps import PLANNED, refresh_steps
from replication_assets.errors import GuardError
from replication_assets.flows.masking.environment import set_up_environment
from replication_assets_tests.defs.conftest import TODAY, Graph
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

EVENTS = ["event_store", "shop", "public", "items"]
COPY = ["qa", "shop", "public", "items"]
BUCKET = TODAY.replace(day=1).isoformat()
KEY = "REPLICATION_ASSETS_TEST_MASK_KEY"

POLICY = MaskingPolicy(
    "testers",
    tables=[
        TablePolicy(
            "shop.public.items",
            columns={
                "id": ColumnPolicy("public", reviewed="bigint not null"),
                "name": ColumnPolicy("pii.name", masks.PersonName(), reviewed="text"),
            },
        )
    ],
)
NIGHTLY = EnvironmentRefresh(
    "qa_nightly",
    environment="qa",
    policy="testers",
    tables=("shop.public.items",),
    start=Schedule("0 2 * * *", timezone="Europe/Berlin"),
)


@pytest.fixture
def qa(database: FreshDatabase) -> Iterator[FreshDatabase]:
    with fresh_database(database.server) as fresh:
        yield fresh


@pytest.fixture
def nightly(ready: Graph, qa: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Items, loaded and captured, with a nightly refresh into a database that is set up as `qa`."""
    monkeypatch.setenv(KEY, os.urandom(32).hex())
    environment = Environment(
        "qa",
        target=PostgresTarget(
            host="127.0.0.1", port=qa.server.port, database=qa.name, user="postgres", sslmode="disable"
        ),
        mask_key=EnvVar(KEY),
    )
    catalog = replace(ready.catalog, policies=[POLICY], environments=[environment], refreshes=[NIGHTLY])
    graph = replace(ready, catalog=catalog, definitions=build_definitions(catalog))
    for key in ("r000000", "r000001", "r000002"):
        graph.materialize(EVENTS, dg.MultiPartitionKey({"date": BUCKET, "id_range": key}))
    graph.run("shop_capture")
    set_up_environment(graph.replication, environment)
    return graph


@pytest.fixture
def declared(tmp_path: Path) -> Iterator[Graph]:
    """The same declarations, over servers that are never asked."""
    here = PostgresTarget(host="127.0.0.1", port=1, database="qa", user="nobody", sslmode="disable")
    catalog = Catalog(
        event_store=EventStoreConfig(str(tmp_path / "event_store")),
        sources=[PostgresSourceConfig("shop", host="127.0.0.1", port=1, database="shop", user="nobody")],
        tables=[Table("shop.public.items")],
        policies=[POLICY],
        environments=[Environment("qa", target=here, mask_key=EnvVar(KEY))],
        refreshes=[NIGHTLY],
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(catalog, build_definitions(catalog), instance, "")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """One that a schedule's context can refer to."""
    with dg.instance_for_test() as instance:
        yield instance


def copied(qa: FreshDatabase) -> list[tuple[Any, ...]]:
    with psycopg.connect(qa.dsn) as connection:
        return connection.execute("SELECT id, name FROM items ORDER BY id").fetchall()


def test_a_refresh_runs_plan_mask_load_verify_and_publish_and_materializes_the_masked_copy(
    nightly: Graph, qa: FreshDatabase
) -> None:
    done = nightly.run("qa_nightly")

    steps = [event.step_key for event in done.get_step_success_events()]
    assert steps == [f"qa_nightly_copies.{step}" for step in ("plan", "mask", "load", "verify", "publish")]
    rows = copied(qa)
    assert [key for key, _ in rows] == list(range(1, 251))
    assert not any(name.startswith("item ") for _, name in rows)
    (figures,) = nightly.materialized(COPY).values()
    assert figures["dagster/row_count"] == 250
    (check,) = done.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("masked", True)


def test_no_value_of_a_masked_column_is_in_any_event_of_the_run(nightly: Graph) -> None:
    nightly.sql("UPDATE items SET name = 'Xanthippe Quillfeather' WHERE id = 7")
    nightly.run("shop_capture")
    done = nightly.run("qa_nightly")

    told = "\n".join(str(entry) for entry in nightly.instance.all_logs(done.run_id))
    assert "Quillfeather" not in told
    assert "item 8" not in told


def test_the_copy_stands_below_the_event_store_and_shows_class_and_rule_of_each_column(
    declared: Graph,
) -> None:
    node = declared.definitions.resolve_asset_graph().get(dg.AssetKey(COPY))

    assert node.parent_keys == {dg.AssetKey(EVENTS)}
    columns = {column.name: column for column in node.metadata["dagster/column_schema"].columns}
    assert columns["name"].tags == {"class": "pii.name", "mask": "PersonName"}
    assert columns["id"].tags == {"class": "public", "mask": "kept"}


def test_the_schedule_ticks_at_two_in_berlin_in_summer_and_in_winter(declared: Graph) -> None:
    schedule = declared.definitions.resolve_schedule_def("qa_nightly_schedule")
    for evening, tick in (
        (dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC), dt.datetime(2026, 3, 1, 1, tzinfo=dt.UTC)),
        (dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC), dt.datetime(2026, 7, 2, 0, tzinfo=dt.UTC)),
        (dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC), dt.datetime(2026, 12, 2, 1, tzinfo=dt.UTC)),
    ):
        # What the scheduler asks with the clock at this evening.
        times = schedule_execution_time_iterator(
            evening.timestamp(), schedule.cron_schedule, schedule.execution_timezone
        )
        frozen = next(times)
        assert frozen.astimezone(dt.UTC) == tick
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_tick_asks_for_a_run_and_is_skipped_with_its_id_while_one_is_in_flight(
    declared: Graph, instance: dg.DagsterInstance
) -> None:
    schedule = declared.definitions.resolve_schedule_def("qa_nightly_schedule")
    at = dt.datetime(2026, 7, 2, 0, tzinfo=dt.UTC)

    def tick() -> Any:
        with dg.build_schedule_context(instance, scheduled_execution_time=at) as context:
            return schedule.evaluate_tick(context)

    (request,) = tick().run_requests
    assert request.tags[naming.REFRESH_TAG] == "qa_nightly"
    job = declared.definitions.resolve_job_def("qa_nightly")
    running = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=request.tags)
    skipped = tick()
    assert not skipped.run_requests
    assert running.run_id in skipped.skip_message
    instance.report_run_failed(running, "its process was killed")
    assert tick().run_requests


def test_a_second_run_that_was_started_by_hand_ends_with_the_id_of_the_first(
    nightly: Graph, qa: FreshDatabase
) -> None:
    job = nightly.definitions.resolve_job_def("qa_nightly")
    tags = {naming.REFRESH_TAG: "qa_nightly"}
    first = nightly.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)

    second = nightly.run("qa_nightly", raise_on_error=False)

    assert not second.success
    (failure,) = second.get_step_failure_events()
    assert first.run_id in str(failure.step_failure_data.user_failure_data.description)
    with psycopg.connect(qa.dsn) as connection:
        assert connection.execute("SELECT to_regclass('public.items')").fetchone() == (None,)


def test_a_refresh_after_loads_waits_until_every_table_was_loaded_anew(nightly: Graph) -> None:
    catalog = replace(nightly.catalog, refreshes=[replace(NIGHTLY, start=AfterLoad())])
    graph = replace(nightly, catalog=catalog, definitions=build_definitions(catalog))
    sensor = graph.definitions.resolve_sensor_def("qa_nightly_after_load")

    def tick(cursor: str | None) -> dg.SensorExecutionData:
        context = dg.build_sensor_context(
            graph.instance, cursor=cursor, resources={"replication": graph.replication}
        )
        return sensor.evaluate_tick(context)

    first = tick(None)
    assert len(first.run_requests or ()) == 1
    again = tick(first.cursor)
    assert not again.run_requests
    assert "not loaded anew: shop.public.items" in (again.skip_message or "")
    for key in ("r000000", "r000001", "r000002"):
        graph.materialize(EVENTS, dg.MultiPartitionKey({"date": BUCKET, "id_range": key}))
    assert len(tick(first.cursor).run_requests or ()) == 1


def test_changes_are_followed_once_a_copy_is_published(nightly: Graph, qa: FreshDatabase) -> None:
    refresh = replace(NIGHTLY, kind="data-migration", migration="full-load-and-cdc", start=OneTime())
    catalog = replace(nightly.catalog, refreshes=[refresh])
    graph = replace(nightly, catalog=catalog, definitions=build_definitions(catalog))
    sensor = graph.definitions.resolve_sensor_def("qa_nightly_changes")

    def tick() -> dg.SensorExecutionData:
        resources = {"replication": graph.replication}
        return sensor.evaluate_tick(dg.build_sensor_context(graph.instance, resources=resources))

    assert "nothing is published yet" in (tick().skip_message or "")
    graph.run("qa_nightly")
    graph.sql("DELETE FROM items WHERE id <= 10; INSERT INTO items VALUES (900, 'Quillfeather')")
    graph.run("shop_capture")
    assert len(tick().run_requests or ()) == 1
    graph.run("qa_nightly")
    rows = dict(copied(qa))
    assert sorted(rows) == [*range(11, 251), 900]
    assert rows[900] != "Quillfeather"
    assert "no change" in (tick().skip_message or "")


def test_the_check_repeats_the_proof_and_finds_a_row_that_was_edited_by_hand(
    nightly: Graph, qa: FreshDatabase
) -> None:
    nightly.run("qa_nightly")
    key = dg.AssetCheckKey(dg.AssetKey(COPY), "masked")
    job = dg.define_asset_job("prove", dg.AssetSelection.checks(key))
    definitions = dg.Definitions.merge(nightly.definitions, dg.Definitions(jobs=[job]))

    def prove() -> bool:
        done = definitions.resolve_job_def("prove").execute_in_process(instance=nightly.instance)
        (found,) = done.get_asset_check_evaluations()
        return found.passed

    assert prove()
    with psycopg.connect(qa.dsn, autocommit=True) as connection:
        connection.execute("UPDATE items SET name = 'item 7' WHERE id = 7")
    assert not prove()


# --- the guard over jobs ---------------------------------------------------------------------


def steps(graph: Graph) -> tuple[dg.OpDefinition, ...]:
    (refresh,) = graph.catalog.refreshes
    return refresh_steps(refresh, [], {})


def test_a_job_that_leads_a_plan_past_the_mask_into_the_load_is_refused_with_the_definitions(
    declared: Graph,
) -> None:
    plan, _, load, verify, publish = steps(declared)

    @dg.job(resource_defs={ENVIRONMENTS: dg.ResourceDefinition.hardcoded_resource(declared.replication)})
    def rewired() -> None:
        publish(verify(load(plan())))

    with pytest.raises(
        GuardError, match="step load of refresh qa_nightly takes the output of qa_nightly_plan"
    ):
        guarded(dg.Definitions(jobs=[rewired]))


def test_a_rewired_job_that_nobody_guarded_fails_before_its_first_step_does_anything(declared: Graph) -> None:
    plan, _, load, verify, publish = steps(declared)

    @dg.op
    def forged(plan: Any) -> Any:
        return type("Masked", (), {"plan": plan.plan})()

    @dg.job(resource_defs={ENVIRONMENTS: dg.ResourceDefinition.hardcoded_resource(declared.replication)})
    def rewired() -> None:
        publish(verify(load(forged(plan()))))

    done = rewired.execute_in_process(instance=declared.instance, raise_on_error=False)
    assert not done.success
    (failure,) = done.get_step_failure_events()
    assert failure.step_key == "qa_nightly_plan"
    assert declared.replication.store().staging("qa_nightly").plan() is None


def test_an_op_of_somebody_else_that_asks_for_nonproduction_targets_is_refused(declared: Graph) -> None:
    @dg.op(
        required_resource_keys={ENVIRONMENTS},
        tags={naming.REFRESH_TAG: "qa_nightly"},
        name="qa_nightly_load",
    )
    def dressed_up() -> None: ...

    @dg.job(resource_defs={ENVIRONMENTS: dg.ResourceDefinition.none_resource()})
    def aside() -> None:
        dressed_up()

    with pytest.raises(GuardError, match="is no step of a refresh"):
        guarded(dg.Definitions(jobs=[aside]))


def test_a_step_takes_only_what_the_step_before_it_made(declared: Graph) -> None:
    _, mask, *_ = steps(declared)

    @dg.op
    def raw() -> dict[str, str]:
        return {"plan": "{}"}

    @dg.job(resource_defs={ENVIRONMENTS: dg.ResourceDefinition.hardcoded_resource(declared.replication)})
    def unplanned() -> None:
        mask(raw())

    done = unplanned.execute_in_process(instance=declared.instance, raise_on_error=False)
    assert not done.success
    assert PLANNED.key == "PlannedRefresh"


def test_a_table_that_two_refreshes_copy_is_an_asset_once_and_both_report_it(
    nightly: Graph, qa: FreshDatabase
) -> None:
    once = replace(NIGHTLY, name="qa_once", start=OneTime())
    catalog = replace(nightly.catalog, refreshes=[NIGHTLY, once])
    graph = replace(nightly, catalog=catalog, definitions=build_definitions(catalog))

    graph.run("qa_once")

    assert len(copied(qa)) == 250
    assert graph.materialized(COPY)[""]["dagster/row_count"] == 250
