"""Batches of events to messages, in whichever envelope; control records stand at their places among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes import debezium_written, dms_written
from replication_assets.core.envelopes.produced import Produced, Told, key_texts
from replication_assets.core.events import COMMIT_POSITION, EPOCH, OP, SEQUENCE
from replication_assets.core.positions import Position


@dataclass(frozen=True, slots=True)
class TableEvent:
    """A truncate, or columns that changed, and when (ISO 8601)."""

    position: Position
    at: str
    change: SchemaChanged | None = None
    transaction: int | None = None


def produced(told: Told, rows: pa.Table, of_table: Sequence[TableEvent], now: str) -> list[Produced]:
    """Messages of events in their order: `rows` have `event_schema` and `MOVED`, and lack no value.

    `now` is when they are told, in ISO 8601."""
    rows = rows.combine_chunks()
    of_rows = _row_messages(told, rows, now)
    if not of_table:
        return of_rows
    found: list[Produced] = []
    waiting = sorted(of_table, key=lambda each: each.position)
    for message in of_rows:
        while waiting and waiting[0].position < message.position:
            found += _of_table(told, waiting.pop(0))
        found.append(message)
    for each in waiting:
        found += _of_table(told, each)
    return found


def _row_messages(told: Told, rows: pa.Table, now: str) -> list[Produced]:
    if not rows.num_rows:
        return []
    write = dms_written.written if told.form.envelope == "dms" else debezium_written.written
    bodies, values = write(told, rows, now)
    tombstones = told.form.tombstones and told.form.envelope == "debezium"
    places = zip(*(rows[name].to_pylist() for name in (EPOCH, COMMIT_POSITION, SEQUENCE)), strict=True)
    keys, ops = key_texts(told, values), rows[OP].to_pylist()
    found = []
    for row, (key, body, op, place) in enumerate(zip(keys, bodies.to_pylist(), ops, places, strict=True)):
        position = Position(*place)
        found.append(Produced(key, body.encode(), position, row))
        if op == "D" and tombstones:
            found.append(Produced(key, None, position, row))
    return found


def _of_table(told: Told, event: TableEvent) -> list[Produced]:
    dms = told.form.envelope == "dms"
    if event.change is not None:
        return list(dms_written.altered(told, event.change, event.at)) if dms else []
    write = dms_written.truncated if dms else debezium_written.truncated
    return [write(told, event.position, event.at, event.transaction)]
