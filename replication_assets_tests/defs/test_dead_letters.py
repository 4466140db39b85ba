"""Dead letters in Dagster: red as soon as a row is refused, reprocessed by materializing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from replication_assets.catalog import Catalog, EventStoreConfig, PostgresSourceConfig, Table
from replication_assets.core.positions import Position
from replication_assets.declarations import DynamoDbProjection, Follow, ItemKey, Items, Refusals
from replication_assets.defs import naming
from replication_assets.defs.build import build_definitions
from replication_assets.defs.dead_letters import CHECK
from replication_assets.defs.following import InlineFollower
from replication_assets.event_store import DeltaEventStore
from replication_assets.flows.capture import FlushReceipt
from replication_assets.ports import CellCount
from replication_assets.replication import Replication
from replication_assets_tests.event_store.samples import NOON, ORDERS
from replication_assets_tests.flows.refusing_target import R0, RefusingTarget, Shop

PROJECTION = naming.projection_key("items", ORDERS)
LETTERS = naming.dead_letters_key("items", ORDERS)


@dataclass
class Graph:
    catalog: Catalog
    shop: Shop
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def run(
        self, key: dg.AssetKey, partition: str | None = None, *, raises: bool = True, **options: Any
    ) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[key],
            partition_key=partition,
            raise_on_error=raises,
            **options,
        )

    def project(self, **options: Any) -> dg.ExecuteInProcessResult:
        return self.run(PROJECTION, R0, **options)

    def reprocess(self, **config: bool) -> dict[str, Any]:
        """Materialize the dead letters; returns the metadata."""
        chosen = {"ops": {LETTERS.to_python_identifier(): {"config": config}}}
        result = self.run(LETTERS, run_config=chosen)
        event = result.asset_materializations_for_node(LETTERS.to_python_identifier())[-1]
        return {
            name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in event.metadata.items()
        }

    def check(self) -> tuple[bool, str, str | None]:
        """Passed, severity and description of the newest evaluation."""
        key = dg.AssetCheckKey(LETTERS, CHECK)
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        evaluation = found.evaluation
        assert evaluation is not None
        return evaluation.passed, evaluation.severity.value, evaluation.description

    def evaluations(self) -> int:
        key = dg.AssetCheckKey(LETTERS, CHECK)
        return len(self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100))


def graph_of(
    folder: Path,
    refusals: Refusals,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    *,
    follow: Follow = "micro-batch",
) -> Graph:
    root = str(folder / "store")
    catalog = Catalog(
        event_store=EventStoreConfig(root=root),
        sources=(PostgresSourceConfig("shop", host="nowhere.invalid", database="d", user="u"),),
        tables=(Table(str(ORDERS)),),
        projections=(
            DynamoDbProjection(
                "items",
                items=(Items(str(ORDERS), into="orders", partition_key=ItemKey("pk", "order#${id}")),),
                refusals=refusals,
                follow=follow,
            ),
        ),
    )
    shop = Shop(DeltaEventStore(root), rules=refusals).begin()
    shop.happen(("I", 1, "one"), ("I", 2, "two"))
    instance.add_dynamic_partitions(naming.id_range_partitions(ORDERS), [R0])

    def target(*_: object) -> RefusingTarget:
        return shop.target

    monkeypatch.setattr(Replication, "target", target)
    return Graph(catalog, shop, instance, build_definitions(catalog))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def graph(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return graph_of(tmp_path, Refusals(), instance, monkeypatch)


def test_the_check_is_red_as_soon_as_a_row_is_refused_and_green_once_it_is_overtaken(graph: Graph) -> None:
    graph.project()
    assert graph.check() == (True, "WARN", "none is open")
    graph.shop.happen(("I", 3, "bad"), ("I", 4, "odd"))
    graph.project()
    assert graph.check() == (False, "WARN", "2 dead letters are open")
    graph.shop.happen(("U", 3, "three"), ("D", 4, None))
    graph.project()
    assert graph.check() == (True, "WARN", "none is open")


def test_a_run_that_changes_nothing_about_them_evaluates_nothing(graph: Graph) -> None:
    for note in ("three", "four"):
        graph.shop.happen(("U", 2, note))
        graph.project()
    assert graph.evaluations() == 1


def test_materializing_the_dead_letters_reprocesses_them(graph: Graph) -> None:
    graph.shop.happen(("I", 3, "bad"), ("I", 4, "odd"))
    graph.project()
    graph.shop.target.refused = {"odd"}
    facts = graph.reprocess()
    assert graph.shop.target.notes() == {1: "one", 2: "two", 3: "bad", 4: None}
    told = {name: facts[name] for name in ("open", "applied", "refused_again", "attempts", "suspended")}
    assert told == {"open": 1, "applied": 1, "refused_again": 1, "attempts": 2, "suspended": False}
    assert [dict(record.data) for record in facts["reasons"]] == [
        {"reason": "odd-note", "column": "note", "letters": 1, "attempts": 2}
    ]
    assert graph.check()[0] is False
    graph.shop.target.refused = set()
    assert graph.reprocess()["open"] == 0
    assert graph.check()[0] is True


def test_no_key_and_no_value_is_shown(graph: Graph) -> None:
    graph.shop.happen(("I", 987654, "bad secret"))
    graph.project()
    graph.reprocess()
    records = graph.instance.get_records_for_run(
        graph.instance.get_run_records()[0].dagster_run.run_id
    ).records
    text = repr(records) + repr(graph.check())
    assert "bad-note" in text
    assert "987654" not in text
    assert "secret" not in text


def test_letters_can_be_given_up(graph: Graph) -> None:
    graph.shop.happen(("I", 3, "bad"))
    graph.project()
    facts = graph.reprocess(discard=True)
    assert (facts["open"], facts["discarded"]) == (0, 1)
    assert graph.check()[0] is True


def test_a_suspended_table_fails_who_asks_and_is_let_be_by_automation_until_it_is_resumed(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(tmp_path, Refusals("suspend"), instance, monkeypatch)
    graph.shop.happen(("I", 3, "bad"))
    graph.project()
    passed, severity, description = graph.check()
    assert (passed, severity) == (False, "ERROR")
    assert description is not None
    assert description.startswith("suspended: a row is refused")
    graph.shop.happen(("I", 5, "five"))
    with pytest.raises(dg.Failure, match="it is suspended since"):
        graph.project()
    automated = graph.project(tags={"dagster/from_automation_condition": "true"})
    assert automated.success
    assert automated.get_asset_materialization_events() == []
    graph.shop.target.refused = set()
    assert graph.reprocess(resume=True)["suspended"] is False
    assert graph.shop.target.notes() == {1: "one", 2: "two", 3: "bad", 5: "five"}
    assert graph.check() == (True, "WARN", "none is open")


def test_a_projection_that_stops_is_red_too(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(tmp_path, Refusals("stop"), instance, monkeypatch)
    graph.shop.happen(("I", 3, "bad"))
    result = graph.project(raises=False)
    assert not result.success
    assert graph.check() == (False, "WARN", "1 dead letter is open")


def test_dead_letters_stand_downstream_of_their_projection(graph: Graph) -> None:
    assets = graph.definitions.resolve_asset_graph()
    assert assets.get(LETTERS).parent_keys == {PROJECTION}
    assert {key.asset_key for key in assets.asset_check_keys} >= {LETTERS}


def test_a_projection_that_follows_inline_keeps_the_check_current_and_lets_a_suspended_table_be(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(tmp_path, Refusals("suspend"), instance, monkeypatch, follow="inline")

    @dg.op
    def follow_flushes(context) -> None:
        follower = InlineFollower(context, Replication(graph.catalog))
        for commit, note in ((3, "bad"), (4, "four")):
            graph.shop.happen(("I", commit, note))
            follower.follow(flush_of(graph.shop))
        follower.report()
        assert graph.shop.target.notes() == {1: "one", 2: "two"}
        assert graph.check()[:2] == (False, "ERROR")
        graph.shop.letters.resume(NOON)
        follower.follow(flush_of(graph.shop))
        follower.report()

    @dg.job
    def capture() -> None:
        follow_flushes()

    assert capture.execute_in_process(instance=instance).success
    assert graph.shop.target.notes() == {1: "one", 2: "two", 4: "four"}
    assert graph.check() == (False, "WARN", "1 dead letter is open")


def test_a_projection_that_stops_is_tried_once_between_reports_of_an_inline_capture(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(tmp_path, Refusals("stop"), instance, monkeypatch, follow="inline")

    @dg.op
    def follow_flushes(context) -> None:
        follower = InlineFollower(context, Replication(graph.catalog))
        for commit, note in ((3, "bad"), (4, "four"), (5, "five")):
            graph.shop.happen(("I", commit, note))
            follower.follow(flush_of(graph.shop))
        assert graph.shop.open() == [(3, 3, None, 1)]
        follower.report()
        graph.shop.happen(("U", 3, "three"))
        follower.follow(flush_of(graph.shop))
        follower.report()

    @dg.job
    def capture() -> None:
        follow_flushes()

    assert capture.execute_in_process(instance=instance).success
    assert graph.shop.target.notes() == {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
    assert graph.check() == (True, "WARN", "none is open")


def flush_of(shop: Shop) -> FlushReceipt:
    """As a capture that wrote the newest transaction would tell of it."""
    cells = (CellCount(R0, NOON.date(), 1),)
    return FlushReceipt(Position(1, shop.commit), NOON, NOON, {ORDERS: cells})
