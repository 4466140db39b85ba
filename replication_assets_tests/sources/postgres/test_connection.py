"""Sessions print alike, errors keep secrets and cell values to themselves."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import replace
from typing import Any

import adbc_driver_manager
import psycopg
import pytest

from replication_assets.errors import (
    LoadBlocked,
    SlotBusy,
    SlotLost,
    SourceError,
    SourceNotReady,
    SourceUnavailable,
)
from replication_assets.secret_references import EnvVar, Secret
from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets.sources.postgres.connection import (
    _DRIVERS as KEPT_DRIVERS,
)
from replication_assets.sources.postgres.connection import (
    CANONICAL_SETTINGS,
    connect,
    connect_adbc,
    connect_replication,
    source_error,
    source_errors,
)
from replication_assets_tests.sources.postgres.conftest import application

PASSWORD = "hunter2'; \\ x"


def test_all_three_kinds_of_session_have_the_canonical_settings(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(
        f"ALTER DATABASE {source.connection.database} SET DateStyle = 'SQL, DMY';"
        f"ALTER DATABASE {source.connection.database} SET TimeZone = 'Asia/Kolkata'"
    )
    expected = {name: value.replace("ISO,YMD", "ISO, YMD") for name, value in CANONICAL_SETTINGS}
    with connect(source.connection) as plain:
        rows = {name: plain.execute(f"SHOW {name}").fetchone() for name in expected}
        assert {name: row[0] for name, row in rows.items() if row} == expected
    with connect_adbc(source.connection) as adbc, adbc.cursor() as cursor:
        for name, value in expected.items():
            cursor.execute(f"SELECT current_setting('{name}')")
            assert cursor.fetchone() == (value,)
    walsender = connect_replication(source.connection)
    for name, value in expected.items():
        assert walsender.exec_(f"SHOW {name}".encode()).get_value(0, 0) == value.encode()
    walsender.finish()


@pytest.mark.parametrize("password", [PASSWORD, Secret(PASSWORD), EnvVar("RA_TEST_PASSWORD")])
def test_a_password_reaches_the_driver_and_nothing_else(
    source: PostgresSource, monkeypatch: pytest.MonkeyPatch, password: Any
) -> None:
    monkeypatch.setenv("RA_TEST_PASSWORD", PASSWORD)
    connection = replace(source.connection, password=password, port=1)
    assert psycopg.conninfo.conninfo_to_dict(connection.conninfo())["password"] == PASSWORD
    assert "hunter2" not in repr(replace(source, connection=connection)) + str(connection)
    for opening in (connect, connect_replication, connect_adbc):
        with pytest.raises(SourceUnavailable) as raised:
            opening(connection)
        assert "hunter2" not in "".join(traceback.format_exception(raised.value))
        assert raised.value.retryable


def test_what_serves_the_next_session_of_a_server_holds_no_login(source: PostgresSource) -> None:
    for database in (source.connection.database, "postgres"):
        with connect_adbc(replace(source.connection, database=database)) as adbc, adbc.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.current_database()::text")
            assert cursor.fetchone() == (database,)
    driver = KEPT_DRIVERS[source.connection.host, source.connection.port]
    with pytest.raises(adbc_driver_manager.ProgrammingError, match="'uri'"):
        adbc_driver_manager.AdbcConnection(driver)


def test_a_source_by_reference_can_be_pickled_without_its_password(
    source: PostgresSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RA_TEST_PASSWORD", PASSWORD)
    referring = replace(source, connection=replace(source.connection, password=EnvVar("RA_TEST_PASSWORD")))
    pickled = pickle.dumps(referring)
    assert b"hunter2" not in pickled
    copy = pickle.loads(pickled)
    assert copy == referring
    assert copy.identify() == source.identify()


def test_a_missing_database_is_not_worth_a_retry(source: PostgresSource) -> None:
    for opening in (connect, connect_replication, connect_adbc):
        with pytest.raises(SourceNotReady, match="does not exist"):
            opening(replace(source.connection, database="nowhere"))


def test_a_dsn_is_read_in_both_forms() -> None:
    expected = PostgresConnection("db", "shop", "ann", "p w", 6000, sslmode="require")
    assert PostgresConnection.parse("postgresql://ann:p%20w@db:6000/shop?sslmode=require") == expected
    assert (
        PostgresConnection.parse("host=db port=6000 user=ann password='p w' dbname=shop sslmode=require")
        == expected
    )
    with pytest.raises(ValueError, match="options"):
        PostgresConnection.parse("host=db options='-c x=y'")


@pytest.mark.parametrize(
    ("sqlstate", "message", "kind"),
    [
        ("57P01", "terminating connection due to administrator command", SourceUnavailable),
        ("53300", "too many connections", SourceUnavailable),
        (None, "server closed the connection unexpectedly", SourceUnavailable),
        ("28P01", 'password authentication failed for user "x"', SourceNotReady),
        ("42501", "permission denied for table t", SourceNotReady),
        ("42P01", 'relation "t" does not exist', SourceNotReady),
        ("55P03", "canceling statement due to lock timeout", LoadBlocked),
        ("55006", 'replication slot "s" is active for PID 7', SlotBusy),
        ("42704", 'replication slot "s" does not exist', SlotLost),
        ("55000", 'can no longer access replication slot "s"', SlotLost),
        ("55000", 'cannot read from logical replication slot "s"', SlotLost),
        ("XX000", "something else", SourceError),
    ],
)
def test_each_refusal_of_the_server_has_its_error(
    sqlstate: str | None, message: str, kind: type[SourceError]
) -> None:
    error = source_error(sqlstate, message + "\nDETAIL: value", "here")
    assert type(error) is kind
    assert message in str(error)
    assert "DETAIL" not in str(error)


def test_a_value_that_the_server_quotes_is_left_out(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    with pytest.raises(SourceError) as raised, source_errors("here"):
        sql.execute("SELECT 'topsecret'::int")
    with (
        connect_adbc(source.connection) as session,
        session.cursor() as cursor,
        pytest.raises(SourceError) as through_adbc,
        source_errors("here"),
    ):
        cursor.execute("SELECT 'topsecret'::int")
    for error in (raised.value, through_adbc.value):
        assert "topsecret" not in "".join(traceback.format_exception(error)[-1:])
        assert "22P02" in str(error)


def test_a_lock_that_is_not_granted_blocks_the_load_with_its_reason(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with application(source.connection, autocommit=False) as other, connect(source.connection) as session:
        other.execute("LOCK TABLE t")
        session.execute("SET lock_timeout = '50ms'")
        with pytest.raises(LoadBlocked, match="lock timeout"), source_errors("here"):
            session.execute("SELECT * FROM public.t")
