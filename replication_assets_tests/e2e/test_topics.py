"""PostgreSQL to the event store, on to topics, and from the topics into another event store and Delta: equal
to the source, whatever died on the way.

The oracle is PostgreSQL's own rows, and what a plain consumer finds in the topic.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import orjson
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from replication_assets.catalog import (
    ByBounds,
    ByWidth,
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    KafkaProjection,
    KafkaSourceConfig,
    Refusals,
    Table,
)
from replication_assets.core.events import COMMIT_POSITION, EPOCH, OP, SEQUENCE
from replication_assets.core.schema import TableId
from replication_assets.errors import TargetError
from replication_assets.flows.capture import FlushPolicy, capture
from replication_assets.flows.publish import PublishReceipt, publisher
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.e2e.workers import run, run_and_die
from replication_assets_tests.kafka_servers import Broker, start_broker
from replication_assets_tests.postgres_servers import FreshDatabase

ORDERS = TableId(SOURCE, "public", "orders")
COLUMNS = (
    "id bigint", "v bigint", "n numeric(38,10)", "s text", "b bytea", "at timestamptz", "naive timestamp(3)",
    "day date", "d double precision", "ok boolean",
)  # fmt: skip
CREATED = f"CREATE TABLE orders ({', '.join(COLUMNS)}, PRIMARY KEY (id))"
FILLED = r"""INSERT INTO orders SELECT i, (i - 50) * 922337203685477, (i - 50) * 1234567890123.0123456789,
    chr(i + 950) || E'"\\\n' || i, decode(md5(i::text), 'hex'),
    timestamptz '2026-06-01 12:00+02' + i * interval '1.000001 s',
    timestamp '1969-12-31 23:59:59.997' + i * interval '1 ms', date '1969-12-01' + i, i / 7.0, i % 2 = 0
    FROM generate_series({first}, {last}) i"""
CHANGED = (
    "UPDATE orders SET v = NULL, s = NULL, b = '' WHERE id % 7 = 0",
    "DELETE FROM orders WHERE id % 11 = 0",
    "INSERT INTO orders (id) VALUES (11)",
    "UPDATE orders SET id = id + 1000 WHERE id % 13 = 0",
    "UPDATE orders SET n = 9999999999999999999999999999.9999999999, v = 9223372036854775807 WHERE id % 5 = 0",
)
EMPTIED = (
    "TRUNCATE orders",
    FILLED.format(first=300, last=340),
    "UPDATE orders SET s = 'after' WHERE id > 320",
)
PLACES = (
    "topic.told",
    "topic.sent@40",
    "topic.acknowledged",
    "topic.sent@2",
    "topic.told",
    "topic.sent@7",
    "topic.acknowledged",
    "topic.sent@1",
    "topic.sent@11",
    "topic.told",
)
"""Where the publisher dies, one after the other."""


@dataclass(frozen=True)
class TopicWriter(System):
    """A database whose events go to a topic."""

    def publish(self, *, rebuild: bool = False) -> PublishReceipt:
        (projection,) = self.catalog.topics
        return publisher(self.replication, projection, ORDERS).publish(rebuild=rebuild)

    @property
    def topic(self) -> str:
        return self.catalog.topics[0].topic_of(SOURCE, "public", "orders")

    def changed(self, **fields: Any) -> TopicWriter:
        (projection,) = self.catalog.topics
        return replace(self, catalog=replace(self.catalog, topics=[replace(projection, **fields)]).validate())


def publish_once(made: TopicWriter) -> None:
    made.publish()


def writer(database: FreshDatabase, broker: Broker, root: Path, **fields: Any) -> TopicWriter:
    given: dict[str, Any] = {"envelope": "dms", "partitions": 3, "topic": f"{root.name}.${{table}}"} | fields
    projection = KafkaProjection(
        "feed", tables=[str(ORDERS)], bootstrap_servers=broker.address, tls=False, **given
    )
    made = system_of(database, root / "writer", [Table(str(ORDERS), id_ranges=ByWidth(100))])
    return TopicWriter(replace(made.catalog, topics=[projection]).validate(), made.dsn)


def reader(made: TopicWriter, broker: Broker, root: Path) -> System:
    """A system of its own that captures the topic."""
    (projection,) = made.catalog.topics
    source = KafkaSourceConfig(
        SOURCE,
        bootstrap_servers=broker.address,
        topics=[made.topic],
        tls=False,
        envelope=projection.envelope,
        columns={"public.orders": COLUMNS},
    )
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(root / "reader_store")),
        sources=[source],
        tables=[Table(str(ORDERS), key=["id"], id_ranges=ByBounds((50,)))],
        projections=[DeltaProjection("lake", tables=[f"{SOURCE}.*"], root=str(root / "reader_lake"))],
    )
    return System(catalog.validate(), "")


def through(read: System) -> None:
    read.prepare()
    read.load_all()
    read.capture()
    read.project()


def rows_in_lake(read: System) -> Counter[tuple[Any, ...]]:
    names = [column.split(" ")[0] for column in COLUMNS]
    batches = read.target(ORDERS).read()
    return Counter(tuple(row[n] for n in names) for batch in batches for row in batch.to_pylist())


def rows_at_source(made: TopicWriter) -> Counter[tuple[Any, ...]]:
    with made.sql() as session:
        return Counter(session.execute("SELECT * FROM orders").fetchall())


def events(made: System, *operations: str) -> list[tuple[Any, ...]]:
    """Operation and key of every stored change, in its order for each key."""
    log = made.store.log(ORDERS).snapshot()
    names = [OP, "id", EPOCH, COMMIT_POSITION, SEQUENCE]
    parts = [log.events(key).to_table(columns=names) for key in log.range_keys()]
    rows = pa.concat_tables(parts).sort_by([(name, "ascending") for name in ("id", *names[2:], OP)])
    return [(r[OP], r["id"]) for r in rows.to_pylist() if r[OP] in operations]


@dataclass(frozen=True)
class Found:
    partition: int
    key: bytes
    value: Any
    headers: dict[str, str]
    sent_at: float


def messages(broker: Broker, topic: str) -> list[Found]:
    """All of a topic, as any consumer sees them."""
    consumer = Consumer(
        broker.settings | {"group.id": "test", "auto.offset.reset": "earliest", "enable.partition.eof": True}
    )
    count = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, n, 0) for n in range(count)])
    found: list[Found] = []
    ended: set[int] = set()
    while True:
        taken = consumer.consume(1000, 0.3)
        for each in taken:
            if each.error():
                ended.add(each.partition())
                continue
            value = each.value()
            headers = {name: text.decode() for name, text in each.headers() or ()}
            read = None if value is None else orjson.loads(value)
            found.append(Found(each.partition(), each.key(), read, headers, each.timestamp()[1] / 1000))
        if not taken and len(ended) == count:
            consumer.close()
            return found


@pytest.mark.parametrize("envelope", ["dms", "debezium"])
def test_a_table_is_the_same_after_its_way_through_a_topic_of_ours(
    broker: Broker, tmp_path: Path, database: FreshDatabase, envelope: str
) -> None:
    made = writer(database, broker, tmp_path, envelope=envelope)
    made.execute(CREATED, FILLED.format(first=1, last=150))
    made.prepare()
    made.load_all()
    assert made.publish().messages == 150
    made.execute(*CHANGED)
    made.capture()
    made.publish()
    read = reader(made, broker, tmp_path)
    through(read)
    assert rows_in_lake(read) == rows_at_source(made)
    ours, theirs = events(made, "I", "U", "D"), events(read, "I", "U", "D")
    loaded = Counter(("I", key) for _, key in events(made, "R"))
    expected = Counter(ours) + loaded
    if envelope == "debezium":
        # A change of a key is a delete and a create there.
        assert Counter(key for _, key in theirs) == Counter(key for _, key in expected.elements())
    else:
        assert Counter(theirs) == expected
    assert made.publish().messages == 0


def test_a_truncate_is_told_in_its_place(broker: Broker, tmp_path: Path, database: FreshDatabase) -> None:
    made = writer(database, broker, tmp_path, partitions=1)
    made.execute(CREATED, FILLED.format(first=1, last=50))
    made.prepare()
    made.load_all()
    made.publish()
    made.execute(*EMPTIED)
    made.capture()
    made.publish()
    read = reader(made, broker, tmp_path)
    through(read)
    assert rows_in_lake(read) == rows_at_source(made)


def kill_and_compare(made: TopicWriter, broker: Broker, places: Sequence[str]) -> None:
    made.execute(CREATED, FILLED.format(first=1, last=120))
    made.prepare()
    made.load_all()
    for number, place in enumerate(places):
        first = 1000 + number * 60
        made.execute(
            FILLED.format(first=first, last=first + 50),
            f"UPDATE orders SET v = {number} WHERE id % 10 = {number % 10}",
            f"DELETE FROM orders WHERE id % 17 = {number}",
        )
        made.capture()
        run_and_die(place, publish_once, made)
    run(publish_once, made)
    numbers: dict[int, list[int]] = {}
    for each in messages(broker, made.topic):
        numbers.setdefault(each.partition, []).append(int(each.headers["replication-number"]))
    # In each partition they rise, so none stands twice and none out of its order; and none is missing.
    assert all(each == sorted(set(each)) for each in numbers.values())
    every = sorted(number for each in numbers.values() for number in each)
    assert every == list(range(1, len(every) + 1))
    assert len(every) == len(events(made, "I", "U", "D", "R"))


def test_a_publisher_that_is_killed_four_times_sends_every_event_once(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = writer(database, broker, tmp_path)
    kill_and_compare(made, broker, PLACES[:4])
    read = reader(made, broker, tmp_path)
    through(read)
    assert rows_in_lake(read) == rows_at_source(made)


@pytest.mark.full
@pytest.mark.parametrize("transactions", [True, False])
def test_a_publisher_that_is_killed_ten_times_sends_every_event_once(
    broker: Broker, tmp_path: Path, database: FreshDatabase, transactions: bool
) -> None:
    made = writer(database, broker, tmp_path, transactions=transactions)
    kill_and_compare(made, broker, PLACES)
    read = reader(made, broker, tmp_path)
    through(read)
    assert rows_in_lake(read) == rows_at_source(made)


def test_a_reader_drops_what_a_producer_sent_twice(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    """Whole stretches again, with their numbers: as of two publishers at once."""
    made = writer(database, broker, tmp_path, partitions=2)
    made.execute(CREATED, FILLED.format(first=1, last=60))
    made.prepare()
    made.load_all()
    made.publish()
    producer = Producer(broker.settings)
    for each in messages(broker, made.topic):
        headers = [(name, text.encode()) for name, text in each.headers.items()]
        producer.produce(
            made.topic,
            key=each.key,
            value=orjson.dumps(each.value),
            partition=each.partition,
            headers=headers,
        )
    assert producer.flush(30) == 0
    made.execute("UPDATE orders SET v = 1 WHERE id < 30")
    made.capture()
    made.publish()
    read = reader(made, broker, tmp_path)
    through(read)
    assert len(events(read, "I", "U", "D")) == 60 + 29
    assert rows_in_lake(read) == rows_at_source(made)


def test_a_broker_that_stands_still_loses_nothing(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = writer(database, broker, tmp_path)
    made.execute(CREATED, FILLED.format(first=1, last=40))
    made.prepare()
    made.load_all()
    made.publish()
    made.execute("UPDATE orders SET v = 2")
    made.capture()
    broker.pause()
    resumed = Timer(1.0, broker.go_on)
    resumed.start()
    assert made.publish().messages == 40
    resumed.join()
    assert len(messages(broker, made.topic)) == 80


def test_a_topic_that_lost_its_messages_stops_the_publisher_until_every_row_is_told_again(
    tmp_path: Path, database: FreshDatabase
) -> None:
    """This broker comes back empty."""
    broker = start_broker()
    try:
        made = writer(database, broker, tmp_path)
        made.execute(CREATED, FILLED.format(first=1, last=40))
        made.prepare()
        made.load_all()
        made.publish()
        broker.end()
        broker = start_broker(broker.port)
        made.execute("UPDATE orders SET v = 2 WHERE id = 1", "DELETE FROM orders WHERE id = 2")
        made.capture()
        with pytest.raises(TargetError, match="made anew"):
            made.publish()
        made.publish(rebuild=True)
        read = reader(made, broker, tmp_path)
        through(read)
        assert rows_in_lake(read) == rows_at_source(made)
    finally:
        broker.end()


def test_a_range_that_is_loaded_again_is_told_whole_and_keys_that_are_gone_are_deleted(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = writer(database, broker, tmp_path)
    made.execute(CREATED, FILLED.format(first=1, last=40))
    made.prepare()
    made.load_all()
    made.publish()
    with made.sql() as session:
        # Unseen by the log, as after a lost slot.
        session.execute(f"ALTER PUBLICATION {_publication(made)} DROP TABLE orders".encode())
        session.execute(b"DELETE FROM orders WHERE id = 7")
        session.execute(f"ALTER PUBLICATION {_publication(made)} ADD TABLE orders".encode())
    made.load_all()
    made.publish()
    told = messages(broker, made.topic)[40:]
    assert Counter(each.value["metadata"]["operation"] for each in told) == {"load": 39, "delete": 1}
    (gone,) = (each.value["data"] for each in told if each.value["metadata"]["operation"] == "delete")
    assert gone == {"id": 7}


def test_a_message_that_is_too_large_becomes_a_dead_letter_until_its_row_is_told(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = writer(database, broker, tmp_path, message_max_bytes=5000)
    made.execute(CREATED, FILLED.format(first=1, last=5))
    made.prepare()
    made.load_all()
    made.execute(
        "UPDATE orders SET s = repeat('x', 6000) WHERE id = 3", "UPDATE orders SET v = 9 WHERE id = 4"
    )
    made.capture()
    receipt = made.publish()
    assert (receipt.messages, receipt.refused) == (6, 1)
    letters = made.store.dead_letters("feed", ORDERS)
    (letter,) = letters.open()
    assert (letter.refusal.key, letter.refusal.reason) == ('{"id":"3"}', "message-too-large")
    made.execute("UPDATE orders SET s = 'short' WHERE id = 3")
    made.capture()
    made.publish()
    assert letters.count() == 0
    stopped = made.changed(refusals=Refusals("stop"))
    made.execute("UPDATE orders SET s = repeat('x', 6000) WHERE id = 3")
    made.capture()
    for _ in range(2):
        with pytest.raises(TargetError, match="message-too-large"):
            stopped.publish()


def test_messages_say_what_dms_says(broker: Broker, tmp_path: Path, database: FreshDatabase) -> None:
    made = writer(database, broker, tmp_path, before_images=True, partitions=1)
    made.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, v bigint, s text)",
        "ALTER TABLE orders REPLICA IDENTITY FULL",
        "INSERT INTO orders VALUES (1, 9007199254740993, 'a')",
    )
    made.prepare()
    made.load_all()
    made.publish()
    made.execute("UPDATE orders SET v = NULL", "ALTER TABLE orders ADD COLUMN w int", "DELETE FROM orders")
    made.execute("INSERT INTO orders VALUES (2)")
    made.capture()
    made.publish()
    load, update, delete, control, _ = messages(broker, made.topic)
    # A topic that other tables may have too tells the table in its keys.
    assert load.key == b"public.orders.1"
    assert load.value["data"] == {"id": 1, "v": 9007199254740993, "s": "a"}
    assert load.value["metadata"]["operation"] == "load"
    assert update.value["data"] == {"id": 1, "v": None, "s": "a", "w": None}
    assert update.value["before-image"] == {"id": 1, "v": 9007199254740993}
    assert "before-image" not in load.value
    names = ("record-type", "operation", "partition-key-type", "schema-name", "table-name")
    said = [update.value["metadata"][name] for name in names]
    assert said == ["data", "update", "primary-key", "public", "orders"]
    assert control.value["metadata"]["operation"] == "add-column"
    assert delete.value["metadata"]["operation"] == "delete"
    assert update.headers["replication-position"] == update.value["metadata"]["stream-position"]


def _publication(made: TopicWriter) -> str:
    (source,) = made.catalog.sources
    return str(source.publication_name)  # type: ignore[union-attr]


@pytest.mark.full
def test_a_backlog_and_a_trickle_arrive_whole_and_their_speed_is_told(
    broker: Broker, tmp_path: Path, database: FreshDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """No assertion on time: the figures are printed."""
    made = writer(database, broker, tmp_path, partitions=4)
    made.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, v bigint, s text, n numeric(12,2), at timestamptz)"
    )
    made.execute("INSERT INTO orders SELECT i, i, 'row ' || i, i / 3.0, now() FROM generate_series(1, 99) i")
    made.prepare()
    made.load_all()
    made.publish()
    for turn in range(500):
        made.execute(f"UPDATE orders SET v = {turn}")
    made.capture()
    backlog = made.publish()
    (projection,) = made.catalog.topics
    steady = publisher(made.replication, projection, ORDERS)
    ended = Event()

    def trickle() -> None:
        for turn in range(100):
            made.execute(f"UPDATE orders SET v = {turn} WHERE id = {turn % 99 + 1}")
            ended.wait(0.05)
        ended.wait(2)
        ended.set()

    thread = Thread(target=trickle)
    thread.start()
    capture(
        made.source,
        made.store,
        made.tables(),
        stop=ended.is_set,
        policy=FlushPolicy(seconds=0.5),
        on_flush=lambda _: steady.publish(),
    )
    thread.join()
    steady.publish()
    found = [each for each in messages(broker, made.topic) if each.value["metadata"]["operation"] == "update"]
    assert len(found) == 500 * 99 + 100
    lags = sorted(
        each.sent_at - dt.datetime.fromisoformat(each.value["metadata"]["commit-timestamp"]).timestamp()
        for each in sorted(found, key=lambda each: int(each.headers["replication-number"]))[-100:]
    )
    with capsys.disabled():
        rate = backlog.messages / backlog.seconds
        sys.stderr.write(f"{rate:,.0f} messages/s; lag {lags[50]:.2f} s median, {lags[95]:.2f} s p95\n")
