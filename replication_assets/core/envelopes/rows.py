"""Changes of one table, as messages tell them, to events: whole columns at a time.

| message | events |
|---|---|
| insert, load, snapshot | `I` |
| update, key as before or old key not told | `U`, with `_before`: the old values that differ, as JSON text |
| update, another key | `D` of the old row, then `U` of the new one, at one position |
| delete | `D` with what was sent of the old row |

A column that a message does not have is null: DMS leaves nulls out. One that it has and says it did
not send (Debezium's placeholder) is in `_unchanged`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from replication_assets.core.envelopes.json_values import json_text
from replication_assets.core.envelopes.messages import Row, RowChange
from replication_assets.core.envelopes.types import ValueFormat, stored
from replication_assets.core.events import ENVELOPE, Operation, event_schema
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import TableSchema


@dataclass(slots=True)
class PlacedChange:
    """A change with its place: its number among the messages, its sequence, and the time (µs) that its
    message has for where the change itself has none."""

    number: int
    sequence: int
    sent_at: int
    change: RowChange


@dataclass(slots=True)
class _Event:
    number: int
    op: str
    sequence: int
    row: Row
    change: RowChange
    sent_at: int
    before: str | None
    unsent: tuple[str, ...]


def row_events(
    placed: Sequence[PlacedChange], schema: TableSchema, form: ValueFormat, *, epoch: int, commit: int
) -> tuple[pa.RecordBatch, frozenset[int]]:
    """Events with `event_schema(schema)`, and the numbers of messages that have none, because their
    key is missing or not of the key's type."""
    events = [event for each in placed for event in _events(each, schema)]
    unsent = any(event.unsent for event in events)
    columns, odd, keyless = [], [], np.zeros(len(events), dtype=bool)
    for column in schema.columns:
        values = [event.row.get(column.name) for event in events]
        if unsent:
            pairs = zip(values, events, strict=True)
            values = [None if column.name in event.unsent else value for value, event in pairs]
        typed, texts = stored(column, values, form)
        if column.name in schema.key:
            keyless |= typed.is_null().to_numpy(zero_copy_only=False)
        columns.append(typed)
        odd.append(texts)
    overflow = overflow_json(schema.names, odd) if any(each is not None for each in odd) else None
    rows = _batch(events, columns, overflow, schema, epoch, commit)
    if not keyless.any():
        return rows, frozenset()
    refused = frozenset(events[at].number for at in np.flatnonzero(keyless))
    return rows.filter(pa.array([event.number not in refused for event in events])), refused


def late_columns(placed: Iterable[PlacedChange], schema: TableSchema) -> dict[str, PlacedChange]:
    """Columns that the schema lacks, in the order in which they came, with the first change of each."""
    known, late = frozenset(schema.names), dict[str, PlacedChange]()
    for each in placed:
        if not each.change.row.keys() <= known:
            for name in each.change.row:
                if name not in known:
                    late.setdefault(name, each)
    return late


def _events(placed: PlacedChange, schema: TableSchema) -> Iterable[_Event]:
    change, before = placed.change, placed.change.before
    op, text, number, at = change.op, None, placed.number, placed.sent_at
    if op == "U" and before is not None:
        told = all(name in before for name in schema.key)
        if told and any(before[name] != change.row.get(name) for name in schema.key):
            yield _Event(number, Operation.DELETE.value, placed.sequence, before, change, at, None, ())
        else:
            text = _before(before, change.row)
    yield _Event(number, op, placed.sequence, change.row, change, at, text, change.unsent)


def _before(before: Row, row: Row) -> str | None:
    differing = {name: value for name, value in before.items() if row.get(name) != value}
    if not differing:
        return None
    return json_text({n: v if isinstance(v, str | None) else json_text(v) for n, v in differing.items()})


def _batch(
    events: Sequence[_Event],
    columns: Sequence[pa.Array],
    overflow: pa.StringArray | None,
    schema: TableSchema,
    epoch: int,
    commit: int,
) -> pa.RecordBatch:
    count = len(events)
    times = [
        event.sent_at if event.change.committed_at is None else event.change.committed_at for event in events
    ]
    envelope = [
        pa.array([event.op for event in events], pa.string()),
        pa.repeat(pa.scalar(epoch, pa.int32()), count),
        pa.repeat(pa.scalar(commit, pa.int64()), count),
        pa.array([event.sequence for event in events], pa.int64()),
        pa.array(times, pa.int64()).cast(ENVELOPE.field("_committed_at").type),
        pa.array([event.change.transaction for event in events], pa.int64()),
        pa.nulls(count, pa.string()),
        pa.array([list(event.unsent) or None for event in events], pa.list_(pa.string())),
        pa.array([event.before for event in events], pa.string()),
        overflow if overflow is not None else pa.nulls(count, pa.string()),
        pa.nulls(count, pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*envelope, *columns], schema=event_schema(schema))
