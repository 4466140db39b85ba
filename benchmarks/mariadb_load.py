"""Load of a MariaDB table into the event store, beside the server's own dump and other extractors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.load import load_one_range
from benchmarks.mariadb_peers import (
    connectorx_to_parquet,
    dumped_to_nowhere,
    pymysql_to_parquet,
    written_by_the_server,
)
from benchmarks.mariadb_sample import Sample, catalog, fill, sample_server
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Table, Target, throughput
from benchmarks.measure.runs import Run, Timed, by_turns, run_together
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import prepared

ABOUT = """\
Rows of `order_events` in MariaDB, by loopback, into the event store: with positions, envelope, id range and
date of each row, at an exact place of the binlog, committed. Limits are the server's own ways out, each with
two connections: `SELECT INTO OUTFILE`, which is what `mariadb-dump --tab` sends and which no client and no
network slows, and `mariadb-dump` into `/dev/null`. The peers write Parquet with zstd and none of the rest."""
FILE, DUMP = "SELECT INTO OUTFILE, 2 connections", "mariadb-dump to nowhere, 2 processes"
CONNECTORX, PYMYSQL = "connectorx, 2 partitions", "pymysql, 2 ranges in 2 processes"
OURS = "replication_assets, 2 id ranges"
PEAK_MIB = 512
MOST_GROWTH = 1.25
SHORT_ROWS = 4_000
_numbers = count()


def measure(scale: Scale, home: Path) -> Report:
    rows = scale.of(1_000_000, SHORT_ROWS)
    with sample_server() as sample:
        fill(sample, rows)
        runs = by_turns(_paths(sample, home, rows), scale.rounds)
        tenth, whole = loaded(sample, home, 10, only=0), loaded(sample, home, 1)
    limit = max((FILE, DUMP), key=lambda name: runs[name].rate)
    lines = tuple((f"{each.rows:,}", f"{each.peak_mib:.0f}") for each in (tenth, whole))
    memory = Table("Memory of one process that loads one range", ("rows", "peak MiB"), lines)
    return Report(
        "mariadb_load",
        "Load from MariaDB",
        ABOUT,
        versions("pyarrow", "pymysql", "connectorx"),
        (throughput(f"order_events, {rows:,} rows", runs, limit), memory),
        _targets(runs, limit, tenth, whole, scale),
    )


def _targets(runs: dict[str, Run], limit: str, tenth: Run, whole: Run, scale: Scale) -> tuple[Target, ...]:
    ours, short = runs[OURS], scale.short
    wanted = ((CONNECTORX, 0.9), (PYMYSQL, 3.0), (limit, 0.45))
    ratios = [
        Target.at_least(f"rows/s over {peer}", ratio, ours.rate / runs[peer].rate, short=short)
        for peer, ratio in wanted
    ]
    peak = Target.at_most("peak memory of a load's process", PEAK_MIB, ours.peak_mib, " MiB", short=short)
    grown = whole.peak_mib / tenth.peak_mib
    return (
        *ratios,
        peak,
        Target.at_most("peak memory of ten times the rows", MOST_GROWTH, grown, " times", short=short),
    )


def _paths(sample: Sample, home: Path, rows: int) -> dict[str, Callable[[], Run]]:
    half = rows // 2
    halves = [f"id > {low} AND id <= {high}" for low, high in ((0, half), (half, rows))]

    def together(path: Callable[[Sample, str, int, Timed], int]) -> Run:
        return run_together([partial(path, sample, each, half) for each in halves], [sample.pid])

    def into(*paths: Callable[[Path, Timed], int]) -> Run:
        folder = home / f"peer{next(_numbers)}"
        try:
            each = [partial(path, folder / str(number)) for number, path in enumerate(paths)]
            return run_together(each, [sample.pid])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return {
        FILE: lambda: together(written_by_the_server),
        DUMP: lambda: together(dumped_to_nowhere),
        CONNECTORX: lambda: into(partial(connectorx_to_parquet, sample)),
        PYMYSQL: lambda: into(*(partial(pymysql_to_parquet, sample, each) for each in halves)),
        OURS: partial(loaded, sample, home, 2),
    }


def loaded(sample: Sample, home: Path, ranges: int, only: int | None = None) -> Run:
    """The table loaded into a store of its own, a process for each id range, all at the same time; or
    one of the ranges alone."""
    root = home / f"store{next(_numbers)}"
    chosen = catalog(sample, root, ranges)
    try:
        prepared(chosen)
        numbers = range(ranges) if only is None else (only,)
        return run_together([partial(load_one_range, chosen, number) for number in numbers], [sample.pid])
    finally:
        shutil.rmtree(root, ignore_errors=True)
