"""Schema and partition changes: told at the first row after them, with the right call for a reload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.schema import Column, TableSchema
from replication_assets.ports import ChangeChunk
from replication_assets.sources.postgres import stream
from replication_assets.sources.postgres.connection import connect
from replication_assets.sources.postgres.reflection import find_relation
from replication_assets.sources.postgres.schema_watch import compare, partition_changes
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.sources.postgres.captured_database import (
    CapturedDatabase,
    captured,
    events_of,
    told,
)


@pytest.fixture
def db(database: FreshDatabase) -> Iterator[CapturedDatabase]:
    with captured(database) as capture:
        yield capture


@pytest.fixture
def any_db(any_postgres_database: FreshDatabase) -> Iterator[CapturedDatabase]:
    """On PostgreSQL 15 and 18."""
    with captured(any_postgres_database) as capture:
        yield capture


def changes_in(chunks: Sequence[ChangeChunk]) -> list[SchemaChanged]:
    return [change for chunk in chunks for _, _, change in chunk.schema_changes]


# --- the comparison ----------------------------------------------------------------------


def column(name: str, ordinal: int | None, source_type: str = "text", arrow: Any = None) -> Column:
    return Column(name, source_type, arrow or pa.string(), True, ordinal)


ID, A, B = column("id", 1), column("a", 2), column("b", 3)
KNOWN = TableSchema((ID, A, B), ("id",), not_replicated=("twice",))


@pytest.mark.parametrize(
    ("now", "filled", "reload", "reason", "added", "dropped"),
    [
        ((ID, A), (), False, "column b was dropped", (), ("b",)),
        ((ID, A, B, column("c", 4)), (), False, "c was added, null", ("c",), ()),
        ((ID, A, B, column("c", 4)), ("c",), True, "c was added with a default", ("c",), ()),
        ((ID, A, B, column("c", None)), (), True, "c was added, and changed", ("c",), ()),
        ((ID, A, column("c", 3)), (), True, "b was renamed to c", ("c",), ("b",)),
        ((ID, A, column("b", 4)), (), True, "b was dropped and added again", (), ()),
        ((ID, A, column("b", 3, "varchar(3)")), (), True, "b changed from text to varchar", (), ()),
        ((ID, A, column("b", 3, "int4", pa.int32())), (), True, "stored as int32 instead of string", (), ()),
        ((A, B), (), True, "key column id was dropped", (), ("id",)),
        ((ID, A, B, column("twice", 4)), (), True, "twice existed before", ("twice",), ()),
        ((ID, A, B, column("c", 2)), (), True, "c existed before", ("c",), ()),
    ],
)
def test_each_change_is_named_and_judged(
    now: tuple[Column, ...],
    filled: tuple[str, ...],
    reload: bool,
    reason: str,
    added: tuple[str, ...],
    dropped: tuple[str, ...],
) -> None:
    found = compare(KNOWN, now, set(filled))
    assert found is not None
    assert (found.reload, found.added, found.dropped) == (reload, added, dropped)
    assert reason in found.reason
    assert found.schema.columns == now


def test_order_nullability_and_unknown_ordinals_are_no_difference() -> None:
    now = (Column("b", "text", pa.string(), False, None), column("id", None), A)
    assert compare(KNOWN, now, {"a"}) is None


# --- DDL in the stream -------------------------------------------------------------------


def test_a_schema_as_declared_makes_no_event(any_db: CapturedDatabase) -> None:
    any_db.sql.execute(
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('ok');"
        " CREATE TABLE t (gone int, id positive PRIMARY KEY, v varchar(5), n numeric(9, 2)[], m mood,"
        " twice int GENERATED ALWAYS AS (1) STORED); ALTER TABLE t DROP gone"
    )
    any_db.declare("t")
    any_db.sql.execute("INSERT INTO t VALUES (1, 'a', '{1.5}', 'ok'); ANALYZE t")
    any_db.sql.execute("INSERT INTO t VALUES (2, 'a', '{1.5}', 'ok')")
    chunks = any_db.drain()
    assert changes_in(chunks) == []
    assert told(chunks, any_db.table("t"), "id", "v", "n", "m") == [
        ("I", 1, "a", "{1.50}", "ok"),
        ("I", 2, "a", "{1.50}", "ok"),
    ]


@pytest.mark.parametrize(
    ("ddl", "reload", "reason"),
    [
        ("ADD c int", False, "c was added, null"),
        ("DROP v", False, "v was dropped"),
        ("ADD c int DEFAULT 5", True, "c was added with a default"),
        ("ADD c int DEFAULT 5, ALTER c DROP DEFAULT", True, "c was added with a default"),
        ("ADD c float DEFAULT random()", True, "c was added with a default"),
        ("ADD c int GENERATED ALWAYS AS IDENTITY", True, "c was added with a default"),
        ("ADD c filled", True, "c was added with a default"),
        ("RENAME v TO w", True, "v was renamed to w"),
        ("ALTER v TYPE varchar(9)", True, "v changed from text to character varying(9)"),
        ("ALTER v TYPE int USING 1", True, "stored as int32 instead of string"),
        ("DROP v, ADD v text", True, "v was dropped and added again"),
        ("ALTER g DROP EXPRESSION", True, "g existed before"),
    ],
)
def test_a_change_of_columns_is_told_at_the_first_row_after_it(
    db: CapturedDatabase, ddl: str, reload: bool, reason: str
) -> None:
    db.sql.execute(
        "CREATE DOMAIN filled AS int DEFAULT 3;"
        " CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id + 1) STORED, v text)"
    )
    db.declare("t")
    with db.sql.transaction():
        db.sql.execute("INSERT INTO t (id) VALUES (1)")
        for step in ddl.split(", "):
            db.sql.execute(f"ALTER TABLE t {step}")
        db.sql.execute("INSERT INTO t (id) VALUES (2)")
        db.sql.execute("INSERT INTO t (id) VALUES (3)")
    chunks = db.drain()
    (change,) = changes_in(chunks)
    rows = events_of(chunks, db.table("t"))
    assert [row["id"] for row in rows] == [1, 2, 3]
    # The catalog, not the stream, tells of a column that was dropped and added again: there
    # the transaction is known, the row is not.
    sequence = 1 if "again" in reason else 2
    assert (change.position.commit, change.position.sequence) == (rows[1]["_commit_position"], sequence)
    assert change.reload is reload
    assert reason in change.reason
    *first, rest = (batch.schema for chunk in chunks for batch in chunk.batches)
    assert [schema.names for schema in first] == [("id", "v")]
    assert rest.names == db.tables[db.table("t")].names
    db.sql.execute("INSERT INTO t (id) VALUES (4)")
    assert changes_in(db.drain()) == []


def test_a_column_added_again_is_not_told_before_it_happened(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1, 'a')")
    db.sql.execute("INSERT INTO t VALUES (2, 'b')")
    db.sql.execute("ALTER TABLE t DROP v; ALTER TABLE t ADD v text")
    db.sql.execute("INSERT INTO t VALUES (3, 'c')")
    chunks = db.drain()
    (change,) = changes_in(chunks)
    assert change.reload
    assert change.position.commit == events_of(chunks, db.table("t"))[2]["_commit_position"]


def test_rows_between_changes_of_one_transaction_have_the_columns_of_their_time(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    db.declare("t")
    db.sql.execute(
        "BEGIN; INSERT INTO t VALUES (1, 10); ALTER TABLE t ADD w text; INSERT INTO t VALUES (2, 20, 'x');"
        " ALTER TABLE t DROP v; INSERT INTO t VALUES (3, 'y'); COMMIT"
    )
    chunks = db.drain()
    shapes = [batch.schema.names for chunk in chunks for batch in chunk.batches]
    assert shapes == [("id", "v"), ("id", "v", "w"), ("id", "w")]
    rows = events_of(chunks, db.table("t"))
    assert [(row["id"], row.get("v"), row.get("w")) for row in rows] == [
        (1, 10, None),
        (2, 20, "x"),
        (3, None, "y"),
    ]
    assert [change.position.sequence for change in changes_in(chunks)] == [2, 3]


def test_a_change_is_told_after_a_restart_if_its_rows_were_not_stored(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    known = db.tables[db.table("t")]
    db.sql.execute("INSERT INTO t VALUES (1)")
    (stored,) = events_of(db.drain(acknowledge=False), db.table("t"))
    db.sql.execute("ALTER TABLE t ADD c int; INSERT INTO t VALUES (2)")
    for _ in range(2):
        db.tables[db.table("t")] = known
        db.after = stored["_commit_position"]
        chunks = db.drain(acknowledge=False)
        assert [change.added for change in changes_in(chunks)] == [("c",)]
        assert told(chunks, db.table("t"), "id") == [("I", 2)]


def test_a_dropped_type_turns_to_text_and_asks_for_a_reload(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int PRIMARY KEY, m mood)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1, 'ok')")
    db.sql.execute("ALTER TABLE t DROP m; DROP TYPE mood")
    chunks = db.drain()
    assert told(chunks, db.table("t"), "m") == [("I", "ok")]
    assert [change.reload for change in changes_in(chunks)] == [True]


def test_another_primary_key_asks_for_a_reload(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY, region int NOT NULL DEFAULT 0)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1)")
    db.sql.execute("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, region)")
    db.sql.execute("INSERT INTO t VALUES (1, 1)")
    (change,) = changes_in(db.drain())
    assert change.reload
    assert change.reason == "the key changed to id, region"


def test_a_table_replaced_under_its_name_asks_for_a_reload(db: CapturedDatabase) -> None:
    db.sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (1)")
    db.sql.execute("ALTER TABLE t RENAME TO old; CREATE TABLE t (id int PRIMARY KEY)")
    db.sql.execute("INSERT INTO old VALUES (2)")
    db.declare("t")
    db.sql.execute("INSERT INTO t VALUES (3)")
    chunks = db.drain()
    assert told(chunks, db.table("t"), "id") == [("I", 1), ("I", 3)]
    assert {change.reload for change in changes_in(chunks)} == {True}
    assert [change.reason for change in changes_in(chunks)] == [
        "the table was replaced by another of the same name",
        "the table was renamed to public.old; its changes are not captured",
        "the table was replaced by another of the same name",
    ]


# --- partitions --------------------------------------------------------------------------

PARTITIONED = (
    "CREATE TABLE t (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
    " CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100);"
    " CREATE TABLE high (v text, id int NOT NULL PRIMARY KEY);"
    " ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (100) TO (200)"
)


def test_rows_of_partitions_are_rows_of_their_table(any_db: CapturedDatabase) -> None:
    any_db.sql.execute(PARTITIONED)
    any_db.declare("t")
    any_db.sql.execute("INSERT INTO t VALUES (1, 'a'), (101, 'b')")
    any_db.sql.execute("UPDATE t SET id = 102 WHERE id = 1")
    any_db.sql.execute("CREATE TABLE more PARTITION OF t FOR VALUES FROM (200) TO (300)")
    any_db.sql.execute("INSERT INTO t VALUES (201, 'c')")
    any_db.sql.execute("TRUNCATE t")
    chunks = any_db.drain()
    assert told(chunks, any_db.table("t"), "id", "v") == [
        ("I", 1, "a"),
        ("I", 101, "b"),
        ("D", 1, None),
        ("I", 102, "a"),
        ("I", 201, "c"),
    ]
    assert changes_in(chunks) == []
    assert len([entry for chunk in chunks for entry in chunk.truncated]) == 1


def test_a_column_added_to_a_partitioned_table_is_told_once(any_db: CapturedDatabase) -> None:
    any_db.sql.execute(PARTITIONED)
    any_db.declare("t")
    any_db.sql.execute("INSERT INTO t VALUES (1, 'a'), (101, 'b')")
    any_db.sql.execute("ALTER TABLE t ADD w int DEFAULT 7; ALTER TABLE ONLY t ALTER w DROP DEFAULT")
    any_db.sql.execute("INSERT INTO t VALUES (2, 'a', 1), (102, 'b', 2)")
    chunks = any_db.drain()
    assert [(change.reload, change.added) for change in changes_in(chunks)] == [(True, ("w",))]
    rows = events_of(chunks, any_db.table("t"))
    assert [(row["id"], row["v"], row.get("w")) for row in rows] == [
        (1, "a", None),
        (101, "b", None),
        (2, "a", 1),
        (102, "b", 2),
    ]


def test_truncating_one_partition_asks_for_a_reload(any_db: CapturedDatabase) -> None:
    any_db.sql.execute(PARTITIONED)
    any_db.declare("t")
    any_db.sql.execute("INSERT INTO t VALUES (1)")
    any_db.sql.execute("TRUNCATE low")
    chunks = any_db.drain()
    (change,) = changes_in(chunks)
    assert change.reload
    assert "public.low was truncated" in change.reason
    assert [entry for chunk in chunks for entry in chunk.truncated] == []


def test_a_partition_that_came_and_went_unseen_asks_for_a_reload(db: CapturedDatabase) -> None:
    db.sql.execute(PARTITIONED)
    db.declare("t")
    db.sql.execute("CREATE TABLE brief PARTITION OF t FOR VALUES FROM (300) TO (400)")
    db.sql.execute("INSERT INTO t VALUES (301)")
    db.sql.execute("DROP TABLE brief")
    (change,) = changes_in(db.drain())
    assert change.reload
    assert "public.brief" in change.reason


def test_partitions_that_come_and_go_are_told_while_the_stream_runs(
    db: CapturedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CATALOG_SECONDS", 0.0)
    db.sql.execute(PARTITIONED)
    db.declare("t")
    found: list[tuple[SchemaChanged, int | None]] = []
    with db.stream(stop=lambda: len(found) > 0) as changes:
        for number, chunk in enumerate(changes):
            found += [(change, chunk.through) for change in changes_in([chunk])]
            if number == 0:
                db.sql.execute("ALTER TABLE t DETACH PARTITION low")
                detached = db.head
            db.sql.execute("SELECT pg_logical_emit_message(true, 'wal', '')")
    ((change, through),) = found
    assert change.reload
    assert "public.low was detached" in change.reason
    assert through is not None
    assert detached <= change.position.commit <= through


@pytest.mark.parametrize(
    ("ddl", "attached", "detached"),
    [
        ("CREATE TABLE n PARTITION OF t FOR VALUES FROM (200) TO (300)", (), ()),
        ("CREATE TABLE n PARTITION OF t (v DEFAULT 'x') FOR VALUES FROM (200) TO (300)", (), ()),
        (
            (
                "CREATE TABLE n PARTITION OF t FOR VALUES FROM (200) TO (300) PARTITION BY RANGE (id);"
                " CREATE TABLE nn PARTITION OF n FOR VALUES FROM (200) TO (210)"
            ),
            (),
            (),
        ),
        (
            (
                "CREATE TABLE n (LIKE t); INSERT INTO n VALUES (200);"
                " ALTER TABLE t ATTACH PARTITION n FOR VALUES FROM (200) TO (300)"
            ),
            ("public.n",),
            (),
        ),
        (
            (
                "BEGIN; CREATE TABLE n (id int NOT NULL, v text); INSERT INTO n VALUES (200);"
                " ALTER TABLE t ATTACH PARTITION n FOR VALUES FROM (200) TO (300); COMMIT"
            ),
            ("public.n",),
            (),
        ),
        (
            (
                "CREATE TABLE n (LIKE t) PARTITION BY RANGE (id);"
                " CREATE TABLE nn PARTITION OF n FOR VALUES FROM (200) TO (210);"
                " ALTER TABLE t ATTACH PARTITION n FOR VALUES FROM (200) TO (300)"
            ),
            ("public.nn",),
            (),
        ),
        ("DROP TABLE low", (), ("public.low",)),
        ("ALTER TABLE t DETACH PARTITION high", (), ("public.high",)),
    ],
)
def test_partitions_that_may_have_brought_or_taken_rows_are_named(
    any_db: CapturedDatabase, ddl: str, attached: tuple[str, ...], detached: tuple[str, ...]
) -> None:
    any_db.sql.execute(PARTITIONED)
    with connect(any_db.connection) as session:
        relation = find_relation(session, any_db.table("t"))
        assert relation is not None
        known = partition_changes(session, relation.oid, {})
        assert set(known.leaves.values()) == {"public.low", "public.high"}
        any_db.sql.execute(ddl)
        found = partition_changes(session, relation.oid, known.leaves)
    assert (found.attached, found.detached) == (attached, detached)
    assert bool(found.reason) == bool(attached or detached)
