"""What topics tell as a source: every change once, in the order of its key, at positions that stay.

Against a real broker. Adding partitions and passing retention are not in this broker: they are shown
by a journal that was told of fewer partitions, and of offsets that the topic does not have.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.envelopes.debezium import UNAVAILABLE
from replication_assets.core.envelopes.messages import Envelope
from replication_assets.core.envelopes.types import ValueFormat, spelled_column
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import CommitConflict, DecodeError, SlotLost, SourceError, SourceNotReady
from replication_assets.event_store import DeltaEventStore
from replication_assets.ports import ChangeChunk, ChangeStream, LoadSlice
from replication_assets.ports.offsets import BlockEnd
from replication_assets.sources.kafka import stream as streams
from replication_assets.sources.kafka.decoding import offset_of
from replication_assets.sources.kafka.source import KafkaSource, TopicFormat
from replication_assets.sources.kafka.topics import Extent, lost_messages
from replication_assets_tests.kafka_servers import Broker, debezium, dms, start_broker

ORDERS, ITEMS = TableId("feed", "public", "orders"), TableId("feed", "public", "items")
COLUMNS = (spelled_column("id bigint"), spelled_column("v bigint"))
WHOLE = IdRange("r000000", 0, None, None)
Event = tuple[Any, ...]


@dataclass
class Feed:
    """A topic, a source over it with a journal of its own, and what is captured up to."""

    broker: Broker
    topics: tuple[str, ...]
    root: Path
    envelope: Envelope = "dms"
    keep: bool = False
    partial: bool = False
    after: int = 0
    schemas: dict[TableId, TableSchema] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        return self.topics[0]

    @property
    def source(self) -> KafkaSource:
        """Made anew, as by another process."""
        values = ValueFormat("hex") if self.envelope == "dms" else ValueFormat("base64", epochs=True)
        columns = {"public.orders": COLUMNS, "public.items": COLUMNS}
        form = TopicFormat(self.envelope, values, columns, self.keep, self.partial)
        journal = DeltaEventStore(str(self.root)).offsets("feed")
        return KafkaSource("feed", self.broker.cluster, self.topics, form, journal)

    @property
    def tables(self) -> list[tuple[TableId, TableSchema]]:
        return list(self.schemas.items())

    def setup(self, *tables: TableId) -> Feed:
        self.schemas = {table: self.source.reflect(table, key=["id"]) for table in tables or (ORDERS,)}
        self.after = self.source.setup(self.tables).start
        return self

    def put(self, *messages: tuple[object, object], partition: int = -1) -> None:
        self.broker.produce(self.topic, messages, partition)

    @contextmanager
    def stream(
        self, *, upto: int | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[ChangeStream]:
        with self.source.changes(self.tables, epoch=3, after=self.after, upto=upto, stop=stop) as stream:
            yield stream

    def drain(self, *, durable: bool = True) -> list[ChangeChunk]:
        """Everything up to now; durable, unless the process died before."""
        with self.stream(upto=self.source.status().head) as stream:
            chunks = list(stream)
        for table, schema, _ in (each for chunk in chunks for each in chunk.schema_changes):
            if durable:
                self.schemas[table] = schema
        if chunks and durable:
            assert chunks[-1].through is not None
            self.after = chunks[-1].through
        return chunks


def events(chunks: Sequence[ChangeChunk], *columns: str, table: TableId = ORDERS) -> list[Event]:
    """Events in the order of their positions."""
    batches = [batch for chunk in chunks for batch in chunk.batches if batch.table == table]
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    rows.sort(key=lambda row: (row["_epoch"], row["_commit_position"], row["_sequence"]))
    return [tuple(row[name] for name in columns or ("_op", "id", "v")) for row in rows]


@pytest.fixture
def feed(broker: Broker, tmp_path: Path) -> Feed:
    return Feed(broker, (broker.topic(),), tmp_path)


@pytest.fixture
def wide(broker: Broker, tmp_path: Path) -> Feed:
    return Feed(broker, (broker.topic(3),), tmp_path / "wide")


def put(operation: str, key: int, value: int | None = None, **more: Any) -> tuple[object, object]:
    return {"id": key}, dms(operation, {"id": key} | ({} if value is None else {"v": value}), **more)


def test_every_change_is_an_event_in_its_order(feed: Feed) -> None:
    feed.setup()
    feed.put(put("load", 1, 10), put("insert", 2, 20), put("update", 1, 11), put("delete", 2))
    chunks = feed.drain()
    assert events(chunks) == [("I", 1, 10), ("I", 2, 20), ("U", 1, 11), ("D", 2, None)]
    assert (
        events(chunks, "_epoch", "_transaction_id", "_load_id", "_unchanged") == [(3, 4711, None, None)] * 4
    )
    noon = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    assert set(events(chunks, "_committed_at")) == {(noon,)}
    assert [each.committed_at for each in chunks] == [noon]
    assert feed.drain() == []


def test_the_sequence_tells_offset_and_partition(feed: Feed) -> None:
    feed.setup()
    feed.put(put("insert", 1), put("insert", 2))
    assert [offset_of(sequence) for (sequence,) in events(feed.drain(), "_sequence")] == [(0, 0), (1, 0)]


def test_changes_of_a_key_keep_their_order_over_all_partitions_and_blocks(wide: Feed) -> None:
    wide.setup()
    found: list[Event] = []
    for round_ in range(3):
        wide.put(*(put("update", key, 100 * round_ + at) for at in range(20) for key in range(30)))
        found += events(wide.drain())
    by_key: dict[int, list[int]] = {}
    for _, key, value in found:
        by_key.setdefault(key, []).append(value)
    expected = [100 * round_ + at for round_ in range(3) for at in range(20)]
    assert by_key == dict.fromkeys(range(30), expected)


def test_what_was_not_durable_comes_again_at_the_same_positions(wide: Feed) -> None:
    wide.setup()
    where = ("_op", "id", "v", "_commit_position", "_sequence")
    wide.put(*(put("insert", key, 1) for key in range(50)))
    first = events(wide.drain(durable=False), *where)
    wide.put(*(put("insert", key, 2) for key in range(50, 60)))
    again = wide.drain(durable=False)
    assert events(again, *where)[:50] == first
    assert events(again[:1], *where) == first
    assert events(wide.drain(), *where) == events(again, *where)
    assert len(first) == 50


def test_blocks_that_were_told_come_again_before_anything_else_and_one_by_one(wide: Feed) -> None:
    wide.setup()
    for at in range(4):
        wide.put(*(put("insert", 10 * at + key) for key in range(10)))
        wide.drain()
    wide.after = 0
    wide.put(put("insert", 99))
    again = wide.drain()
    ends = DeltaEventStore(str(wide.root)).offsets("feed").since(0)
    assert [chunk.through for chunk in again] == [each.commit for each in ends[1:]]
    assert [len(events([chunk])) for chunk in again] == [10, 10, 10, 10, 1]


def test_a_stream_that_is_stopped_within_a_told_block_delivers_none_of_it(wide: Feed) -> None:
    wide.setup()
    wide.put(*(put("insert", key) for key in range(10)))
    wide.drain(durable=False)
    with wide.stream(stop=lambda: True) as stream:
        assert list(stream) == []
    assert len(events(wide.drain())) == 10


def test_the_second_of_two_streams_is_refused_and_the_first_goes_on(feed: Feed) -> None:
    feed.setup()
    head = feed.source.status().head
    with feed.stream() as first, feed.stream() as second:
        one, other = iter(first), iter(second)
        feed.put(put("insert", 1))
        assert events([next(one)]) == [("I", 1, None)]
        with pytest.raises(CommitConflict, match="another capture"):
            next(other)
        feed.put(put("insert", 2))
        while not (found := events([next(one)])):
            pass
        assert found == [("I", 2, None)]
    assert feed.source.status().head > head


def test_an_idle_stream_speaks_up_and_stops_when_told(feed: Feed) -> None:
    feed.setup()
    spoke: list[ChangeChunk] = []
    with feed.stream(stop=lambda: bool(spoke)) as stream:
        for chunk in stream:
            spoke.append(chunk)
    assert [(each.batches, each.through) for each in spoke] == [((), 0)]


def test_one_update_of_a_key_is_a_delete_and_an_update(feed: Feed) -> None:
    feed.setup()
    feed.put(put("update", 2, 5, before={"id": 1, "v": 4}), put("update", 2, 6, before={"id": 2, "v": 5}))
    chunks = feed.drain()
    assert events(chunks) == [("D", 1, 4), ("U", 2, 5), ("U", 2, 6)]
    positions = events(chunks, "_commit_position", "_sequence")
    assert positions[0] == positions[1]
    assert events(chunks, "_before") == [(None,), (None,), ('{"v":"5"}',)]


def test_messages_of_debezium_are_read_with_what_they_did_not_send(feed: Feed) -> None:
    feed.envelope = "debezium"
    feed.setup()
    feed.put(
        ({"id": 1}, debezium("r", {"id": 1, "v": 1})),
        (
            {"id": 1},
            {"schema": {}, "payload": debezium("u", {"id": 1, "v": UNAVAILABLE}, before={"id": 1, "v": 1})},
        ),
        ({"id": 1}, debezium("d", None, before={"id": 1, "v": None})),
        ({"id": 1}, None),
        ({"id": 2}, debezium("c", {"id": 2, "v": 2})),
    )
    chunks = feed.drain()
    assert events(chunks) == [("I", 1, 1), ("U", 1, None), ("D", 1, None), ("I", 2, 2)]
    assert events(chunks, "_unchanged") == [(None,), (["v"],), (None,), (None,)]


def test_columns_that_come_late_are_added_as_json(feed: Feed) -> None:
    feed.setup()
    feed.put(put("insert", 1, 1))
    feed.drain()
    feed.put(({"id": 2}, dms("insert", {"id": 2, "größe; DROP": 1.50, "b": None})))
    (chunk,) = feed.drain()
    ((table, schema, change),) = chunk.schema_changes
    assert (table, schema.names, change.added) == (
        ORDERS,
        ("id", "v", "größe; DROP", "b"),
        ("größe; DROP", "b"),
    )
    assert not change.reload
    assert events([chunk], "id", "größe; DROP", "b") == [(2, "1.5", None)]
    feed.put(put("insert", 3))
    assert feed.drain()[0].schema_changes == ()


def test_columns_that_are_declared_later_are_told(feed: Feed) -> None:
    feed.setup()
    feed.schemas[ORDERS] = replace(feed.schemas[ORDERS], columns=COLUMNS[:1])
    feed.put(put("insert", 1, 5))
    (chunk,) = feed.drain()
    assert [change.added for _, _, change in chunk.schema_changes] == [("v",)]
    assert events([chunk]) == [("I", 1, 5)]


def test_a_column_that_is_declared_with_another_type_is_refused(feed: Feed) -> None:
    feed.setup()
    feed.schemas[ORDERS] = replace(feed.schemas[ORDERS], columns=(COLUMNS[0], spelled_column("v text")))
    with (
        pytest.raises(SourceNotReady, match="'v' is declared as bigint, and its log has text"),
        feed.stream(),
    ):
        pass


def test_values_beyond_their_type_stand_in_the_overflow(feed: Feed) -> None:
    feed.setup()
    feed.put(({"id": 1}, json.dumps(dms("insert", {"id": 1, "v": 2**70})).encode()))
    assert events(feed.drain(), "v", "_overflow") == [(None, f'{{"v":"{2**70}"}}')]


def test_tables_that_are_not_captured_are_passed_over(feed: Feed) -> None:
    feed.setup()
    feed.put(
        put("insert", 1, table="items"), put("insert", 2), (None, dms("create-table", None, kind="control"))
    )
    assert events(feed.drain()) == [("I", 2, None)]


def test_a_table_that_is_declared_later_is_read_in_a_new_epoch_only(feed: Feed) -> None:
    feed.setup()
    feed.put(put("insert", 1, table="items"))
    feed.drain()
    with pytest.raises(SourceNotReady, match=r"items was passed over.*recover"):
        feed.setup(ORDERS, ITEMS)
    feed.source.teardown()
    feed.setup(ORDERS, ITEMS)
    assert events(feed.drain(), table=ITEMS) == [("I", 1, None)]


def test_a_table_that_left_is_refused_until_then_too(feed: Feed) -> None:
    feed.setup(ORDERS, ITEMS)
    both = dict(feed.schemas)
    feed.setup(ORDERS)
    feed.schemas = both
    with pytest.raises(SourceNotReady, match="items is not captured"), feed.stream():
        pass


def test_an_emptied_table_is_told_where_its_place_is_known(feed: Feed, wide: Feed) -> None:
    truncate = (None, dms("truncate-table", None, kind="control"))
    feed.setup()
    feed.put(put("insert", 1), truncate, put("insert", 2))
    (chunk,) = feed.drain()
    ((table, position, _, _),) = chunk.truncated
    assert table == ORDERS
    first, second = events([chunk], "_sequence")
    assert first[0] < position.sequence < second[0]
    wide.setup()
    wide.put(truncate)
    (chunk,) = wide.drain()
    assert chunk.truncated == ()
    assert [(change.reload, change.reason) for _, _, change in chunk.schema_changes] == [
        (True, "truncate-table in the topic, which has several partitions")
    ]


def test_a_message_that_is_not_understood_stops_the_capture_with_its_place(feed: Feed) -> None:
    feed.setup()
    feed.put(put("insert", 1), (None, b"canary"), ({}, dms("insert", {"v": 1})))
    with pytest.raises(DecodeError, match="2 messages are not understood") as error:
        feed.drain()
    assert f"{feed.topic}[0] offset 1" in str(error.value)
    assert "canary" not in str(error.value)
    assert feed.source.journal.refused() == ()


def test_refused_messages_are_kept_and_the_others_go_on(feed: Feed) -> None:
    feed.keep = True
    feed.setup()
    feed.put(
        put("insert", 1),
        ("k", b"canary"),
        ({}, dms("insert", {"v": 1})),
        ({}, dms("insert", {"id": "x"})),
        ({}, dms("insert", {"id": 5, "_op": "x"})),
        put("insert", 2),
    )
    assert events(feed.drain(durable=False)) == [("I", 1, None), ("I", 2, None)]
    feed.drain()
    kept = feed.source.journal.refused()
    assert [(each.topic, each.partition, each.offset) for each in kept] == [
        (feed.topic, 0, at) for at in (1, 2, 3, 4)
    ]
    assert (kept[0].key, kept[0].value) == (b'"k"', b"canary")
    assert feed.source.status().state == "4 messages refused"


def test_partitions_that_were_added_come_after_what_the_old_ones_held(wide: Feed) -> None:
    """A key moves from partition 0 to partition 2 when that comes."""
    wide.setup()
    wide.put(*(put("update", 1, value) for value in range(5)), partition=0)
    wide.put(put("update", 1, 5), partition=2)
    journal = wide.source.journal
    journal.close()
    journal.append(BlockEnd(0, {wide.topic: (0, 0)}, (str(ORDERS),), 0))
    chunks = wide.drain(durable=False)
    assert [value for _, _, value in events(chunks)] == [0, 1, 2, 3, 4, 5]
    where = ("v", "_commit_position", "_sequence")
    assert events(wide.drain(durable=False), *where) == events(chunks, *where)
    wide.drain()
    wide.put(put("update", 1, 6), partition=2)
    assert events(wide.drain()) == [("U", 1, 6)]


def test_partitions_are_looked_for_while_the_stream_is_open(
    wide: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.0)
    wide.setup()
    wide.put(put("insert", 1))
    with wide.stream() as stream:
        assert events([next(iter(stream))]) == [("I", 1, None)]


def test_messages_that_are_gone_are_told_and_never_skipped(feed: Feed) -> None:
    feed.setup()
    feed.put(put("insert", 1))
    journal = feed.source.journal
    journal.last()
    journal.append(BlockEnd(9, {feed.topic: (9,)}, (str(ORDERS),), 0))
    feed.after = 9
    assert feed.source.status().state == "lost"
    lost = rf"{feed.topic}\[0\] ends at 2, and 9 was read"
    with pytest.raises(SlotLost, match=lost), feed.stream() as stream:
        next(iter(stream))


def test_retention_that_passed_the_capture_is_told_with_what_is_lost() -> None:
    found = Extent({"t": (5, 0)}, {"t": (9, 3)})
    assert lost_messages({"t": (5, 3)}, found) == []
    assert lost_messages({"t": (2, 3)}, found) == ["offsets 2 to 4 of t[0] passed retention"]
    assert lost_messages({"t": (5, 4)}, found) == ["t[1] ends at 3, and 4 was read before"]
    assert lost_messages({"t": (5, 3, 0)}, found) == ["t has fewer partitions than it had"]
    assert lost_messages({"u": (1,)}, found) == ["u has fewer partitions than it had"]


def test_a_position_that_the_journal_does_not_know_is_lost(feed: Feed) -> None:
    feed.setup()
    feed.after = 77
    with pytest.raises(SlotLost, match="does not know position 77"), feed.stream():
        pass


def test_a_topic_that_was_made_anew_is_another_source(feed: Feed) -> None:
    feed.setup()
    before = feed.source.identify()
    assert feed.source.identify() == before
    feed.broker.remove(feed.topic)
    with pytest.raises(SourceNotReady, match=feed.topic):
        feed.source.identify()
    feed.broker.topic(name=feed.topic)
    assert feed.source.identify().system_id != before.system_id


def test_a_broker_that_stands_still_for_a_while_is_waited_for(tmp_path: Path) -> None:
    broker = start_broker()
    try:
        feed = Feed(broker, (broker.topic(),), tmp_path).setup()
        feed.put(put("insert", 1))
        with feed.stream() as stream:
            chunks = iter(stream)
            assert events([next(chunks)]) == [("I", 1, None)]
            broker.pause()
            assert next(chunks).batches == ()
            broker.go_on()
            feed.put(put("insert", 2))
            while not (found := events([next(chunks)])):
                pass
            assert found == [("I", 2, None)]
    finally:
        broker.end()


def test_a_broker_that_came_back_empty_is_told(tmp_path: Path) -> None:
    broker = start_broker()
    feed = Feed(broker, (broker.topic(),), tmp_path).setup()
    feed.put(put("insert", 1))
    feed.drain()
    broker.end()
    feed.broker = start_broker(broker.port)
    try:
        feed.broker.topic(name=feed.topic)
        assert feed.source.status().state == "lost"
        with pytest.raises(SlotLost), feed.stream() as stream:
            next(iter(stream))
    finally:
        feed.broker.end()


def test_status_counts_the_messages_that_wait(feed: Feed) -> None:
    assert feed.source.status().state == "missing"
    feed.setup()
    assert (feed.source.status().state, feed.source.status().lag_bytes) == ("reserved", 0)
    feed.put(put("insert", 1), put("insert", 2))
    assert feed.source.status().lag_bytes == 3 * 128
    feed.drain()
    status = feed.source.status()
    assert (status.head, status.confirmed, status.lag_bytes) == (3, 3, 0)


def test_a_load_reads_nothing_and_stands_where_the_capture_began(feed: Feed) -> None:
    feed.put(put("insert", 1))
    feed.setup()
    feed.drain()
    schema = feed.schemas[ORDERS]
    dates = EventDates(None, "day", dt.date(2026, 1, 1))
    with feed.source.load(LoadSlice(ORDERS, schema, "id", WHOLE, dates)) as load:
        assert (load.commit, load.columns, list(load)) == (0, schema.columns, [])


def test_setup_and_teardown_can_be_done_twice_and_leave_nothing(feed: Feed) -> None:
    feed.setup().setup()
    assert feed.source.remains() != ()
    feed.source.teardown()
    feed.source.teardown()
    assert feed.source.remains() == ()
    with pytest.raises(SlotLost), feed.stream():
        pass


def test_what_a_topic_cannot_tell_is_refused_with_what_to_do_instead(feed: Feed) -> None:
    with pytest.raises(SourceNotReady, match="declare it: Table"):
        feed.source.reflect(ORDERS)
    with pytest.raises(SourceNotReady, match="ByBounds"):
        feed.source.quantiles(ORDERS, "id", 4)
    with pytest.raises(SourceError, match="no rows"):
        feed.source.digests(ORDERS, TableSchema(COLUMNS, ("id",)), "id", [WHOLE])
    with pytest.raises(SourceNotReady, match="there is no topic nothing"):
        replace(feed.source, topics=("nothing",)).status()
