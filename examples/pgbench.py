"""pgbench's bank, replicated while it is open for business.

    python examples/pgbench.py [--scale 10] [--seconds 30] [--clients 4] [--loaders 2]

What happens, on a PostgreSQL 18 server that this program starts and removes again:

1. `pgbench --initialize` makes the bank: 100,000 accounts for each unit of scale.
2. `pgbench` runs its TPC-B-like script with some clients, as fast as it can, for some seconds.
3. Meanwhile one process captures changes continuously, and others load the tables by id ranges.
   `pgbench_history` has no key at all; it is declared append-only and cut by its `aid`.
4. When the bank closes, capture goes on to the last commit, every table is projected to a Delta
   table, and each is compared with its source, row for row (a multiset where there is no key).

On 2 cores shared by the server, pgbench, two loaders and the capture (scale 10, 30 seconds):

    pgbench     66,588 transactions, 2,219 a second, 1.8 ms each
    loaded      1,024,562 rows in 15 ranges in 4.9 s: 208,000 rows a second
    captured    266,352 events, which is 4 for each transaction; all but 12 before the bank closed
    projected   1,000,000 accounts in 2.2 s, 66,588 rows of history in 0.8 s; every table equal
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from replication_assets.catalog import (
    ByCount,
    ByWidth,
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    PostgresSourceConfig,
    Table,
)
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.demo import pgbench
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.capture import CaptureReceipt, FlushPolicy, capture
from replication_assets.flows.compare import source_position
from replication_assets.flows.load import LoadReceipt, load_range
from replication_assets.flows.prepare import ReplicatedTable, open_table, prepare
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.validation.validate import validate_projection, validate_source
from replication_assets.replication import Replication

TABLES = (
    Table("bank.public.pgbench_accounts", id_ranges=ByCount(8)),
    Table("bank.public.pgbench_tellers", id_ranges=ByCount(2)),
    Table("bank.public.pgbench_branches"),
    Table("bank.public.pgbench_history", append_only=True, range_column="aid", id_ranges=ByWidth(250_000)),
)


def bank_catalog(server: PostgresServer, folder: Path) -> Catalog:
    source = PostgresSourceConfig(
        "bank", host="127.0.0.1", port=server.port, database="bank", user="postgres", sslmode="disable"
    )
    return Catalog(
        event_store=EventStoreConfig(root=str(folder / "event_store")),
        sources=(source,),
        tables=TABLES,
        projections=(DeltaProjection("lake", tables=("bank.*",), root=str(folder / "lake")),),
    ).validate()


# --- steps, each of which can run in a process of its own ----------------------------------


def opened(replication: Replication) -> list[ReplicatedTable]:
    source, store = replication.source("bank"), replication.store()
    return [open_table(source, store, table) for table in replication.catalog.tables]


def load(catalog: Catalog, table: TableId, id_range: IdRange) -> LoadReceipt:
    replication = Replication(catalog)
    source, store = replication.source("bank"), replication.store()
    return load_range(source, store, open_table(source, store, catalog.table(table)), id_range)


def capture_until(catalog: Catalog, closed: Path) -> CaptureReceipt:
    """Capture until the file `closed` is there."""
    replication = Replication(catalog)
    source, store = replication.source("bank"), replication.store()
    policy = FlushPolicy(seconds=1)
    return capture(source, store, opened(replication), stop=closed.exists, policy=policy)


def capture_the_rest(replication: Replication) -> CaptureReceipt:
    source, store = replication.source("bank"), replication.store()
    return capture(source, store, opened(replication), upto=source_position(source, store).commit)


# --- the whole -----------------------------------------------------------------------------


def main(console: Console, scale: int, seconds: int, clients: int, loaders: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="replication-assets-bank-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "server", settings={"shared_buffers": "256MB"})
    try:
        with server:
            dsn = server.create_database("bank")
            pgbench.initialise(server.binaries, dsn, scale=scale)
            replication = Replication(bank_catalog(server, folder))
            prepare(replication.source("bank"), replication.store(), replication.catalog.tables)
            while_open(console, replication, server, dsn, folder, (seconds, clients, loaders))
            return compare(console, replication)
    finally:
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def while_open(
    console: Console,
    replication: Replication,
    server: PostgresServer,
    dsn: str,
    folder: Path,
    sizes: tuple[int, int, int],
) -> None:
    seconds, clients, loaders = sizes
    closed = folder / "closed"
    fresh = multiprocessing.get_context("spawn")
    runs: list[pgbench.PgbenchRun] = []

    def business() -> None:
        runs.append(pgbench.run(server.binaries, dsn, clients=clients, seconds=seconds))

    business_hours = threading.Thread(target=business)
    business_hours.start()
    with ProcessPoolExecutor(loaders + 1, mp_context=fresh) as processes:
        capturing = processes.submit(capture_until, replication.catalog, closed)
        # The history begins empty: let the bank make some.
        time.sleep(seconds / 4)
        started = time.monotonic()
        loads = [
            processes.submit(load, replication.catalog, table.id, id_range)
            for table in opened(replication)
            for id_range in table.loads(_high(replication, table))
        ]
        receipts = [each.result() for each in loads]
        took = time.monotonic() - started
        business_hours.join()
        closed.touch()
        captured = capturing.result()
    rest = capture_the_rest(replication)
    rows = sum(receipt.rows for receipt in receipts)
    events = captured.rows + rest.rows
    console.print(
        f"pgbench: {runs[0].transactions:,} transactions, {runs[0].tps:,.0f}/s, {runs[0].latency_ms:.1f} ms"
    )
    console.print(f"loaded: {rows:,} rows in {len(receipts)} ranges, {took:.1f} s, {rows / took:,.0f} rows/s")
    console.print(f"captured: {events:,} events; {rest.rows:,} of them after closing, {rest.seconds:.1f} s")


def _high(replication: Replication, table: ReplicatedTable) -> int | str | None:
    column = table.id_ranges.column
    return replication.source("bank").bounds(table.id, column).high if column else None


def compare(console: Console, replication: Replication) -> int:
    """Project every table, and hold it against its source. Returns the number of mismatches."""
    source, store = replication.source("bank"), replication.store()
    projection = replication.catalog.projections[0]
    mismatches = 0

    def catch_up(_: Position) -> None:
        capture_the_rest(replication)

    for table in opened(replication):
        target = replication.target(projection, table.id)
        started = time.monotonic()
        snapshot = store.log(table.id).snapshot()
        rows = sum(
            project_range(snapshot, table.id, target, id_range).rows for id_range in ranges_of(snapshot)
        )
        took = time.monotonic() - started
        found = validate_source(source, store, table, catch_up=catch_up)
        followed = validate_projection(store, target, table.id, projection=projection.name)
        wrong = (
            found.mismatches + followed.mismatches + len(found.late) + len([*found.wrong, *followed.wrong])
        )
        mismatches += wrong
        console.print(
            f"{table.id.name}: {rows:,} rows projected in {took:.1f} s; "
            f"source {found.rows:,}, store {followed.rows:,}: "
            f"{'equal' if not wrong else f'{wrong} MISMATCHES'}"
        )
    return mismatches


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--scale", type=int, default=10)
    options.add_argument("--seconds", type=int, default=30)
    options.add_argument("--clients", type=int, default=4)
    options.add_argument("--loaders", type=int, default=2)
    chosen = options.parse_args()
    raise SystemExit(main(Console(), chosen.scale, chosen.seconds, chosen.clients, chosen.loaders) and 1)
