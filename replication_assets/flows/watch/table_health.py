"""How one table fares in the event store: what is loaded, how far it is captured, how fast."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from replication_assets.core.baseline import baseline_of
from replication_assets.core.controls import Controls, SchemaChanged
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.declarations import Table
from replication_assets.errors import NeedsReload, NotLoaded, ReplicationError
from replication_assets.flows.read import ranges_of
from replication_assets.flows.watch.readings import Readings
from replication_assets.ports import ChangeSource, EventStore, LogSnapshot


@dataclass(frozen=True, slots=True)
class TableHealth:
    """`lag_seconds` is from the source's commit to the store, None for a table that is not
    captured. `loaded`: some load or TRUNCATE tells what rows there were. Of the `ranges` that
    hold events, `waiting` have no load and `stale` need a new one. `load_rows` and `changes`
    count all events of the newest chapter."""

    table: TableId
    exists: bool = False
    loaded: bool = False
    captured: Position | None = None
    lag_seconds: float | None = None
    sla_seconds: float = 0.0
    ranges: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    stale_reason: str = ""
    load_rows: int = 0
    changes: int = 0
    load_rows_per_second: float | None = None
    changes_per_second: float | None = None
    schema_changes: tuple[SchemaChanged, ...] = ()
    error: str | None = None


def read_table_health(
    store: EventStore,
    table: Table,
    source: Callable[[], ChangeSource],
    source_lag: float | None,
    sla: float,
    readings: Readings,
    now: dt.datetime,
) -> TableHealth:
    """Read one table's log; an error of it becomes the answer."""
    try:
        log = store.log(table.id)
        if not log.exists():
            return TableHealth(table.id, sla_seconds=sla)
        snapshot = log.snapshot()
        if source_lag is not None and not _is_captured(source, snapshot, table.id, readings):
            source_lag = None
        return _read(snapshot, snapshot.controls(), table.id, source_lag, sla, readings, now)
    except ReplicationError as error:
        return TableHealth(table.id, exists=True, sla_seconds=sla, error=str(error))


def _read(
    snapshot: LogSnapshot,
    controls: Controls,
    table: TableId,
    source_lag: float | None,
    sla: float,
    readings: Readings,
    now: dt.datetime,
) -> TableHealth:
    ranges = ranges_of(snapshot)
    waiting, stale, reason = _unknown_ranges(controls, table, ranges)
    load_rows = sum(load.rows for load in controls.loads)
    changes = max(0, sum(cell.rows for cell in snapshot.counts()) - load_rows)
    at = now.timestamp()
    return TableHealth(
        table,
        True,
        bool(controls.loads or controls.truncates),
        snapshot.captured,
        source_lag,
        sla,
        tuple(id_range.key for id_range in ranges),
        waiting,
        stale,
        reason,
        load_rows,
        changes,
        readings.note_last(f"load_rows/{table}", at, load_rows),
        readings.note_last(f"changes/{table}", at, changes),
        tuple(each for each in controls.schema_changes if each.reload or each.added or each.dropped),
    )


def _is_captured(
    source: Callable[[], ChangeSource], snapshot: LogSnapshot, table: TableId, readings: Readings
) -> bool:
    """A table without changes so far is captured all the same; a view never is."""
    if snapshot.captured is not None:
        return True
    if str(table) not in readings.captured:
        readings.captured[str(table)] = source().is_captured(table)
    return readings.captured[str(table)]


def _unknown_ranges(
    controls: Controls, table: TableId, ranges: tuple[IdRange, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    waiting: list[str] = []
    stale: list[str] = []
    reason = ""
    for id_range in ranges:
        try:
            baseline_of(controls, id_range, where=str(table))
        except NotLoaded:
            waiting.append(id_range.key)
        except NeedsReload as error:
            stale.append(id_range.key)
            reason = error.what
    return tuple(waiting), tuple(stale), reason
