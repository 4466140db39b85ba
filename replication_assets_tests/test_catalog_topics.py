"""What can be wrong with a projection into topics is found in the catalog, with its fix."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from replication_assets import (
    Attribute,
    Catalog,
    Compare,
    DeltaProjection,
    DmsEnvelope,
    EnvVar,
    EventStoreConfig,
    KafkaProjection,
    KafkaSourceConfig,
    Messages,
    PostgresSourceConfig,
    Replication,
    Shape,
    Table,
    Where,
    build_definitions,
)
from replication_assets.catalog import Projection
from replication_assets.components.declared_values import read
from replication_assets.core.schema import TableId

CANARY = "canary-52d"
TABLES = ("shop.public.orders", "shop.public.items")


def feed(name: str = "feed", **changed: Any) -> KafkaProjection:
    given: dict[str, Any] = {"tables": ["shop.*"], "bootstrap_servers": "b-1:9096", "envelope": "dms"}
    return KafkaProjection(name, **(given | changed))


def catalog(*topics: KafkaProjection, root: str = "/data", **more: Any) -> Catalog:
    given: dict[str, Any] = {
        "sources": [PostgresSourceConfig("shop", host="h", database="d", user="u")],
        "tables": [Table(name) for name in TABLES],
    }
    return Catalog(EventStoreConfig(root), topics=topics, **(given | more))


def test_a_right_one_has_no_problems() -> None:
    assert catalog(feed()).problems() == ()
    assert catalog(feed(topic="all", envelope="debezium", schema="connect", partitions=6)).problems() == ()


def test_events_of_a_filtered_table_are_told_to_no_topic() -> None:
    where = [Where("id", [Compare("lte", ["9"])])]
    (problem,) = catalog(feed(), tables=[Table(TABLES[0], where=where), Table(TABLES[1])]).problems()
    assert "shop.public.orders is filtered, and events tell every row" in problem


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"tables": []}, "projects no table"),
        ({"tables": ["shop.public.order"]}, "is not in the catalog"),
        ({"bootstrap_servers": "broker"}, "not a list of host:port"),
        ({"envelope": "avro"}, "envelope"),
        ({"topic": "${tabel}"}, "placeholder"),
        ({"topic": "a b"}, "is no name of a topic"),
        ({"partitions": 0}, "partitions 0"),
        ({"message_max_bytes": 10}, "message_max_bytes"),
        ({"envelope": "debezium", "format": "json"}, "format='json' is DMS's"),
        ({"schema": "connect"}, "schema is Debezium's"),
        ({"sasl": "plain"}, "no user or password"),
        ({"freshness_seconds": -1.0}, "freshness_seconds"),
        ({"messages": [Messages("shop.public.nobody")]}, "the projection has no such table"),
        ({"messages": [Messages(TABLES[0])] * 2}, "declared twice"),
        ({"messages": [Messages(TABLES[0], topic="${tabel}")]}, "placeholder"),
        ({"messages": [Messages(TABLES[0], topic=7)]}, "messages 0: topic"),  # type: ignore[arg-type]
        ({"messages": [Messages(TABLES[0], attributes=[Attribute("a", 7)])]}, "messages 0: template"),  # type: ignore[arg-type]
        ({"messages": [Messages(TABLES[0], key="${")]}, "key: the template"),
        ({"messages": [Messages(TABLES[0], exclude=["id"])], "envelope": "debezium"}, "Debezium's have the"),
        ({"dms": DmsEnvelope(nulls=False), "envelope": "debezium"}, "dms is of DMS's envelope"),
        ({"dms": DmsEnvelope(nulls=1)}, "dms: nulls"),  # type: ignore[arg-type]
        ({"dms": DmsEnvelope(before_field="data")}, "before_field 'data' is taken"),
        ({"shapes": [Shape("shop.public.nobody", exclude=["a"])]}, "the projection has no such table"),
        ({"shapes": [Shape(TABLES[0])]}, "says nothing"),
        ({"name": "Feed"}, "asset key"),
        ({"name": "shop"}, "are called 'shop'"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    problems = catalog(feed(**changed)).problems()
    assert problems
    assert all(complaint in each or "topic" in each for each in problems)
    assert any(complaint in each for each in problems)
    assert all("Fix: " in each for each in problems)


def test_tables_can_have_topics_of_their_own_and_several_one() -> None:
    declared = [Messages(TABLES[0], topic="orders"), Messages(TABLES[1], topic="orders")]
    assert catalog(feed(messages=declared)).problems() == ()
    assert feed(messages=declared[:1]).topic_of("shop", "public", "orders") == "orders"
    assert feed(messages=declared[:1]).topic_of("shop", "public", "items") == "shop.public.items"
    clash = catalog(feed(messages=[Messages(TABLES[0], topic=TABLES[1])])).problems()
    assert any("2 tables would have the one topic shop.public.items" in each for each in clash)


def test_two_projections_do_not_write_one_topic() -> None:
    (problem,) = catalog(feed(topic="all"), feed("other", topic="all")).problems()
    assert "feed and other both write topic all" in problem


def test_what_a_source_reads_is_not_written_from_its_own_tables() -> None:
    source = KafkaSourceConfig("shop", bootstrap_servers="b-1:9096", topics=["all"], envelope="dms")
    tables = [Table("shop.public.orders", key=["id"])]
    (problem,) = catalog(feed(topic="all"), sources=[source], tables=tables).problems()
    assert "each message would come back" in problem


def test_a_password_in_text_is_refused_and_dropped() -> None:
    declared = catalog(feed(sasl="plain", user="u", password=CANARY))
    assert any("literal credential" in each for each in declared.problems())
    assert CANARY not in f"{declared!r}"


def test_yaml_declares_the_same() -> None:
    problems: list[Any] = []
    raw = {"name": "feed", "tables": ["shop.*"], "bootstrap_servers": "b-1:9096", "envelope": "dms"}
    assert read(raw, KafkaProjection, problems) == feed()
    assert problems == []


def test_the_declared_topic_is_made_without_a_look_at_broker_or_secret(tmp_path: Path) -> None:
    projection = feed(sasl="plain", user="u", password=EnvVar("NOT_SET_ANYWHERE"))
    declared = catalog(projection, root=str(tmp_path / "store"))
    replication = pickle.loads(pickle.dumps(Replication(declared)))
    topic = replication.topic(projection, TableId("shop", "public", "orders"))
    assert topic.name == "shop.public.orders"
    assert list(tmp_path.iterdir()) == []


def test_it_has_assets_and_no_check_of_rows() -> None:
    lake: Projection = DeltaProjection("lake", tables=["shop.*"], root="/lake")
    definitions = build_definitions(catalog(feed(), projections=[lake]))
    graph = definitions.get_repository_def().asset_graph
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {"feed/shop/public/orders", "dead_letters/feed/shop/public/items"} <= keys
    checked = {check.asset_key.path[0] for check in graph.asset_check_keys}
    assert "feed" not in checked
