"""What can be wrong with a source of topics is found in the catalog, with its fix; the right one is made."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replication_assets import (
    Catalog,
    DeltaProjection,
    EnvVar,
    EventStoreConfig,
    KafkaSourceConfig,
    Replication,
    Table,
    Validation,
    build_definitions,
)
from replication_assets.components.declared_values import read
from replication_assets.core.schema import TableId
from replication_assets.declarations import SourceConfig
from replication_assets.defs.source_assets import source_assets
from replication_assets.sources.kafka.source import KafkaSource

CANARY = "canary-41c"
ORDERS = TableId("feed", "public", "orders")


def feed(**changed: Any) -> KafkaSourceConfig:
    given: dict[str, Any] = {
        "bootstrap_servers": "b-1:9096,b-2:9096",
        "topics": ["shop.orders"],
        "envelope": "dms",
        "columns": {"public.orders": ["id bigint", "api_key text", "price numeric(10,2)"]},
    }
    return KafkaSourceConfig("feed", **(given | changed))


def catalog(source: KafkaSourceConfig, root: str = "/data") -> Catalog:
    return Catalog(EventStoreConfig(root), sources=[source], tables=[Table(str(ORDERS), key=["id"])])


def test_a_right_one_has_no_problems() -> None:
    assert catalog(feed()).problems() == ()
    scram = feed(sasl="scram-sha-512", user="reader", password=EnvVar("FEED_PASSWORD"))
    assert catalog(scram).problems() == ()
    assert catalog(feed(sasl="aws-msk-iam", region="eu-west-1")).problems() == ()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"bootstrap_servers": "broker"}, "not a list of host:port"),
        ({"topics": []}, "topics is empty"),
        ({"topics": ["a", "a"]}, "names one twice"),
        ({"envelope": "avro"}, "envelope"),
        ({"columns": {"orders": ["id bigint"]}}, "no schema.table"),
        ({"columns": {"public.orders": ["id serial"]}}, "a name and a type"),
        ({"columns": {"public.orders": ["id bigint", "id text"]}}, "names a column twice"),
        ({"malformed": "skip"}, "malformed"),
        ({"sasl": "plain"}, "no user or password"),
        ({"user": "reader"}, "no meaning without SASL"),
        ({"sasl": "aws-msk-iam", "tls": False}, "without TLS"),
        ({"sasl": "plain", "user": "u", "password": EnvVar("not a name")}, "names no environment variable"),
        ({"max_parallel_loads": 0}, "max_parallel_loads"),
        ({"capture_interval_seconds": -1}, "capture_interval_seconds is not above 0"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], complaint: str) -> None:
    problems = catalog(feed(**changed)).problems()
    assert len(problems) == 1
    assert complaint in problems[0]
    assert "Fix: " in problems[0]


def test_a_password_in_text_is_refused_and_dropped() -> None:
    source = feed(sasl="plain", user="u", password=CANARY)
    problems = catalog(source).problems()
    assert any("literal credential" in each for each in problems)
    assert CANARY not in f"{source!r} {problems}"


def test_yaml_declares_the_same() -> None:
    problems: list[Any] = []
    raw = {
        "kafka": {
            "name": "feed",
            "bootstrap_servers": "b-1:9096,b-2:9096",
            "topics": ["shop.orders"],
            "envelope": "dms",
            "columns": {"public.orders": ["id bigint", "api_key text", "price numeric(10,2)"]},
        }
    }
    assert read(raw, SourceConfig, problems) == feed()
    assert problems == []


def test_the_declared_source_is_made_without_a_look_at_broker_store_or_secret(tmp_path: Path) -> None:
    config = feed(sasl="plain", user="u", password=EnvVar("NOT_SET_ANYWHERE"))
    replication = pickle.loads(pickle.dumps(Replication(catalog(config, str(tmp_path / "store")))))
    source = replication.source("feed")
    assert isinstance(source, KafkaSource)
    assert list(tmp_path.iterdir()) == []
    schema = source.reflect(ORDERS, key=["id"])
    assert schema.names == ("id", "api_key", "price")
    assert schema.column("price").source_type == "numeric(10,2)"


def test_a_dagster_asset_stands_for_the_table() -> None:
    declared = catalog(feed())
    (asset,) = source_assets(declared.tables, declared.sources)
    assert asset.key.path == ["feed", "public", "orders"]
    assert "kafka" in asset.kinds


def test_no_check_holds_the_events_of_a_topic_against_rows_that_it_does_not_have() -> None:
    projected = [
        DeltaProjection("lake", tables=["feed.*"], root="/lake", validation=Validation(cron="0 3 * * *"))
    ]
    declared = replace(catalog(feed()), projections=projected)
    repository = build_definitions(declared).get_repository_def()
    names = {key.name for key in repository.asset_graph.asset_check_keys}
    assert "matches_event_store" in names
    assert "matches_source" not in names
