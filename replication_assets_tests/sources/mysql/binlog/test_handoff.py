"""Where loads and capture of MariaDB meet: under writers, with processes and servers that die."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pymysql
import pytest

from replication_assets.catalog import ByBounds, ByWidth, Table
from replication_assets.demo.postgres_binaries import account
from replication_assets.errors import SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets_tests import mysql_servers
from replication_assets_tests.e2e.system import shuffled
from replication_assets_tests.e2e.workers import (
    capture_step,
    capture_until_step,
    capturing,
    kill,
    load_in_parallel,
    load_step,
    run_and_die,
    start,
)
from replication_assets_tests.sources.mysql.binlog.captured import watch
from replication_assets_tests.sources.mysql.binlog.system import (
    MySqlSystem,
    audit,
    check_changes,
    mysql_system,
    writing,
)
from replication_assets_tests.sources.mysql.conftest import Database


@pytest.fixture
def system(database: Database, tmp_path: Path) -> MySqlSystem:
    made = mysql_system(database, tmp_path, [Table(f"app.{database.name}.t", id_ranges=ByWidth(100))])
    made.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t SELECT seq, 0 FROM seq_1_to_250"
    )
    made.prepare()
    return made


def test_loads_and_a_capture_under_writers_give_what_the_source_has(
    system: MySqlSystem, tmp_path: Path
) -> None:
    audit(system, "t")
    table = system.table("t")
    with writing(system, "t"), capturing(system, tmp_path):
        loads = [(system.id("t"), each) for each in system.ranges(table)]
        load_in_parallel(system, shuffled(Random(1), loads))
        system.project()
    system.finish()
    check_changes(system, system.id("t"))


def test_a_key_of_two_columns_moves_between_ranges(database: Database, tmp_path: Path) -> None:
    made = mysql_system(database, tmp_path, [Table(f"app.{database.name}.t", id_ranges=ByBounds((5, 10)))])
    made.execute(
        "CREATE TABLE t (b VARCHAR(9), a INT, v INT, PRIMARY KEY (a, b))",
        "INSERT INTO t SELECT CONCAT('x', seq % 3), seq, 0 FROM seq_1_to_15",
    )
    made.prepare()
    made.load_all()
    made.project()
    made.execute("UPDATE t SET a = a + 20 WHERE a < 5", "UPDATE t SET b = 'y' WHERE a = 7", "TRUNCATE t")
    made.execute("INSERT INTO t SELECT 'z', seq, 1 FROM seq_1_to_9")
    made.finish()


def test_columns_that_come_and_go_are_followed(system: MySqlSystem, full: bool) -> None:
    system.load_all()
    system.execute(
        "UPDATE t SET v = 1 WHERE id < 50",
        "ALTER TABLE t ADD COLUMN n VARCHAR(9)",
        "UPDATE t SET n = 'x' WHERE id BETWEEN 40 AND 60",
    )
    if full:
        system.finish()
    system.execute("ALTER TABLE t DROP COLUMN v", "INSERT INTO t VALUES (900, 'y')")
    system.finish()
    if not full:
        return
    system.execute("ALTER TABLE t ADD COLUMN d INT NOT NULL DEFAULT 7", "INSERT INTO t VALUES (901, 'y', 8)")
    system.capture()
    system.load_all()
    system.finish()


PLACES = ["capture.read", "capture.written", "capture.table_committed", "capture.tables_committed"]
PLACES += ["capture.recorded", "capture.acknowledged"]


def test_a_capture_that_is_killed_anywhere_loses_nothing_and_stores_nothing_twice(
    system: MySqlSystem, full: bool
) -> None:
    audit(system, "t")
    system.load_all()
    for turn, place in enumerate(PLACES if full else PLACES[1:4:2]):
        system.execute(
            f"UPDATE t SET v = {turn} WHERE id % 7 = {turn}", f"DELETE FROM t WHERE id = {turn + 1}"
        )
        run_and_die(place, capture_step, system)
    system.finish()
    check_changes(system, system.id("t"))


@pytest.mark.full
def test_a_capture_that_is_killed_inside_of_a_long_transaction_reads_it_again(
    system: MySqlSystem, tmp_path: Path
) -> None:
    system.execute("ALTER TABLE t MODIFY v VARCHAR(400)")
    system.capture()
    system.load_all()
    with closing(system.session()) as session, session.cursor() as cursor:
        session.begin()
        for turn in range(100):
            cursor.execute(f"UPDATE t SET v = CONCAT({turn}, REPEAT('x', 390))")
        session.commit()
    run_and_die("capture.written@3", capture_step, system)
    capturer = start(capture_until_step, system, tmp_path / "never")
    time.sleep(0.5)
    kill(capturer)
    system.finish()


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("load.opened", marks=pytest.mark.full),
        "load.read",
        pytest.param("load.finished", marks=pytest.mark.full),
        pytest.param("load.committed", marks=pytest.mark.full),
    ],
)
def test_a_load_that_is_killed_is_done_again(system: MySqlSystem, place: str) -> None:
    table = system.table("t")
    first, *others = system.ranges(table)
    run_and_die(place, load_step, system, table.id, first)
    system.execute("UPDATE t SET v = 4 WHERE id = 4", "DELETE FROM t WHERE id = 5")
    for each in (first, *others):
        system.load_range(table, each)
    system.finish()


# --- a server that dies ---------------------------------------------------------------------


class Restartable:
    """A server with a data directory that outlives it, on one port: it is the same one again."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._home, self.data, self._account = home, home / "data", account()
        self.data.mkdir(mode=0o700)
        self._account.owns(self.data)
        mysql_servers._initialise(self.data, self._account)
        self._settings = {
            **mysql_servers.SETTINGS,
            **mysql_servers.BINLOG_SETTINGS,
            "sync-binlog": "1",
            "innodb-flush-log-at-trx-commit": "1",
        }
        self.begin()
        monkeypatch.setattr(mysql_servers, "free_port", lambda _: self.port)

    def begin(self) -> None:
        self._process, self.port = mysql_servers._started(
            self._home, self.data, self._account, self._settings
        )

    def die(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Restartable]:
    import shutil
    import tempfile

    # pytest's own directories are closed to the account that a server of root runs under.
    home = Path(tempfile.mkdtemp(prefix="replication-assets-mariadb-"))
    home.chmod(0o755)
    try:
        server = Restartable(home, monkeypatch)
        yield server
        server.die()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def of(mortal: Restartable) -> Database:
    server = mysql_servers.MariaDbServer(mortal.port)
    with closing(server.connect()) as session, session.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS shop")
    return Database(server, "shop")


def test_a_server_that_dies_while_it_is_written_to_is_gone_on_with(
    mortal: Restartable, tmp_path: Path
) -> None:
    system = mysql_system(of(mortal), tmp_path, [Table("app.shop.t", id_ranges=ByWidth(100))])
    system.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t SELECT seq, 0 FROM seq_1_to_250"
    )
    system.prepare()
    system.load_all()
    audit(system, "t")
    ended: list[BaseException] = []

    def capture_on() -> None:
        try:
            system.capture_until(lambda: False)
        except BaseException as error:  # noqa: BLE001  # looked at below
            ended.append(error)

    def fill() -> None:
        with suppress(pymysql.err.MySQLError):
            system.execute("INSERT INTO t SELECT seq, 5 FROM seq_1000_to_300000")

    reader, writer = threading.Thread(target=capture_on), threading.Thread(target=fill)
    with suppress(pymysql.err.MySQLError), writing(system, "t", (7,)):
        reader.start()
        time.sleep(1)
        writer.start()
        time.sleep(0.3)
        mortal.die()
    reader.join()
    writer.join()
    assert [type(error) for error in ended] == [SourceUnavailable]
    mortal.begin()
    with writing(system, "t", (8,)):
        time.sleep(0.3)
    system.finish()
    check_changes(system, system.id("t"))


@pytest.mark.full
def test_a_server_that_dies_while_it_is_loaded_is_loaded_again(mortal: Restartable, tmp_path: Path) -> None:
    system = mysql_system(of(mortal), tmp_path, [Table("app.shop.t")])
    system.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO t SELECT seq, REPEAT('x', 2000) FROM seq_1_to_16000",
    )
    table = system.prepare()[0]
    (whole,) = system.ranges(table)
    load_slice = LoadSlice(table.id, table.schema, table.id_ranges.column, whole, table.event_dates)

    def read() -> None:
        with system.source.load(load_slice) as rows:
            for number, _ in enumerate(rows):
                if number == 1:
                    mortal.die()

    with pytest.raises(SourceUnavailable):
        read()
    mortal.begin()
    system.load(table)
    system.finish()


def test_a_transaction_of_which_only_a_part_reached_the_log_never_was(mortal: Restartable) -> None:
    database = of(mortal)
    database.run("CREATE TABLE t (id INT PRIMARY KEY)")
    watched = watch(database)
    database.run("INSERT INTO t VALUES (1)")
    whole = watched.source.status().head + 1 & 0xFFFFFFFF
    database.run("INSERT INTO t VALUES (2)")
    mortal.die()
    newest = sorted(mortal.data.glob("binlog.0*"))[-1]
    with newest.open("r+b") as log:
        # Without the event that commits it.
        log.truncate(newest.stat().st_size - 31)
    assert newest.stat().st_size > whole
    mortal.begin()
    database.run("INSERT INTO t VALUES (3)")
    assert [row["id"] for row in watched.read().rows()] == [1, 3]
