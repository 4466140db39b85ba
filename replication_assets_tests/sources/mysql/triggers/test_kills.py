"""The whole system over a database that triggers log: under writers, with processes and servers that die."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pymysql
import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.errors import ReplicationError
from replication_assets_tests.e2e.system import shuffled
from replication_assets_tests.e2e.workers import capture_step, capturing, load_in_parallel, run_and_die
from replication_assets_tests.sources.mysql.binlog.system import (
    MySqlSystem,
    audit,
    check_changes,
    mysql_system,
    writing,
)
from replication_assets_tests.sources.mysql.binlog.test_handoff import PLACES, Restartable, mortal, of
from replication_assets_tests.sources.mysql.conftest import Database

__all__ = ["mortal"]


def filled(database: Database, folder: Path) -> MySqlSystem:
    tables = [Table(f"app.{database.name}.t", id_ranges=ByWidth(100))]
    made = mysql_system(database, folder, tables, capture="triggers")
    made.execute(
        "DROP DATABASE IF EXISTS ra_app",
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
        "INSERT INTO t SELECT seq, 0 FROM seq_1_to_250",
    )
    made.prepare()
    return made


@pytest.fixture
def system(database: Database, tmp_path: Path) -> MySqlSystem:
    return filled(database, tmp_path)


def test_loads_and_a_capture_under_writers_give_what_the_source_has(
    system: MySqlSystem, tmp_path: Path
) -> None:
    with writing(system, "t"), capturing(system, tmp_path):
        loads = [(system.id("t"), each) for each in system.ranges(system.table("t"))]
        load_in_parallel(system, shuffled(Random(1), loads))
        system.project()
    system.finish()


def test_a_capture_that_is_killed_anywhere_loses_nothing_and_stores_nothing_twice(
    system: MySqlSystem, full: bool
) -> None:
    audit(system, "t")
    system.load_all()
    for turn, place in enumerate(PLACES if full else PLACES[1:2]):
        system.execute(
            f"UPDATE t SET v = {turn + 1} WHERE id % 7 = {turn}", f"DELETE FROM t WHERE id = {turn + 1}"
        )
        run_and_die(place, capture_step, system)
    system.finish()
    check_changes(system, system.id("t"))


def test_a_server_that_dies_while_it_is_written_to_is_gone_on_with(
    mortal: Restartable,
    tmp_path: Path,
) -> None:
    system = filled(of(mortal), tmp_path)
    system.load_all()
    ended: list[BaseException] = []

    def capture_on() -> None:
        try:
            system.capture_until(lambda: False)
        except BaseException as error:  # noqa: BLE001  # looked at below
            ended.append(error)

    reader = threading.Thread(target=capture_on)
    with suppress(pymysql.err.MySQLError), writing(system, "t", (7, 8)):
        reader.start()
        time.sleep(1)
        mortal.die()
    reader.join()
    (error,) = ended
    assert isinstance(error, ReplicationError)
    mortal.begin()
    with writing(system, "t", (9,)):
        time.sleep(0.3)
    system.finish()
