"""The change stream of real servers: every change once, in order, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from replication_assets.core.events import POSITION
from replication_assets.errors import SlotBusy, SlotLost, SourceNotReady, SourceUnavailable
from replication_assets.sources.postgres.lsn import parse_lsn
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.sources.postgres.captured_database import (
    CapturedDatabase,
    captured,
    column_of,
    events_of,
    told,
)
from replication_assets_tests.sources.postgres.conftest import application

LARGE = (
    "CREATE TABLE t (id int PRIMARY KEY, small text, large text);"
    " ALTER TABLE t ALTER large SET STORAGE EXTERNAL"
)
FILLED = "INSERT INTO t VALUES (1, 'a', repeat('x', 9000))"


@pytest.fixture
def db(database: FreshDatabase) -> Iterator[CapturedDatabase]:
    with captured(database) as capture:
        yield capture


@pytest.fixture
def any_db(any_postgres_database: FreshDatabase) -> Iterator[CapturedDatabase]:
    """On PostgreSQL 15 and 18."""
    with captured(any_postgres_database) as capture:
        yield capture


def test_every_operation_arrives_with_its_position(any_db: CapturedDatabase) -> None:
    any_db.sql.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    any_db.declare("t")
    t = any_db.table("t")
    with any_db.sql.transaction():
        any_db.sql.execute("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
        any_db.sql.execute("UPDATE t SET v = 'b' WHERE id = 1")
        any_db.sql.execute("UPDATE t SET id = 3 WHERE id = 1")
        any_db.sql.execute("DELETE FROM t WHERE id = 2")
    xid = any_db.sql.execute("SELECT xmin::text::bigint FROM t").fetchone()
    any_db.sql.execute("TRUNCATE t")
    chunks = any_db.drain()
    assert told(chunks, t, "_sequence", "id", "v") == [
        ("I", 1, 1, "a"),
        ("I", 2, 2, None),
        ("U", 3, 1, "b"),
        ("D", 4, 1, None),
        ("U", 4, 3, "b"),
        ("D", 5, 2, None),
    ]
    rows = events_of(chunks, t)
    assert {(row["_epoch"], row["_transaction_id"]) for row in rows} == {(3, *xid)}
    assert len({(row["_commit_position"], row["_committed_at"]) for row in rows}) == 1
    (table, at, _, _), = [entry for chunk in chunks for entry in chunk.truncated]  # fmt: skip
    assert table == t
    assert at.commit > rows[0]["_commit_position"]
    assert chunks[-1].through is not None
    assert chunks[-1].through >= at.commit


# --- replica identities ------------------------------------------------------------------


def test_default_identity_names_the_columns_that_were_not_sent(any_db: CapturedDatabase) -> None:
    any_db.sql.execute(LARGE)
    any_db.declare("t")
    any_db.sql.execute(FILLED)
    any_db.sql.execute("UPDATE t SET small = 'b'")
    any_db.sql.execute("UPDATE t SET id = 2")
    any_db.sql.execute("DELETE FROM t")
    rows = events_of(any_db.drain(), any_db.table("t"))
    assert [(r["_op"], r["id"], r["small"], r["_unchanged"], r["_before"]) for r in rows] == [
        ("I", 1, "a", None, None),
        ("U", 1, "b", ["large"], None),
        ("D", 1, None, None, None),
        ("U", 2, "b", ["large"], '{"id":"1"}'),
        ("D", 2, None, None, None),
    ]
    assert [r["large"] for r in rows] == ["x" * 9000, None, None, None, None]


def test_full_identity_carries_every_value_and_what_it_was(any_db: CapturedDatabase) -> None:
    any_db.sql.execute(LARGE)
    any_db.sql.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    any_db.declare("t")
    any_db.sql.execute(FILLED)
    any_db.sql.execute("UPDATE t SET small = NULL")
    any_db.sql.execute("UPDATE t SET small = small")
    any_db.sql.execute("UPDATE t SET id = 2, small = E'\"\\\\\\n'")
    any_db.sql.execute("UPDATE t SET large = 'short'")
    any_db.sql.execute("DELETE FROM t")
    rows = events_of(any_db.drain(), any_db.table("t"))
    x = "x" * 9000
    assert [(r["_op"], r["id"], r["small"], r["large"]) for r in rows] == [
        ("I", 1, "a", x),
        ("U", 1, None, x),
        ("U", 1, None, x),
        ("D", 1, None, x),
        ("U", 2, '"\\\n', x),
        ("U", 2, '"\\\n', "short"),
        ("D", 2, '"\\\n', "short"),
    ]
    assert {json.dumps(r["_unchanged"]) for r in rows} == {"null"}
    before = [r["_before"] and json.loads(r["_before"]) for r in rows]
    assert before == [None, {"small": "a"}, {}, None, None, {"large": x}, None]


def test_an_identity_index_other_than_the_primary_key_carries_the_declared_key(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b text NOT NULL, v int)")
    db.sql.execute("CREATE UNIQUE INDEX ab ON t (a, b); ALTER TABLE t REPLICA IDENTITY USING INDEX ab")
    db.declare("t")
    assert db.tables[db.table("t")].key == ("a", "b")
    db.sql.execute("INSERT INTO t VALUES (1, 'x', 'y', 0)")
    db.sql.execute("UPDATE t SET v = 1, id = 9")
    db.sql.execute("UPDATE t SET b = 'z'")
    db.sql.execute("DELETE FROM t")
    assert told(db.drain(), db.table("t"), "a", "b", "id") == [
        ("I", "x", "y", 1),
        ("U", "x", "y", 9),
        ("D", "x", "y", None),
        ("U", "x", "z", 9),
        ("D", "x", "z", None),
    ]


def test_a_table_without_key_tells_whole_rows(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (a int, b text); ALTER TABLE t REPLICA IDENTITY FULL")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1, 'x'), (1, 'x')")
    db.sql.execute("UPDATE t SET b = NULL WHERE ctid = '(0,1)'")
    db.sql.execute("DELETE FROM t WHERE b IS NULL")
    assert told(db.drain(), db.table("t"), "a", "b") == [
        ("I", 1, "x"),
        ("I", 1, "x"),
        ("D", 1, "x"),
        ("I", 1, None),
        ("D", 1, None),
    ]


def test_an_append_only_table_needs_no_identity(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (a int)")
    db.declare("t", append_only=True)
    db.sql.execute("INSERT INTO t VALUES (1)")
    db.sql.execute("UPDATE t SET a = 2")
    assert told(db.drain(), db.table("t"), "a") == [("I", 1)]


# --- transactions ------------------------------------------------------------------------


def test_a_large_transaction_comes_in_bounded_chunks_with_no_position_inside(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.declare("t")
    db.sql.execute("INSERT INTO t SELECT g, repeat('v', 20) FROM generate_series(1, 200000) g")
    chunks = db.drain(chunk_bytes=2**20)
    sizes = [sum(batch.rows.num_rows for batch in chunk.batches) for chunk in chunks]
    assert sum(sizes) == 200_000
    assert max(sizes) * (20 + 64) < 2**20
    filled = [chunk for chunk, size in zip(chunks, sizes, strict=True) if size]
    assert len(filled) > 10
    assert {chunk.through for chunk in filled[:-1]} == {None}
    assert filled[-1].through is not None
    assert column_of(chunks, "_sequence").to_pylist() == list(range(1, 200_001))


def test_rolled_back_rows_and_savepoints_are_absent(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    db.sql.execute("BEGIN; INSERT INTO t VALUES (1); ROLLBACK")
    db.sql.execute(
        "BEGIN; INSERT INTO t VALUES (2); SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s;"
        " INSERT INTO t VALUES (4); COMMIT"
    )
    assert told(db.drain(), db.table("t"), "_sequence", "id") == [("I", 1, 2), ("I", 2, 4)]


def test_transactions_come_in_the_order_of_their_commits(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    with application(db.connection, autocommit=False) as other:
        other.execute("INSERT INTO t VALUES (1)")
        db.sql.execute("INSERT INTO t VALUES (2)")
        other.execute("INSERT INTO t VALUES (3)")
        other.commit()
    assert told(db.drain(), db.table("t"), "id") == [("I", 2), ("I", 1), ("I", 3)]


def test_tables_of_several_schemas_and_odd_names_are_told_apart(db: CapturedDatabase) -> None:
    names = ['a"b', "a\\b", " white space ", "Ünï☃😀", "a.b", "'; DROP TABLE t; --"]
    with psycopg.ClientCursor(db.sql) as cursor:
        for schema in ("public", 'odd "schema"'):
            quoted = psycopg.sql.Identifier(schema)
            cursor.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(quoted))
            for name in names:
                statement = psycopg.sql.SQL("CREATE TABLE {} ({} int PRIMARY KEY)")
                table, column = psycopg.sql.Identifier(schema, name), psycopg.sql.Identifier(name)
                cursor.execute(statement.format(table, column))
            db.declare(*names, schema=schema)
        for number, table in enumerate(db.tables):
            insert = psycopg.sql.SQL("INSERT INTO {} VALUES ({})")
            cursor.execute(insert.format(psycopg.sql.Identifier(table.schema, table.name), number))
    chunks = db.drain()
    assert len(db.tables) == 12
    for number, table in enumerate(db.tables):
        assert told(chunks, table, table.name) == [("I", number)]


def test_a_truncate_of_several_tables_counts_each_in_the_sequence(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a)")
    db.declare("a", "b")
    with db.sql.transaction():
        db.sql.execute("INSERT INTO a VALUES (1)")
        db.sql.execute("TRUNCATE a CASCADE")
        db.sql.execute("INSERT INTO a VALUES (2)")
    chunks = db.drain()
    emptied = {table.name: at.sequence for chunk in chunks for table, at, _, _ in chunk.truncated}
    assert set(emptied) == {"a", "b"}
    assert sorted(emptied.values()) == [2, 3]
    assert told(chunks, db.table("a"), "_sequence", "id") == [("I", 1, 1), ("I", 4, 2)]


# --- positions and ends ------------------------------------------------------------------


def test_resuming_anywhere_delivers_each_transaction_once(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    for number in range(10):
        db.sql.execute("INSERT INTO t VALUES (%s)", (number,))
    everything = events_of(db.drain(acknowledge=False), db.table("t"))
    assert [row["id"] for row in everything] == list(range(10))
    start = db.after
    for row in everything:
        db.after = row["_commit_position"]
        rest = [r for r in everything if r["_commit_position"] > db.after]
        assert events_of(db.drain(acknowledge=False), db.table("t")) == rest
    db.after = start
    assert db.drain() != []
    assert events_of(db.drain(), db.table("t")) == []


def test_a_drain_up_to_a_commit_has_it_and_nothing_later(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    for number in range(4):
        db.sql.execute("INSERT INTO t VALUES (%s)", (number,))
    everything = events_of(db.drain(acknowledge=False), db.table("t"))
    for upto, expected in (
        (everything[1]["_commit_position"], 2),
        (everything[1]["_commit_position"] - 1, 1),
    ):
        with db.stream(upto=upto) as changes:
            chunks = list(changes)
        assert [row["id"] for row in events_of(chunks, db.table("t"))] == list(range(expected))
        assert chunks[-1].through == upto


def test_a_transaction_that_commits_where_the_slot_was_created_is_not_skipped(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    at_creation = []
    for number in range(5):
        # All of the transaction but its commit record lies before the slot's new place.
        with application(db.connection, autocommit=False) as other:
            other.execute("INSERT INTO t VALUES (%s)", (number,))
            db.sql.execute("SELECT pg_logical_emit_message(false, 'flush', '', true)")
            db.after = created = db.head
            db.sql.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (db.names.slot,))
            other.commit()
        (row,) = events_of(db.drain(), db.table("t"))
        assert row["id"] == number
        at_creation.append(row["_commit_position"] == created)
    assert any(at_creation)


def slot_position(db: CapturedDatabase) -> str:
    row = db.sql.execute(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", (db.names.slot,)
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_an_idle_stream_yields_moves_on_and_stops_when_told(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)")
    db.declare("t")
    started, first = time.monotonic(), db.after
    through: list[int] = []
    with db.stream(stop=lambda: len(through) >= 6) as changes:
        for chunk in changes:
            assert chunk.batches == ()
            assert chunk.through is not None
            through.append(chunk.through)
            changes.acknowledge(chunk.through)
            db.sql.execute("INSERT INTO other VALUES (1)")
    assert time.monotonic() - started < 6
    assert through == sorted(through)
    assert through[-1] > first
    assert parse_lsn(slot_position(db)) == through[-1] + 1


def test_a_running_stream_hands_on_a_commit_without_waiting_for_more(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    seen: list[int] = []
    with db.stream(stop=lambda: len(seen) >= 3) as changes:
        for chunk in changes:
            seen += [row["id"] for row in events_of([chunk], db.table("t"))]
            if len(seen) < 3:
                db.sql.execute("INSERT INTO t VALUES (%s)", (len(seen),))
    assert seen == [0, 1, 2]


def test_what_was_not_acknowledged_is_kept_by_the_server(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1)")
    before = slot_position(db)
    assert told(db.drain(acknowledge=False), db.table("t"), "id") == [("I", 1)]
    assert slot_position(db) == before
    assert told(db.drain(), db.table("t"), "id") == [("I", 1)]
    assert parse_lsn(slot_position(db)) == db.after + 1


# --- refusals ----------------------------------------------------------------------------


def test_a_slot_in_use_is_refused_naming_its_reader_and_free_afterwards(any_db: CapturedDatabase) -> None:
    any_db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    any_db.declare("t")
    with any_db.stream(), pytest.raises(SlotBusy, match=r"PID \d+"), any_db.stream():
        pass
    with any_db.stream():
        pass


def test_a_missing_slot_is_lost(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    db.sql.execute("SELECT pg_drop_replication_slot(%s)", (db.names.slot,))
    with pytest.raises(SlotLost, match="does not exist"), db.stream():
        pass


def test_a_recreated_slot_is_lost(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1)")
    db.sql.execute("SELECT pg_drop_replication_slot(%s)", (db.names.slot,))
    db.sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (db.names.slot,))
    with pytest.raises(SlotLost, match="load every id range again"), db.stream():
        pass


def test_an_invalidated_slot_is_lost(private_postgres: PrivatePostgres) -> None:
    server = private_postgres(
        {"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    )
    with fresh_database(server) as database, captured(database) as db:
        db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
        db.declare("t")
        for number in range(4):
            db.sql.execute("INSERT INTO t VALUES (%s)", (number,))
            db.sql.execute("SELECT pg_switch_wal()")
        db.sql.execute("CHECKPOINT")
        with pytest.raises(SlotLost, match="is lost"), db.stream():
            pass


def test_an_interrupt_ends_an_idle_stream_and_frees_the_slot(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    interrupt = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    with db.stream() as changes:
        chunks = iter(changes)
        next(chunks)
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            list(chunks)
    with db.stream():
        pass


def test_a_server_that_ends_the_session_can_be_tried_again(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    terminate = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s"
    with db.stream() as changes:
        chunks = iter(changes)
        next(chunks)
        db.sql.execute(terminate, (db.names.slot,))
        with pytest.raises(SourceUnavailable):
            list(chunks)
    db.sql.execute("INSERT INTO t VALUES (1)")
    assert told(db.drain(), db.table("t"), "id") == [("I", 1)]


def test_a_table_that_left_its_publication_is_named(any_db: CapturedDatabase) -> None:
    any_db.sql.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE kept (id int PRIMARY KEY)")
    any_db.declare("t", "kept")
    publication = psycopg.sql.Identifier(any_db.names.publication)
    any_db.sql.execute(psycopg.sql.SQL("ALTER PUBLICATION {} DROP TABLE t").format(publication))
    with pytest.raises(SourceNotReady, match=r"do not publish public\.t, or"):
        any_db.drain()
    any_db.sql.execute(psycopg.sql.SQL("DROP PUBLICATION {}").format(publication))
    with pytest.raises(SourceNotReady, match=r"public\.kept"):
        any_db.drain()


def test_writers_in_parallel_are_captured_whole(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id serial PRIMARY KEY, writer int)")
    db.declare("t")

    def write(writer: int) -> None:
        with application(db.connection) as session:
            for _ in range(50):
                session.execute("INSERT INTO t (writer) SELECT %s FROM generate_series(1, 5)", (writer,))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in writers:
        thread.start()
    chunks = db.drain(chunk_bytes=4096)
    for thread in writers:
        thread.join()
    chunks += db.drain(chunk_bytes=4096)
    rows = events_of(chunks, db.table("t"))
    assert sorted(row["id"] for row in rows) == list(range(1, 1001))
    assert len({tuple(row[name] for name in POSITION) for row in rows}) == 1000


def test_a_table_declared_after_the_capture_began_ends_it_before_its_rows_are_passed_over(
    db: CapturedDatabase,
) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE late (id int PRIMARY KEY)")
    db.declare("t")
    earlier = dict(db.tables)
    db.declare("late")
    db.sql.execute("INSERT INTO late VALUES (1)")
    later, db.tables = db.tables, earlier
    with pytest.raises(SourceNotReady, match=r"late is published and this capture was not told of it"):
        db.drain()
    db.tables = later
    assert told(db.drain(), db.table("late"), "id") == [("I", 1)]
