"""Growth with what is read of a source: id ranges at the same time, changes captured at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.growth_measure import Growth
from benchmarks.measure.runs import Run, Timed, median, run, run_together
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import SOURCE, catalog, fill, opened, prepared, session
from replication_assets.catalog import Catalog
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import capture
from replication_assets.flows.load import load_range
from replication_assets.replication import Replication

_WORK = b"""
CREATE OR REPLACE PROCEDURE work(first bigint, last bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. (last - first) / 100 LOOP
        INSERT INTO order_events
        SELECT i, gen_random_uuid(), now(), 1, gen_random_uuid(), now(), repeat(md5(i::text), 9)
        FROM generate_series(first + t * 100, least(last, first + t * 100 + 99)) i;
        COMMIT;
    END LOOP;
END $$
"""


def id_ranges(scale: Scale, server: PostgresServer, home: Path) -> Growth:
    """Each with as many rows, each loaded by a process of its own."""
    sizes = (1, 2) if scale.short else (1, 2, 4)
    each = scale.of(100_000, 500)
    found = Growth("id_ranges", f"Id ranges of {each:,} rows, loaded at the same time", "id ranges", sizes)
    fill(server, "order_events", sizes[-1] * each)
    for size in sizes:
        loads = median([_loaded(server, home, size, sizes[-1], turn) for turn in range(scale.rounds)])
        found.cost("load", loads.client)
        found.figure("seconds", loads.seconds)
        found.figure("rows/s", loads.rate)
        found.figure("MiB a process", loads.peak_mib)
    return found


def _loaded(server: PostgresServer, home: Path, count: int, of: int, turn: int) -> Run:
    chosen = catalog(server, home / f"ranges{count}-{turn}", "order_events", id_ranges=of)
    prepared(chosen)
    return run_together([partial(_load, chosen, number) for number in range(count)])


def _load(chosen: Catalog, number: int, timed: Timed) -> int:
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    (table,) = opened(chosen)
    high = source.bounds(table.id, table.id_ranges.column or "").high
    with timed:
        return load_range(source, store, table, table.loads(high)[number]).rows


def events(scale: Scale, server: PostgresServer, home: Path) -> Growth:
    """Transactions of 100 inserts that piled up, drained in one go by a process of its own."""
    sizes = (500, 1_000) if scale.short else (10_000, 100_000, 1_000_000)
    found = Growth("events", "Changes captured in one go", "changes", sizes)
    chosen = catalog(server, home / "events", "order_events")
    prepared(chosen)
    first = 10_000_000
    with session(server) as connection:
        connection.execute(_WORK)
        for size in sizes:
            connection.execute(b"CALL work(%d, %d)" % (first, first + size - 1))
            first += size
            drained = run(partial(_drain, chosen))
            if drained.rows != size:
                raise RuntimeError(f"{drained.rows} changes were captured of {size}")
            found.cost("capture", drained.client)
            found.figure("seconds", drained.seconds)
            found.figure("µs/change", drained.client_micros())
            found.figure("peak MiB", drained.peak_mib)
    return found


def _drain(chosen: Catalog, timed: Timed) -> int:
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    tables = opened(chosen)
    with timed:
        return capture(source, store, tables, upto=source.status().head).rows
