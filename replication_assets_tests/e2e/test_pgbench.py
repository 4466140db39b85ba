"""pgbench's bank under load: loaded by ranges in separate processes and captured, equal to the row."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from replication_assets.catalog import ByCount, ByWidth, Table
from replication_assets.demo import pgbench
from replication_assets.flows.read import ranges_of
from replication_assets_tests.e2e.system import System, shuffled, system_of
from replication_assets_tests.e2e.workers import capturing, load_in_parallel
from replication_assets_tests.postgres_servers import FreshDatabase

SCALE = int(os.environ.get("E2E_PGBENCH_SCALE", "1"))
SECONDS = int(os.environ.get("E2E_PGBENCH_SECONDS", "2"))

TABLES = [
    Table("app.public.pgbench_accounts", id_ranges=ByCount(4)),
    Table("app.public.pgbench_tellers", id_ranges=ByWidth(5)),
    Table("app.public.pgbench_branches", id_ranges=ByCount(1)),
    Table(
        "app.public.pgbench_history",
        # Four ranges for 1 to 100,000 accounts a scale, the last account included.
        id_ranges=ByWidth(25_000 * SCALE + 1),
        range_column="aid",
        append_only=True,
    ),
]


@dataclass(frozen=True)
class Bank:
    """A system over the bank, and the run of pgbench that is under way."""

    system: System
    running: threading.Thread


@pytest.fixture
def bank(database: FreshDatabase, tmp_path: Path) -> Iterator[Bank]:
    pgbench.initialise(database.server.binaries, database.dsn, scale=SCALE)
    system = system_of(database, tmp_path, TABLES)
    system.prepare()
    failures: list[Exception] = []

    def serve() -> None:
        try:
            pgbench.run(database.server.binaries, database.dsn, clients=4, seconds=SECONDS)
        except Exception as failure:  # noqa: BLE001  # raised below
            failures.append(failure)

    running = threading.Thread(target=serve)
    running.start()
    yield Bank(system, running)
    running.join()
    assert failures == []


def test_every_projection_equals_its_table_row_for_row(bank: Bank, tmp_path: Path) -> None:
    system = bank.system
    loads = [(table.id, each) for table in system.tables() for each in system.ranges(table)]
    with capturing(system, tmp_path):
        load_in_parallel(system, shuffled(Random(1), loads))
        bank.running.join()
    system.project()
    system.finish()
    history = system.table("pgbench_history").id
    assert len(ranges_of(system.store.log(history).snapshot())) == 4
    with system.sql() as session:
        counted = session.execute("SELECT count(*) FROM pgbench_history").fetchone()
    assert counted is not None
    assert sum(system.in_projection(history).values()) == counted[0] > 100
