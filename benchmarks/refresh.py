"""A masked refresh from an event store to a published copy, beside `pg_dump | psql` of the same rows."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import psycopg

from benchmarks.measure.machine import versions
from benchmarks.measure.processes import peak_mib
from benchmarks.measure.report import Report, Table, Target
from benchmarks.measure.runs import Run, Timed, by_turns, run, run_here
from benchmarks.measure.scale import Scale
from benchmarks.refresh_sample import REFRESH, fill, stored
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
SERVER = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
MOST_MIB = 512
REFRESHED, TENTH, DUMPED = "refresh", "refresh of a tenth", "pg_dump | psql"
ABOUT = """\
Customers with seven sensitive columns, their orders, and what happened to them: a refresh does in one
process what the command line does, from the event store to the published copy in another database of the
source's server. Beside it `pg_dump | psql` of the same tables with their keys and indexes, which neither
masks nor proves anything. Peak memory is told for all rows and for a tenth: it must not grow with them."""

NOTES = """\
Of the memory some 210 MiB are the imports (pyarrow with its datasets and pandas a half of it) and some
100 the first connections, logs and DuckDB: what a tenth of the rows takes as well. The rest comes while
chunks of 16 MiB are folded and masked. It does not come of DuckDB's limit: 256 MiB in place of 384 changed
nothing, and neither did engines that are not kept from range to range. Where the target is missed, finding
who holds it, by Arrow's pool and by DuckDB's own account at once, is what comes first. Loading opens a
session and a certificate for each chunk, one after the other: a second connection, and reading the next
chunk meanwhile, would be the next gain in time."""


def measure(scale: Scale, home: Path) -> Report:
    rows = scale.of(1_000_000, 1_000)
    server = PostgresServer(home / "data", settings=SERVER, durable=not scale.short)
    try:
        with server:
            counts = fill(server, "shop", rows)
            fill(server, "tenth", rows // 10)
            refresh = partial(_refreshed, stored(server, "shop", home / "all"))
            tenth = partial(_refreshed, stored(server, "tenth", home / "tenth"))
            dsns = server.dsn("shop"), server.dsn("shop_dumped")
            dump = partial(_dumped, server.binaries, *dsns, sum(counts.values()))
            # A refresh takes a minute or so: twice says enough.
            runs = by_turns(
                {
                    name: partial(run_here, path) if scale.short else partial(run, path, [server.pid])
                    for name, path in ((REFRESHED, refresh), (TENTH, tenth), (DUMPED, dump))
                },
                scale.of(2, 1),
            )
    finally:
        server.destroy()
    of = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return Report(
        "refresh",
        "Masked refresh",
        ABOUT,
        versions("pyarrow", "duckdb", "psycopg"),
        (_table(of, runs), _steps(runs[REFRESHED])),
        _targets(runs, short=scale.short),
        notes=NOTES,
    )


def _table(of: str, runs: dict[str, Run]) -> Table:
    dump = runs[DUMPED]
    headers = (
        *("path", "rows", "seconds", "rows/s", "time a row, of pg_dump's"),
        *("client µs/row", "server µs/row", "peak MiB"),
    )
    lines = tuple(
        (
            name,
            f"{each.rows:,}",
            f"{each.seconds:.1f}",
            f"{each.rate:,.0f}",
            f"{dump.rate / each.rate:.1f}",
            f"{each.client_micros():.1f}",
            f"{each.server_micros():.1f}",
            f"{each.peak_mib:.0f}" if name != DUMPED else "",
        )
        for name, each in runs.items()
    )
    return Table(of, headers, lines)


def _steps(refresh: Run) -> Table:
    """Of the refresh of all rows."""
    lines = tuple(
        (
            step,
            f"{refresh.figures[step]:.2f}",
            f"{refresh.rows / refresh.figures[step]:,.0f}",
            f"{refresh.figures[f'{step} client'] / refresh.rows * 1e6:.1f}",
            f"{refresh.figures[f'{step} peak']:.0f}",
        )
        for step in STEPS
    )
    return Table("Its steps", ("step", "seconds", "rows/s", "client µs/row", "peak MiB until then"), lines)


def _targets(runs: dict[str, Run], *, short: bool) -> tuple[Target, ...]:
    peak, tenth = runs[REFRESHED].peak_mib, runs[TENTH].peak_mib
    rows = runs[REFRESHED].rows
    return (
        Target.at_most(f"peak of a refresh of {rows:,} rows", MOST_MIB, peak, " MiB", short=short),
        Target.at_most("peak, of that for a tenth of the rows", 1.25, peak / tenth, short=short),
    )


def _refreshed(catalog: Catalog, timed: Timed) -> int:
    refreshing = Refreshing.of(Replication(catalog), REFRESH, who="benchmark")
    run = "benchmark"
    with timed:
        marks = [_mark()]
        plan = plan_refresh(refreshing, run=run, fresh=True)
        marks.append(_mark())
        mask_refresh(refreshing, plan, run=run)
        marks.append(_mark())
        load_refresh(refreshing, plan, run=run)
        marks.append(_mark())
        verify_refresh(refreshing, plan, run=run)
        marks.append(_mark())
        copy = publish_refresh(refreshing, plan, run=run)
        marks.append(_mark())
    for step, (before, after) in zip(STEPS, pairwise(marks), strict=True):
        timed.figures |= {
            step: after[0] - before[0],
            f"{step} client": after[1] - before[1],
            f"{step} peak": after[2],
        }
    return sum(table.rows for table in copy.tables)


def _mark() -> tuple[float, float, float]:
    """The time, the processor time of this process, and the most MiB that it held."""
    return time.perf_counter(), time.process_time(), peak_mib()


def _dumped(binaries: Path, source: str, copy: str, rows: int, timed: Timed) -> int:
    """All tables, keys and indexes included, from one database into another that is made for it."""
    with psycopg.connect(source, autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS shop_dumped")
        session.execute("CREATE DATABASE shop_dumped")
    dump = [str(binaries / "pg_dump"), "--dbname", source, "--schema=public", "--no-publications"]
    dump += [f"--table={name}" for name in ("customers", "orders", "order_events")]
    restore = [str(binaries / "psql"), "--dbname", copy, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    with timed, subprocess.Popen(dump, stdout=subprocess.PIPE) as dumping:
        subprocess.run(restore, stdin=dumping.stdout, stdout=subprocess.DEVNULL, check=True)
    if dumping.returncode != 0:
        raise RuntimeError(f"pg_dump ended with {dumping.returncode}")
    return rows
