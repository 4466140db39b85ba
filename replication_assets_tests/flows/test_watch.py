"""What is wrong is found on a real system, and what follows from figures is decided exactly."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from replication_assets.catalog import (
    ByWidth,
    Catalog,
    DynamoDbProjection,
    EnvVar,
    EventStoreConfig,
    ItemKey,
    Items,
    Table,
    Watch,
)
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.declarations import Projection
from replication_assets.flows.watch import seen_checkpoints
from replication_assets.flows.watch.health import SourceHealth, lag_seconds, read_health
from replication_assets.flows.watch.look import Look, Memory, look, slot_danger
from replication_assets.flows.watch.metrics import BY_NAME, FIGURES, LoadRate, metrics_of
from replication_assets.flows.watch.readings import Readings
from replication_assets.flows.watch.seen_checkpoints import SeenCheckpoints
from replication_assets.ports import (
    CaptureMark,
    ProjectionTarget,
    RangeCheckpoint,
    Refusal,
    SourceIdentity,
    SourceStatus,
)
from replication_assets.replication import Replication
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
GIB = 2**30


DEFAULTS = Watch()
LIMITS = Watch(headroom_bytes=48 * 2**20, headroom_hours=0.001)
"""Bytes alone decide, however long a test takes."""


def built(database: FreshDatabase, folder: Path, watch: Watch = DEFAULTS) -> System:
    """Loaded, captured and projected: nothing is wrong."""
    tables = [Table("app.public.t", id_ranges=ByWidth(50)), Table("app.public.u", lag_sla_seconds=900)]
    system = system_of(database, folder, tables)
    system = replace(system, catalog=replace(system.catalog, watch=watch).validate())
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 120) i",
        "CREATE TABLE u (id int PRIMARY KEY, v int)",
        "INSERT INTO u VALUES (1, 1)",
    )
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    return system


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    return built(database, tmp_path)


def later(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)


def found(seen: Look) -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in seen.conditions if each.kind != "disk"]


def told(seen: Look) -> list[tuple[str, str, str]]:
    return [(each.kind, each.phase, each.subject) for each in seen.notifications if each.kind != "disk"]


def level(system: System, memory: Memory, now: dt.datetime) -> Look:
    """A look at a moment at which everything is captured. A server writes to its log by itself
    too, and what it wrote since a capture is a lag."""
    for _ in range(100):
        system.capture()
        tried = Memory.parse(str(memory))
        seen = look(system.replication, tried, now=now)
        status = seen.health.source(SOURCE).status
        if status is not None and status.lag_bytes == 0:
            memory.readings, memory.alarms = tried.readings, tried.alarms
            memory.schema_told = tried.schema_told
            return seen
    raise AssertionError("the server never rests")


def test_a_system_that_is_level_has_nothing_wrong(system: System) -> None:
    system.execute("UPDATE t SET v = 1 WHERE id = 1")
    system.capture()
    system.project()
    seen = look(system.replication, Memory())
    assert found(seen) == []
    health = seen.health
    assert (health.table(T).load_rows, health.table(T).changes) == (120, 1)
    assert [len(health.table(T).ranges), health.table(T).waiting, health.table(T).stale] == [3, (), ()]
    lake = next(each for each in health.of_projection("lake") if each.table == T)
    assert (lake.ranges, lake.filled, lake.rows, lake.waiting) == (3, 3, 120, 0)
    assert lake.freshness_seconds == health.source(SOURCE).lag_seconds
    assert health.disk is not None
    assert 0 < health.disk.free_bytes < health.disk.total_bytes


def test_a_capture_that_stands_still_is_told_for_the_tables_whose_sla_it_breaks(system: System) -> None:
    memory = Memory()
    look(system.replication, memory)
    system.execute("UPDATE t SET v = 2", "UPDATE u SET v = 2")
    assert told(look(system.replication, memory, now=later(200))) == []
    seen = look(system.replication, memory, now=later(400))
    assert told(seen) == [("lag", "started", "app (SLA 300 s)")]
    assert "app.public.t" in seen.notifications[0].what
    assert "app.public.u" not in seen.notifications[0].what
    assert told(look(system.replication, memory, now=later(1000))) == [("lag", "started", "app (SLA 900 s)")]
    system.capture()
    system.project()
    level(system, memory, later(1030))
    over = level(system, memory, later(1200))
    assert sorted(told(over)) == [
        ("lag", "resolved", "app (SLA 300 s)"),
        ("lag", "resolved", "app (SLA 900 s)"),
    ]


def test_events_that_wait_make_a_projection_late_and_are_counted(system: System) -> None:
    system.execute("UPDATE t SET v = 3 WHERE id IN (1, 60, 61)")
    seen = level(system, Memory(), later(400))
    lake = next(each for each in seen.health.of_projection("lake") if each.table == T)
    assert lake.waiting == 3
    assert lake.freshness_seconds == pytest.approx(400, abs=60)
    assert ("lag", "lake app.public.t") in found(seen)
    assert ("lag", "lake app.public.u") not in found(seen)
    system.project()
    assert ("lag", "lake app.public.t") not in found(level(system, Memory(), later(400)))


def test_a_range_that_was_loaded_and_never_filled_waits_whole(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = built(database, tmp_path)
    system.execute("INSERT INTO t SELECT i, 0 FROM generate_series(150, 159) i")
    system.capture()
    system.load(system.table("t"))
    lake = next(
        each for each in read_health(system.replication, Readings()).of_projection("lake") if each.table == T
    )
    assert (lake.ranges, lake.filled) == (4, 0)
    assert lake.waiting >= 130


def test_a_dead_letter_is_told_and_its_end_too(system: System) -> None:
    letters = system.store.dead_letters("lake", T)
    refusal = Refusal('{"id": "7"}', Position(1, 10, 1), None, "item-too-large", "more than 400 KB")
    letters.add("r000000", [refusal], NOW)
    memory = Memory()
    assert told(look(system.replication, memory)) == [("dead-letters", "started", "lake app.public.t")]
    letters.close(letters.open(), "discarded", NOW)
    look(system.replication, memory, now=later(10))
    assert told(look(system.replication, memory, now=later(200))) == [
        ("dead-letters", "resolved", "lake app.public.t")
    ]


def test_a_suspended_table_is_told_as_worse_than_a_dead_letter(system: System) -> None:
    letters = system.store.dead_letters("lake", T)
    letters.add("r000000", [Refusal('{"id": "7"}', Position(1, 10, 1), None, "x", "y")], NOW)
    memory = Memory()
    look(system.replication, memory)
    letters.suspend("refused too often", NOW)
    seen = look(system.replication, memory)
    assert told(seen) == [("dead-letters", "started", "lake app.public.t")]
    assert "suspended: refused too often" in seen.notifications[0].what


def test_columns_that_come_and_go_are_noted_once(system: System) -> None:
    memory = Memory()
    assert told(look(system.replication, memory)) == []
    system.execute("ALTER TABLE t ADD COLUMN note text", "UPDATE t SET note = 'x' WHERE id = 1")
    system.capture()
    assert told(look(system.replication, memory)) == [("schema-change", "noted", "app.public.t")]
    assert told(look(system.replication, Memory.parse(str(memory)))) == []


def test_a_change_that_needs_a_new_load_stands_until_it_is_loaded(system: System) -> None:
    memory = Memory()
    look(system.replication, memory)
    system.execute("ALTER TABLE t ADD COLUMN grade int NOT NULL DEFAULT 5", "UPDATE t SET v = 9 WHERE id = 1")
    system.capture()
    seen = look(system.replication, memory)
    assert told(seen) == [("schema-change", "started", "app.public.t")]
    assert seen.health.table(T).stale == ("r000000", "r000001", "r000002")
    lake = next(each for each in seen.health.of_projection("lake") if each.table == T)
    assert (lake.filled, lake.rows, lake.waiting) == (3, 120, 1)
    system.load_all()
    look(system.replication, memory, now=later(10))
    assert told(look(system.replication, memory, now=later(200))) == [
        ("schema-change", "resolved", "app.public.t")
    ]


def test_a_slot_that_is_gone_is_told(system: System) -> None:
    memory = Memory()
    look(system.replication, memory)
    system.source.teardown()
    seen = look(system.replication, memory)
    assert told(seen) == [("slot", "started", SOURCE)]
    assert "missing" in seen.notifications[0].what
    assert "load every id range again" in seen.notifications[0].fix


def test_of_a_projection_that_was_never_loaded_no_freshness_is_claimed(
    database: FreshDatabase, tmp_path: Path
) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t")])
    system.execute("CREATE TABLE t (id int PRIMARY KEY)")
    system.prepare()
    readings = Readings()
    for _ in range(2):
        (lake,) = read_health(system.replication, readings).projections
        assert (lake.freshness_seconds, lake.waiting, lake.filled) == (None, 0, 0)
        system.execute("INSERT INTO t SELECT 1 + count(*) FROM t")
        system.capture()
    (lake,) = read_health(system.replication, readings).projections
    assert lake.freshness_seconds is None
    assert lake.rows_per_second == 0
    system.load_all()
    (lake,) = read_health(system.replication, readings).projections
    assert lake.waiting >= 2
    assert lake.freshness_seconds is not None


def test_an_empty_table_that_was_loaded_is_fresh(database: FreshDatabase, tmp_path: Path) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t")])
    system.execute("CREATE TABLE t (id int PRIMARY KEY)")
    system.prepare()
    system.load_range(system.table("t"), system.table("t").id_ranges.at(0).open_above())
    (lake,) = read_health(system.replication, Readings()).projections
    assert lake.freshness_seconds is not None


def test_a_view_is_never_late(database: FreshDatabase, tmp_path: Path) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t"), Table("app.public.w", key=("id",))])
    system.execute("CREATE TABLE t (id int PRIMARY KEY)", "CREATE VIEW w AS SELECT id FROM t")
    system.prepare()
    system.load_all()
    system.execute("INSERT INTO t VALUES (1)")
    seen = look(system.replication, Memory(), now=later(400))
    assert seen.health.table(TableId(SOURCE, "public", "w")).lag_seconds is None
    assert seen.conditions[0].what.endswith("the SLA is 300 s: app.public.t")


def test_a_source_that_was_never_set_up_is_no_alarm(database: FreshDatabase, tmp_path: Path) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t")])
    assert found(look(system.replication, Memory(), now=later(1000))) == []


def test_a_source_that_does_not_answer_hides_nothing_else_and_ends_no_alarm(system: System) -> None:
    system.store.dead_letters("lake", T).suspend("by hand", NOW)
    memory = Memory()
    system.execute("UPDATE t SET v = 4")
    look(system.replication, memory, now=later(400))
    gone = replace(system.catalog, sources=(replace(system.catalog.sources[0], port=1),))
    for at in (430, 600, 900):
        seen = look(Replication(gone), memory, now=later(at))
        assert ("failure", SOURCE) in found(seen)
        assert ("dead-letters", "lake app.public.t") in found(seen)
        assert not [each for each in seen.notifications if each.phase == "resolved"]
    assert seen.health.table(T).changes == 0


def test_a_secret_that_is_not_set_is_an_error_of_its_source(system: System) -> None:
    asked = replace(system.catalog.sources[0], password=EnvVar("NOT_SET_ANYWHERE"))
    seen = look(Replication(replace(system.catalog, sources=(asked,))), Memory())
    assert ("failure", SOURCE) in found(seen)
    assert "NOT_SET_ANYWHERE" in seen.notifications[0].what


def test_the_memory_survives_as_text_and_another_versions_is_none(system: System) -> None:
    memory = Memory()
    system.execute("UPDATE t SET v = 5")
    look(system.replication, memory, now=later(400))
    look(system.replication, memory, now=later(430))
    again = Memory.parse(str(memory))
    assert str(again) == str(memory)
    assert again.alarms == memory.alarms
    for text in (None, "", "{}", "[]", "not json", '{"alarms": [[1]]}', '{"readings": {"x": 1}}'):
        assert Memory.parse(text).alarms == {}


def test_a_full_slot_is_told_as_in_danger_and_then_as_lost(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    server = private_postgres(
        {"max_slot_wal_keep_size": "64MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    )
    server.create_database("bank")
    system = built(FreshDatabase(server, "bank"), tmp_path, LIMITS)
    system.execute("CREATE TABLE filler (x text)")
    memory, said = Memory(), []
    assert told(look(system.replication, memory)) == []
    for _ in range(40):
        system.execute(
            "INSERT INTO filler SELECT repeat(md5(i::text), 30) FROM generate_series(1, 6000) i",
            "SELECT pg_switch_wal()",
        )
        said += look(system.replication, memory).notifications
        if system.source.status().state == "lost":
            break
        if system.source.status().state == "unreserved":
            system.execute("CHECKPOINT")
    said += look(system.replication, memory).notifications
    slot = [each for each in said if each.kind == "slot"]
    assert {each.phase for each in slot} == {"started"}
    assert 2 <= len(slot) <= 3
    assert "left before it is lost" in slot[0].what
    assert "slot or change log is lost" in slot[-1].what


def status(retained: int, left: int | None, state: str = "reserved") -> SourceStatus:
    return SourceStatus(20, 10, 100, retained, left, True, state, NOW)


@pytest.mark.parametrize(
    ("given", "hours", "watch", "said"),
    [
        (status(1 * GIB, 99 * GIB), None, Watch(), None),
        (status(91 * GIB, 9 * GIB), None, Watch(), "9.0 GiB left"),
        (status(91 * GIB, 9 * GIB), None, Watch(headroom_bytes=8 * GIB), None),
        (status(50 * GIB, 50 * GIB), 23.9, Watch(), "in 23.9 hours"),
        (status(50 * GIB, 50 * GIB), 24.1, Watch(), None),
        (status(50 * GIB, 50 * GIB), 24.1, Watch(headroom_hours=48), "in 24.1 hours"),
        (status(65 * GIB, None), None, Watch(), "nothing limits it"),
        (status(63 * GIB, None), None, Watch(), None),
        (status(2 * GIB, None), None, Watch(retained_bytes=GIB), "nothing limits it"),
        (status(2 * GIB, -5, "unreserved"), None, Watch(), "about to be lost"),
    ],
)
def test_when_a_slot_is_in_danger(
    given: SourceStatus, hours: float | None, watch: Watch, said: str | None
) -> None:
    reason = slot_danger(SourceHealth("shop", True, given, 0.0, None, hours), watch)
    assert (reason is None) == (said is None)
    assert said is None or said in (reason or "")


def test_hours_are_predicted_from_how_the_log_grows(system: System) -> None:
    readings = Readings()
    read_health(system.replication, readings, NOW)
    at, retained = readings.series[f"retained/{SOURCE}"][0]
    readings.series[f"retained/{SOURCE}"] = [(at - 3600, 0.0), (at - 1800, retained / 2)]
    source = read_health(system.replication, readings, NOW).source(SOURCE)
    # The server's log has grown since the first look.
    at, retained = readings.series[f"retained/{SOURCE}"][-1]
    assert source.retained_growth == pytest.approx(retained / 3600)
    # The shared server keeps its log without limit, so nothing is predicted to run out.
    assert source.headroom_hours is None


def marks(committed: float, recorded: float) -> CaptureMark:
    ago = [NOW - dt.timedelta(seconds=seconds) for seconds in (committed, recorded)]
    return CaptureMark(1, 10, SourceIdentity("s", 1), *ago)


@pytest.mark.parametrize(
    ("lag_bytes", "caught_up", "expected"),
    [
        (0, None, 0.0),
        (100, None, 5.0),
        (10**9, None, 3600.0),
        (10**9, 20.0, 20.0),
        (None, None, 5.0),
    ],
    ids=["level", "a little", "much", "much, of which nothing 20 s ago", "slot missing"],
)
def test_lag_after_a_quiet_hour_counts_from_when_the_log_moved(
    lag_bytes: int | None, caught_up: float | None, expected: float
) -> None:
    given = replace(status(0, None), lag_bytes=lag_bytes)
    at = NOW.timestamp() - caught_up if caught_up is not None else None
    assert lag_seconds(given, marks(3600, 5), NOW, at) == expected


def named(seen: Look, loads: Sequence[LoadRate] = ()) -> dict[tuple[str, str], float]:
    return {
        (metric.name, metric.dimensions.get("Table", "")): metric.value for metric in metrics_of(seen, loads)
    }


def test_every_figure_is_exported_under_its_name_or_left_out(system: System) -> None:
    memory, start = Memory(), later(0)
    look(system.replication, memory, now=start)
    system.execute("UPDATE t SET v = 6 WHERE id <= 30")
    seen = level(system, memory, start + dt.timedelta(seconds=100))
    figures = named(seen, [LoadRate(T, 1000.0, 64.0)])
    assert figures["CDCIncomingChanges", "public.t"] == 30
    assert figures["CDCThroughputRowsSource", "public.t"] == pytest.approx(0.3)
    assert figures["CDCThroughputRowsTarget", "public.t"] == 0
    assert figures["FullLoadThroughputRowsTarget", "public.t"] == 1000
    assert figures["FullLoadThroughputBandwidthTarget", "public.t"] == 64
    assert figures["CDCLatencyTarget", "public.t"] > 0
    assert figures["CDCLatencyTarget", "public.u"] == 0
    assert figures["SlotUsable", ""] == 1
    assert {name for name, _ in figures} <= set(BY_NAME)
    unknown = {"SlotHeadroomBytes", "SlotHeadroomHours", "StorageHeadroomHours"}
    assert {figure.name for figure in FIGURES} - {name for name, _ in figures} == unknown


def test_health_is_read_from_a_catalog_without_anything(tmp_path: Path) -> None:
    catalog = Catalog(EventStoreConfig(str(tmp_path / "not" / "made" / "yet")))
    seen = look(Replication(catalog), Memory())
    assert (seen.health.sources, seen.health.tables, found(seen)) == ((), (), [])
    assert seen.health.disk is not None


class Asked(Replication):
    """Counts how often a target is asked for a checkpoint."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog)
        self.times = 0

    def target(self, projection: Projection, table: TableId) -> ProjectionTarget:
        target = super().target(projection, table)
        asked = target.checkpoint

        def checkpoint(id_range: str) -> RangeCheckpoint | None:
            self.times += 1
            return asked(id_range)

        target.checkpoint = checkpoint  # type: ignore[method-assign]
        return target


def test_only_ranges_with_newer_events_are_asked_again_and_the_answer_is_the_same(system: System) -> None:
    asked, seen = Asked(system.catalog), SeenCheckpoints()

    def times() -> int:
        before = asked.times
        kept = read_health(asked, Readings(), NOW, seen).projections
        spent = asked.times - before
        # Of a range that nothing waits for, the checkpoint itself may have gone further.
        anew = read_health(system.replication, Readings(), NOW).projections
        assert [replace(each, reached=None) for each in kept] == [
            replace(each, reached=None) for each in anew
        ]
        return spent

    assert times() == 4
    assert times() == 0
    system.execute("UPDATE t SET v = 7 WHERE id = 60")
    system.capture()
    assert times() == 1
    system.project()
    assert times() == 1
    assert times() == 0
    system.load(system.table("t"))
    assert times() == 3


def test_an_emptied_target_is_noticed_again_after_a_while(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SeenCheckpoints()
    read_health(system.replication, Readings(), NOW, seen)
    shutil.rmtree(system.catalog.projections[0].root)
    monkeypatch.setattr(seen_checkpoints, "AGAIN_SECONDS", 0.0)
    lake = read_health(system.replication, Readings(), NOW, seen).projections[0]
    assert (lake.filled, lake.waiting) == (0, 120)


def test_a_look_that_would_take_too_long_leaves_ranges_for_the_next(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SeenCheckpoints()
    monkeypatch.setattr(seen_checkpoints, "BUDGET_SECONDS", -1.0)
    (t, _) = read_health(system.replication, Readings(), NOW, seen).projections
    assert (t.freshness_seconds, t.filled, t.waiting) == (None, 0, 0)
    monkeypatch.undo()
    (t, _) = read_health(system.replication, Readings(), NOW, seen).projections
    assert (t.filled, t.rows) == (3, 120)
    monkeypatch.setattr(seen_checkpoints, "BUDGET_SECONDS", -1.0)
    (t, _) = read_health(system.replication, Readings(), NOW, seen).projections
    assert (t.filled, t.rows) == (3, 120)


def test_a_dynamodb_projection_is_watched_as_any_other(
    database: FreshDatabase, tmp_path: Path, dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in dynamodb.environment.items():
        monkeypatch.setenv(name, value)
    system = system_of(database, tmp_path, [Table("app.public.t")])
    into = f"orders_{database.name}"
    service = DynamoDbProjection(
        "service",
        items=[Items("app.public.t", into, partition_key=ItemKey("pk", "t#${id}"))],
        region=dynamodb.region,
        endpoint_url=dynamodb.endpoint_url,
        control_table=f"control_{database.name}",
    )
    system = replace(system, catalog=replace(system.catalog, projections=(service,)).validate())
    system.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    system.prepare()
    system.load_all()
    (before,) = read_health(system.replication, Readings()).projections
    assert (before.filled, before.waiting) == (0, 2)
    system.project()
    system.execute("UPDATE t SET v = 3 WHERE id = 1")
    system.capture()
    seen = look(system.replication, Memory(), now=later(400))
    (late,) = seen.health.projections
    assert (late.ranges, late.filled, late.waiting) == (1, 1, 1)
    assert ("lag", "service app.public.t") in found(seen)
    system.project()
    (level,) = read_health(system.replication, Readings()).projections
    assert (level.filled, level.waiting) == (1, 0)
    dynamodb.client().delete_table(TableName=into)
    (gone,) = read_health(system.replication, Readings()).projections
    assert (gone.filled, gone.error) == (0, None)
