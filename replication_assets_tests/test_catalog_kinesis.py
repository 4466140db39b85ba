"""What can be wrong with a projection into Kinesis streams is found in the catalog, with its fix."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from replication_assets import (
    Catalog,
    DmsEnvelope,
    EnvVar,
    EventStoreConfig,
    KafkaProjection,
    KinesisProjection,
    Messages,
    PostgresSourceConfig,
    Replication,
    Shape,
    Table,
    build_definitions,
)
from replication_assets.components.declared_values import read
from replication_assets.core.schema import TableId
from replication_assets.declarations import TopicProjection

CANARY = "canary-3p"
TABLES = ("shop.public.orders", "shop.public.items")


def feed(name: str = "feed", **changed: Any) -> KinesisProjection:
    given: dict[str, Any] = {"tables": ["shop.*"], "stream": "all", "envelope": "dms"}
    return KinesisProjection(name, **(given | changed))


def catalog(*topics: TopicProjection, root: str = "/data", **more: Any) -> Catalog:
    given: dict[str, Any] = {
        "sources": [PostgresSourceConfig("shop", host="h", database="d", user="u")],
        "tables": [Table(name) for name in TABLES],
    }
    return Catalog(EventStoreConfig(root), topics=topics, **(given | more))


def test_a_right_one_has_no_problems() -> None:
    assert catalog(feed()).problems() == ()
    own = feed(stream="${source}.${schema}.${table}", envelope="debezium", schema="connect", shards=6)
    assert catalog(own).problems() == ()
    assert own.topic_of("shop", "public", "orders") == "shop.public.orders"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"tables": []}, "projects no table"),
        ({"envelope": "avro"}, "envelope"),
        ({"stream": "${tabel}"}, "stream has a placeholder"),
        ({"stream": "a b"}, "is no name of a stream"),
        ({"stream": "x" * 129}, "is no name of a stream"),
        ({"stream": ""}, "is no name of a stream"),
        ({"shards": 0}, "shards 0"),
        ({"message_max_bytes": 10}, "message_max_bytes"),
        ({"message_max_bytes": 10 * 1024 * 1024 + 1}, "message_max_bytes"),
        ({"access_key_id": EnvVar("A")}, "one of access_key_id and secret_access_key"),
        ({"envelope": "debezium", "format": "json"}, "format='json' is DMS's"),
        ({"schema": "connect"}, "schema is Debezium's"),
        ({"dms": DmsEnvelope(nulls=False), "envelope": "debezium"}, "dms is of DMS's envelope"),
        ({"messages": [Messages("shop.public.nobody")]}, "the projection has no such table"),
        ({"messages": [Messages(TABLES[0], exclude=["id"])], "envelope": "debezium"}, "Debezium's have the"),
        ({"shapes": [Shape(TABLES[0])]}, "says nothing"),
        ({"freshness_seconds": -1.0}, "freshness_seconds"),
        ({"name": "shop"}, "are called 'shop'"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    problems = catalog(feed(**changed)).problems()
    assert any(complaint in each for each in problems)
    assert all("Fix: " in each for each in problems)


def test_two_projections_do_not_write_one_stream_but_a_topic_of_its_name_is_another() -> None:
    (problem,) = catalog(feed(), feed("other")).problems()
    assert "feed and other both write topic all" in problem
    assert catalog(feed(), feed("other", region="eu-north-1")).problems() == ()
    topic = KafkaProjection("topic", tables=["shop.*"], topic="all", bootstrap_servers="b:1", envelope="dms")
    assert catalog(feed(), topic).problems() == ()


def test_a_credential_in_text_is_refused_and_dropped() -> None:
    declared = catalog(feed(access_key_id=CANARY, secret_access_key=CANARY))
    assert any("literal credential" in each for each in declared.problems())
    assert CANARY not in f"{declared!r}"


def test_yaml_names_its_kind_and_what_has_none_is_a_topic() -> None:
    problems: list[Any] = []
    kafka = {"name": "topics", "tables": ["shop.*"], "bootstrap_servers": "b-1:9096", "envelope": "dms"}
    kinesis = {"name": "feed", "tables": ["shop.*"], "stream": "all", "envelope": "dms"}
    raw = {"event_store": "/data", "topics": [{"kinesis": kinesis}, kafka, {"kafka": kafka}]}
    declared = read(raw, Catalog, problems)
    assert problems == []
    topic = KafkaProjection("topics", tables=["shop.*"], bootstrap_servers="b-1:9096", envelope="dms")
    assert declared.topics == (feed(), topic, topic)


def test_the_declared_stream_is_made_without_a_look_at_aws_or_secret(tmp_path: Path) -> None:
    keyed = feed(access_key_id=EnvVar("NOT_SET"), secret_access_key=EnvVar("NOT_SET"))
    declared = catalog(keyed, root=str(tmp_path / "store"))
    replication = pickle.loads(pickle.dumps(Replication(declared)))
    assert replication.topic(declared.topics[0], TableId("shop", "public", "orders")).name == "all"
    assert list(tmp_path.iterdir()) == []


def test_it_has_assets_that_say_what_is_promised() -> None:
    definitions = build_definitions(catalog(feed()))
    graph = definitions.get_repository_def().asset_graph
    keys = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    assert {"feed/shop/public/orders", "dead_letters/feed/shop/public/items"} <= set(keys)
    node = graph.get(keys["feed/shop/public/orders"])
    assert node.kinds == {"kinesis"}
    assert "in stream `all`, each at least once" in (node.description or "")
