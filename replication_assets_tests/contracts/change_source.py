"""What every change source promises, as tests that each way to capture runs.

A subclass provides the fixture `place`: a fresh database, a source over it, and ways to write to it
behind the source's back. SQL is of the kind that every engine takes. What is claimed of positions is
held against a replay in plain Python: a load at a position must be what the events before it make.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.digests import digest_of
from replication_assets.core.events import OVERFLOW, event_schema
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId, TableSchema, field_of
from replication_assets.errors import SlotBusy, SlotLost, SourceNotReady
from replication_assets.ports import CaptureSetup, ChangeChunk, ChangeSource, ChangeStream, LoadSlice
from replication_assets_tests.contracts.filtered_tables import FilteredTables

EPOCH = 3
WHOLE = IdRange("r000000", 0, None, None)
DATES = EventDates(None, "day", date(2026, 1, 1))
ROWS = "id integer PRIMARY KEY, v integer, s text"
Row = tuple[Any, ...]


class Transaction(Protocol):
    """An open transaction of an application."""

    def execute(self, statement: str) -> object: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class SourcePlace(Protocol):
    """A fresh database, and the source over it."""

    @property
    def source(self) -> ChangeSource: ...
    @property
    def schema(self) -> str: ...
    @property
    def writers(self) -> int:
        """How many transactions can write at once."""
        ...

    def create(self, table: str, columns: str) -> None:
        """A table whose changes carry whole old rows."""
        ...

    def execute(self, *statements: str) -> None:
        """In one transaction."""
        ...

    def rows(self, query: str) -> list[Row]: ...
    def transaction(self) -> AbstractContextManager[Transaction]: ...


@dataclass
class Following:
    """Capture of some tables, drained step by step, with everything that it told so far."""

    place: SourcePlace
    tables: dict[TableId, TableSchema] = field(default_factory=dict)
    after: int = 0
    chunks: list[ChangeChunk] = field(default_factory=list)

    def declare(self, *names: str, **reflected: Any) -> CaptureSetup:
        for name in names:
            table = TableId(self.place.source.name, self.place.schema, name)
            self.tables[table] = self.place.source.reflect(table, **reflected)
        return self.setup()

    def setup(self) -> CaptureSetup:
        found = self.place.source.setup(list(self.tables.items()))
        self.place.source.confirm_setup()
        self.after = self.after or found.start
        return found

    def table(self, name: str) -> TableId:
        return TableId(self.place.source.name, self.place.schema, name)

    def stream(
        self, upto: int | None = None, stop: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[ChangeStream]:
        return self.place.source.changes(
            list(self.tables.items()), epoch=EPOCH, after=self.after, upto=upto, stop=stop
        )

    def drain(self, *, acknowledge: bool = True) -> list[ChangeChunk]:
        """Everything committed by now."""
        found = []
        with self.stream(self.place.source.status().head) as stream:
            for chunk in stream:
                found.append(chunk)
                if acknowledge:
                    self._take(chunk, stream)
        return found

    def _take(self, chunk: ChangeChunk, stream: ChangeStream) -> None:
        self.chunks.append(chunk)
        for table, schema, _ in chunk.schema_changes:
            self.tables[table] = schema
        if chunk.through is not None:
            self.after = chunk.through
            stream.acknowledge(chunk.through)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Drained by a thread while the block runs."""
        stop, failed = threading.Event(), list[Exception]()

        def work() -> None:
            try:
                with self.stream(stop=stop.is_set) as stream:
                    for chunk in stream:
                        self._take(chunk, stream)
            except Exception as error:  # noqa: BLE001  # raised below
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def load(self, name: str) -> tuple[int, Counter[Row]]:
        """Position and rows of a load of the whole table."""
        table = self.table(name)
        wanted = LoadSlice(table, self.tables[table], None, WHOLE, DATES)
        with self.place.source.load(wanted) as load:
            rows = [row for batch in load for row in plain(batch, self.tables[table].names)]
            return load.commit, Counter(rows)


def plain(batch: pa.RecordBatch, names: Sequence[str]) -> list[Row]:
    return list(zip(*(batch.column(name).to_pylist() for name in names), strict=True))


def events(chunks: Sequence[ChangeChunk], table: TableId) -> list[dict[str, Any]]:
    """A table's events in the order of their positions."""
    rows: list[dict[str, Any]] = []
    for chunk in chunks:
        for batch in chunk.batches:
            if batch.table == table:
                assert batch.rows.schema.equals(event_schema(batch.schema), check_metadata=True)
                batch.rows.validate(full=True)
                rows += batch.rows.to_pylist()
    return sorted(rows, key=lambda row: (row["_commit_position"], row["_sequence"], row["_op"] != "D"))


def told(chunks: Sequence[ChangeChunk], table: TableId, *columns: str) -> list[Row]:
    return [(row["_op"], *(row[name] for name in columns)) for row in events(chunks, table)]


def replayed(found: Sequence[dict[str, Any]], names: Sequence[str], before: int) -> Counter[Row]:
    """What the events below a commit position make of an empty table with key `id`."""
    rows: dict[Any, Row] = {}
    for row in found:
        if row["_commit_position"] < before:
            if row["_op"] == "D":
                rows.pop(row["id"], None)
            else:
                rows[row["id"]] = tuple(row[name] for name in names)
    return Counter(rows.values())


class ChangeSourceContract(FilteredTables):
    """See the module."""

    @pytest.fixture
    def following(self, place: SourcePlace) -> Iterator[Following]:
        yield Following(place)
        place.source.teardown(force=True)
        assert place.source.remains() == ()

    def test_every_change_is_an_event_with_both_images(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, NULL)")
        place.execute("UPDATE t SET v = 11 WHERE id = 1", "UPDATE t SET id = 5 WHERE id = 2")
        place.execute("DELETE FROM t WHERE id = 1")
        found = events(following.drain(), t)
        assert told(following.chunks, t, "id", "v", "s") == [
            ("I", 1, 10, "a"),
            ("I", 2, 20, None),
            ("U", 1, 11, "a"),
            ("D", 2, 20, None),
            ("U", 5, 20, None),
            ("D", 1, 11, "a"),
        ]
        assert [row["_before"] for row in found] == [None, None, '{"v":"10"}', None, None, None]
        assert {row["_epoch"] for row in found} == {EPOCH}

    def test_rows_without_a_key_are_told_whole(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", "a integer, b text")
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 'x'), (1, 'x')", "UPDATE t SET b = 'y'")
        place.execute("DELETE FROM t")
        following.drain()
        assert Counter(told(following.chunks, t, "a", "b")) == Counter(
            {("I", 1, "x"): 2, ("D", 1, "x"): 2, ("I", 1, "y"): 2, ("D", 1, "y"): 2}
        )

    def test_a_transaction_is_delivered_whole_or_not_at_all(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with place.transaction() as writer:
            writer.execute("INSERT INTO t VALUES (1, 1, 'gone')")
            writer.rollback()
        with place.transaction() as writer:
            writer.execute("INSERT INTO t VALUES (2, 1, 'kept')")
            assert told(following.drain(), t, "id") == []
            writer.execute("UPDATE t SET v = 2")
            writer.commit()
        chunks = following.drain()
        assert told(chunks, t, "id", "v") == [("I", 2, 1), ("U", 2, 2)]
        assert sum(chunk.through is not None for chunk in chunks if chunk.batches) == 1

    def test_what_was_not_acknowledged_comes_again_at_the_same_positions(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        place.execute("UPDATE t SET v = 2", "INSERT INTO t VALUES (2, 1, 'b')")
        first = events(following.drain(acknowledge=False), t)
        place.execute("DELETE FROM t WHERE id = 2")
        again = events(following.drain(), t)
        assert again[: len(first)] == first
        assert len(again) == len(first) + 1
        assert following.drain() == [] or events(following.chunks, t) == again

    def test_one_stream_at_a_time(self, following: Following) -> None:
        following.place.create("t", ROWS)
        following.declare("t")
        with following.stream(), pytest.raises(SlotBusy), following.stream():
            raise AssertionError("two streams of one log")
        with following.stream() as stream:
            assert stream is not None

    def test_a_stream_that_begins_where_the_log_never_was_is_lost(self, following: Following) -> None:
        following.place.create("t", ROWS)
        following.declare("t")
        following.after = 7
        with pytest.raises(SlotLost), following.stream(upto=0) as stream:
            list(stream)

    def test_setup_tells_what_it_added_until_that_is_confirmed(self, following: Following) -> None:
        place = following.place
        place.create("t", ROWS)
        place.create("u", ROWS)
        t, u = following.table("t"), following.table("u")
        following.tables = {t: place.source.reflect(t), u: place.source.reflect(u)}
        wanted = list(following.tables.items())
        assert place.source.missing(wanted) == ()
        assert place.source.status().state == "missing"
        assert set(place.source.setup(wanted[:1]).added) == {t}
        assert set(place.source.setup(wanted).added) == {t, u}
        place.source.confirm_setup()
        assert place.source.setup(wanted).added == ()

    def test_teardown_leaves_nothing_and_writers_go_on(self, following: Following) -> None:
        place = following.place
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        assert place.source.remains() != ()
        place.source.teardown()
        place.source.teardown()
        assert place.source.remains() == ()
        assert place.source.status().state == "missing"
        place.execute("UPDATE t SET v = 2")
        assert place.rows("SELECT id, v FROM t") == [(1, 2)]

    def test_status_tells_what_is_waiting(self, following: Following) -> None:
        place = following.place
        place.create("t", ROWS)
        following.declare("t")
        before = place.source.status()
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        now = place.source.status()
        assert now.head > before.head
        assert (now.lag_bytes or 0) > 0
        following.drain()
        with following.stream():
            assert place.source.status().active

    def test_views_are_loaded_and_never_captured(self, following: Following) -> None:
        place = following.place
        place.create("t", ROWS)
        place.execute("CREATE VIEW w AS SELECT id, s FROM t", "INSERT INTO t VALUES (1, 1, 'a')")
        following.declare("t")
        view = following.table("w")
        assert not place.source.is_captured(view)
        following.tables[view] = place.source.reflect(view)
        assert following.load("w")[1] == Counter([(1, "a")])

    def test_hostile_names_are_names(self, following: Following) -> None:
        place, name, column = following.place, 'a"; DROP TABLE t--%é', "x'y\\ \"z"
        quoted, inner = '"' + name.replace('"', '""') + '"', '"' + column.replace('"', '""') + '"'
        place.create(name, f"id integer PRIMARY KEY, {inner} text")
        following.declare(name)
        place.execute(f"INSERT INTO {quoted} VALUES (1, 'v')", f"UPDATE {quoted} SET {inner} = 'w'")
        following.drain()
        table = following.table(name)
        assert told(following.chunks, table, column) == [("I", "v"), ("U", "w")]
        assert following.load(name)[1] == Counter([(1, "w")])
        assert place.source.bounds(table, "id").high == 1
        assert place.source.structure(table).names == ("id", column)

    def test_an_append_only_table_tells_its_inserts(self, following: Following) -> None:
        following.place.create("t", ROWS)
        following.declare("t", append_only=True)
        following.place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        following.drain()
        assert told(following.chunks, following.table("t"), "id") == [("I", 1)]

    def test_a_table_that_left_the_capture_is_refused(self, following: Following) -> None:
        place = following.place
        place.create("t", ROWS)
        place.create("u", ROWS)
        following.declare("t")
        following.tables[following.table("u")] = place.source.reflect(following.table("u"))
        with pytest.raises(SourceNotReady, match="u"), following.stream() as stream:
            list(stream)

    # --- columns ---------------------------------------------------------------------------

    def test_a_column_that_is_added_while_capture_runs_is_told_and_followed(
        self, following: Following
    ) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        following.drain()
        place.execute("ALTER TABLE t ADD COLUMN extra text")
        following.setup()
        place.execute("INSERT INTO t VALUES (2, 2, 'b', 'new')")
        following.drain()
        (change,) = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
        assert (change.reload, change.added) == (False, ("extra",))
        assert [(row["id"], row.get("extra")) for row in events(following.chunks, t)] == [
            (1, None),
            (2, "new"),
        ]

    def test_a_renamed_column_asks_for_a_load(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        following.drain()
        place.execute("ALTER TABLE t RENAME COLUMN s TO word")
        following.setup()
        place.execute("UPDATE t SET word = 'b'")
        following.drain()
        changes = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
        assert any(change.reload for change in changes)
        assert following.tables[t].names == ("id", "v", "word")
        assert following.load("t")[1] == Counter([(1, 1, "b")])

    # --- where load and capture meet -------------------------------------------------------

    def test_loads_beside_writers_are_what_the_events_before_them_make(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with following.running(), _writing(place):
            loads = [following.load("t") for _ in range(6)]
        following.drain()
        found = events(following.chunks, t)
        assert len(found) > 20
        for position, rows in loads:
            assert replayed(found, ("id", "v", "s"), position) == rows, position
        final = Counter(place.rows("SELECT id, v, s FROM t"))
        assert replayed(found, ("id", "v", "s"), found[-1]["_commit_position"] + 1) == final

    def test_digests_are_those_of_the_rows_that_a_load_reads(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (-5, 1, 'low'), (1, 1, NULL), (99, 3, 'é'), (100, 2, 'high')")
        schema = following.tables[t]
        ranges = [
            IdRange("r000000", 0, None, 1),
            IdRange("r000001", 1, 1, 100),
            IdRange("r000002", 2, 100, None),
        ]
        taken = place.source.digests(t, schema, "id", ranges)
        kept = pa.schema([*(field_of(c) for c in schema.columns), pa.field(OVERFLOW, pa.string())])
        rows = {}
        for each in ranges:
            with place.source.load(LoadSlice(t, schema, "id", each, DATES)) as load:
                batches = list(load)
            with duckdb.connect() as engine:
                assert digest_of(engine, batches, kept) == taken.digests[each.key]
            rows[each.key] = [row[0] for batch in batches for row in plain(batch, ("id",))]
        assert rows == {"r000000": [-5], "r000001": [1, 99], "r000002": [100]}


@contextmanager
def _writing(place: SourcePlace) -> Iterator[None]:
    """Applications at work on table `t` while the block runs, keys of their own and shared ones."""
    stop, failed, written = threading.Event(), list[Exception](), Counter[int]()

    def work(number: int) -> None:
        random = Random(number)
        try:
            while not stop.wait(0.001):
                with place.transaction() as writer:
                    for _ in range(random.randrange(1, 4)):
                        _write(writer, random, number)
                    writer.rollback() if random.randrange(6) == 0 else writer.commit()
                written[number] += 1
        except Exception as error:  # noqa: BLE001  # raised below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(place.writers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        while not failed and any(written[number] < 15 for number in range(place.writers)):
            stop.wait(0.01)
        stop.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


def _write(writer: Transaction, random: Random, number: int) -> None:
    key = random.randrange(40)
    kind = random.randrange(5)
    if kind < 2:
        own = 1000 * (number + 1) + random.randrange(30)
        writer.execute(f"INSERT INTO t VALUES ({own}, 0, 'own') ON CONFLICT DO NOTHING")
    elif kind == 2:
        writer.execute(f"INSERT INTO t VALUES ({key}, 0, 'shared') ON CONFLICT DO NOTHING")
    elif kind == 3:
        # One row at a time, so that writers cannot deadlock for long.
        writer.execute(f"UPDATE t SET v = v + 1 WHERE id = {1000 * (number + 1) + random.randrange(30)}")
    else:
        writer.execute(f"DELETE FROM t WHERE id = {1000 * (number + 1) + random.randrange(30)}")
