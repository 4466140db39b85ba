"""Load of a table into the event store, beside COPY to nowhere and other extractors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.load_peers import (
    adbc_to_parquet,
    connectorx_to_parquet,
    copy_to_nowhere,
    dlt_to_parquet,
)
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Table, Target, throughput
from benchmarks.measure.runs import Run, Timed, by_turns, run_together
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import DATABASE, SOURCE, catalog, fill, opened, prepared, sample_server
from replication_assets.catalog import Catalog
from replication_assets.demo.postgres_binaries import debian_binaries
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.load import load_range
from replication_assets.replication import Replication

ABOUT = """\
Rows of PostgreSQL, by loopback, into the event store: with positions, envelope, id range and date of
each row, under an exported snapshot, committed. `order_events` has 7 columns, one of them a document of
about 300 bytes; `orders` has 20 of mixed types. The limit is `COPY (FORMAT binary)` by `psql` into
`/dev/null`; the peers write Parquet with zstd and none of the rest. Each process starts afresh; imports
and connections of peers are made before the clock starts, while a load opens its own."""
LIMIT, CONNECTORX, DLT = "COPY to nowhere, 2 connections", "connectorx, 2 partitions", "dlt, connectorx"
ADBC, OURS = "ADBC, 2 ranges in 2 processes", "replication_assets, 2 id ranges"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ratios that are promised of a table's load, and how many rows it is measured with."""

    rows: int
    of_copy: float
    of_connectorx: float
    of_dlt: float = 3.0


WANTED = {"order_events": Wanted(1_000_000, 0.45, 1.4), "orders": Wanted(500_000, 0.40, 1.3)}
SHORT_ROWS = 4_000
PEAK_MIB = 300
MOST_GROWTH = 1.25
"""A load of few rows does not come to fill its buffers."""

NOTES = """\
**Where the time goes**, in µs of the client's processor per row of `order_events`, profiled part by
part: ADBC's decoding of COPY 0.9 (libpq, which the limit has as well, is 0.3 of it), Parquet 0.9 (0.6 of
that is zstd), text of two UUIDs 0.1, envelope, id range, date and partition 0.15, and 0.1 s for each load
whatever its size: sessions, columns, structure, slot, commit (0.2 at half a million rows). Of `orders`:
ADBC 1.7, Parquet 0.7, envelope and partition 0.2.

Parquet took 1.2 before dictionaries were left out for columns whose values do not repeat (files are 4 to
15 % smaller without), and the server spent 0.2 on printing UUIDs, which is done in the client now. Batches
of 1 to 16 MiB, larger pages, and no row-group statistics (0.07, which readers prune by) changed little.

**What the limit's target would need.** Here the server sends `order_events` for 0.5 µs a row and `psql`
drops it for 0.3: 0.45 of that rate leaves 1.8 µs for everything, of which the server, ADBC and zstd take
2.1. A compiled decoder of COPY in ADBC's place might save 0.4 (an earlier prototype: 3.2 against
3.75 in all), LZ4 in place of zstd 0.35 at twice the bytes. Neither is done: the first needs a compiler or
100 MiB of one at run time, the second costs every reader for ever."""


def measure(scale: Scale, home: Path) -> Report:
    tables: list[Table] = []
    targets: list[Target] = []
    with sample_server(home) as server:
        for name in ("order_events",) if scale.short else WANTED:
            wanted = WANTED[name]
            rows = scale.of(wanted.rows, SHORT_ROWS)
            fill(server, name, rows)
            runs = by_turns(_paths(server, home, name, rows), scale.rounds)
            tables.append(throughput(f"{name}, {rows:,} rows", runs, LIMIT))
            targets += _targets(name, wanted, runs, scale)
        table, grown = _memory(server, home, scale)
    return Report(
        "load",
        "Load",
        ABOUT,
        versions("pyarrow", "adbc-driver-postgresql", "connectorx", "dlt"),
        (*tables, table),
        (*targets, grown),
        notes=NOTES,
    )


def _paths(server: PostgresServer, home: Path, table: str, rows: int) -> dict[str, Callable[[], Run]]:
    dsn, pids = server.dsn(DATABASE), [server.pid]
    url = f"postgresql://postgres@127.0.0.1:{server.port}/{DATABASE}?sslmode=disable"
    halves = [
        f"SELECT * FROM {table} WHERE id > {low} AND id <= {high}"
        for low, high in ((0, rows // 2), (rows // 2, rows))
    ]
    psql = str(debian_binaries() / "psql")

    def into(*paths: Callable[[Path, Timed], int]) -> Run:
        folder = home / f"peer{next(_numbers)}"
        try:
            return run_together([partial(path, folder) for path in paths], pids)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    copies = [partial(copy_to_nowhere, psql, dsn, half, rows // 2) for half in halves]
    return {
        LIMIT: lambda: run_together(copies, pids),
        CONNECTORX: lambda: into(partial(connectorx_to_parquet, url, table)),
        DLT: lambda: into(partial(dlt_to_parquet, url, table)),
        ADBC: lambda: into(*(partial(adbc_to_parquet, dsn, half) for half in halves)),
        OURS: partial(loaded, server, home, table, 2),
    }


_numbers = count()


def loaded(server: PostgresServer, home: Path, table: str, ranges: int, only: int | None = None) -> Run:
    """Load a table into a store of its own, its id ranges in a process each, all at the same time;
    or one of the ranges alone. The store is gone afterwards."""
    root = home / f"store{next(_numbers)}"
    chosen = catalog(server, root, table, id_ranges=ranges)
    try:
        prepared(chosen)
        numbers = range(ranges) if only is None else (only,)
        return run_together([partial(load_one_range, chosen, number) for number in numbers], [server.pid])
    finally:
        shutil.rmtree(root, ignore_errors=True)


def load_one_range(chosen: Catalog, number: int, timed: Timed) -> int:
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    (table,) = opened(chosen)
    column = table.id_ranges.column
    high = None if column is None else source.bounds(table.id, column).high
    with timed:
        return load_range(source, store, table, table.loads(high)[number]).rows


def _targets(name: str, wanted: Wanted, runs: dict[str, Run], scale: Scale) -> list[Target]:
    ours = runs[OURS]
    held = ((LIMIT, wanted.of_copy), (CONNECTORX, wanted.of_connectorx), (DLT, wanted.of_dlt))
    ratios = [
        Target.at_least(f"{name}: rows/s over {peer}", ratio, ours.rate / runs[peer].rate, short=scale.short)
        for peer, ratio in held
    ]
    what = f"{name}: peak memory of a load's process"
    return [*ratios, Target.at_most(what, PEAK_MIB, ours.peak_mib, " MiB", short=scale.short)]


def _memory(server: PostgresServer, home: Path, scale: Scale) -> tuple[Table, Target]:
    """A tenth of the rows and all of them, each in one range."""
    tenth = loaded(server, home, "order_events", 10, only=0)
    whole = loaded(server, home, "order_events", 1)
    lines = [(f"{each.rows:,}", f"{each.peak_mib:.0f}") for each in (tenth, whole)]
    grown = Target.at_most(
        "order_events: peak memory of ten times the rows",
        MOST_GROWTH,
        whole.peak_mib / tenth.peak_mib,
        " times",
        short=scale.short,
    )
    title = "Memory of one process that loads one range of order_events"
    return Table(title, ("rows", "peak MiB"), tuple(lines)), grown
