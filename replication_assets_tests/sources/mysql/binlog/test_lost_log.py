"""A log that was purged or begun anew, and tables that captures left out: told, and mended to the row."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.declarations import Watch
from replication_assets.errors import NeedsReload, SlotLost
from replication_assets.flows.prepare import prepare
from replication_assets.flows.watch.health import read_health
from replication_assets.flows.watch.look import slot_danger
from replication_assets.flows.watch.readings import Readings
from replication_assets_tests.e2e.system import SOURCE
from replication_assets_tests.mysql_servers import BINLOG_SETTINGS, MariaDbServer, running_mariadb
from replication_assets_tests.sources.mysql.binlog.system import MySqlSystem, mysql_system
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.places import purge


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDbServer]:
    """Of its own: its log is purged and begun anew."""
    with running_mariadb(BINLOG_SETTINGS) as found:
        yield found


@pytest.fixture
def system(server: MariaDbServer, tmp_path: Path) -> MySqlSystem:
    """Two tables that are loaded and projected, a change behind them captured."""
    database = Database(server, f"d{uuid.uuid4().hex[:8]}")
    with closing(server.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database.name}")
    names = ("t", "other")
    for name in names:
        database.run(
            f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT)",
            f"INSERT INTO {name} SELECT seq, 0 FROM seq_1_to_250",
        )
    tables = [Table(f"{SOURCE}.{database.name}.{name}", id_ranges=ByWidth(1_000)) for name in names]
    made = mysql_system(database, tmp_path, tables)
    made.prepare()
    made.load_all()
    made.execute("UPDATE t SET v = 1 WHERE id < 50")
    made.finish()
    return made


def database_of(system: MySqlSystem) -> Database:
    return Database(MariaDbServer(system.port), system.dsn)


def test_what_a_purge_took_is_told_and_a_load_after_recovery_finds_deletes_too(system: MySqlSystem) -> None:
    system.execute("FLUSH BINARY LOGS", "DELETE FROM t WHERE id > 200", "UPDATE t SET v = 2 WHERE id = 7")
    captured = system.store.ledger(SOURCE).last()
    assert captured is not None
    purge(database_of(system))
    file = f"{captured.commit >> 32:06d}"
    lost = rf"{file} was purged: the changes between its byte \d+ and .*binlog\.\d+, are lost"
    with pytest.raises(SlotLost, match=lost) as refusal:
        system.capture()
    assert "load every id range again, which also finds deletes" in str(refusal.value)
    health = read_health(system.replication, Readings()).source(SOURCE)
    assert health.status is not None
    assert health.status.state == "lost"
    system.recover()
    # Until each range was loaded again, what was stored of it is refused.
    with pytest.raises(NeedsReload):
        system.project()
    system.load_all()
    system.finish()
    system.execute("INSERT INTO t VALUES (999, 1)")
    system.finish()


def test_a_log_that_was_begun_anew_is_never_read_on(system: MySqlSystem) -> None:
    captured = system.store.ledger(SOURCE).last()
    assert captured is not None
    # Files are told apart by the second that they were begun in.
    time.sleep(1.1)
    system.execute("RESET MASTER", "DELETE FROM t WHERE id = 3")
    while system.source.status().head <= captured.commit:
        # The place that was captured is there again, and stands for something else.
        system.execute("UPDATE other SET v = v + 1", "FLUSH BINARY LOGS")
    with pytest.raises(SlotLost, match="RESET MASTER"):
        system.capture()
    with pytest.raises(SlotLost, match="recover"):
        system.load_all()
    system.recover()
    system.load_all()
    system.finish()


def without(system: MySqlSystem, name: str) -> MySqlSystem:
    left = tuple(table for table in system.catalog.tables if table.id.name != name)
    return replace(system, catalog=replace(system.catalog, tables=left))


@pytest.mark.parametrize("is_prepared", [True, False], ids=["prepared again", "captured at once"])
def test_a_table_that_was_left_out_for_a_while_asks_for_a_load(
    system: MySqlSystem, is_prepared: bool
) -> None:
    fewer = without(system, "t")
    system.execute("DELETE FROM t WHERE id = 5", "UPDATE other SET v = 9 WHERE id = 5")
    fewer.capture()
    if is_prepared:
        for _ in range(2):
            prepare(system.source, system.store, system.catalog.tables)
    system.execute("UPDATE t SET v = 3 WHERE id = 6")
    for _ in range(2):
        system.capture()
    with pytest.raises(NeedsReload):
        system.project(system.table("t"))
    changes = system.store.log(system.id("t")).snapshot().controls().schema_changes
    assert [(change.reload, change.reason) for change in changes] == [
        (True, "the table was not captured for a while")
    ]
    system.load(system.table("t"))
    system.finish()


def test_a_table_that_came_back_before_a_capture_went_on_has_no_gap(system: MySqlSystem) -> None:
    prepare(system.source, system.store, without(system, "t").catalog.tables)
    system.execute("DELETE FROM t WHERE id = 5")
    prepare(system.source, system.store, system.catalog.tables)
    system.finish()
    assert system.store.log(system.id("t")).snapshot().controls().schema_changes == ()


def test_a_table_that_is_new_is_not_asked_for_twice(system: MySqlSystem) -> None:
    system.execute("CREATE TABLE fresh (id INT PRIMARY KEY)", "INSERT INTO fresh VALUES (1)")
    more = (*system.catalog.tables, Table(f"{SOURCE}.{system.dsn}.fresh"))
    grown = replace(system, catalog=replace(system.catalog, tables=more).validate())
    grown.prepare()
    grown.load(grown.table("fresh"))
    grown.prepare()
    grown.execute("INSERT INTO fresh VALUES (2)")
    grown.finish()


def test_the_watch_warns_before_a_purge(system: MySqlSystem) -> None:
    system.execute("SET GLOBAL expire_logs_days = 0.5", "FLUSH BINARY LOGS", "UPDATE t SET v = 8")
    try:
        found = read_health(system.replication, Readings()).source(SOURCE)
    finally:
        system.execute("SET GLOBAL expire_logs_days = 0")
    assert found.headroom_hours == pytest.approx(12, abs=0.1)
    assert "is deleted in 1" in str(slot_danger(found, Watch()))
    system.finish()
    level = read_health(system.replication, Readings()).source(SOURCE)
    assert level.headroom_hours is None
    assert slot_danger(level, Watch()) is None
