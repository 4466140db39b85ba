"""What latency is measured with: a table whose every change is numbered, a writer that keeps a rate
and notes when each change was committed, and a reader that notes when it has each in hand.

Clocks are the machine's monotonic one, which its processes share.
"""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow.parquet as pq
from deltalake import DeltaTable

from benchmarks.postgres_sample import DATABASE, SOURCE, catalog, prepared, session
from replication_assets.catalog import ByCount, Catalog, DeltaProjection, PostgresSourceConfig, Table
from replication_assets.declarations.sources import CaptureMode
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.flows.load import load_range
from replication_assets.replication import Replication

TABLE = "changes"
ID = f"{SOURCE}.public.{TABLE}"
INLINE, APART = "lake", "lake_apart"
TRANSACTIONS = 100
"""A second, whatever the rate of changes."""
POLL_SECONDS = 0.01
LATEST_SECONDS = 240.0
"""After the last commit: what is not readable by then is a failure."""
CATALOG_FILE_VARIABLE = "REPLICATION_ASSETS_LATENCY_CATALOG"
_STRIDE = 7919
"""A prime: updates go round the table, and meet no row twice in fewer changes than it has rows."""

Times = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


def create(server: PostgresServer, rows: int, table: str = TABLE) -> None:
    """The table with `rows` rows of about 300 bytes, none of which is a numbered change."""
    with session(server) as connection:
        connection.execute(
            f"CREATE TABLE {table} (id bigint PRIMARY KEY, number bigint, payload text)".encode()
        )
        connection.execute(
            f"INSERT INTO {table} SELECT i, 0, repeat(md5(i::text), 9)"
            f" FROM generate_series(1, {rows}) i".encode()
        )


def system(server: PostgresServer, root: Path, mode: CaptureMode, id_ranges: int = 2) -> Catalog:
    """A catalog of its own slot, store and projections: one that follows inline, one apart."""
    chosen = catalog(server, root, TABLE)
    name = f"latency_{root.name}"
    (source,) = chosen.sources
    assert isinstance(source, PostgresSourceConfig)
    return replace(
        chosen,
        sources=[replace(source, mode=mode, slot=name, publication=name)],
        tables=[Table(ID, id_ranges=ByCount(id_ranges))],
        projections=[
            DeltaProjection(INLINE, tables=[ID], root=str(root / INLINE), follow="inline"),
            *([DeltaProjection(APART, tables=[ID], root=str(root / APART))] if mode == "micro-batch" else []),
        ],
    ).validate()


def from_environment() -> Catalog:
    """For a Dagster daemon: the catalog that the measuring process left in a file."""
    found = pickle.loads(Path(os.environ[CATALOG_FILE_VARIABLE]).read_bytes())
    assert isinstance(found, Catalog)
    return found


def load(chosen: Catalog) -> None:
    """Make slot and logs, and load all ranges."""
    (table,) = prepared(chosen)
    replication = Replication(chosen)
    source, store = replication.source(SOURCE), replication.store()
    for id_range in table.loads(source.bounds(table.id, table.id_ranges.column or "").high):
        load_range(source, store, table, id_range)


@dataclass(frozen=True, slots=True)
class Work:
    """Changes from number `first` on, for some seconds. `inserts` of every ten are new rows, the
    others update any of `base` rows."""

    first: int
    rate: int
    seconds: int
    base: int
    inserts: int = 4
    table: str = TABLE

    @property
    def count(self) -> int:
        return self.rate * self.seconds

    def ids(self, numbers: Numbers) -> Numbers:
        """The rows that these changes insert or update."""
        updated = numbers % 10 < 10 - self.inserts
        return np.where(updated, 1 + numbers * _STRIDE % self.base, self.base + numbers)


def write(dsn: str, work: Work, told: Queue[Times], newest: Synchronized[int] | None = None) -> None:
    """Commit at the rate; tells when each change was committed, and meanwhile the `newest` that was."""
    at = np.empty(work.count)
    per_second = min(TRANSACTIONS, work.rate)
    each = work.rate // per_second
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Else a plan may hash the whole table for ten rows.
        connection.execute("SET enable_hashjoin = off; SET enable_mergejoin = off")
        begun = time.monotonic()
        for number in range(work.count // each):
            time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
            first = work.first + number * each
            connection.execute(_statement(work, first, first + each - 1))
            at[number * each : (number + 1) * each] = time.monotonic()
            if newest is not None:
                newest.value = first + each - 1
    told.put(at)


def _statement(work: Work, first: int, last: int) -> bytes:
    """One transaction."""
    numbers = f"generate_series({first}::bigint, {last}::bigint) g"
    updates = 10 - work.inserts
    return (
        f"INSERT INTO {work.table} SELECT {work.base} + g, g, repeat(md5(g::text), 9) FROM {numbers}"
        f" WHERE g % 10 >= {updates};"
        f"UPDATE {work.table} SET number = g, payload = repeat(md5(g::text), 9) FROM {numbers}"
        f" WHERE g % 10 < {updates} AND id = 1 + g * {_STRIDE} % {work.base}"
    ).encode()


class Reader:
    """Reads what is new in a Delta table, as anybody would: version by version, file by file."""

    def __init__(self, projection: DeltaProjection, work: Work) -> None:
        root = Path(projection.root)
        self._uri = next(log.parent for log in root.rglob("_delta_log"))
        self._table = DeltaTable(str(self._uri))
        self._known = set(self._files())
        self._first = work.first
        self.seen: Times = np.full(work.count, np.nan)

    def look(self) -> bool:
        """Note what became readable; whether everything has."""
        before = self._table.version()
        self._table.update_incremental()
        if self._table.version() == before:
            return False
        files = set(self._files())
        for path in files - self._known:
            numbers = pq.read_table(self._uri / path, columns=["number"])["number"].to_numpy()
            new = numbers[numbers >= self._first] - self._first
            new = new[np.isnan(self.seen[new])]
            self.seen[new] = time.monotonic()
        self._known = files
        return not np.isnan(self.seen).any()

    def _files(self) -> list[str]:
        return [str(path) for path in self._table.get_add_actions(flatten=True).column("path").to_pylist()]


def follow(readers: list[Reader], writer: BaseProcess, told: Queue[Times]) -> list[Times]:
    """Read until every reader has seen every change; seconds from commit to readable, for each."""
    deadline = float("inf")
    left = list(readers)
    while left:
        left = [reader for reader in left if not reader.look()]
        now = time.monotonic()
        deadline = deadline if writer.is_alive() else min(deadline, now + LATEST_SECONDS)
        if now > deadline:
            missing = int(np.isnan(left[0].seen).sum())
            raise RuntimeError(f"{missing} changes are not readable {LATEST_SECONDS:g} s after their commit")
        time.sleep(POLL_SECONDS)
    committed = told.get()
    return [reader.seen - committed for reader in readers]


def dsn(server: PostgresServer) -> str:
    return server.dsn(DATABASE)
