"""Long, large and nested transactions, given up in part: what committed comes once, in bounded memory."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets_tests.e2e.system import SOURCE, System, audit, check_changes, system_of
from replication_assets_tests.e2e.workers import run
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
MANY = 500_000
MOST_MIB = 512
"""Of a worker, its libraries included."""


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByWidth(100_000))])
    made.execute("CREATE TABLE t (id int PRIMARY KEY, v int, pad text)")
    made.execute("INSERT INTO t SELECT i, 0, 'x' FROM generate_series(1, 200) i")
    made.prepare()
    return made


def test_what_was_rolled_back_to_a_savepoint_never_comes(system: System) -> None:
    """Beside a transaction that is open all the time, over two captures."""
    audit(system, "t")
    system.load_all()
    with system.sql(autocommit=False) as long:
        long.execute("UPDATE t SET v = 1 WHERE id < 10")
        long.execute("SAVEPOINT one")
        long.execute("DELETE FROM t WHERE id BETWEEN 20 AND 30")
        long.execute("ROLLBACK TO one")
        system.execute("UPDATE t SET v = 5 WHERE id = 50", "BEGIN; DELETE FROM t WHERE id > 100; ROLLBACK")
        system.capture()
        system.project()
        for number in range(70):
            # More than the 64 that a session keeps in shared memory.
            long.execute(f"SAVEPOINT s{number}".encode())
            long.execute(f"INSERT INTO t VALUES ({1000 + number}, {number})".encode())
            if number % 3 == 0:
                long.execute(f"ROLLBACK TO s{number}".encode())
        system.capture()
        assert all(row[0] < 1000 for row in system.in_store(T))
        long.commit()
    system.finish()
    check_changes(system, T)


def capture_within(system: System, most_mib: int) -> None:
    """In a process of its own, which says how much memory it ever had."""
    system.capture()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    assert peak < most_mib, f"{peak} MiB"


@pytest.mark.full
def test_a_very_large_transaction_is_captured_in_bounded_memory(system: System) -> None:
    system.load_all()
    with system.sql(autocommit=False) as large:
        large.execute(
            f"INSERT INTO t SELECT i, 0, repeat('y', 200) FROM generate_series(201, {MANY}) i".encode()
        )
        large.execute("SAVEPOINT given_up")
        large.execute(b"UPDATE t SET v = 2 WHERE id % 5 = 0")
        large.execute("ROLLBACK TO given_up")
        large.execute("DELETE FROM t WHERE id % 10 = 0")
        large.commit()
    run(capture_within, system, MOST_MIB)
    system.project()
    system.check(independently=False)
