"""The source is killed, or stopped and recovered, under a load, a capture or a projection: the next run goes
on by itself, every change is there once, and the source was never told to forget what is not stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import SourceError, SourceUnavailable
from replication_assets.flows.prepare import last_mark
from replication_assets.sources.postgres.lsn import parse_lsn
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.e2e.system import SOURCE, System, audit, check_changes, system_of, wait_for
from replication_assets_tests.e2e.workers import capture_until_step, finish, start
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
ROWS = 400
BIG = "UPDATE t SET v = v + 1, pad = repeat(md5(random()::text), 20)"
"""Repeated in one transaction: pieces of it are read long before its end."""
Crash = Callable[[PostgresServer], None]


def killed(server: PostgresServer) -> None:
    server.kill()
    server.start()


def stopped_at_once(server: PostgresServer) -> None:
    server.restart(immediate=True)


@dataclass(frozen=True)
class Place:
    server: PostgresServer
    system: System


@pytest.fixture
def place(private_postgres: PrivatePostgres, tmp_path: Path) -> Place:
    server = private_postgres({"logical_decoding_work_mem": "64kB"})
    server.create_database("bank")
    made = system_of(FreshDatabase(server, "bank"), tmp_path, [Table("app.public.t", id_ranges=ByWidth(200))])
    made.execute("CREATE TABLE t (id int PRIMARY KEY, v int, pad text)")
    made.execute(f"INSERT INTO t SELECT i, 0, 'x' FROM generate_series(1, {ROWS}) i")
    made.prepare()
    audit(made, "t")
    return Place(server, made)


def changed(system: System) -> None:
    system.execute(
        "UPDATE t SET v = v + 1 WHERE id % 7 = 0",
        "INSERT INTO t SELECT max(id) + 1, 0, 'new' FROM t",
        "DELETE FROM t WHERE id = (SELECT min(id) FROM t)",
    )


def acknowledged_is_stored(system: System) -> None:
    """The slot stands at most one byte after the ledger's mark, and the log of the table holds it all."""
    with system.sql() as session:
        row = session.execute(
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
            (system.catalog.sources[0].slot_name,),
        ).fetchone()
    assert row is not None
    mark = last_mark(system.source, system.store.ledger(SOURCE))
    assert parse_lsn(row[0]) <= mark.commit + 1


def all_is_right(system: System) -> None:
    acknowledged_is_stored(system)
    changed(system)
    system.finish()
    acknowledged_is_stored(system)
    check_changes(system, T)


@pytest.mark.parametrize("crash", [killed, pytest.param(stopped_at_once, marks=pytest.mark.full)])
def test_a_source_that_dies_under_an_idle_capture_and_under_a_large_transaction(
    place: Place, tmp_path: Path, crash: Crash
) -> None:
    """The capture ends, told that the source is not there. What had committed comes once, what had not
    never does."""
    system = place.system
    system.load_all()
    running = start(capture_until_step, system, tmp_path / "never")
    wait_for(system, "SELECT FROM pg_replication_slots WHERE slot_name ~ '^e2e' AND active")
    changed(system)
    crash(place.server)
    finish(running, exitcode=1)
    acknowledged_is_stored(system)
    running = start(capture_until_step, system, tmp_path / "never")
    wait_for(system, "SELECT FROM pg_replication_slots WHERE slot_name ~ '^e2e' AND active")
    with system.sql(autocommit=False) as session:
        for _ in range(20):
            session.execute(BIG.encode())
        session.commit()
        session.execute(BIG.encode())
        # Decoding has begun: the transaction is many pieces long.
        crash(place.server)
        with pytest.raises(psycopg.OperationalError):
            session.commit()
    finish(running, exitcode=1)
    all_is_right(system)


@pytest.mark.full
@pytest.mark.parametrize("crash", [killed, stopped_at_once])
def test_a_source_that_dies_between_the_pieces_of_a_transaction_delivers_it_once(
    place: Place, crash: Crash
) -> None:
    """Events of its first half are in files that no commit names."""
    system = place.system
    system.load_all()
    with system.sql(autocommit=False) as session:
        for _ in range(40):
            session.execute(BIG.encode())
        session.commit()
    mark = last_mark(system.source, system.store.ledger(SOURCE))
    tables = [(each.id, each.schema) for each in system.tables()]
    opened = system.source.changes(tables, epoch=mark.epoch, after=mark.commit, upto=None, stop=lambda: False)
    with opened as stream:
        chunks = iter(stream)
        first = next(chunk for chunk in chunks if chunk.batches)
        assert first.through is None
        crash(place.server)
        with pytest.raises(SourceError):
            list(chunks)
    all_is_right(system)


@pytest.mark.full
@pytest.mark.parametrize("crash", [killed, stopped_at_once])
def test_a_source_that_dies_under_a_load_leaves_nothing_of_it(place: Place, crash: Crash) -> None:
    """The snapshot dies with the server; the load that is tried again has another one."""
    system = place.system
    holder = system.sql(autocommit=False)
    holder.execute("UPDATE t SET v = v + 1 WHERE id = 1")
    failures = list[BaseException]()

    def load() -> None:
        try:
            system.load_all()
        except SourceError as error:
            failures.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    wait_for(
        system,
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'walsender'",
    )
    crash(place.server)
    loading.join()
    holder.close()
    assert isinstance(failures[0], SourceUnavailable)
    assert system.store.log(T).snapshot().controls().loads == ()
    system.load_all()
    all_is_right(system)


@pytest.mark.full
def test_a_projection_needs_no_source(place: Place) -> None:
    system = place.system
    system.load_all()
    changed(system)
    system.capture()
    tables = system.tables()
    place.server.kill()
    for table in tables:
        system.project(table)
    place.server.start()
    all_is_right(system)


@pytest.mark.full
def test_a_source_killed_again_and_again_under_writers_loses_and_doubles_nothing(
    place: Place, tmp_path: Path
) -> None:
    system = place.system
    system.load_all()
    for turn in range(5):
        running = start(capture_until_step, system, tmp_path / "never", 0.1)
        wait_for(system, "SELECT FROM pg_replication_slots WHERE slot_name ~ '^e2e' AND active")
        for _ in range(turn * 5):
            changed(system)
        (killed if turn % 2 else stopped_at_once)(place.server)
        finish(running, exitcode=1)
        acknowledged_is_stored(system)
    all_is_right(system)
