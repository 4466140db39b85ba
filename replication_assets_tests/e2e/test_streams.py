"""PostgreSQL to the event store and on to Kinesis data streams: what a plain consumer makes of a stream is
equal to the source, whatever died or was refused on the way.

The oracle is PostgreSQL's own rows. Records are read by a client that is not ours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import ByWidth, EnvVar, KinesisProjection, Refusals, Table
from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict, TargetError
from replication_assets.flows.check import check
from replication_assets.flows.publish import Publisher, PublishReceipt, publisher
from replication_assets.targets.kinesis import client
from replication_assets.targets.kinesis import topic as topic_module
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.e2e.workers import run, run_and_die
from replication_assets_tests.kinesis_servers import (
    REGION,
    THROTTLED,
    Answer,
    Found,
    KinesisServer,
    Relay,
    records,
)
from replication_assets_tests.postgres_servers import FreshDatabase

ORDERS = TableId(SOURCE, "public", "orders")
CREATED = "CREATE TABLE orders (id bigint PRIMARY KEY, v bigint, s text)"
FILLED = "INSERT INTO orders SELECT i, i, 'row ' || i FROM generate_series({first}, {last}) i"
PLACES = (
    "stream.sent@2", "topic.acknowledged", "topic.told", "stream.sent", "topic.told", "stream.sent@3",
    "topic.acknowledged", "stream.sent", "stream.sent@4", "topic.told",
)  # fmt: skip
"""Where the publisher dies, one after the other."""


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process; those that are killed wait as they do."""
    monkeypatch.setattr(topic_module, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.01)
    monkeypatch.setenv("KINESIS_KEY", "AKIATESTS")


@dataclass(frozen=True)
class StreamWriter(System):
    """A database whose events go to a stream."""

    @property
    def projection(self) -> KinesisProjection:
        (projection,) = self.catalog.topics
        assert isinstance(projection, KinesisProjection)
        return projection

    def publisher(self) -> Publisher:
        return publisher(self.replication, self.projection, ORDERS)

    def publish(self, *, rebuild: bool = False) -> PublishReceipt:
        return self.publisher().publish(rebuild=rebuild)

    def changed(self, **fields: Any) -> StreamWriter:
        catalog = replace(self.catalog, topics=[replace(self.projection, **fields)])
        return replace(self, catalog=catalog.validate())

    def rows(self) -> dict[int, tuple[Any, ...]]:
        with self.sql() as session:
            return {row[0]: row for row in session.execute("SELECT id, v, s FROM orders").fetchall()}


def publish_once(made: StreamWriter) -> None:
    made.publish()


def writer(database: FreshDatabase, at: KinesisServer | Relay, root: Path, **fields: Any) -> StreamWriter:
    given: dict[str, Any] = {
        "envelope": "dms",
        "shards": 2,
        "stream": f"{root.name[-90:]}.${{table}}",
    } | fields
    projection = KinesisProjection(
        "feed",
        tables=[str(ORDERS)],
        region=REGION,
        endpoint_url=at.endpoint_url,
        access_key_id=EnvVar("KINESIS_KEY"),
        secret_access_key=EnvVar("KINESIS_KEY"),
        **given,
    )
    made = system_of(database, root / "writer", [Table(str(ORDERS), id_ranges=ByWidth(100))])
    return StreamWriter(replace(made.catalog, topics=[projection]).validate(), made.dsn)


def loaded(made: StreamWriter, last: int = 60) -> StreamWriter:
    made.execute(CREATED, FILLED.format(first=1, last=last))
    made.prepare()
    made.load_all()
    return made


def stream_of(kinesis: KinesisServer, made: StreamWriter) -> list[Found]:
    return records(kinesis, made.projection.topic_of(SOURCE, "public", "orders"))


def folded(found: Sequence[Found]) -> dict[int, tuple[Any, ...]]:
    """What a consumer has after all records, each shard's in their order. Repeats are dropped by number."""
    rows: dict[int, tuple[Any, ...]] = {}
    newest: dict[str, int] = {}
    for each in found:
        if each.number <= newest.get(each.key, 0):
            continue
        newest[each.key] = each.number
        operation, data = _told(each.value)
        if operation in ("delete", "d"):
            rows.pop(data["id"], None)
        elif operation == "truncate-table":
            rows = {}
        elif operation != "t":
            rows[data["id"]] = (data["id"], data["v"], data["s"])
    return rows


def _told(value: Any) -> tuple[str, Any]:
    if "metadata" in value:
        return value["metadata"]["operation"], value.get("data")
    return value["op"], value["before"] if value["op"] == "d" else value["after"]


@pytest.mark.parametrize("envelope", ["dms", "debezium"])
def test_what_a_consumer_makes_of_a_stream_is_equal_to_the_source(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase, envelope: str
) -> None:
    made = loaded(writer(database, kinesis, tmp_path, envelope=envelope))
    assert made.publish().messages == 60
    made.execute(
        "UPDATE orders SET v = NULL, s = 'changed' WHERE id % 7 = 0",
        "DELETE FROM orders WHERE id % 11 = 0",
        "INSERT INTO orders (id) VALUES (11)",
        "UPDATE orders SET id = id + 1000 WHERE id % 13 = 0",
        "UPDATE orders SET v = 9223372036854775807 WHERE id % 5 = 0",
    )
    made.capture()
    made.publish()
    found = stream_of(kinesis, made)
    assert folded(found) == made.rows()
    assert len({each.shard for each in found}) == 2
    assert sorted(each.number for each in found) == list(range(1, len(found) + 1))
    assert all(each.data.endswith(b"}\n") == (envelope == "dms") for each in found)
    assert {each.value["replication"]["table"] for each in found} == {str(ORDERS)}
    assert made.publish().messages == 0


def test_records_that_kinesis_refuses_and_answers_that_are_lost_change_nothing_for_a_consumer(
    kinesis: KinesisServer, relay: Relay, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, relay, tmp_path))

    def decide(number: int, entries: list[dict[str, Any]]) -> Answer:
        refused = {at: THROTTLED for at in range(len(entries)) if (at * 7 + number) % 3 == 0}
        return Answer(refused if number % 4 else {}, lost=number % 5 == 0)

    relay.decide = decide
    made.publish()
    for turn in range(6):
        made.execute(f"UPDATE orders SET v = {turn} WHERE id % 4 = {turn % 4} OR id < 5")
    made.execute("DELETE FROM orders WHERE id = 3", "INSERT INTO orders VALUES (3, 3, 'again')")
    made.capture()
    made.publish()
    found = stream_of(kinesis, made)
    assert folded(found) == made.rows()
    assert len(found) > len({each.number for each in found}), "lost answers make repeats"


def kill_and_compare(made: StreamWriter, kinesis: KinesisServer, places: Sequence[str]) -> None:
    loaded(made)
    for number, place in enumerate(places):
        first = 1000 + number * 60
        made.execute(
            FILLED.format(first=first, last=first + 50),
            f"UPDATE orders SET v = {number} WHERE id % 10 = {number % 10}",
            f"UPDATE orders SET v = v + 1 WHERE id % 10 = {number % 10}",
            f"UPDATE orders SET v = v + 1 WHERE id % 10 = {number % 10}",
            f"DELETE FROM orders WHERE id % 17 = {number}",
        )
        made.capture()
        run_and_die(place, publish_once, made)
    run(publish_once, made)
    found = stream_of(kinesis, made)
    numbers = [each.number for each in found]
    # None is missing and, as no answer was lost here, none stands twice.
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    for key in {each.key for each in found}:
        own = [each.number for each in found if each.key == key]
        assert own == sorted(own)
    assert folded(found) == made.rows()


def test_a_publisher_that_is_killed_twice_leaves_nothing_out_and_no_key_in_disorder(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    kill_and_compare(writer(database, kinesis, tmp_path), kinesis, PLACES[:2])


@pytest.mark.full
def test_a_publisher_that_is_killed_ten_times_leaves_nothing_out_and_no_key_in_disorder(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    kill_and_compare(writer(database, kinesis, tmp_path), kinesis, PLACES)


def test_a_publisher_that_starts_anew_looks_a_step_up_once_and_repeats_nothing(
    kinesis: KinesisServer, relay: Relay, tmp_path: Path, database: FreshDatabase
) -> None:
    """However old the step is by then: that it stands is in the journal."""
    made = loaded(writer(database, relay, tmp_path))
    made.publish()
    relay.asked.clear()
    assert made.publish().messages == 0
    assert "GetRecords" in relay.asked
    relay.asked.clear()
    assert made.publish().messages == 0
    assert "GetRecords" not in relay.asked
    made.execute("UPDATE orders SET v = 0 WHERE id = 1")
    made.capture()
    assert made.publish().messages == 1
    assert [each.number for each in stream_of(kinesis, made)].count(61) == 1


def test_a_step_that_the_stream_may_have_forgotten_is_told_again_whole(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded(writer(database, kinesis, tmp_path), 20)
    made.publish()
    monkeypatch.setattr(topic_module, "FORGOTTEN", dt.timedelta(hours=25))
    assert made.publish().messages == 20
    assert made.publish().messages == 0
    found = stream_of(kinesis, made)
    assert sorted(each.number for each in found) == sorted([*range(1, 21), *range(1, 21)])
    assert folded(found) == made.rows()


def test_a_truncate_is_told_in_its_place_in_every_shard(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, kinesis, tmp_path))
    made.publish()
    made.execute("TRUNCATE orders", FILLED.format(first=50, last=90), "UPDATE orders SET v = 0 WHERE id > 70")
    made.capture()
    made.publish()
    found = stream_of(kinesis, made)
    shards = {each.shard for each in found}
    assert len(shards) == 2
    rows: dict[int, tuple[Any, ...]] = {}
    for shard in shards:
        # A truncate in a shard speaks of the rows of that shard.
        rows |= folded([each for each in found if each.shard == shard])
    assert rows == made.rows()


def test_a_range_that_is_loaded_again_is_told_whole_and_keys_that_are_gone_are_deleted(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, kinesis, tmp_path), 20)
    made.publish()
    (source,) = made.catalog.sources
    name = source.publication_name  # type: ignore[union-attr]
    made.execute(
        f"ALTER PUBLICATION {name} DROP TABLE orders",
        "DELETE FROM orders WHERE id = 7",
        f"ALTER PUBLICATION {name} ADD TABLE orders",
    )
    made.load_all()
    made.publish()
    assert folded(stream_of(kinesis, made)) == made.rows()


def test_a_record_that_is_too_large_becomes_a_dead_letter_until_its_row_is_told(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, kinesis, tmp_path, message_max_bytes=5000), 5)
    made.execute("UPDATE orders SET s = repeat('x', 6000) WHERE id = 3")
    made.capture()
    receipt = made.publish()
    assert (receipt.messages, receipt.refused) == (5, 1)
    letters = made.store.dead_letters("feed", ORDERS)
    (letter,) = letters.open()
    assert (letter.refusal.key, letter.refusal.reason) == ('{"id":"3"}', "message-too-large")
    made.execute("UPDATE orders SET s = 'short' WHERE id = 3")
    made.capture()
    made.publish()
    assert letters.count() == 0
    assert folded(stream_of(kinesis, made)) == made.rows()
    stopped = made.changed(refusals=Refusals("stop"))
    made.execute("UPDATE orders SET s = repeat('x', 6000) WHERE id = 3")
    made.capture()
    for _ in range(2):
        with pytest.raises(TargetError, match="message-too-large"):
            stopped.publish()


def test_a_stream_that_was_made_anew_stops_the_publisher_until_every_row_is_told_again(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, kinesis, tmp_path), 20)
    made.publish()
    name = made.projection.topic_of(SOURCE, "public", "orders")
    kinesis.client().delete_stream(StreamName=name)
    made.execute("UPDATE orders SET v = 2 WHERE id = 1")
    made.capture()
    with pytest.raises(TargetError, match="made anew"):
        made.publish()
    made.publish(rebuild=True)
    assert folded(stream_of(kinesis, made)) == made.rows()


def test_of_two_publishers_the_older_is_stopped_before_its_next_step(
    kinesis: KinesisServer, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, kinesis, tmp_path), 20)
    older = made.publisher()
    older.publish()
    made.execute("UPDATE orders SET v = 2 WHERE id = 1")
    made.capture()
    made.publish()
    made.execute("UPDATE orders SET v = 3 WHERE id = 1")
    made.capture()
    with pytest.raises(CommitConflict):
        older.publish()
    older.publish()
    assert folded(stream_of(kinesis, made)) == made.rows()


def test_what_is_missing_is_found_by_check_before_anything_is_sent(
    kinesis: KinesisServer, relay: Relay, tmp_path: Path, database: FreshDatabase
) -> None:
    made = loaded(writer(database, relay, tmp_path, shards=None), 5)
    relay.denied = frozenset({"DescribeStreamSummary"})
    denied = _findings(made)
    relay.denied = frozenset()
    assert "kinesis:DescribeStreamSummary" in denied
    assert "no such stream" in _findings(made)
    kinesis.client().create_stream(
        StreamName=made.projection.topic_of(SOURCE, "public", "orders"), ShardCount=1
    )
    assert _findings(made) == ""
    assert relay.requests == []


def _findings(made: StreamWriter) -> str:
    (topics,) = (each for each in check(made.replication) if each.subject == "projection feed")
    return " ".join(str(each) for each in topics.findings)
