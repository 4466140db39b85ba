"""What a load of a range would read is told before it, with the index that mends it: and it does."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId
from replication_assets.errors import SourceNotReady
from replication_assets.sources.postgres import PostgresSource

ON_18 = pytest.mark.parametrize("postgres_server", ["postgres_18"], indirect=True)
"""Where plans do not differ between versions."""

RANGE = IdRange("r000001", 1, 5_000, 5_100)
ROWS = 12_000


def plan_of(
    source: PostgresSource, name: str, column: str = "id", id_range: IdRange = RANGE, key: str = "id"
) -> RangePlan:
    table = TableId(source.name, "public", name)
    schema = source.reflect(table, key=[key], append_only=True)
    return source.range_plan(table, schema, column, id_range)


def fill(sql: psycopg.Connection[Any], *statements: str) -> None:
    for statement in statements:
        sql.execute(statement.encode())


EVENTS = (
    (
        "CREATE TABLE order_events (id bigint, stream uuid DEFAULT gen_random_uuid(), version int DEFAULT 1,"
        " kind varchar(40) DEFAULT 'made', secret text DEFAULT repeat('s', 200), other int DEFAULT 0)"
    ),
    f"INSERT INTO order_events (id) SELECT generate_series(1, {ROWS})",
)


def test_a_view_without_an_index_beneath_is_told_the_covering_one_and_it_serves(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(
        sql,
        *EVENTS,
        "CREATE VIEW migration AS SELECT id AS event_id, 'evt#' || version AS sk, kind FROM order_events"
        " WHERE other = 0",
    )
    plan = plan_of(source, "migration", "event_id", key="event_id")
    assert plan.scanned == ('"public"."order_events"',)
    assert plan.index == (
        'CREATE INDEX CONCURRENTLY ON "public"."order_events" ("id") INCLUDE ("version", "kind", "other")'
    )
    assert plan.told[0].startswith("Seq Scan on public.order_events, about ")
    fill(sql, plan.index, "VACUUM ANALYZE order_events")
    mended = plan_of(source, "migration", "event_id", key="event_id")
    assert (mended.scanned, mended.index, mended.reason) == ((), None, "")
    assert mended.told[0].startswith("Index Only Scan on public.order_events by order_events_id_")


@ON_18
def test_a_column_that_may_outgrow_an_index_is_not_included(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(sql, *EVENTS, "CREATE VIEW v AS SELECT id, secret FROM order_events")
    plan = plan_of(source, "v")
    assert plan.index == 'CREATE INDEX CONCURRENTLY ON "public"."order_events" ("id")'
    assert plan.reason == (
        '"secret" of "public"."order_events" may be longer than a row of an index: not included'
    )


@pytest.mark.parametrize(
    ("column", "low", "high", "statement"),
    [
        ("id bigint", 10, 20, '("id")'),
        ("id smallint", 10, 20, '("id")'),
        ("id oid", 10, 20, '(("id"::pg_catalog.int8))'),
        ("id numeric(20)", -10, 20, '("id")'),
        ("id text", "it's (1", "x", '(("id"::pg_catalog.text COLLATE "C"))'),
        ("id varchar(30)", "a", "x) >= 'y", '(("id"::pg_catalog.text COLLATE "C"))'),
        ("id uuid", "10000000-0000-0000-0000-000000000000", "10010000-0000-0000-0000-000000000000", '("id")'),
    ],
)
def test_every_kind_of_range_column_is_told_an_index_that_serves(
    source: PostgresSource, sql: psycopg.Connection[Any], column: str, low: Any, high: Any, statement: str
) -> None:
    value = "gen_random_uuid()" if "uuid" in column else "i"
    cast = column.split()[1]
    fill(
        sql,
        f"CREATE TABLE t ({column}, other int)",
        f"INSERT INTO t SELECT ({value})::{cast}, 1 FROM generate_series(1, {ROWS}) AS i",
        "CREATE VIEW v AS SELECT * FROM t",
        "ANALYZE t",
    )
    id_range = IdRange("r000001", 1, low, high)
    plan = plan_of(source, "t", id_range=id_range)
    assert plan.index == f'CREATE INDEX CONCURRENTLY ON "public"."t" {statement}'
    covering = plan_of(source, "v", id_range=id_range)
    assert covering.index is not None
    assert covering.index.startswith(plan.index[:-1])
    fill(sql, plan.index)
    assert plan_of(source, "t", id_range=id_range).scanned == ()
    assert plan_of(source, "v", id_range=id_range).scanned == ()


@ON_18
def test_an_open_range_and_the_first_one_are_seen_as_well(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(sql, *EVENTS)
    for id_range in (IdRange("r000000", 0, None, 100), IdRange("r000009", 9, 11_500, None)):
        plan = plan_of(source, "order_events", id_range=id_range)
        assert plan.index == 'CREATE INDEX CONCURRENTLY ON "public"."order_events" ("id")'
        assert plan.reason == ""


@ON_18
def test_small_tables_and_ranges_that_are_most_of_a_table_are_not_called_scanned(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(
        sql,
        "CREATE TABLE small (id int, note text)",
        "INSERT INTO small SELECT i FROM generate_series(1, 100) AS i",
        f"CREATE TABLE large AS SELECT i AS id, repeat('x', 99) AS n FROM generate_series(1, {ROWS}) AS i",
        "ALTER TABLE large ADD PRIMARY KEY (id)",
        "ANALYZE large",
    )
    assert plan_of(source, "small").scanned == ()
    most = plan_of(source, "large", id_range=IdRange("r000001", 1, 2, 11_500))
    assert (most.scanned, most.index) == ((), None)
    assert most.reason.startswith("an index serves the range")
    assert plan_of(source, "large").reason == ""


@ON_18
def test_a_partitioned_table_is_named_and_indexed_as_a_whole(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(
        sql,
        "CREATE TABLE t (id int, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-07-01') TO ('2027-01-01')",
        f"INSERT INTO t SELECT i, date '2026-01-01' + i % 365 FROM generate_series(1, {ROWS}) AS i",
    )
    plan = plan_of(source, "t")
    assert plan.scanned == ('"public"."t"',)
    assert plan.index == 'CREATE INDEX ON "public"."t" ("id")'
    fill(sql, plan.index)
    assert plan_of(source, "t").scanned == ()


@ON_18
def test_a_materialized_view_is_indexed_itself(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    fill(sql, *EVENTS, "CREATE MATERIALIZED VIEW m AS SELECT id, kind FROM order_events", "ANALYZE m")
    plan = plan_of(source, "m")
    assert plan.index == 'CREATE INDEX CONCURRENTLY ON "public"."m" ("id")'


def test_each_arm_of_a_union_is_told_its_index(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    fill(
        sql,
        *EVENTS,
        f"CREATE TABLE old_events AS SELECT i::bigint AS id, 1 AS n FROM generate_series(1, {ROWS}) AS i",
        "CREATE VIEW v AS SELECT id, version FROM order_events UNION ALL SELECT id, n FROM old_events",
    )
    plan = plan_of(source, "v")
    assert plan.index == (
        'CREATE INDEX CONCURRENTLY ON "public"."order_events" ("id") INCLUDE ("version"); '
        'CREATE INDEX CONCURRENTLY ON "public"."old_events" ("id") INCLUDE ("n")'
    )


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ("SELECT id % 100000 AS id, kind FROM order_events", "id is compared as an expression over"),
        ("SELECT id::text::bigint AS id FROM order_events", "id is compared as an expression over"),
        ("SELECT max(id) AS id, version FROM order_events GROUP BY version", "the view applies an aggregate"),
        ("SELECT row_number() OVER (ORDER BY kind) AS id FROM order_events", "applies a window function"),
        ("SELECT id FROM (SELECT * FROM order_events LIMIT 11000) AS t", "the view applies LIMIT"),
        (
            "SELECT coalesce(a.id, b.id) AS id FROM order_events a FULL JOIN order_events b USING (id)",
            "makes rows of",
        ),
    ],
)
def test_where_no_index_can_help_the_reason_is_told(
    source: PostgresSource, sql: psycopg.Connection[Any], view: str, reason: str
) -> None:
    fill(sql, *EVENTS, f"CREATE VIEW v AS {view}")
    plan = plan_of(source, "v")
    assert plan.scanned == ('"public"."order_events"',)
    assert plan.index is None
    assert reason in plan.reason


@ON_18
def test_a_joined_table_is_named_when_nothing_leads_to_its_rows(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(
        sql,
        *EVENTS,
        "CREATE INDEX ON order_events (id)",
        f"CREATE TABLE notes AS SELECT i AS number, 'n' AS note FROM generate_series(1, {ROWS}) AS i",
        "CREATE VIEW v AS SELECT e.id, n.note FROM order_events e JOIN notes n ON n.number = e.version",
        "ANALYZE",
    )
    plan = plan_of(source, "v")
    assert (plan.scanned, plan.index) == (('"public"."notes"',), None)
    assert "is joined whole to the rows of each range" in plan.reason
    fill(sql, "CREATE INDEX ON notes (number)", "ANALYZE")
    assert plan_of(source, "v").scanned == ()


@ON_18
def test_a_plan_tells_no_bound_and_no_constant_of_a_view(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(sql, *EVENTS, "CREATE VIEW v AS SELECT id FROM order_events WHERE kind = 'mystery'")
    assert "mystery" not in repr(plan_of(source, "v"))
    assert "5000" not in repr(plan_of(source, "v"))


def test_hostile_names_are_quoted_in_the_advice_and_the_advice_works(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(
        sql,
        'CREATE TABLE "T"" (x" ("I >= \'5000\'""" int, "other one" int)',
        f'INSERT INTO "T"" (x" SELECT i, i FROM generate_series(1, {ROWS}) AS i',
        'CREATE VIEW v AS SELECT "I >= \'5000\'""" AS id, "other one" AS n FROM "T"" (x"',
    )
    plan = plan_of(source, "v")
    assert plan.index is not None
    fill(sql, plan.index)
    assert plan_of(source, "v").scanned == ()


@ON_18
def test_a_foreign_table_says_where_its_rows_are_chosen(
    source: PostgresSource, sql: psycopg.Connection[Any], tmp_path: Any
) -> None:
    fill(
        sql,
        "CREATE EXTENSION IF NOT EXISTS file_fdw",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
        f"CREATE FOREIGN TABLE f (id int) SERVER files OPTIONS (filename '{tmp_path}/none.csv')",
    )
    plan = plan_of(source, "f")
    assert (plan.scanned, plan.index) == (('"public"."f"',), None)
    assert plan.reason.startswith("the bounds are not sent to the foreign server")


@ON_18
def test_a_column_that_cannot_cut_ranges_is_refused(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(sql, "CREATE TABLE t (id int, at timestamptz)")
    with pytest.raises(SourceNotReady, match="cannot cut id ranges"):
        plan_of(source, "t", "at")


@ON_18
def test_an_index_that_another_column_leads_does_not_count(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    fill(sql, *EVENTS, "CREATE INDEX ON order_events (stream, id)", "ANALYZE order_events")
    plan = plan_of(source, "order_events")
    assert plan.index == 'CREATE INDEX CONCURRENTLY ON "public"."order_events" ("id")'
