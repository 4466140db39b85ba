"""A topic in Dagster: an asset that follows captures, in runs of its own or within them."""

from __future__ import annotations

import uuid
from dataclasses import replace

import dagster as dg
import pytest

from replication_assets import EnvVar, KafkaProjection, KinesisProjection, build_definitions
from replication_assets.declarations import Follow
from replication_assets_tests.defs.conftest import Graph
from replication_assets_tests.defs.test_event_store_assets import EVENTS, THIS_MONTH, cell
from replication_assets_tests.kafka_servers import Broker
from replication_assets_tests.kinesis_servers import REGION, KinesisServer, records

FEED = ["feed", "shop", "public", "items"]


def with_topic(ready: Graph, broker: Broker, follow: Follow) -> Graph:
    feed = KafkaProjection(
        "feed",
        tables=["shop.public.items"],
        bootstrap_servers=broker.address,
        envelope="debezium",
        topic=f"t{uuid.uuid4().hex[:8]}",
        partitions=2,
        tls=False,
        follow=follow,
    )
    catalog = replace(ready.catalog, topics=[feed]).validate()
    ready.materialize(EVENTS, cell(THIS_MONTH, "r000000"), cell(THIS_MONTH, "r000002"))
    return replace(ready, catalog=catalog, definitions=build_definitions(catalog))


@pytest.fixture
def followed(ready: Graph, broker: Broker) -> Graph:
    return with_topic(ready, broker, "micro-batch")


def publish(graph: Graph) -> int:
    job = graph.definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=graph.instance, asset_selection=[dg.AssetKey(FEED)]).success
    return int(graph.materialized(FEED)[""]["messages"])


def test_a_topic_follows_what_a_capture_wrote(followed: Graph) -> None:
    first = dg.evaluate_automation_conditions(followed.definitions, instance=followed.instance)
    assert first.get_num_requested(dg.AssetKey(FEED)) == 1
    assert publish(followed) == 250
    settled = dg.evaluate_automation_conditions(
        followed.definitions, instance=followed.instance, cursor=first.cursor
    )
    followed.sql("UPDATE items SET name = 'new' WHERE id <= 10")
    followed.run("shop_capture")
    then = dg.evaluate_automation_conditions(
        followed.definitions, instance=followed.instance, cursor=settled.cursor
    )
    assert then.get_num_requested(dg.AssetKey(FEED)) == 1
    assert publish(followed) == 10


def test_a_topic_is_written_within_the_capture_that_it_follows_inline(ready: Graph, broker: Broker) -> None:
    inline = with_topic(ready, broker, "inline")
    inline.sql("UPDATE items SET name = 'new' WHERE id <= 10")
    inline.run("shop_capture")
    assert inline.materialized(FEED)[""]["messages"] == 260


def test_a_stream_of_kinesis_follows_like_a_topic(
    ready: Graph, kinesis: KinesisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINESIS_KEY", "AKIATESTS")
    feed = KinesisProjection(
        "feed",
        tables=["shop.public.items"],
        stream=kinesis.stream(2),
        envelope="dms",
        region=REGION,
        endpoint_url=kinesis.endpoint_url,
        access_key_id=EnvVar("KINESIS_KEY"),
        secret_access_key=EnvVar("KINESIS_KEY"),
    )
    catalog = replace(ready.catalog, topics=[feed]).validate()
    ready.materialize(EVENTS, cell(THIS_MONTH, "r000000"), cell(THIS_MONTH, "r000002"))
    followed = replace(ready, catalog=catalog, definitions=build_definitions(catalog))
    assert publish(followed) == 250
    assert len(records(kinesis, feed.stream)) == 250
