"""Topics from a shell: told, counted in `status`, and left out where rows are asked for."""

from __future__ import annotations

import json
import uuid

import pytest

from replication_assets_tests.cli.conftest import Project
from replication_assets_tests.kafka_servers import Broker


@pytest.fixture
def followed(loaded: Project, broker: Broker) -> Project:
    loaded.edit_catalog("DeltaProjection, EnvVar", "DeltaProjection, KafkaProjection, EnvVar")
    loaded.edit_catalog(
        "projections=[",
        f'topics=[KafkaProjection("feed", tables=["shop.public.orders"], envelope="dms", tls=False,'
        f' bootstrap_servers="{broker.address}", topic="t{uuid.uuid4().hex[:8]}", partitions=1,'
        " message_max_bytes=4096)],\n    projections=[",
    )
    loaded.capture()
    return loaded


def test_a_topic_follows_and_status_tells_what_waits(followed: Project) -> None:
    ((orders,),) = followed.rows("SELECT count(*) FROM orders")
    assert f"feed shop.public.orders: {orders:,} messages" in followed.run("project", "feed").err
    followed.sql("UPDATE orders SET status = 'sent' WHERE id <= 10")
    followed.capture()
    document = json.loads(followed.run("status", "--json").text)
    (told,) = (each for each in document["projections"] if each["projection"] == "feed")
    assert (told["waiting_events"], told["dead_letters"], told["error"]) == (10, 0, None)
    assert "10 messages" in followed.run("project", "feed").err
    followed.run("check")


def test_rows_are_not_asked_of_a_topic(followed: Project) -> None:
    for command in (("validate", "feed"), ("project", "feed", "--reset", "--yes")):
        assert "--rebuild" in (err := followed.run(*command, code=2).err) or "hold no rows" in err


def test_a_message_that_is_too_large_is_listed_and_given_up(followed: Project) -> None:
    followed.sql("UPDATE orders SET status = repeat('x', 5000) WHERE id = 1")
    followed.capture()
    followed.run("project", "feed", code=3)
    assert "message-too-large" in followed.run("dead-letters", "list", "feed", code=3).text
    followed.run("dead-letters", "discard", "feed", "--yes")
    followed.run("dead-letters", "list", "feed")
