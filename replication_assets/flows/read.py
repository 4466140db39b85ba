"""Reads of the event store: the rows of a table now, at a past position, at a past time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.events import ALL_RANGES
from replication_assets.core.fold import fold_rows, row_schema
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.partials import HistoryOf
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.core.table_filters import filter_of
from replication_assets.errors import StoreError
from replication_assets.ports import EventStore, LogSnapshot


def ranges_of(snapshot: LogSnapshot) -> tuple[IdRange, ...]:
    """Id ranges that hold any event, ascending."""
    return tuple(snapshot.id_ranges.by_key(key) for key in snapshot.range_keys() if key != ALL_RANGES)


def fold_range(
    snapshot: LogSnapshot,
    table: TableId,
    id_range: IdRange,
    *,
    as_of: Position | None = None,
    baseline: Baseline | None = None,
    spill: Spill = Spill(),
    schema: TableSchema | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows of one range (`core.fold.row_schema`), now or as of a position. `schema` has some of the
    columns, the key among them, where others shall not be read.

    Raises:
        NotLoaded, NeedsReload: the range's rows cannot be known from the store.
    """
    start = baseline or baseline_of(snapshot.controls(), id_range, where=str(table), as_of=as_of)
    wanted = schema or snapshot.schema
    columns = _with_filtered(wanted, snapshot.schema, start.where)
    with engine(spill) as connection:
        rows = fold_rows(
            connection,
            # Files of older generations are not even opened.
            snapshot.events(id_range.key, after=_before(start.oldest)),
            columns,
            start,
            history_of=history_reader(snapshot),
            where=f"{table} range {id_range.key}",
            as_of=as_of,
        )
        for batch in rows:
            yield batch if columns is wanted else batch.select(row_schema(wanted).names)


def _with_filtered(wanted: TableSchema, stored: TableSchema, where: str) -> TableSchema:
    """With the columns that tell whether a row passes."""
    named = {each.column for each in filter_of(where)} - set(wanted.names)
    if not named:
        return wanted
    return replace(wanted, columns=(*wanted.columns, *(c for c in stored.columns if c.name in named)))


def _before(position: Position) -> Position:
    """Everything of a commit, the rows of a load included, is after this."""
    return Position(position.epoch, max(0, position.commit - 1)).end_of_commit()


def history_reader(snapshot: LogSnapshot) -> HistoryOf:
    """All stored events of a key, from whichever range it belongs to."""

    def history_of(key: Mapping[str, str]) -> pa.Table:
        typed = {name: pa.scalar(text).cast(snapshot.schema.column(name).arrow) for name, text in key.items()}
        column = snapshot.id_ranges.column
        where = snapshot.id_ranges.index_of(typed[column].as_py() if column in typed else None)
        condition = pc.scalar(True)
        for name, value in typed.items():
            condition = condition & (ds.field(name) == value)
        return snapshot.events(snapshot.id_ranges.at(where).key).to_table(filter=condition)

    return history_of


def read_table(
    store: EventStore, table: TableId, *, as_of: Position | dt.datetime | None = None
) -> Iterator[pa.RecordBatch]:
    """All rows of a table, range by range: now, as of a position, or as of a commit time.

    Raises:
        StoreError: nothing was captured by that time.
        NotLoaded, NeedsReload: some range's rows cannot be known as of then.
    """
    position = position_at(store, table, as_of) if isinstance(as_of, dt.datetime) else as_of
    snapshot = store.log(table).snapshot()
    for id_range in ranges_of(snapshot):
        yield from fold_range(snapshot, table, id_range, as_of=position)


def position_at(store: EventStore, table: TableId, time: dt.datetime) -> Position:
    """The greatest captured position whose commit time is at or before `time`."""
    if time.tzinfo is None:
        raise ValueError("a time without zone names no instant")
    position = store.ledger(table.source).position_at(time)
    if position is None:
        raise StoreError(
            f"nothing was captured by {time.isoformat()}",
            where=str(table),
            fix="ask for a time after the first capture",
        )
    return position.end_of_commit()
