"""Events to store: small tables in the shape of `stored_schema`, built without the product's writers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.core.dates import EventDates
from replication_assets.core.events import EVENT_DATE, ID_RANGE, stored_schema
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.event_store.log import DeltaEventLog
from replication_assets.event_store.snapshot import DeltaLogSnapshot

ORDERS = TableId("shop", "public", "orders")
SCHEMA = TableSchema(
    (Column("id", "bigint", pa.int64(), ordinal=1), Column("note", "text", pa.string(), ordinal=2)),
    key=("id",),
)
RANGES = IdRanges("integer", "id", (100,), 100, 1000)
DATES = EventDates(None, "day", dt.date(2026, 1, 1))
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

DEFAULTS: Mapping[str, Any] = {
    "_op": "I",
    "_epoch": 1,
    "_commit_position": 1,
    "_sequence": 1,
    "_committed_at": NOON,
    ID_RANGE: "r000000",
    EVENT_DATE: dt.date(2026, 3, 1),
}


def events(rows: Sequence[Mapping[str, Any]], schema: TableSchema = SCHEMA) -> pa.Table:
    """Rows with `DEFAULTS` where they say nothing, in `stored_schema(schema)`."""
    stored = stored_schema(schema)
    columns = [
        pa.array([{**DEFAULTS, **row}.get(field.name) for row in rows], field.type) for field in stored
    ]
    return pa.Table.from_arrays(columns, schema=stored)


def inserts(ids: Sequence[int], commit: int, **values: Any) -> pa.Table:
    """Inserts of one commit, in order."""
    rows = [
        {"id": key, "note": f"n{key}", "_commit_position": commit, "_sequence": number, **values}
        for number, key in enumerate(ids, 1)
    ]
    return events(rows)


def ready(log: DeltaEventLog, schema: TableSchema = SCHEMA) -> DeltaEventLog:
    log.ensure(schema, RANGES, DATES)
    return log


def append(log: DeltaEventLog, rows: pa.Table) -> None:
    writer = log.writer()
    writer.write(rows)
    writer.commit()


def stored_ids(log: DeltaEventLog, id_range: str = "r000000") -> list[int]:
    return sorted(log.snapshot().events(id_range).to_table()["id"].to_pylist())


def everything(snapshot: DeltaLogSnapshot) -> list[str]:
    """All rows of all ranges as text, sorted: two logs with equal lists hold equal multisets."""
    ranges: list[ds.Dataset] = [snapshot.events(key) for key in (*snapshot.range_keys(), "all")]
    return sorted(repr(row) for rows in ranges for row in rows.to_table().to_pylist())
