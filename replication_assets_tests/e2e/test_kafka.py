"""Topics end to end: messages of a producer to the event store and on to Delta, with a capture that is
killed at every place where that could lose or double something.

Held against a list of what was produced, and a replay of it in plain Python.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from replication_assets.catalog import (
    ByBounds,
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    KafkaSourceConfig,
    Table,
)
from replication_assets.core.events import COMMIT_POSITION, EPOCH, OP, SEQUENCE
from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict, NeedsReload, SlotLost
from replication_assets.flows.capture import FlushPolicy
from replication_assets_tests.e2e.system import SOURCE, System
from replication_assets_tests.e2e.workers import run, run_and_die
from replication_assets_tests.kafka_servers import Broker, debezium, dms
from replication_assets_tests.postgres_servers import FreshDatabase

PLACES = (
    "capture.table_committed",
    "kafka.block_told",
    "capture.tables_committed",
    "kafka.block_read",
    "capture.recorded",
    "capture.table_committed@2",
    "store.files_finished",
    "ledger.written",
    "capture.written",
    "capture.read",
)
"""Where the capture dies, one after the other."""

TYPED = (
    "id bigint", "v bigint", "n numeric(30,10)", "s text", "b bytea", "at timestamptz", "d double precision"
)  # fmt: skip
WRITTEN = (
    f"CREATE TABLE orders ({', '.join(TYPED)}, PRIMARY KEY (id))",
    "CREATE TABLE told (n bigserial, op text, was jsonb, became jsonb)",
    """CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO told (op, was, became) VALUES (lower(left(TG_OP, 1)), to_jsonb(OLD), to_jsonb(NEW));
        RETURN NULL; END $$""",
    """CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON orders
        FOR EACH ROW EXECUTE FUNCTION tell()""",
    r"""INSERT INTO orders SELECT i, (i - 50) * 92233720368547758, (i - 50) * 1234567890123.0123456789,
        chr(i + 950) || E'"\\\n' || i, decode(md5(i::text), 'hex'),
        timestamptz '2026-06-01 12:00+02' + i * interval '1.000001 s', i / 7.0
        FROM generate_series(1, 100) i""",
    "UPDATE orders SET v = NULL, s = NULL WHERE id % 7 = 0",
    "DELETE FROM orders WHERE id % 11 = 0",
    "INSERT INTO orders (id) VALUES (11)",
)

Change = tuple[str, str, int, int | None]
"""Table, operation, key, value."""


@dataclass(frozen=True)
class Traffic:
    """Changes of some keys in two tables of one topic, as a producer would write them."""

    changes: tuple[Change, ...]

    @classmethod
    def random(cls, count: int, keys: int) -> Traffic:
        random, there = Random(7), set[tuple[str, int]]()
        changes: list[Change] = []
        for value in range(count):
            table, key = random.choice(("orders", "items")), random.randrange(keys)
            if (table, key) not in there:
                there.add((table, key))
                changes.append((table, "I", key, value))
            elif random.randrange(10) == 0:
                there.discard((table, key))
                changes.append((table, "D", key, None))
            else:
                changes.append((table, "U", key, value))
        return cls(tuple(changes))

    def messages(self) -> Iterable[tuple[object, object]]:
        names = {"I": "insert", "U": "update", "D": "delete"}
        for table, op, key, value in self.changes:
            row = {"id": key} if value is None else {"id": key, "v": value}
            yield f"{table}/{key}", dms(names[op], row, table=table)

    def events(self, table: str) -> Counter[tuple[str, int, int | None]]:
        return Counter(change[1:] for change in self.changes if change[0] == table)

    def rows(self, table: str) -> Counter[tuple[int, int | None]]:
        found: dict[int, int | None] = {}
        for name, op, key, value in self.changes:
            if name == table and op == "D":
                del found[key]
            elif name == table:
                found[key] = value
        return Counter(found.items())


@dataclass(frozen=True)
class TopicSystem(System):
    """`dsn` has no meaning."""

    def stored(self, table: str) -> list[tuple[Any, ...]]:
        """Operation, id and value of every stored change, with their positions."""
        log = self.store.log(TableId(SOURCE, "public", table)).snapshot()
        names = [OP, "id", "v", EPOCH, COMMIT_POSITION, SEQUENCE]
        found = [log.events(key).to_table(columns=names) for key in log.range_keys() if key != "all"]
        return [tuple(row.values()) for row in pa.concat_tables(found).to_pylist()] if found else []

    def lake(self, table: str) -> Counter[tuple[int, int | None]]:
        batches = self.target(TableId(SOURCE, "public", table)).read()
        return Counter((row["id"], row["v"]) for batch in batches for row in batch.to_pylist())


def system(broker: Broker, topic: str, root: Path, *tables: str, **changed: Any) -> TopicSystem:
    columns = {f"public.{table}": ["id bigint", "v bigint"] for table in tables}
    given: dict[str, Any] = {"envelope": "dms", "columns": columns}
    source = KafkaSourceConfig(
        SOURCE, bootstrap_servers=broker.address, topics=[topic], tls=False, **(given | changed)
    )
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(root / "event_store")),
        sources=[source],
        tables=[Table(f"{SOURCE}.public.{each}", key=["id"], id_ranges=ByBounds((50,))) for each in tables],
        projections=[DeltaProjection("lake", tables=[f"{SOURCE}.*"], root=str(root / "lake"))],
    )
    return TopicSystem(catalog.validate(), "")


def capture_in_small_flushes(made: TopicSystem) -> None:
    made.capture(policy=FlushPolicy(seconds=0))


def kill_and_compare(
    made: TopicSystem, broker: Broker, topic: str, traffic: Traffic, places: Sequence[str]
) -> None:
    """Half of the traffic is there when the first capture starts, the rest comes between the others."""
    made.prepare()
    made.load_all()
    messages = list(traffic.messages())
    part = len(messages) // (2 * len(places))
    broker.produce(topic, messages[: -part * len(places)])
    rest = messages[-part * len(places) :]
    for number, place in enumerate(places):
        broker.produce(topic, rest[number * part : (number + 1) * part])
        run_and_die(place, capture_in_small_flushes, made)
    run(capture_in_small_flushes, made)
    made.project()
    for table in ("orders", "items"):
        stored = made.stored(table)
        assert Counter(event[:3] for event in stored) == traffic.events(table)
        assert len({event[3:] for event in stored}) == len(stored)
        assert made.lake(table) == traffic.rows(table)


def test_a_capture_that_is_killed_three_times_stores_every_change_once(
    broker: Broker, tmp_path: Path
) -> None:
    topic = broker.topic(3)
    made = system(broker, topic, tmp_path, "orders", "items")
    kill_and_compare(made, broker, topic, Traffic.random(10_000, 120), PLACES[:3])


@pytest.mark.full
def test_a_capture_that_is_killed_ten_times_stores_100_000_changes_once(
    broker: Broker, tmp_path: Path
) -> None:
    topic = broker.topic(4)
    made = system(broker, topic, tmp_path, "orders", "items")
    kill_and_compare(made, broker, topic, Traffic.random(100_000, 3_000), PLACES)


def test_two_captures_at_once_store_every_change_once(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic(2)
    made = system(broker, topic, tmp_path, "orders", "items")
    made.prepare()
    made.load_all()
    traffic = Traffic.random(600, 40)
    broker.produce(topic, traffic.messages())
    entered = False

    def another() -> bool:
        nonlocal entered
        if not entered:
            entered = True
            made.capture()
        return False

    with pytest.raises(CommitConflict):
        made.capture(stop=another)
    made.capture()
    for table in ("orders", "items"):
        assert Counter(event[:3] for event in made.stored(table)) == traffic.events(table)


def test_messages_that_a_producer_sent_twice_leave_the_rows_as_they_are(
    broker: Broker, tmp_path: Path
) -> None:
    """An at-least-once producer repeats a stretch of messages after a crash, in their order."""
    topic = broker.topic(3)
    made = system(broker, topic, tmp_path, "orders", "items")
    made.prepare()
    made.load_all()
    traffic = Traffic.random(400, 30)
    messages = list(traffic.messages())
    broker.produce(topic, [*messages[:300], *messages[200:300], *messages[200:]])
    made.capture()
    made.project()
    for table in ("orders", "items"):
        assert made.lake(table) == traffic.rows(table)


def test_a_table_of_postgres_is_the_same_after_its_way_through_a_topic(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    """Triggers write what Debezium's connector would; rows are compared as PostgreSQL shows them."""
    with psycopg.connect(database.dsn, autocommit=True, options="-c timezone=UTC") as session:
        for statement in WRITTEN:
            session.execute(statement.encode())
        told = session.execute("SELECT op, was::text, became::text FROM told ORDER BY n").fetchall()
        rows = session.execute("SELECT id, v, n, s, b, at, d FROM orders").fetchall()
    columns = {"public.orders": TYPED}
    topic = broker.topic(3)
    made = system(broker, topic, tmp_path, "orders", envelope="debezium", binary="hex", columns=columns)
    made.prepare()
    made.load_all()
    broker.produce(topic, [_told(*each) for each in told])
    made.capture()
    made.project()
    found = made.target(TableId(SOURCE, "public", "orders")).read()
    names = [column.split(" ")[0] for column in TYPED]
    assert Counter(tuple(row[n] for n in names) for batch in found for row in batch.to_pylist()) == Counter(
        rows
    )


def test_a_recovered_source_reads_the_topic_anew_and_its_rows_are_the_same(
    broker: Broker, tmp_path: Path
) -> None:
    topic = broker.topic(3)
    made = system(broker, topic, tmp_path, "orders", "items")
    made.prepare()
    made.load_all()
    traffic = Traffic.random(300, 30)
    broker.produce(topic, traffic.messages())
    made.capture()
    made.project()
    assert made.recover().epoch == 2
    with pytest.raises(NeedsReload):
        made.project()
    made.load_all()
    made.capture()
    made.project()
    for table in ("orders", "items"):
        assert made.lake(table) == traffic.rows(table)


def test_a_topic_that_was_made_anew_stops_the_capture_until_it_is_recovered(
    broker: Broker, tmp_path: Path
) -> None:
    topic = broker.topic(1)
    made = system(broker, topic, tmp_path, "orders")
    made.prepare()
    made.load_all()
    broker.produce(topic, [("1", dms("insert", {"id": 1, "v": 1}))])
    made.capture()
    broker.remove(topic)
    broker.topic(1, name=topic)
    broker.produce(topic, [("2", dms("insert", {"id": 2, "v": 2}))])
    with pytest.raises(SlotLost):
        made.capture()
    made.recover()
    made.load_all()
    made.capture()
    made.project()
    assert made.lake("orders") == Counter({(2, 2): 1})


def _told(op: str, was: str | None, became: str | None) -> tuple[object, object]:
    """Rows stay the text that PostgreSQL made of them: no number passes through a float."""
    message = json.dumps(debezium({"i": "c"}.get(op, op), None))
    images = f'"before": {was or "null"}, "after": {became or "null"}'
    message = message.replace('"before": null, "after": null', images)
    return str(json.loads(became or was or "")["id"]), message.replace(r"\\x", "").encode()
