"""sysbench's OLTP mix against MariaDB while its tables are loaded and captured: equal to the row."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from replication_assets.catalog import ByCount, Table
from replication_assets_tests.e2e.system import shuffled
from replication_assets_tests.e2e.workers import capturing, load_in_parallel
from replication_assets_tests.sources.mysql.binlog.system import MySqlSystem, mysql_system
from replication_assets_tests.sources.mysql.conftest import Database

ROWS = int(os.environ.get("E2E_SYSBENCH_ROWS", "1000"))
SECONDS = int(os.environ.get("E2E_SYSBENCH_SECONDS", "4"))
LOAD = ("--threads=4", f"--time={SECONDS}", "--mysql-ignore-errors=1213,1020,1205,1062")
"""Deadlocks and the like are part of the mix."""
NAMES = ("sbtest1", "sbtest2")


def sysbench(database: Database, command: str, *settings: str) -> None:
    done = subprocess.run(
        [
            "sysbench",
            "oltp_read_write",
            "--db-driver=mysql",
            f"--mysql-host={database.server.host}",
            f"--mysql-port={database.server.port}",
            f"--mysql-user={database.server.user}",
            f"--mysql-db={database.name}",
            f"--tables={len(NAMES)}",
            f"--table-size={ROWS}",
            *settings,
            command,
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


@contextmanager
def under_load(database: Database) -> Iterator[None]:
    """Reads, updates, deletes and inserts of four clients while the block runs."""
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            sysbench(
                database,
                "run",
                "--threads=4",
                f"--time={SECONDS}",
                "--mysql-ignore-errors=1213,1020,1205,1062",
            )
        except BaseException as failure:  # noqa: BLE001  # raised below
            failures.append(failure)

    running = threading.Thread(target=serve)
    running.start()
    try:
        yield
    finally:
        running.join()
    assert not failures, failures


def test_tables_under_an_oltp_mix_are_replicated_to_the_row(database: Database, tmp_path: Path) -> None:
    sysbench(database, "prepare")
    tables = [Table(f"app.{database.name}.{name}", id_ranges=ByCount(2)) for name in NAMES]
    system: MySqlSystem = mysql_system(database, tmp_path, tables)
    prepared = system.prepare()
    with under_load(database), capturing(system, tmp_path):
        loads = [(table.id, each) for table in prepared for each in system.ranges(table)]
        load_in_parallel(system, shuffled(Random(3), loads))
        system.project()
    system.finish()
    for table in prepared:
        operations = set(system.events(table.id)["_op"].to_pylist())
        assert operations >= {"I", "U", "D"}
