"""A load is exact, whole, bounded, and leaves nothing behind."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRange, IdRanges, Kind
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.sources.postgres import PostgresSource
from replication_assets_tests.postgres_servers import OLDEST_IN_FULL
from replication_assets_tests.sources.postgres.conftest import application

BY_COMMIT = EventDates(None, "day", dt.date(2024, 1, 1))
WHOLE = IdRanges.whole().at(0)


def table_id(source: PostgresSource, name: str = "t") -> TableId:
    return TableId(source.name, "public", name)


def whole(source: PostgresSource, name: str = "t", **reflect: Any) -> LoadSlice:
    table = table_id(source, name)
    return LoadSlice(table, source.reflect(table, **reflect), None, WHOLE, BY_COMMIT)


def rows_of(source: PostgresSource, load_slice: LoadSlice) -> pa.Table:
    with source.load(load_slice) as stream:
        schema = pa.schema([*load_slice.schema.arrow_schema(), pa.field("_overflow", pa.string())])
        return pa.Table.from_batches(list(stream), schema=schema)


def left_behind(sql: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Our slots and sessions, once the server has noticed that their clients went."""
    for _ in range(100):
        found = sql.execute(
            "SELECT 'slot', slot_name FROM pg_replication_slots WHERE slot_name LIKE 'ra\\_load%'"
            " AND database = current_database() UNION ALL"
            " SELECT 'session', application_name || ' ' || state FROM pg_stat_activity"
            " WHERE application_name = 'replication_assets' AND datname = current_database()"
        ).fetchall()
        if not found:
            break
        time.sleep(0.05)
    return found


def test_a_load_yields_the_stored_columns_and_overflow(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, twice int GENERATED ALWAYS AS (id*2) STORED)"
    )
    sql.execute("INSERT INTO t VALUES (1, '2024-01-01 00:00+00'), (2, 'infinity')")
    request = whole(source)
    before = dt.datetime.now(dt.UTC)
    with source.load(request) as stream:
        (batch,) = stream
        assert abs(stream.taken_at - before) < dt.timedelta(minutes=1)
        assert stream.taken_at.utcoffset() == dt.timedelta(0)
        assert 0 < stream.commit <= source.status().head
    assert request.schema.not_replicated == ("twice",)
    assert batch.schema.field("at").metadata == {
        b"source_type": b"timestamp with time zone",
        b"ordinal": b"2",
    }
    assert batch.to_pylist() == [
        {"id": 1, "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "_overflow": None},
        {"id": 2, "at": None, "_overflow": '{"at":"infinity"}'},
    ]
    assert left_behind(sql) == []


def test_an_empty_table_yields_no_batch(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with source.load(whole(source)) as stream:
        assert list(stream) == []


def test_batches_are_bounded_in_bytes(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, body text)")
    sql.execute("INSERT INTO t SELECT n, repeat('x', 1000000) FROM generate_series(1, 40) n")
    with source.load(whole(source)) as stream:
        sizes = [batch.nbytes for batch in stream]
    assert len(sizes) > 2
    assert max(sizes) < 20_000_000


def test_a_row_far_larger_than_a_batch_arrives_whole(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, a text, b bytea)")
    sql.execute("INSERT INTO t SELECT 1, repeat('é', 16000000), decode(repeat('ff', 16000000), 'hex')")
    (row,) = rows_of(source, whole(source)).to_pylist()
    assert row["a"] == "é" * 16_000_000
    assert row["b"] == b"\xff" * 16_000_000


KEYS: list[tuple[str, Kind, list[Any], list[str]]] = [
    (
        "bigint",
        "integer",
        [-5, 0, 100],
        ["-10", "-5", "-1", "0", "99", "100", "101", "9223372036854775807"],
    ),
    ("smallint", "integer", [-5, 0, 100000], ["-10", "-5", "0", "32767"]),
    ("numeric(20,0)", "integer", [-5, 10], ["-10", "-5", "10", "99999999999999999999", "NaN"]),
    ("oid", "integer", [-5, 10], ["0", "10", "4294967295"]),
    ("text", "text", ["B", "a", "é"], ["", "A", "B", "Z", "a", "b", "z", "é", "ê", "\U0001f600", "a b"]),
    ("varchar(9)", "text", ["B", "a"], ["A", "b", "B", "a", "é"]),
    ("character(4)", "text", ["a", "a!"], ["a", "a!", "b", ""]),
    (
        "uuid",
        "uuid",
        ["80000000-0000-0000-0000-000000000000"],
        [
            "7fffffff-ffff-ffff-ffff-ffffffffffff",
            "80000000-0000-0000-0000-000000000000",
            "FFFFFFFF-0000-0000-0000-000000000000",
        ],
    ),
    ("pair", "text", ["(", "(a"], ["(,)", "(a,b)", "(Z,)"]),
    ("inet", "text", ["10.0.0.1", "9"], ["10.0.0.1", "10.0.0.1/8", "9.0.0.1", "::1"]),
]


@OLDEST_IN_FULL
@pytest.mark.parametrize(("kind", "order", "bounds", "keys"), KEYS, ids=[k[0] for k in KEYS])
def test_ranges_tile_the_table(
    source: PostgresSource,
    sql: psycopg.Connection[Any],
    kind: str,
    order: Kind,
    bounds: list[Any],
    keys: list[str],
) -> None:
    sql.execute("CREATE TYPE pair AS (a text, b text)")
    sql.execute(f"CREATE TABLE t (n serial PRIMARY KEY, k {kind})")
    sql.execute(f"INSERT INTO t (k) SELECT v::{kind} FROM unnest(%s::text[]) v", ([*keys, None],))
    request = whole(source)
    ranges = IdRanges(order, "k", tuple(bounds), None, len(bounds) + 1)
    seen: list[int] = []
    for id_range in ranges.known(None):
        rows = rows_of(source, LoadSlice(request.table, request.schema, "k", id_range, BY_COMMIT))
        assert set(ranges.assign(rows["k"]).to_pylist()) <= {id_range.key}
        seen += rows["n"].to_pylist()
    assert sorted(seen) == list(range(1, len(keys) + 2))


def test_the_last_known_range_loads_everything_above(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    sql.execute("INSERT INTO t SELECT generate_series(1, 50)")
    request = whole(source)
    last = IdRange("r000001", 1, 10, 20).open_above()
    rows = rows_of(source, LoadSlice(request.table, request.schema, "id", last, BY_COMMIT))
    assert sorted(rows["id"].to_pylist()) == list(range(10, 51))


@OLDEST_IN_FULL
@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_dates_tile_the_table(source: PostgresSource, sql: psycopg.Connection[Any], kind: str) -> None:
    moments = [
        "2024-01-31", "2024-02-01", "2024-02-29 23:59:59.999999+00", "2024-03-01", "2024-12-31", "2025-01-01",
        "0001-01-01", "0001-12-31 BC", "9998-12-31", "9999-01-01", "9999-12-31", "10000-01-01", "infinity",
        "-infinity", None,
    ]  # fmt: skip
    sql.execute(f"CREATE TABLE t (n serial PRIMARY KEY, day {kind})")
    sql.execute("SET TimeZone = 'UTC'")
    sql.execute(f"INSERT INTO t (day) SELECT v::{kind} FROM unnest(%s::text[]) v", (moments,))
    request = whole(source)
    dates = EventDates("day", "month", dt.date(2024, 1, 1))
    groups: list[tuple[dt.date | None, ...]] = [
        (None,),
        (dt.date(2024, 1, 1), dt.date(2024, 2, 1)),
        (dt.date(2024, 3, 1), dt.date(2025, 1, 1)),
        (dt.date(2024, 12, 1),),
        (dt.date(1, 1, 1), dt.date(9998, 12, 1)),
    ]
    seen: list[int] = []
    for buckets in groups:
        rows = rows_of(source, LoadSlice(request.table, request.schema, None, WHOLE, dates, buckets))
        assert set(dates.bucket(rows["day"]).to_pylist()) <= set(buckets)
        seen += rows["n"].to_pylist()
    assert sorted(seen) == list(range(1, len(moments) + 1))


def test_a_range_is_read_through_the_index(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    from replication_assets.sources.postgres.predicates import row_conditions

    sql.execute("CREATE TABLE t (id bigint PRIMARY KEY, body text)")
    sql.execute("INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")
    sql.execute("ANALYZE t")
    request = whole(source)
    for id_range in (IdRange("r000000", 0, None, 50), IdRange("r000001", 1, 50, 99)):
        condition = row_conditions(LoadSlice(request.table, request.schema, "id", id_range, BY_COMMIT))
        plan = sql.execute(f"EXPLAIN SELECT * FROM t WHERE {condition}").fetchall()
        assert "Seq Scan" not in str(plan)


def test_names_that_need_quotes_are_loaded(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute(
        """CREATE SCHEMA "s ""'.x"; CREATE TABLE "s ""'.x"."T \\%s" ("a'""b" int PRIMARY KEY, "Ä" date)"""
    )
    sql.execute("""INSERT INTO "s ""'.x"."T \\%%s" VALUES (1, 'infinity'), (7, NULL)""", ())
    table = TableId(source.name, "s \"'.x", "T \\%s")
    schema = source.reflect(table)
    id_range = IdRange("r000001", 1, 5, 9)
    dates = EventDates("Ä", "day", dt.date(2024, 1, 1))
    request = LoadSlice(table, schema, "a'\"b", id_range, dates, (None,))
    assert rows_of(source, request).to_pylist() == [{"a'\"b": 7, "Ä": None, "_overflow": None}]


def test_views_partitions_and_heirs_are_loaded_by_what_is_theirs(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)"
    )
    sql.execute("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)")
    sql.execute("CREATE VIEW both_of_them AS SELECT * FROM parent")
    sql.execute("CREATE MATERIALIZED VIEW frozen AS SELECT * FROM parent")
    sql.execute("CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    sql.execute("CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10)")
    sql.execute("CREATE TABLE high PARTITION OF root FOR VALUES FROM (10) TO (20)")
    sql.execute("INSERT INTO root VALUES (5), (15)")
    expected = {"parent": [1], "child": [2], "both_of_them": [1, 2], "frozen": [1, 2], "root": [5, 15]}
    for name, ids in expected.items():
        assert sorted(rows_of(source, whole(source, name))["id"].to_pylist()) == ids


def test_a_change_after_the_snapshot_is_not_in_the_rows(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    sql.execute("INSERT INTO t VALUES (1)")
    with source.load(whole(source)) as stream:
        sql.execute("INSERT INTO t VALUES (2)")
        assert [row["id"] for batch in stream for row in batch.to_pylist()] == [1]


def test_an_abandoned_load_leaves_nothing_behind(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, body text)")
    sql.execute("INSERT INTO t SELECT n, repeat('x', 10000) FROM generate_series(1, 5000) n")
    request = whole(source)

    def half() -> None:
        with source.load(request) as stream:
            next(iter(stream))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert left_behind(sql) == []


def test_a_connection_lost_half_way_is_an_error_not_an_end(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, body text)")
    sql.execute("INSERT INTO t SELECT n, repeat('x', 100000) FROM generate_series(1, 1000) n")

    def read() -> None:
        with source.load(whole(source)) as stream:
            for _ in stream:
                sql.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'replication_assets'"
                )

    with pytest.raises(SourceUnavailable):
        read()
    assert left_behind(sql) == []


def test_a_value_that_fails_half_way_is_not_quoted(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    sql.execute(
        "INSERT INTO t SELECT n, CASE n WHEN 99000 THEN 'topsecret' ELSE '1' END"
        " FROM generate_series(1, 99000) n"
    )
    sql.execute("CREATE VIEW v AS SELECT id, s::int AS s FROM t")
    with pytest.raises(SourceError) as raised:
        rows_of(source, whole(source, "v"))
    assert not raised.value.retryable
    assert "topsecret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_table_that_changed_since_it_was_reflected_is_refused(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
    sql.execute("INSERT INTO t VALUES (1, 2)")
    request = whole(source)
    sql.execute("ALTER TABLE t ALTER a TYPE bigint")
    with pytest.raises(DecodeError, match="'a'"):
        rows_of(source, request)
    sql.execute("ALTER TABLE t DROP a")
    with pytest.raises(SourceNotReady, match='"a" does not exist'):
        rows_of(source, request)
    sql.execute("DROP TABLE t")
    with pytest.raises(SourceNotReady, match="no table or view"):
        rows_of(source, request)
    assert left_behind(sql) == []


def test_rows_hidden_by_a_policy_fail_the_load(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    from dataclasses import replace

    role = f"limited_{source.name}"
    sql.execute(f"CREATE ROLE {role} LOGIN REPLICATION")
    try:
        sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
        sql.execute(f"GRANT SELECT ON t TO {role}")
        limited = replace(source, connection=replace(source.connection, user=role))
        request = whole(limited)
        sql.execute("INSERT INTO t VALUES (1), (2)")
        sql.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1)")
        with pytest.raises(SourceNotReady, match="row-level security"):
            rows_of(limited, request)
        with pytest.raises(SourceNotReady, match="BYPASSRLS"):
            limited.reflect(request.table)
    finally:
        sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_slice_by_commit_date_has_no_meaning() -> None:
    from replication_assets.sources.postgres.predicates import row_conditions

    schema = TableSchema(())
    request = LoadSlice(TableId("s", "p", "t"), schema, None, WHOLE, BY_COMMIT, (None,))
    with pytest.raises(ValueError, match="commit date"):
        row_conditions(request)


def test_an_application_sees_no_lock_of_ours(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    sql.execute("INSERT INTO t VALUES (1)")
    with source.load(whole(source)), application(source.connection) as writer:
        writer.execute("SET lock_timeout = '5s'")
        writer.execute("UPDATE t SET id = 2")
        writer.execute("INSERT INTO t VALUES (3)")
