"""Load: read an id range of a source table in full into the event store.

The rows and the `X` event that says they are complete become visible in one commit, so a
load that died half-way was never there. A re-run is a new generation beside the old one.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from replication_assets.core.assemble import load_complete, place, read_events, schema_changed
from replication_assets.core.controls import RangeReplaced, SchemaChanged
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.table_filters import RowFilter, filter_text
from replication_assets.errors import LoadBlocked
from replication_assets.failpoints import reach
from replication_assets.flows.filtered_tables import filter_change, pushed_where
from replication_assets.flows.prepare import ReplicatedTable, current_epoch, follow_schema, record_structure
from replication_assets.ports import (
    CellCount,
    ChangeSource,
    EventLog,
    EventStore,
    LoadSlice,
    SchemaDifference,
)

Progress = Callable[[int, float], None]
"""Called with rows read so far and seconds since the start; what it raises ends the load, which
was then never there."""

_PROGRESS_SECONDS = 5.0
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """What one load wrote. `cells` are its rows by event-store partition."""

    id_range: IdRange
    load_id: str
    position: Position
    taken_at: dt.datetime
    rows: int
    bytes: int
    seconds: float
    cells: tuple[CellCount, ...]


def load_range(
    source: ChangeSource,
    store: EventStore,
    table: ReplicatedTable,
    id_range: IdRange,
    *,
    dates: tuple[dt.date | None, ...] | None = None,
    progress: Progress | None = None,
    progress_seconds: float = _PROGRESS_SECONDS,
) -> LoadReceipt:
    """Read one range (of some dates only, where the table declares a date column).

    Pass the last known range `open_above()`, so that ranges that appear later are covered.

    Raises:
        SourceNotReady: the source was not prepared, or no longer is.
        LoadBlocked: transactions that do not end hold up the snapshot.
        NeedsReload: never; a load is what cures it.
    """
    started = time.monotonic()
    for _ in range(_ATTEMPTS):
        receipt = _load(source, store, table, id_range, dates, progress, progress_seconds, started)
        if receipt is not None:
            return receipt
    raise LoadBlocked(
        f"its columns changed {_ATTEMPTS} times while a load of it was opened",
        where=str(table.id),
        fix="load it again when the changes of its columns have come to an end",
    )


def _load(
    source: ChangeSource,
    store: EventStore,
    table: ReplicatedTable,
    id_range: IdRange,
    dates: tuple[dt.date | None, ...] | None,
    progress: Progress | None,
    progress_seconds: float,
    started: float,
) -> LoadReceipt | None:
    """None if the columns changed between the look at them and the snapshot: a column that was
    added and filled in between would be in neither the load nor the changes after it."""
    epoch = current_epoch(source, store)
    log, schema, change = follow_schema(source, store, table, epoch)
    record_structure(source, store, table.id)
    load_id, where = _new_load_id(), pushed_where(source, table.declared, schema)
    row_filter = RowFilter(where, str(table.id))
    request = LoadSlice(table.id, schema, table.id_ranges.column, id_range, table.event_dates, dates, where)
    writer = log.writer()
    try:
        with source.load(request) as stream:
            if not _same(stream.columns, schema):
                writer.abort()
                return None
            reach("load.opened")
            position = Position(epoch, stream.commit)
            for told in _told(log, table, change, position):
                writer.write(schema_changed(told, schema, stream.taken_at))
            rows = size = 0
            reported = time.monotonic()
            # The source may read more than what passes.
            for batch in map(row_filter.kept, stream):
                events = read_events(batch, schema, position, load_id, stream.taken_at)
                writer.write(place(events, table.id_ranges, table.event_dates))
                reach("load.read")
                rows, size = rows + batch.num_rows, size + batch.nbytes
                if progress and time.monotonic() - reported >= progress_seconds:
                    reported = time.monotonic()
                    progress(rows, reported - started)
            taken_at = stream.taken_at
        done = RangeReplaced(position, load_id, id_range.lo, id_range.hi, rows, dates, filter_text(where))
        writer.write(load_complete(done, schema, taken_at))
        reach("load.finished")
        cells = writer.commit()
        reach("load.committed")
    except BaseException:
        writer.abort()
        raise
    seconds = time.monotonic() - started
    return LoadReceipt(id_range, load_id, position, taken_at, rows, size, seconds, cells)


def _told(
    log: EventLog, table: ReplicatedTable, change: SchemaDifference | None, position: Position
) -> Iterator[SchemaChanged]:
    """What the log is to say beside the rows: changed columns, and a filter that it does not note yet."""
    if change is not None:
        yield change.at(position)
    filtered = filter_change(log.snapshot().controls(), table.declared, position)
    if filtered is not None:
        yield filtered


def _new_load_id() -> str:
    """Ids of later loads sort later, and after those that were all random: of two loads at one position
    the later one counts. Rows beneath a view can change while the log of its source stands still."""
    return f"t{time.time_ns() // 1000:015x}{uuid.uuid4().hex[:16]}"


def _same(columns: tuple[Column, ...], schema: TableSchema) -> bool:
    def shape(column: Column) -> tuple[object, ...]:
        return column.name, column.source_type, column.arrow, column.ordinal

    return {shape(column) for column in columns} == {shape(column) for column in schema.columns}
