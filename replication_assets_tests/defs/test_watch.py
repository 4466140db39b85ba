"""The watch as Dagster runs it: planted trouble reaches a receiver that listens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from replication_assets.catalog import (
    Catalog,
    CloudWatch,
    DeltaProjection,
    Email,
    EventStoreConfig,
    PostgresSourceConfig,
    Prometheus,
    Table,
    Watch,
    Webhook,
)
from replication_assets.defs.build import build_definitions
from replication_assets.defs.notify import channel_name
from replication_assets.defs.run_failures import Failures
from replication_assets.defs.watch import SENSOR, Cursor
from replication_assets.replication import Replication
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.defs.conftest import Graph
from replication_assets_tests.notify.receivers import WebReceiver, mail_receiver, web_receiver


@dataclass
class Watched:
    """A graph whose sensors are ticked as the daemon does: events are stored, then the cursor."""

    graph: Graph
    cursors: dict[str, str | None] = field(default_factory=dict)

    def tick(self, name: str) -> dg.SensorResult | dg.SkipReason:
        sensor = self.graph.definitions.resolve_sensor_def(name)
        context = dg.build_sensor_context(
            instance=self.graph.instance,
            cursor=self.cursors.get(name),
            resources={"replication": self.graph.replication},
        )
        result = sensor(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        if isinstance(result, dg.SensorResult):
            for event in result.asset_events:
                self.graph.instance.report_runless_asset_event(event)
            self.cursors[name] = result.cursor
        return result

    def channel(self, number: int = 0) -> str:
        return channel_name(self.graph.catalog.watch.notify[number])

    def passes(self, seconds: float) -> None:
        """Move everything that the watch remembers into the past."""
        cursor = Cursor.parse(self.cursors.get(SENSOR))
        back = dt.timedelta(seconds=seconds)
        for key, alarm in cursor.memory.alarms.items():
            absent = alarm.absent_since and alarm.absent_since - back
            cursor.memory.alarms[key] = replace(
                alarm, since=alarm.since - back, told_at=alarm.told_at - back, absent_since=absent
            )
        self.cursors[SENSOR] = str(cursor)


def watched(graph: Graph, watch: Watch) -> Watched:
    catalog = replace(graph.catalog, watch=watch)
    return Watched(replace(graph, catalog=catalog, definitions=build_definitions(catalog)))


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as listening:
        yield listening


def kinds(receiver: WebReceiver) -> list[tuple[str, str, str]]:
    told = [(each["kind"], each["phase"], each["subject"]) for each in receiver.told()]
    return [each for each in told if each[0] != "disk"]


def test_a_capture_that_stands_still_reaches_the_receiver_once_and_so_does_its_end(
    ready: Graph, receiver: WebReceiver
) -> None:
    shop = watched(ready, Watch(lag_sla_seconds=0.001, notify=[Webhook(receiver.url)], settle_seconds=60))
    ready.run("shop_capture")
    ready.sql("UPDATE items SET name = 'changed'")
    for _ in range(3):
        shop.tick(SENSOR)
        shop.tick(shop.channel())
    assert kinds(receiver) == [("lag", "started", "shop (SLA 0.001 s)")]
    relaxed = watched(ready, replace(shop.graph.catalog.watch, lag_sla_seconds=1000))
    relaxed.cursors = shop.cursors
    relaxed.tick(SENSOR)
    relaxed.passes(61)
    relaxed.tick(SENSOR)
    relaxed.tick(relaxed.channel())
    assert kinds(receiver)[1:] == [("lag", "resolved", "shop (SLA 0.001 s)")]


def test_a_full_slot_reaches_the_receiver(
    private_postgres: PrivatePostgres, receiver: WebReceiver, tmp_path: Path
) -> None:
    server = private_postgres(
        {"max_slot_wal_keep_size": "64MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    )
    server.create_database("shop")
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(tmp_path / "event_store")),
        sources=(
            PostgresSourceConfig(
                "shop",
                host="127.0.0.1",
                port=server.port,
                database="shop",
                user="postgres",
                sslmode="disable",
            ),
        ),
        tables=(Table("shop.public.items"),),
        projections=(DeltaProjection("lake", tables=("shop.*",), root=str(tmp_path / "lake")),),
        # Bytes alone decide, however long this takes.
        watch=Watch(
            headroom_bytes=48 * 2**20,
            headroom_hours=0.001,
            notify=[Webhook(receiver.url, events=["slot"])],
        ),
    )
    with dg.DagsterInstance.ephemeral() as instance:
        graph = Graph(catalog, build_definitions(catalog), instance, server.dsn("shop"))
        graph.sql("CREATE TABLE items (id int PRIMARY KEY, name text)")
        graph.run("shop_setup")
        shop = Watched(graph)
        for _ in range(40):
            graph.sql("INSERT INTO items SELECT g, repeat(md5(g::text), 99) FROM generate_series(1, 3000) g")
            graph.sql("TRUNCATE items")
            graph.sql("SELECT pg_switch_wal()")
            shop.tick(SENSOR)
            shop.tick(shop.channel())
            if graph.replication.source("shop").status().state == "lost":
                break
            if graph.replication.source("shop").status().state == "unreserved":
                graph.sql("CHECKPOINT")
        shop.tick(SENSOR)
        shop.tick(shop.channel())
        said = [each["what"] for each in receiver.told()]
        assert "left before it is lost" in said[0]
        assert "slot or change log is lost" in said[-1]
        assert len(said) <= 3
        graph.replication.source("shop").teardown()


def test_a_channel_that_fails_loses_nothing_and_stops_no_other(ready: Graph, receiver: WebReceiver) -> None:
    with web_receiver() as other, mail_receiver() as mail:
        channels = (
            Webhook(receiver.url),
            Webhook(other.url, events=["slot"]),
            Email("127.0.0.1", port=mail.port, sender="a@b.c", recipients=["d@e.f"], tls="none"),
        )
        shop = watched(ready, Watch(lag_sla_seconds=0.001, notify=channels))
        ready.run("shop_capture")
        ready.sql("UPDATE items SET name = 'changed'")
        shop.tick(SENSOR)
        receiver.status = 503
        for _ in range(2):
            with pytest.raises(dg.DagsterError, match="it answered 503"):
                shop.tick(shop.channel(0))
        assert isinstance(shop.tick(shop.channel(1)), dg.SensorResult)
        shop.tick(shop.channel(2))
        ready.run("shop_teardown")
        shop.tick(SENSOR)
        receiver.status = 200
        for number in range(3):
            shop.tick(shop.channel(number))
        assert kinds(receiver) == [("lag", "started", "shop (SLA 0.001 s)"), ("slot", "started", "shop")]
        assert len(receiver.bodies) == 1
        assert kinds(other) == [("slot", "started", "shop")]
        assert [str(each["Subject"]).split(" and")[0] for each in mail.mail] == [
            "[replication] lag: shop (SLA 0.001 s)",
            "[replication] slot: shop",
        ]
        for number in range(3):
            assert isinstance(shop.tick(shop.channel(number)), dg.SkipReason)


def fail(graph: Graph, job: str) -> None:
    result = graph.definitions.resolve_job_def(job).execute_in_process(
        instance=graph.instance, resources={"replication": graph.replication}, raise_on_error=False
    )
    assert not result.success


def test_a_job_that_fails_again_and_again_is_told_once_and_its_success_too(
    ready: Graph, receiver: WebReceiver
) -> None:
    shop = watched(ready, Watch(notify=[Webhook(receiver.url, events=["failure"])], settle_seconds=1))
    ready.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    for _ in range(3):
        fail(shop.graph, "shop_capture")
        shop.tick(SENSOR)
        shop.tick(shop.channel())
    (told,) = receiver.told()
    assert (told["kind"], told["phase"], told["subject"]) == ("failure", "started", "job shop_capture")
    assert "slot" in told["what"]
    shop.graph.run("shop_recover", resources={"replication": shop.graph.replication})
    shop.graph.run("shop_capture", resources={"replication": shop.graph.replication})
    shop.tick(SENSOR)
    shop.passes(2)
    shop.tick(SENSOR)
    shop.tick(shop.channel())
    assert [each[1] for each in kinds(receiver)] == ["started", "resolved"]


def test_of_an_error_that_is_not_ours_only_the_class_is_told(ready: Graph) -> None:
    @dg.op
    def leak() -> None:
        raise ValueError("Key (email)=(someone@example.com) already exists")

    @dg.job
    def ours() -> None:
        leak()

    ours.execute_in_process(instance=ready.instance, raise_on_error=False)
    (found,) = Failures().look(ready.instance, {"ours"}, set(), dt.datetime.now(dt.UTC), 3600)
    assert "ValueError" in found.what
    assert "someone" not in found.what


def test_runs_of_others_and_runs_that_will_be_retried_are_not_told(ready: Graph) -> None:
    @dg.op
    def leak() -> None:
        raise ValueError

    @dg.job(tags={"dagster/will_retry": "true"})
    def retried() -> None:
        leak()

    @dg.job
    def theirs() -> None:
        leak()

    for job in (retried, theirs):
        job.execute_in_process(instance=ready.instance, raise_on_error=False)
    now = dt.datetime.now(dt.UTC)
    assert Failures().look(ready.instance, {"retried"}, set(), now, 3600) == []


def test_a_failed_partition_is_over_when_that_partition_succeeds(ready: Graph) -> None:
    lake = ("lake", "shop", "public", "items")
    now = dt.datetime.now(dt.UTC)
    assert not ready.materialize(lake, "r000000", raise_on_error=False).success
    failures, jobs, assets = Failures(), {"shop_capture"}, {dg.AssetKey(lake)}
    (found,) = failures.look(ready.instance, jobs, assets, now, 3600)
    assert found.subject == "asset lake/shop/public/items"
    assert "not loaded yet" in found.what
    assert failures.look(ready.instance, jobs, assets, now, 3600) == [found]
    month = f"{now:%Y-%m-01}"
    ready.materialize(("event_store", "shop", "public", "items"), f"{month}|r000000")
    assert failures.look(ready.instance, jobs, assets, now, 3600) == [found]
    ready.materialize(lake, "r000000")
    assert failures.look(ready.instance, jobs, assets, now, 3600) == []


def test_a_capture_that_goes_on_for_a_while_got_past_what_failed_before(ready: Graph) -> None:
    ready.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    fail(ready, "shop_capture")
    failures, now = Failures(), dt.datetime.now(dt.UTC)
    assert len(failures.look(ready.instance, {"shop_capture"}, set(), now, 3600)) == 1
    job = ready.definitions.resolve_job_def("shop_capture")
    run = ready.instance.create_run_for_job(job)
    started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job.name)
    ready.instance.report_dagster_event(started, run.run_id)
    at = now + dt.timedelta(seconds=30)
    assert len(failures.look(ready.instance, {"shop_capture"}, set(), at, 3600)) == 1
    at = now + dt.timedelta(seconds=120)
    assert failures.look(ready.instance, {"shop_capture"}, set(), at, 3600) == []


def test_figures_plot_on_assets_of_their_own_and_checks_follow(ready: Graph) -> None:
    patient, shop = watched(ready, Watch()), watched(ready, Watch(lag_sla_seconds=0.001))
    month = f"{dt.datetime.now(dt.UTC):%Y-%m-01}"
    ready.materialize(("event_store", "shop", "public", "items"), f"{month}|r000000")
    ready.run("shop_capture")
    patient.tick(SENSOR)
    ready.sql("UPDATE items SET name = 'changed'")
    shop.cursors = patient.cursors
    shop.tick(SENSOR)
    shop.tick(SENSOR)
    source = ready.materialized(["watch", "sources", "shop"])[""]
    for name in ("lag_seconds", "lag_bytes", "retained_bytes", "changes_per_second", "alarms"):
        assert isinstance(source[name], int | float), name
    lake = ready.materialized(["watch", "projections", "lake"])[""]
    assert {"freshness_seconds", "waiting_events", "dead_letters", "rows", "tables"} <= lake.keys()
    disk = ready.materialized(["watch", "disk"])[""]
    assert 0 < disk["free_bytes"] < disk["total_bytes"]
    key = dg.AssetCheckKey(dg.AssetKey(["watch", "sources", "shop"]), "healthy")
    records = ready.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    evaluations = [record.event.dagster_event.asset_check_evaluation_data for record in records]
    assert [each.passed for each in evaluations] == [False, True]
    assert "capture is" in (evaluations[0].description or "")


def test_a_check_run_by_hand_looks_anew(ready: Graph) -> None:
    check = dg.AssetCheckKey(dg.AssetKey(["watch", "sources", "shop"]), "healthy")
    job = ready.definitions.resolve_implicit_global_asset_job_def()
    ready.run("shop_teardown")
    result = job.get_subset(asset_check_selection={check}).execute_in_process(instance=ready.instance)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "the slot or change log is missing" in (evaluation.description or "")


def test_metrics_are_exported_and_one_that_fails_is_told_with_the_next_look(
    ready: Graph, receiver: WebReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tests")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    file = tmp_path / "replication.prom"
    exports = (CloudWatch(region="eu-central-1", endpoint_url="http://127.0.0.1:1"), Prometheus(str(file)))
    shop = watched(ready, Watch(metrics=exports, notify=[Webhook(receiver.url)]))
    shop.tick(SENSOR)
    ready.materialize(
        ("event_store", "shop", "public", "items"), f"{dt.datetime.now(dt.UTC):%Y-%m-01}|r000000"
    )
    shop.tick(SENSOR)
    shop.tick(shop.channel())
    families = {family.name: family for family in text_string_to_metric_families(file.read_text())}
    rows = families["replication_assets_full_load_throughput_rows_target_per_second"].samples
    assert {sample.labels["table"] for sample in rows} == {"public.items"}
    assert all(sample.value > 0 for sample in rows)
    assert "replication_assets_cdc_latency_source_seconds" in families
    assert "replication_assets_full_load_throughput_bandwidth_target_bytes_per_second" in families
    assert kinds(receiver) == [("failure", "started", "metrics to CloudWatch namespace ReplicationAssets")]


def test_the_cursor_survives_as_text_and_another_versions_is_none(ready: Graph) -> None:
    shop = watched(ready, Watch(lag_sla_seconds=0.001))
    ready.run("shop_capture")
    ready.sql("UPDATE items SET name = 'changed'")
    shop.tick(SENSOR)
    text = shop.cursors[SENSOR]
    assert str(Cursor.parse(text)) == text
    for other in (None, "", "1", "{}", "nothing", '{"memory": 5}'):
        assert Cursor.parse(other).memory.alarms == {}


def test_a_watch_that_stopped_shows_by_dagsters_own_freshness(ready: Graph) -> None:
    specs = {spec.key.to_user_string(): spec for spec in ready.definitions.resolve_all_asset_specs()}
    for key in ("watch/sources/shop", "watch/projections/lake", "watch/disk"):
        policy = specs[key].freshness_policy
        assert policy is not None
        assert policy.fail_window.to_timedelta() == dt.timedelta(seconds=300)
    assert specs["watch/notifications"].freshness_policy is None


def test_a_channel_keeps_its_name_when_others_come_and_shows_no_address() -> None:
    one, two = Webhook("https://example.com/one"), Webhook("https://example.com/two")
    assert channel_name(one) != channel_name(two)
    assert channel_name(one) == channel_name(Webhook("https://example.com/one"))
    assert "example" not in channel_name(one)


def test_the_watch_needs_no_source_that_answers(graph: Graph) -> None:
    gone = replace(graph.catalog.sources[0], port=1)
    catalog = replace(graph.catalog, sources=(gone,))
    shop = Watched(replace(graph, catalog=catalog, definitions=build_definitions(catalog)))
    shop.tick(SENSOR)
    facts = graph.materialized(["watch", "sources", "shop"])[""]
    assert "127.0.0.1" in facts["error"]
    assert Replication(catalog).catalog.watch == Watch()
