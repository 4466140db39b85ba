"""Events put together from their parts: rows a load read, control events, partition columns."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from replication_assets.core import events as ev
from replication_assets.core.controls import RangeReplaced, SchemaChanged
from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema


def read_events(
    batch: pa.RecordBatch, schema: TableSchema, position: Position, load_id: str, taken_at: dt.datetime
) -> pa.Table:
    """`R` events of a batch that a load read: the table's columns and `_overflow`, in any order."""
    constants = {
        ev.OP: ev.Operation.READ.value,
        ev.EPOCH: position.epoch,
        ev.COMMIT_POSITION: position.commit,
        ev.SEQUENCE: position.sequence,
        ev.COMMITTED_AT: taken_at,
        ev.LOAD_ID: load_id,
    }
    wanted = ev.event_schema(schema)
    columns = []
    for field in wanted:
        if field.name in constants:
            columns.append(pa.repeat(pa.scalar(constants[field.name], field.type), batch.num_rows))
        elif field.name in batch.schema.names:
            columns.append(batch.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=wanted)


def place(rows: pa.Table, id_ranges: IdRanges, event_dates: EventDates) -> pa.Table:
    """Row events with the two partition columns that say where they belong."""
    placed = rows.append_column(pa.field(ev.ID_RANGE, pa.string()), id_ranges.assign_rows(rows))
    return placed.append_column(pa.field(ev.EVENT_DATE, pa.date32()), event_dates.event_date(rows))


def load_complete(control: RangeReplaced, schema: TableSchema, taken_at: dt.datetime) -> pa.Table:
    """The `X` event of a finished load."""
    return _control(
        ev.Operation.RANGE_REPLACED,
        control.position,
        schema,
        taken_at,
        load_id=control.load_id,
        body=control.body(),
    )


def schema_changed(control: SchemaChanged, schema: TableSchema, at: dt.datetime) -> pa.Table:
    """The `S` event of a changed schema."""
    return _control(ev.Operation.SCHEMA_CHANGED, control.position, schema, at, body=control.body())


def truncated(position: Position, schema: TableSchema, at: dt.datetime, transaction_id: int) -> pa.Table:
    """The `T` event of an emptied table."""
    return _control(ev.Operation.TRUNCATE, position, schema, at, transaction_id=transaction_id)


def _control(
    operation: ev.Operation,
    position: Position,
    schema: TableSchema,
    at: dt.datetime,
    *,
    load_id: str | None = None,
    body: str | None = None,
    transaction_id: int | None = None,
) -> pa.Table:
    row = {
        ev.OP: operation.value,
        ev.EPOCH: position.epoch,
        ev.COMMIT_POSITION: position.commit,
        ev.SEQUENCE: position.sequence,
        ev.COMMITTED_AT: at,
        ev.TRANSACTION_ID: transaction_id,
        ev.LOAD_ID: load_id,
        ev.CONTROL: body,
        ev.ID_RANGE: ev.ALL_RANGES,
        ev.EVENT_DATE: at.astimezone(dt.UTC).date(),
    }
    return pa.Table.from_pylist([row], ev.stored_schema(schema))
