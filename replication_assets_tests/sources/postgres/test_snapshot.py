"""Load and capture meet exactly, or the load says who is in the way."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from replication_assets.errors import LoadBlocked
from replication_assets.sources.postgres import PostgresConnection, PostgresSource
from replication_assets.sources.postgres.snapshot import exported_snapshot
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.sources.postgres.commit_order import committed_inserts, watch
from replication_assets_tests.sources.postgres.conftest import application
from replication_assets_tests.sources.postgres.test_load import left_behind, rows_of, whole

WRITERS = 4
SNAPSHOTS = 10


def _write_until(stop: threading.Event, source: PostgresSource, failures: list[Exception]) -> None:
    try:
        with application(source.connection, autocommit=False) as session:
            while not stop.is_set():
                session.execute("INSERT INTO t DEFAULT VALUES")
                session.execute("INSERT INTO t DEFAULT VALUES")
                session.commit()
    except psycopg.Error as error:
        failures.append(error)


def test_loads_beside_writers_hold_exactly_the_commits_before_their_position(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id bigserial PRIMARY KEY)")
    watch(sql, f"{source.name}_oracle", "t")
    request = whole(source)
    stop, failures = threading.Event(), list[Exception]()
    writers = [threading.Thread(target=_write_until, args=(stop, source, failures)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    loads = []
    try:
        for _ in range(SNAPSHOTS):
            with source.load(request) as stream:
                loads.append((stream.commit, {i for batch in stream for i in batch["id"].to_pylist()}))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failures == []
    order = committed_inserts(sql, f"{source.name}_oracle")
    assert len(order) > 100
    for commit, ids in loads:
        assert ids == {int(insert.key) for insert in order if insert.commit < commit}
    assert left_behind(sql) == []


def test_a_running_write_is_named_and_nothing_waits_on(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with application(source.connection, "billing", autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        pid = writer.info.backend_pid
        with pytest.raises(LoadBlocked) as raised, exported_snapshot(source.connection, 0.3):
            pass
        assert f"pid {pid} (application billing, idle in transaction" in str(raised.value)
        assert f"pg_terminate_backend({pid})" in raised.value.fix
        assert left_behind(sql) == []
        writer.rollback()
    assert rows_of(source, whole(source)).num_rows == 0


def test_a_reader_does_not_hold_up_a_load(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with application(source.connection, autocommit=False) as reader:
        reader.execute("SELECT * FROM t")
        assert rows_of(source, whole(source)).num_rows == 0


def test_a_prepared_transaction_is_named(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    gid = f"{source.name} it's"
    with application(source.connection, autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        writer.execute(f"PREPARE TRANSACTION '{source.name} it''s'")
    with pytest.raises(LoadBlocked) as raised, exported_snapshot(source.connection, 0.3):
        pass
    assert f"prepared transaction '{gid}'" in str(raised.value) or repr(gid) in str(raised.value)
    assert f"ROLLBACK PREPARED '{source.name} it''s'" in raised.value.fix
    sql.execute(f"COMMIT PREPARED '{source.name} it''s'")
    assert rows_of(source, whole(source))["id"].to_pylist() == [1]


def test_an_interrupt_while_waiting_leaves_nothing_behind(
    source: PostgresSource, sql: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql.execute("CREATE TABLE t (id int PRIMARY KEY)")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with application(source.connection, autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        with monkeypatch.context() as patch:
            patch.setattr("replication_assets.sources.postgres.connection.select.select", interrupted)
            with pytest.raises(KeyboardInterrupt), exported_snapshot(source.connection, 30):
                pass
        assert left_behind(sql) == []


def test_a_commit_in_doubt_holds_up_the_load_and_is_not_lost(private_postgres: PrivatePostgres) -> None:
    """The commit is in the log and not yet visible: a position read now would be past it."""
    server = private_postgres({})
    connection = PostgresConnection.parse(server.dsn())
    source = PostgresSource("doubt", connection, load_wait=0.5)
    with application(connection) as admin:
        admin.execute("CREATE TABLE t (id int PRIMARY KEY)")
        request = whole(source)
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        admin.execute("SELECT pg_reload_conf()")
        writer = threading.Thread(target=_insert_one, args=(connection,))
        writer.start()
        _wait_for_sync_rep(admin)
        with pytest.raises(LoadBlocked, match=r"application in-doubt, active, waits for SyncRep"):
            rows_of(source, request)
        admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        admin.execute("SELECT pg_reload_conf()")
        writer.join()
        assert rows_of(source, request)["id"].to_pylist() == [1]
        assert left_behind(admin) == []


def _insert_one(connection: PostgresConnection) -> None:
    with application(connection, "in-doubt") as session:
        session.execute("INSERT INTO t VALUES (1)")


def _wait_for_sync_rep(admin: psycopg.Connection[Any]) -> None:
    for _ in range(200):
        if admin.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("the writer never waited for its standby")
