"""A load and the binlog meet exactly: what is below the load's position is in its rows, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import pymysql
import pytest

from replication_assets.errors import LoadBlocked, SourceNotReady
from replication_assets.sources.mysql import MySqlConnection
from replication_assets.sources.mysql.connection import connected
from replication_assets.sources.mysql.load import open_load
from replication_assets.sources.mysql.log_places import LogPlace
from replication_assets.sources.mysql.snapshot import Method, consistent_snapshot, snapshot_method
from replication_assets_tests.mysql_servers import MariaDbServer, running_mariadb
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.reading import whole

METHODS: tuple[Method, ...] = ("status", "table lock", "global lock")
WRITERS = 3


@contextmanager
def writing(database: Database) -> Iterator[None]:
    """Transactions that add a row to each of two tables, as fast as they go."""
    stopped = threading.Event()

    def write(writer: int) -> None:
        with closing(database.session()) as session, session.cursor() as cursor:
            session.autocommit(False)
            number = 0
            while not stopped.is_set():
                number += 1
                cursor.execute(f"INSERT INTO t VALUES ({writer}, {number})")
                cursor.execute(f"INSERT INTO other VALUES ({writer}, {number})")
                session.commit()

    threads = [threading.Thread(target=write, args=(writer,), daemon=True) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join(10)


def _written_below(database: Database, commit: int) -> int:
    """Transactions that begin below the position, in a binlog that has no others."""
    place = LogPlace.at(commit, "binlog")
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute(f"SHOW BINLOG EVENTS IN '{place.file}'")
        events = cursor.fetchall()
    rows, begun = 0, 0
    for _, position, kind, _, _, info in events:
        if kind == "Gtid":
            begun = position
        if kind == "Table_map" and info.endswith(f"({database.name}.t)") and begun < place.offset:
            rows += 1
    return rows


@pytest.mark.parametrize("method", METHODS)
def test_the_rows_are_those_of_the_transactions_below_the_position(
    database: Database, method: Method
) -> None:
    database.run(
        "CREATE TABLE t (writer INT, n INT, PRIMARY KEY (writer, n))",
        "CREATE TABLE other (writer INT, n INT, PRIMARY KEY (writer, n))",
        "FLUSH BINARY LOGS",
    )
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    with writing(database):
        for _ in range(6):
            time.sleep(0.03)
            with open_load(
                database.connection, whole(table, schema), 5, partial(consistent_snapshot, method=method)
            ) as load:
                rows = sum(batch.num_rows for batch in load)
            assert rows == _written_below(database, load.commit)
        assert rows > 0


def test_the_best_method_is_taken_that_the_server_knows(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    with connected(database.connection) as session:
        assert snapshot_method(session, database.table("t")) == "status"
    assert database.source().hand_off(database.table("t")).startswith("exact, without a lock")


@pytest.mark.parametrize("method", METHODS)
def test_a_table_is_not_altered_between_its_snapshot_and_its_first_read(
    database: Database, method: Method
) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)", "INSERT INTO t VALUES (1, 2)")
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    with open_load(
        database.connection, whole(table, schema), 5, partial(consistent_snapshot, method=method)
    ) as load:
        with closing(database.session()) as session, session.cursor() as cursor:
            cursor.execute("SET lock_wait_timeout = 0")
            with pytest.raises(pymysql.err.OperationalError):
                cursor.execute("ALTER TABLE t ADD COLUMN b INT")
        assert [column.name for column in load.columns] == ["id", "a"]
        assert sum(batch.num_rows for batch in load) == 1


@pytest.mark.parametrize("method", METHODS)
def test_writers_go_on_while_a_slice_is_read(database: Database, method: Method) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    source, table = database.source(), database.table("t")
    schema = source.reflect(table)
    with open_load(
        database.connection, whole(table, schema), 5, partial(consistent_snapshot, method=method)
    ) as load:
        with closing(database.session()) as session, session.cursor() as cursor:
            cursor.execute("SET lock_wait_timeout = 1")
            cursor.execute("INSERT INTO t VALUES (2)")
        assert sum(batch.num_rows for batch in load) == 1


def test_what_holds_the_table_for_too_long_is_named(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    with closing(database.session()) as session, session.cursor() as cursor:
        session.begin()
        cursor.execute("INSERT INTO t VALUES (1)")
        with (
            pytest.raises(
                LoadBlocked, match=f"connection {session.thread_id()} .*KILL {session.thread_id()}"
            ),
            consistent_snapshot(database.connection, database.table("t"), 1, "table lock"),
        ):
            pytest.fail("the lock is held")


def test_a_lock_is_given_up_at_once(database: Database) -> None:
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    with (
        consistent_snapshot(database.connection, database.table("t"), 5, "table lock") as snapshot,
        closing(database.session()) as session,
        session.cursor() as cursor,
    ):
        cursor.execute("SET lock_wait_timeout = 0")
        cursor.execute("INSERT INTO t VALUES (1)")
        assert snapshot.session.rows(f"SELECT COUNT(*) FROM `{database.name}`.t") == ((0,),)


@pytest.fixture(scope="module")
def without_binlog() -> Iterator[MariaDbServer]:
    with running_mariadb() as server:
        yield server


def test_a_server_without_binlog_has_no_position(without_binlog: MariaDbServer) -> None:
    with closing(without_binlog.connect()) as session, session.cursor() as cursor:
        cursor.execute("CREATE DATABASE d")
        cursor.execute("CREATE TABLE d.t (id INT PRIMARY KEY)")
    connection = MySqlConnection(without_binlog.host, without_binlog.user, port=without_binlog.port)
    table = Database(without_binlog, "d").table("t")
    source = Database(without_binlog, "d").source()
    with pytest.raises(SourceNotReady, match="keeps no binlog"), consistent_snapshot(connection, table, 5):
        pytest.fail("there is no binlog")
    assert source.status().state == "missing"
    (problem,) = source.missing([])
    assert "log_bin" in problem


@pytest.mark.parametrize(
    ("file", "offset"), [("binlog", 4), ("binlog.x", 4), ("binlog.000000", 4), ("b.1", 2**32)]
)
def test_a_place_that_no_position_can_tell_is_refused(file: str, offset: int) -> None:
    with pytest.raises(SourceNotReady):
        LogPlace.of(file, offset)


def test_positions_rise_with_the_log_and_tell_their_place() -> None:
    places = [LogPlace.of("a.b-bin.000009", 4), LogPlace.of("a.b-bin.000009", 2**32 - 1)]
    places += [LogPlace.of("a.b-bin.1000000", 4), LogPlace.of(f"a.b-bin.{2**31 - 1}", 2**32 - 1)]
    commits = [place.commit for place in places]
    assert commits == sorted(commits)
    assert commits[-1] == 2**63 - 1
    assert [LogPlace.at(commit, "a.b-bin") for commit in commits] == places
    assert [place.file for place in places][:3] == ["a.b-bin.000009", "a.b-bin.000009", "a.b-bin.1000000"]
