"""What a look at the source finds before anything is done to it, and that its remedies work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from replication_assets.core.schema import TableId
from replication_assets.errors import SourceError, SourceNotReady, SourceUnavailable
from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets.sources.postgres.connection import connect
from replication_assets.sources.postgres.diagnosis import diagnose


@pytest.mark.parametrize(
    ("column", "statement"),
    [
        ("id bigint", '("id")'),
        ("id oid", '(("id"::pg_catalog.int8))'),
        ("id uuid", '("id")'),
        ("id numeric(20)", '("id")'),
        ("id text", '(("id"::pg_catalog.text COLLATE "C"))'),
    ],
)
def test_a_range_column_without_an_index_is_told_the_one_that_serves(
    source: PostgresSource, sql: psycopg.Connection[Any], column: str, statement: str
) -> None:
    sql.execute(f"CREATE TABLE t ({column}, other int)".encode())
    table = TableId(source.name, "public", "t")
    index = source.range_index(table, "id")
    assert index == f'CREATE INDEX CONCURRENTLY ON "public"."t" {statement}'
    sql.execute(index.encode())
    assert source.range_index(table, "id") is None


def test_a_primary_key_serves_its_leading_column_alone(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (a int, b int, note text, PRIMARY KEY (a, b))")
    sql.execute("CREATE VIEW v AS SELECT * FROM t")
    table = TableId(source.name, "public", "t")
    assert source.range_index(table, "a") is None
    assert source.range_index(table, "b") == 'CREATE INDEX CONCURRENTLY ON "public"."t" ("b")'
    assert source.range_index(TableId(source.name, "public", "v"), "b") is None


def test_a_partitioned_table_is_indexed_as_a_whole(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int, day date) PARTITION BY RANGE (day)")
    sql.execute("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    index = source.range_index(TableId(source.name, "public", "t"), "id")
    assert index == 'CREATE INDEX ON "public"."t" ("id")'
    sql.execute(index.encode())
    assert source.range_index(TableId(source.name, "public", "t"), "id") is None


def test_all_that_setup_would_refuse_is_told_and_nothing_is_created(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    table = TableId(source.name, "public", "t")
    role = f"reader_{source.name}"
    sql.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}".encode())
    try:
        reader = replace(source, connection=replace(source.connection, user=role))
        told = reader.missing([(table, reader.reflect(table))])
        assert any(f'ALTER ROLE "{role}" REPLICATION' in text for text in told)
        assert any(f'GRANT CREATE ON DATABASE "{source.connection.database}"' in text for text in told)
        assert any("only its owner can publish" in text for text in told)
        assert source.missing([(table, source.reflect(table))]) == ()
        assert source.status().state == "missing"
    finally:
        sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


@pytest.mark.parametrize(
    ("change", "kind", "fix"),
    [
        ({"port": 1}, SourceUnavailable, "nothing listens there"),
        ({"host": "no-such-host.invalid"}, SourceUnavailable, "unknown to DNS"),
        ({"database": "nowhere"}, SourceNotReady, "check `database`"),
        ({"user": "nobody"}, SourceNotReady, 'CREATE ROLE "nobody"'),
        ({"sslmode": "require"}, SourceNotReady, 'sslmode="disable"'),
    ],
)
def test_a_failed_connection_says_what_mends_it(
    source: PostgresSource, change: dict[str, Any], kind: type[SourceError], fix: str
) -> None:
    with pytest.raises(kind) as raised:
        connect(replace(source.connection, **change))
    assert fix in raised.value.fix


def test_a_database_that_may_not_be_entered_names_the_grant(
    source: PostgresSource, connection: PostgresConnection, sql: psycopg.Connection[Any]
) -> None:
    role = f"stranger_{source.name}"
    sql.execute(
        f"CREATE ROLE {role} LOGIN; REVOKE CONNECT ON DATABASE {connection.database} FROM public".encode()
    )
    try:
        with pytest.raises(SourceNotReady) as raised:
            connect(replace(connection, user=role))
        assert raised.value.fix == f'GRANT CONNECT ON DATABASE "{connection.database}" TO the role'
    finally:
        sql.execute(f"DROP ROLE {role}".encode())


def test_words_that_are_not_known_get_no_fix() -> None:
    assert diagnose("server closed the connection unexpectedly") is None
