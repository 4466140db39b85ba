"""Who is found to write to tables, who is not, and that the statements that stop writes do."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from replication_assets.core.schema import TableId
from replication_assets.ports import Writer
from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets_tests.postgres_servers import running_server
from replication_assets_tests.sources.postgres.conftest import application


def of(source: PostgresSource, *names: str) -> list[TableId]:
    return [TableId(source.name, "public", name) for name in names]


def found(source: PostgresSource, *names: str) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (writer.application, tuple(table.name for table in writer.tables))
        for writer in source.writers(of(source, *names))
    ]


@pytest.fixture
def tables(sql: psycopg.Connection[Any]) -> None:
    sql.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, v text);"
        "CREATE TABLE other (id int);"
        "CREATE TABLE days (id int, day date) PARTITION BY RANGE (day);"
        "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
    )


@pytest.mark.usefixtures("tables")
def test_a_transaction_that_wrote_is_found_until_it_ends(
    source: PostgresSource, connection: PostgresConnection
) -> None:
    with application(connection, "shop api", autocommit=False) as writing:
        writing.execute("INSERT INTO orders VALUES (1, 'a secret value')")
        (writer,) = source.writers(of(source, "orders", "days"))
        assert writer == Writer(
            f"pid {writing.info.backend_pid}",
            "postgres",
            "shop api",
            "idle in transaction",
            writer.seconds,
            tuple(of(source, "orders")),
            f"SELECT pg_terminate_backend({writing.info.backend_pid});",
        )
        assert writer.seconds is not None
        assert 0 <= writer.seconds < 60
        assert "secret" not in repr(writer)
        assert found(source, "other") == []
        writing.commit()
        assert found(source, "orders") == []


@pytest.mark.usefixtures("tables")
def test_a_write_to_a_partition_is_one_to_its_table(
    source: PostgresSource, connection: PostgresConnection
) -> None:
    with application(connection, "shop api", autocommit=False) as writing:
        writing.execute("INSERT INTO days_1 VALUES (1, '2026-01-05')")
        assert found(source, "orders", "days") == [("shop api", ("days",))]
        writing.rollback()


@pytest.mark.usefixtures("tables")
def test_readers_loads_vacuum_and_holders_of_a_share_lock_write_nothing(
    source: PostgresSource, connection: PostgresConnection, sql: psycopg.Connection[Any]
) -> None:
    with (
        application(connection, autocommit=False) as reading,
        application(connection, autocommit=False) as holding,
    ):
        reading.execute("SELECT * FROM orders")
        holding.execute("LOCK TABLE orders IN SHARE MODE")
        sql.execute("SELECT 1 FROM orders FOR KEY SHARE")
        assert found(source, "orders") == []


@pytest.mark.usefixtures("tables")
def test_a_transaction_that_waits_for_its_lock_is_a_writer(
    source: PostgresSource, connection: PostgresConnection
) -> None:
    with (
        application(connection, "operator", autocommit=False) as holding,
        application(connection, "shop api", autocommit=True) as waiting,
    ):
        holding.execute("LOCK TABLE orders IN SHARE MODE")
        waiting.pgconn.send_query(b"UPDATE orders SET v = 'x'")
        while not (waits := source.writers(of(source, "orders"))):
            pass
        assert [(writer.application, writer.state) for writer in waits] == [("shop api", "waits for a lock")]
        holding.rollback()
        while waiting.pgconn.get_result() is not None:
            pass


def test_a_prepared_transaction_is_a_writer_without_a_session() -> None:
    with running_server(settings={"max_prepared_transactions": "2"}) as server:
        connection = PostgresConnection.parse(server.dsn("postgres"))
        source = PostgresSource("bank", connection)
        with application(connection) as sql:
            sql.execute("CREATE TABLE orders (id int PRIMARY KEY)")
            sql.execute("BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'it''s'")
            (writer,) = source.writers(of(source, "orders"))
            assert (writer.session, writer.user, writer.state) == (
                'prepared transaction "it\'s"',
                "postgres",
                "prepared",
            )
            server.stop()
            server.start()
            with application(connection) as later:
                assert source.writers(of(source, "orders"))[0].session == writer.session, "after a restart"
                later.execute(writer.ending.encode())
            assert source.writers(of(source, "orders")) == ()


@pytest.mark.usefixtures("tables")
def test_the_statements_that_stop_writes_stop_them(
    source: PostgresSource, connection: PostgresConnection, sql: psycopg.Connection[Any]
) -> None:
    role = f"api_{connection.database}"
    sql.execute(
        f'CREATE ROLE "{role}" LOGIN; GRANT INSERT, SELECT ON orders TO "{role}";'
        f'GRANT UPDATE (day) ON days TO "{role}"; GRANT DELETE ON days_1 TO PUBLIC'.encode()
    )
    try:
        statements = source.stop_writes(of(source, "orders", "days"))
        revokes = [statement for statement in statements if statement.startswith("REVOKE")]
        for statement in revokes:
            sql.execute(statement.encode())
        for attempt in (
            "INSERT INTO orders VALUES (2)",
            "UPDATE days SET day = day",
            "DELETE FROM days_1",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sql.execute(f'SET ROLE "{role}"; {attempt}'.encode())
            sql.execute("RESET ROLE")
        (whole,) = [each for each in statements if each.startswith("ALTER DATABASE")]
        sql.execute(whole.encode())
        with application(connection) as later, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            later.execute("INSERT INTO orders VALUES (3)")
        source.setup([])
        source.teardown()
        assert source.remains() == ()
    finally:
        sql.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"'.encode())


def test_what_setup_made_remains_until_it_is_torn_down(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    assert source.remains() == ()
    source.setup([])
    names = source.names
    assert [line.split(" (")[0] for line in source.remains()] == [
        f"replication slot {names.slot}",
        f"publication {names.publication}",
        f"publication {names.append_publication}",
    ]
    source.teardown()
    assert source.remains() == ()
