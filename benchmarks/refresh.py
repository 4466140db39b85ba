"""Rows per second from an event store to a published, masked copy: `python benchmarks/refresh.py`.

A refresh does, in a process of its own, what the command line does: plan, mask, load, verify and publish,
into another database of the server that the source is in. Beside it stands the limit: `pg_dump | psql` of
the same tables with their keys and indexes into a fresh database of that server, which neither masks nor
proves anything. Both are run by turns; figures are medians. The most memory that the refresh's process
held is told for all rows and for a tenth of them: it must not grow with them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psycopg
import pyarrow as pa
from refresh_sample import REFRESH, fill, stored

from replication_assets.catalog import Catalog
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.publish import publish_refresh
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.verify import verify_refresh
from replication_assets.replication import Replication

STEPS = ("plan", "mask", "load", "verify", "publish")
LEAST_TENTH = 1_000
"""Rows; with fewer of them memory tells nothing."""
SERVER = {"shared_buffers": "256MB", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Refreshed:
    """One refresh: seconds by step, processor seconds of its process, and the most MiB it held."""

    seconds: Mapping[str, float] = field(hash=False)
    processor: float
    peak_mib: float
    rows: int

    @property
    def whole(self) -> float:
        return sum(self.seconds.values())


def refreshed(catalog: Catalog) -> Refreshed:
    """In a process of its own, so that its memory is the refresh's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_refresh, (catalog,))


def _refresh(catalog: Catalog) -> Refreshed:
    refreshing = Refreshing.of(Replication(catalog), REFRESH, who="benchmark")
    run = "benchmark"
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    plan = plan_refresh(refreshing, run=run, fresh=True)
    mark()
    mask_refresh(refreshing, plan, run=run)
    mark()
    load_refresh(refreshing, plan, run=run)
    mark()
    verify_refresh(refreshing, plan, run=run)
    mark()
    copy = publish_refresh(refreshing, plan, run=run)
    mark()
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = {step: after - before for step, (before, after) in zip(STEPS, pairwise(marks), strict=True)}
    rows = sum(table.rows for table in copy.tables)
    return Refreshed(seconds, used.ru_utime + used.ru_stime, _peak_mib(used.ru_maxrss), rows)


def _peak_mib(most_kib: int) -> float:
    """Linux counts what a process held before it became this program in `ru_maxrss`: its own figure
    (`VmHWM`) does not."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    own = next((line for line in lines if line.startswith("VmHWM:")), None)
    return (int(own.split()[1]) if own is not None else most_kib) / 1024


def dumped(server: PostgresServer, database: str) -> float:
    """Seconds of `pg_dump | psql` of all tables, keys and indexes included, into a fresh database."""
    copy = f"{database}_dumped"
    server.create_database(copy)
    try:
        started = time.perf_counter()
        dump = [str(server.binaries / "pg_dump"), "--dbname", server.dsn(database), "--schema=public"]
        dump += ["--no-publications", "--table=customers", "--table=orders", "--table=order_events"]
        fill = [str(server.binaries / "psql"), "--dbname", server.dsn(copy), "--quiet", "--no-psqlrc"]
        fill += ["--set=ON_ERROR_STOP=1"]
        with subprocess.Popen(dump, stdout=subprocess.PIPE) as dumping:
            subprocess.run(fill, stdin=dumping.stdout, stdout=subprocess.DEVNULL, check=True)
        if dumping.returncode != 0:
            raise RuntimeError(f"pg_dump ended with {dumping.returncode}")
        return time.perf_counter() - started
    finally:
        server.drop_database(copy)


def measured(server: PostgresServer, folder: Path, rows: int, runs: int) -> None:
    say = sys.stdout.write
    counts = fill(server, "shop", rows)
    catalog = stored(server, "shop", folder / "all")
    say(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    say(f"; medians of {runs}\n\n")
    refreshes, dumps = [], []
    for _ in range(runs):
        refreshes.append(refreshed(catalog))
        dumps.append(dumped(server, "shop"))
    _tell(refreshes, dumps, sum(counts.values()))
    peak = max(each.peak_mib for each in refreshes)
    say(f"\nmost memory of the refresh's process: {peak:.0f} MiB for {rows:,} rows")
    tenth = rows // 10
    if tenth < LEAST_TENTH:
        say("\n")
        return
    fill(server, "tenth", tenth)
    small = refreshed(stored(server, "tenth", folder / "tenth"))
    say(f", {small.peak_mib:.0f} MiB for {tenth:,}\n")


def _tell(refreshes: Sequence[Refreshed], dumps: Sequence[float], rows: int) -> None:
    say = sys.stdout.write
    say("step             seconds      rows/s\n")
    for step in STEPS:
        say(_line(step, rows, statistics.median(each.seconds[step] for each in refreshes)))
    whole = statistics.median(each.whole for each in refreshes)
    say(_line("refresh", rows, whole))
    dump = statistics.median(dumps)
    say(_line("pg_dump | psql", rows, dump))
    processor = statistics.median(each.processor for each in refreshes)
    say(f"\nthe refresh takes {whole / dump:.1f} times as long as pg_dump | psql; ")
    say(f"its process used {processor:.1f} s of the processor\n")


def _line(what: str, rows: int, seconds: float) -> str:
    return f"{what:<16} {seconds:7.2f} {rows / seconds:11,.0f}\n"


def machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    made_with = f"Python {platform.python_version()}, pyarrow {pa.__version__}"
    return f"{model or platform.machine()}, {os.cpu_count()} cores, {made_with}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=1_000_000, help="of all tables (1,000,000)")
    options.add_argument("--runs", type=int, default=3, help="of which the medians are told (3)")
    options.add_argument("--unsynced", action="store_true", help="on a server that waits for no disk")
    chosen = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="replication-assets-benchmark-"))
    # The account that a server of root runs under must get in.
    home.chmod(0o755)
    server = PostgresServer(home / "data", settings=SERVER, durable=not chosen.unsynced)
    try:
        with server:
            sys.stdout.write(f"{machine()}, PostgreSQL {_version(server)}\n")
            measured(server, home, chosen.rows, chosen.runs)
    finally:
        server.destroy()
        shutil.rmtree(home, ignore_errors=True)


def _version(server: PostgresServer) -> str:
    with psycopg.connect(server.dsn()) as session:
        return str(session.info.parameter_status("server_version"))


if __name__ == "__main__":
    main()
