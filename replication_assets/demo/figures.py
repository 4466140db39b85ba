"""Figures of the sample system, read from what is durable: the event store and the lakehouse.

Lag is that of events, not of flushes: how long after its commit in the source each event was
durable, by the first line of the ledger that covers it. Both clocks are this machine's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
from deltalake import DeltaTable

from replication_assets.catalog import Catalog, DeltaProjection
from replication_assets.core.schema import TableId
from replication_assets.event_store.storage import folder_of, ledger_folder
from replication_assets.flows.read import ranges_of
from replication_assets.ports import EventStore, ProjectionTarget
from replication_assets.targets.delta.location import locate

LAG = """
WITH lags AS (
    SELECT epoch(line.recorded_at - event._committed_at) AS seconds
    FROM ({events}) event
    ASOF JOIN ledger line ON line._commit_position >= event._commit_position
)
SELECT count(*), coalesce(quantile_cont(seconds, 0.5), 0), coalesce(quantile_cont(seconds, 0.95), 0) FROM lags
"""

CHANGES = """
SELECT _committed_at, _commit_position FROM {log}
WHERE _op IN ('I', 'U', 'D') AND _committed_at BETWEEN $since AND $until
"""


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table at the end: what each side holds, and where they differ."""

    table: TableId
    source_rows: int
    events: int
    projected: Mapping[str, int]
    """Rows or items by projection."""
    mismatches: int
    load_rows_per_second: float


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from commit in the source to durable in the store, over `events`."""

    events: int
    median: float
    p95: float


def event_store_path(catalog: Catalog, table: TableId) -> str:
    return f"{catalog.event_store.root}/{folder_of(table)}"


def projection_path(projection: DeltaProjection, table: TableId) -> str:
    return locate(projection.root, table, None).uri


def stored_events(store: EventStore, table: TableId) -> int:
    """Events of every kind in a table's log."""
    snapshot = store.log(table).snapshot()
    return sum(snapshot.events(key).count_rows() for key in snapshot.range_keys())


def projected_rows(store: EventStore, target: ProjectionTarget, table: TableId) -> int:
    """Rows of a projection, by its own checkpoints."""
    checkpoints = [target.checkpoint(each.key) for each in ranges_of(store.log(table).snapshot())]
    return sum(checkpoint.rows for checkpoint in checkpoints if checkpoint is not None)


def capture_lag(
    catalog: Catalog, tables: Sequence[TableId], source: str, since: dt.datetime, until: dt.datetime
) -> Lag:
    """Of the changes that were committed from `since` to `until`."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _view(connection, "ledger", f"{catalog.event_store.root}/{ledger_folder(source)}")
        selected = []
        for number, table in enumerate(tables):
            _view(connection, f"log_{number}", event_store_path(catalog, table))
            selected.append(CHANGES.format(log=f"log_{number}"))
        query = LAG.format(events=" UNION ALL ".join(selected))
        row = connection.execute(query, {"since": since, "until": until}).fetchone()
    count, median, p95 = row or (0, 0.0, 0.0)
    return Lag(int(count), float(median), float(p95))


def _view(connection: duckdb.DuckDBPyConnection, name: str, table: str) -> None:
    """A Delta table as a view over the files of its current version."""
    connection.read_parquet(DeltaTable(table).file_uris(), union_by_name=True).create_view(name)
