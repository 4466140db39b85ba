"""sysbench, the load generator that Debian packages: its OLTP mix over a database of MariaDB."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from replication_assets_tests.sources.mysql.conftest import Database

TABLES = ("sbtest1", "sbtest2")
_MIX = ("--threads=4", "--mysql-ignore-errors=1213,1020,1205,1062")
"""Deadlocks and the like are part of the mix."""


def sysbench(database: Database, command: str, rows: int, *settings: str) -> None:
    done = subprocess.run(
        [
            "sysbench",
            "oltp_read_write",
            "--db-driver=mysql",
            f"--mysql-host={database.server.host}",
            f"--mysql-port={database.server.port}",
            f"--mysql-user={database.server.user}",
            f"--mysql-db={database.name}",
            f"--tables={len(TABLES)}",
            f"--table-size={rows}",
            *settings,
            command,
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


@contextmanager
def under_load(database: Database, rows: int, seconds: float) -> Iterator[None]:
    """Reads, updates, deletes and inserts of four clients while the block runs, for as long at least."""
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            sysbench(database, "run", rows, *_MIX, f"--time={seconds}")
        except BaseException as failure:  # noqa: BLE001  # raised below
            failures.append(failure)

    running = threading.Thread(target=serve)
    running.start()
    try:
        yield
    finally:
        running.join()
    assert not failures, failures
