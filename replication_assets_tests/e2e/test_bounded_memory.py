"""One transaction, however large, is captured in memory that does not grow with it.

`E2E_LARGE_ROWS=2000000` for the full size.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.e2e.workers import run
from replication_assets_tests.postgres_servers import FreshDatabase

ROWS = int(os.environ.get("E2E_LARGE_ROWS", "300000"))
MEBIBYTE = 2**20
LIMIT = 256 * MEBIBYTE

T = TableId(SOURCE, "public", "t")


def memory(which: str) -> int:
    """Bytes resident now (`VmRSS`) or at most so far (`VmHWM`). Unlike `ru_maxrss`, these do not
    count what the parent process held."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def measured_capture(system: System, report: Path) -> None:
    system.tables()
    before = memory("VmRSS")
    receipt = system.capture()
    report.write_text(f"{memory('VmHWM') - before} {receipt.seconds}")


def test_a_large_transaction_is_captured_in_bounded_memory(database: FreshDatabase, tmp_path: Path) -> None:
    ranges = ByWidth(ROWS // 4)
    system = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ranges), Table("app.public.u")])
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text, b text)", "CREATE TABLE u (id int PRIMARY KEY)"
    )
    system.prepare()
    system.load_all()
    system.execute(
        "INSERT INTO u VALUES (1)",
        "INSERT INTO t SELECT i, md5(i::text) || md5((i + 1)::text), repeat(md5(i::text), 32)"
        f" FROM generate_series(1, {ROWS}) i",
        "INSERT INTO u VALUES (2)",
    )
    report = tmp_path / "peak"
    run(measured_capture, system, report)
    used, seconds = map(float, report.read_text().split())
    print(f"{ROWS} rows in one transaction: {used / MEBIBYTE:.0f} MiB, {seconds:.1f} s")  # noqa: T201
    assert used < LIMIT
    snapshot = system.store.log(T).snapshot()
    keys = [snapshot.events(key).to_table(columns=["id"])["id"] for key in snapshot.range_keys()]
    stored = pa.chunked_array([chunk for key in keys for chunk in key.chunks])
    assert len(stored) == len(stored.unique()) == ROWS
