"""What happens to MariaDB, its network and its sessions while it is loaded and captured: a step ends soon
with an error that says so, and the next one goes on to the row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pymysql
import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.errors import SourceUnavailable
from replication_assets.ports import ChangeSource
from replication_assets.sources.mysql import MySqlSource, connection, result_rows
from replication_assets.sources.mysql.binlog import packets
from replication_assets_tests.faults.proxy import Fault, Kind, Proxy, proxy_to
from replication_assets_tests.sources.mysql.binlog.system import (
    MySqlSystem,
    audit,
    check_changes,
    mysql_system,
)
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.conftest import database as database

full = pytest.mark.full
STEP_SECONDS = 60
"""A step that has not ended by then hangs. Patience is shortened to a fraction of it."""


@dataclass(frozen=True)
class Networked(MySqlSystem):
    """A system whose source is reached through a proxy; the oracle reads it without."""

    @property
    def source(self) -> ChangeSource:
        source = super().source
        assert isinstance(source, MySqlSource)
        return replace(source, connection=replace(source.connection, connect_timeout=2))


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with proxy_to("127.0.0.1", database.server.port) as running:
        yield running


@pytest.fixture
def system(database: Database, proxy: Proxy, tmp_path: Path) -> Networked:
    """An audited table, prepared and loaded, with changes that nobody captured yet."""
    made = mysql_system(database, tmp_path, [Table(f"app.{database.name}.t", id_ranges=ByCount(1))])
    made.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO t SELECT seq, REPEAT(MD5(seq), 20) FROM seq_1_to_6000",
    )
    made.prepare()
    audit(made, "t")
    made.load_all()
    made.execute("UPDATE t SET v = REPEAT(MD5(v), 20) WHERE id % 3 = 0", "DELETE FROM t WHERE id % 100 = 0")
    through = replace(made.catalog.sources[0], port=proxy.port)
    return Networked(replace(made.catalog, sources=(through,)), made.dsn, made.port)


def fails(step: Callable[[], object]) -> SourceUnavailable:
    """The error that the step must end with, in time."""
    met: list[BaseException] = []

    def run() -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001
            met.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packets, "SILENCE_SECONDS", 1.5)
        patch.setattr(result_rows, "SILENCE_SECONDS", 0.7)
        patch.setattr(connection, "ANSWER_SECONDS", 2 - connection.STATEMENT_SECONDS)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(STEP_SECONDS)
    assert not thread.is_alive(), "the step hangs"
    assert met, "the step met no error"
    if not isinstance(met[0], SourceUnavailable):
        raise met[0]
    assert met[0].where
    return met[0]


def left_alone(system: MySqlSystem) -> None:
    """No session of ours stays on the server."""
    query = (
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
        " WHERE ID <> CONNECTION_ID() AND (COMMAND = 'Binlog Dump' OR INFO LIKE 'SELECT %` WHERE %')"
    )
    deadline = time.monotonic() + 20
    with closing(system.session()) as session, session.cursor() as cursor:
        while cursor.execute(query) and cursor.fetchall() != ((0,),):
            assert time.monotonic() < deadline, "a session of ours is still there"
            time.sleep(0.05)


def goes_on(system: MySqlSystem, proxy: Proxy) -> None:
    proxy.heal()
    left_alone(system)
    system.execute("INSERT INTO t SELECT seq, 'new' FROM seq_100001_to_100010")
    system.finish()
    check_changes(system, system.id("t"))


FAULTS = [
    pytest.param("cut", False, id="cut", marks=full),
    pytest.param("reset", False, id="reset", marks=full),
    pytest.param("freeze", False, id="freeze-one"),
    pytest.param("freeze", True, id="freeze-all", marks=full),
]
by_fault = pytest.mark.parametrize(("kind", "spread"), FAULTS)


@by_fault
def test_a_capture_inside_of_an_event(system: Networked, proxy: Proxy, kind: Kind, *, spread: bool) -> None:
    proxy.arm(Fault(kind, after=600_001, spread=spread))
    fails(system.capture)
    assert proxy.fired()
    goes_on(system, proxy)


@by_fault
def test_a_load_inside_of_a_row(system: Networked, proxy: Proxy, kind: Kind, *, spread: bool) -> None:
    proxy.arm(Fault(kind, after=1_000_001, spread=spread))
    fails(system.load_all)
    assert proxy.fired()
    goes_on(system, proxy)


def ended_by_an_administrator(system: MySqlSystem, found: str) -> threading.Thread:
    """Waits for a session of ours and ends it."""

    def end() -> None:
        asked = f"SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND {found}"
        with closing(system.session()) as session, session.cursor() as cursor:
            while not cursor.execute(asked):
                time.sleep(0.02)
            ((number,), *_) = cursor.fetchall()
            time.sleep(0.2)
            with suppress(pymysql.err.MySQLError):
                cursor.execute(f"KILL CONNECTION {number}")

    ending = threading.Thread(target=end)
    ending.start()
    return ending


def test_a_capture_that_an_administrator_ends(system: Networked, proxy: Proxy) -> None:
    ending = ended_by_an_administrator(system, "COMMAND = 'Binlog Dump'")
    fails(lambda: system.capture_until(lambda: False))
    ending.join()
    goes_on(system, proxy)
