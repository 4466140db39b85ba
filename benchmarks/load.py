"""Load of a table into the event store, beside COPY to nowhere and other extractors."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Target, throughput
from benchmarks.measure.runs import Run, Timed, by_turns, run_together
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import catalog, fill, opened, prepared, sample_server
from replication_assets.catalog import Catalog
from replication_assets.demo.postgres_binaries import debian_binaries
from replication_assets.flows.load import load_range
from replication_assets.replication import Replication

ROWS = {"order_events": (1_000_000, 4_000), "orders": (500_000, 4_000)}


def measure(scale: Scale, home: Path) -> Report:
    with sample_server(home) as server:
        tables, targets = [], []
        for name, (full, short) in ROWS.items():
            rows = scale.of(full, short)
            fill(server, name, rows)
            paths = {
                "COPY to nowhere, 2 connections": partial(_copied, server.dsn("shop"), name, rows),
                "replication_assets, 2 id ranges": partial(_loaded, server, home, name),
            }
            runs = by_turns(paths, scale.rounds)
            limit, ours = runs.values()
            tables.append(throughput(f"{name}, {rows:,} rows", runs, next(iter(runs))))
            targets.append(
                Target.at_least(f"{name}: of COPY", 0.45, ours.rate / limit.rate, short=scale.short)
            )
    return Report("load", "Load", "To be written.", versions("pyarrow"), tuple(tables), tuple(targets))


def _copied(dsn: str, table: str, rows: int) -> Run:
    cuts = (0, rows // 2, rows)
    return run_together([partial(_copy, dsn, table, cuts[half], cuts[half + 1]) for half in (0, 1)])


def _copy(dsn: str, table: str, low: int, high: int, timed: Timed) -> int:
    query = f"COPY (SELECT * FROM {table} WHERE id > {low} AND id <= {high}) TO STDOUT (FORMAT binary)"
    command = [str(debian_binaries() / "psql"), "--dbname", dsn, "--no-psqlrc", "--command", query]
    with timed:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return high - low


_stores = iter(range(1_000))


def _loaded(server: object, home: Path, table: str) -> Run:
    from replication_assets.demo.postgres_server import PostgresServer

    assert isinstance(server, PostgresServer)
    chosen = catalog(server, home / f"store{next(_stores)}", table)
    prepared(chosen)
    return run_together([partial(_load, chosen, number) for number in (0, 1)])


def _load(chosen: Catalog, number: int, timed: Timed) -> int:
    replication = Replication(chosen)
    source, store = replication.source("shop"), replication.store()
    (table,) = opened(chosen)
    high = source.bounds(table.id, table.id_ranges.column or "").high
    with timed:
        return load_range(source, store, table, table.loads(high)[number]).rows
