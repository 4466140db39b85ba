"""What a table is, or everything that keeps it from being replicated, with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from replication_assets.core.schema import Column, TableId
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import SourceNotReady
from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets_tests.postgres_servers import fresh_database
from replication_assets_tests.sources.postgres.conftest import application


def t(source: PostgresSource, name: str = "t") -> TableId:
    return TableId(source.name, "public", name)


@pytest.fixture
def role(source: PostgresSource, sql: psycopg.Connection[Any]) -> Iterator[str]:
    name = f"reader_{source.name}"
    sql.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    sql.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_columns_come_in_order_with_their_numbers(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (gone int, b numeric(5,2) NOT NULL, a text, PRIMARY KEY (a, b))")
    sql.execute("ALTER TABLE t DROP gone, ADD c int, ADD g int GENERATED ALWAYS AS (1) STORED")
    schema = source.reflect(t(source))
    assert schema.columns == (
        Column("b", "numeric(5,2)", pa.decimal128(5, 2), False, 2),
        Column("a", "text", pa.string(), False, 3),
        Column("c", "integer", pa.int32(), True, 4),
    )
    assert schema.key == ("a", "b")
    assert schema.not_replicated == ("g",)


def test_virtual_columns_are_not_replicated(postgres_18: PostgresServer) -> None:
    with fresh_database(postgres_18) as fresh:
        source = PostgresSource("s", PostgresConnection.parse(fresh.dsn))
        with application(source.connection) as sql:
            sql.execute("CREATE TABLE t (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id + 1) VIRTUAL)")
        assert source.reflect(t(source)).not_replicated == ("v",)


@pytest.mark.parametrize(
    ("identity", "key", "expected"),
    [
        ("DEFAULT", (), ("id",)),
        ("FULL", (), ("id",)),
        ("FULL", ("code",), ("code",)),
        ("USING INDEX t_code", (), ("code",)),
        ("DEFAULT", ("id",), ("id",)),
    ],
)
def test_the_key_is_what_the_replica_identity_carries(
    source: PostgresSource,
    sql: psycopg.Connection[Any],
    identity: str,
    key: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL)")
    sql.execute("CREATE UNIQUE INDEX t_code ON t (code) INCLUDE (id)" if "INDEX" not in identity
                else "CREATE UNIQUE INDEX t_code ON t (code)")  # fmt: skip
    sql.execute(f"ALTER TABLE t REPLICA IDENTITY {identity}")
    assert source.reflect(t(source), key=key).key == expected


@pytest.mark.parametrize(
    ("identity", "key", "remedies"),
    [
        ("DEFAULT", ("code",), ["['code'] of the declared key", "REPLICA IDENTITY FULL", "append_only"]),
        ("NOTHING", (), ['ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT', "UPDATE and DELETE"]),
        ("USING INDEX t_code", ("id",), ["carry ['code'] but not ['id']"]),
    ],
)
def test_a_key_that_deletes_do_not_carry_is_refused(
    source: PostgresSource,
    sql: psycopg.Connection[Any],
    identity: str,
    key: tuple[str, ...],
    remedies: list[str],
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL)")
    sql.execute("CREATE UNIQUE INDEX t_code ON t (code)")
    sql.execute(f"ALTER TABLE t REPLICA IDENTITY {identity}")
    with pytest.raises(SourceNotReady) as raised:
        source.reflect(t(source), key=key)
    for remedy in remedies:
        assert remedy in str(raised.value)
    assert source.reflect(t(source), key=key, append_only=True).append_only


def test_a_table_without_key_needs_full_images_or_a_promise(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (line text)")
    with pytest.raises(SourceNotReady) as raised:
        source.reflect(t(source))
    message = str(raised.value)
    assert 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL' in message
    assert "append_only" in message
    assert "application's own UPDATE and DELETE statements would fail" in message
    assert source.reflect(t(source), append_only=True).key == ()
    sql.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    assert source.reflect(t(source)).key == ()


def test_each_partition_must_carry_the_key(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    sql.execute("CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10)")
    assert source.reflect(t(source)).key == ("id",)
    sql.execute("ALTER TABLE low REPLICA IDENTITY NOTHING")
    with pytest.raises(SourceNotReady, match=r'"public"\."low" REPLICA IDENTITY DEFAULT'):
        source.reflect(t(source))


def test_all_problems_are_told_at_once(
    source: PostgresSource, sql: psycopg.Connection[Any], role: str
) -> None:
    sql.execute(
        'CREATE SCHEMA s; CREATE TABLE s.t ("A" int, a int, _op text, g int GENERATED ALWAYS AS (1) STORED)'
    )
    limited = replace(source, connection=replace(source.connection, user=role))
    with pytest.raises(SourceNotReady) as raised:
        limited.reflect(TableId(source.name, "s", "t"), key=("g", "zip", "zip"))
    message = str(raised.value)
    for expected in (
        f'GRANT USAGE ON SCHEMA "s" TO "{role}"',
        f'GRANT SELECT ON "s"."t" TO "{role}"',
        "['A', 'a'] differ in upper and lower case only",
        "['_op'] have names that the event store uses",
        "names a column twice",
        "key column 'g' is generated",
        "key column 'zip' does not exist; the table has A, a, _op",
        "REPLICA IDENTITY FULL",
    ):
        assert expected in message


def test_a_missing_table_is_told_by_its_quoted_name(source: PostgresSource) -> None:
    with pytest.raises(SourceNotReady, match=r'"public"\."T"'):
        source.reflect(t(source, "T"))


@pytest.mark.parametrize(
    ("create", "kind"),
    [
        ("CREATE TABLE x (id int PRIMARY KEY)", "table"),
        ("CREATE TABLE x (id int PRIMARY KEY) PARTITION BY HASH (id)", "partitioned table"),
        ("CREATE VIEW x AS SELECT 1 AS id", "view"),
        ("CREATE MATERIALIZED VIEW x AS SELECT 1 AS id", "materialized view"),
    ],
)
def test_a_view_is_reflected_with_the_declared_key(
    source: PostgresSource, sql: psycopg.Connection[Any], create: str, kind: str
) -> None:
    sql.execute(create)
    assert source.relation_kind(t(source, "x")) == kind
    assert source.reflect(t(source, "x"), key=("id",)).key == ("id",)


def test_bounds_and_quantiles_of_every_kind_of_key(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute('CREATE TABLE t (n int PRIMARY KEY, d numeric(20,0), s text, u uuid, o oid, "i %s" inet)')
    assert source.bounds(t(source), "n").low is None
    assert source.quantiles(t(source), "s", 4) == ()
    sql.execute(
        "INSERT INTO t SELECT n, n, CASE WHEN n <= 50 THEN 'a' ELSE 'B' END || to_char(n, 'FM000'),"
        " ('00000000-0000-0000-0000-000000000' || to_char(n, 'FM000'))::uuid, n, '::1'"
        " FROM generate_series(1, 100) n"
    )
    sql.execute("INSERT INTO t VALUES (-5, 'NaN')")
    sql.execute("ANALYZE t")
    found = {name: source.bounds(t(source), name) for name in "ndsuo"}
    assert {name: (b.low, b.high) for name, b in found.items()} == {
        "n": (-5, 100),
        "d": (1, 100),
        "s": ("B051", "a050"),
        "u": ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000100"),
        "o": (1, 100),
    }
    assert found["n"].rows == 101
    assert source.quantiles(t(source), "s", 4) == ("B075", "B100", "a025")
    assert source.quantiles(t(source), "d", 2) == (50,)
    assert source.quantiles(t(source), "i %s", 2) == ("::1",)
    assert source.bounds(t(source), "i %s").high == "::1"


def test_repeated_values_make_fewer_quantiles(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id serial PRIMARY KEY, s text)")
    sql.execute(
        "INSERT INTO t (s) SELECT CASE WHEN n < 90 THEN 'x' ELSE 'y' END FROM generate_series(1, 100) n"
    )
    assert source.quantiles(t(source), "s", 10) == ("x", "y")


def test_a_large_table_is_sampled(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    sql.execute("INSERT INTO t SELECT generate_series(1, 400000)")
    sql.execute("ANALYZE t")
    (middle,) = source.quantiles(t(source), "id", 2)
    assert isinstance(middle, int)
    assert 100_000 < middle < 300_000


def test_a_column_without_order_of_ours_cuts_no_ranges(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    with pytest.raises(SourceNotReady, match="use one of id"):
        source.bounds(t(source), "at")
