"""Load: read an id range of a source table in full into the event store.

The rows and the `X` event that says they are complete become visible in one commit, so a
load that died half-way was never there. A re-run is a new generation beside the old one.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from replication_assets.core.assemble import load_complete, place, read_events, schema_changed
from replication_assets.core.controls import RangeReplaced
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.flows.prepare import ReplicatedTable, current_epoch, follow_schema
from replication_assets.ports import CellCount, ChangeSource, EventStore, LoadSlice

Progress = Callable[[int, float], None]
"""Called with rows read so far and seconds since the start, about every five seconds."""

_PROGRESS_SECONDS = 5.0


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
) -> LoadReceipt:
    """Read one range (of some dates only, where the table declares a date column).

    Pass the last known range `open_above()`, so that ranges that appear later are covered.

    Raises:
        SourceNotReady: the source was not prepared, or no longer is.
        LoadBlocked: transactions that do not end hold up the snapshot.
        NeedsReload: never; a load is what cures it.
    """
    started = time.monotonic()
    epoch = current_epoch(source, store)
    log, schema, change = follow_schema(source, store, table)
    load_id = uuid.uuid4().hex
    request = LoadSlice(table.id, schema, table.id_ranges.column, id_range, table.event_dates, dates)
    writer = log.writer()
    try:
        rows = size = 0
        reported = started
        with source.load(request) as stream:
            position = Position(epoch, stream.commit)
            if change is not None:
                writer.write(schema_changed(change.at(position), schema, stream.taken_at))
            for batch in stream:
                events = read_events(batch, schema, position, load_id, stream.taken_at)
                writer.write(place(events, table.id_ranges, table.event_dates))
                rows, size = rows + batch.num_rows, size + batch.nbytes
                if progress and time.monotonic() - reported >= _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    progress(rows, reported - started)
            taken_at = stream.taken_at
        done = RangeReplaced(position, load_id, id_range.lo, id_range.hi, rows, dates)
        writer.write(load_complete(done, schema, taken_at))
        cells = writer.commit()
    except BaseException:
        writer.abort()
        raise
    seconds = time.monotonic() - started
    return LoadReceipt(id_range, load_id, position, taken_at, rows, size, seconds, cells)
