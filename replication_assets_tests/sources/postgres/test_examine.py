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
