"""Events: what a row of the event store holds beside the source table's own columns.

One event is one immutable fact about one row, except the control events `T`, `X` and `S`,
which speak of a whole table or interval of keys and live in the reserved id range `all`,
so that the fold of any single range reads them with one small partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from replication_assets.core.schema import TableId, TableSchema


class Operation(StrEnum):
    """What happened. Letters are DMS's where DMS has one."""

    READ = "R"
    """Row read by a load."""
    INSERT = "I"
    UPDATE = "U"
    DELETE = "D"
    TRUNCATE = "T"
    """Control: the whole table was emptied."""
    RANGE_REPLACED = "X"
    """Control: a load of an interval of keys is complete; keys absent from it are gone."""
    SCHEMA_CHANGED = "S"
    """Control: columns changed; `reload` in its `_control` says whether rows changed unseen."""


ALL_RANGES = "all"
"""Reserved id range of the control events."""

ID_RANGE = "_id_range"
EVENT_DATE = "_event_date"
PARTITION_BY = (ID_RANGE, EVENT_DATE)

OP = "_op"
EPOCH = "_epoch"
COMMIT_POSITION = "_commit_position"
SEQUENCE = "_sequence"
COMMITTED_AT = "_committed_at"
TRANSACTION_ID = "_transaction_id"
LOAD_ID = "_load_id"
UNCHANGED = "_unchanged"
BEFORE = "_before"
OVERFLOW = "_overflow"
CONTROL = "_control"

POSITION = (EPOCH, COMMIT_POSITION, SEQUENCE)

ENVELOPE = pa.schema(
    [
        pa.field(OP, pa.string()),
        pa.field(EPOCH, pa.int32()),
        pa.field(COMMIT_POSITION, pa.int64()),
        pa.field(SEQUENCE, pa.int64()),
        pa.field(COMMITTED_AT, pa.timestamp("us", tz="UTC")),
        pa.field(TRANSACTION_ID, pa.int64()),
        pa.field(LOAD_ID, pa.string()),
        pa.field(UNCHANGED, pa.list_(pa.string())),
        pa.field(BEFORE, pa.string()),
        pa.field(OVERFLOW, pa.string()),
        pa.field(CONTROL, pa.string()),
    ]
)
"""Columns of every event, in this order, before the source table's columns.

`_committed_at` is the source's commit time (for `R` and `X`: when the snapshot was taken).
`_load_id` is set on `R` and `X` only. `_unchanged` names columns whose value the source did
not send because it did not change (null in the typed column, and not SQL NULL). `_before`
is a JSON object of old values as canonical text, where the source gives more than the key.
`_overflow` is a JSON object of values that their typed column cannot hold. `_control` is
the JSON body of a control event (`core/controls.py`).
"""

RESERVED_COLUMNS = frozenset(ENVELOPE.names) | frozenset(PARTITION_BY)


def event_schema(table: TableSchema) -> pa.Schema:
    """Envelope, then the table's columns: the columns of an `EventBatch`."""
    return pa.schema([*ENVELOPE, *table.arrow_schema()])


def stored_schema(table: TableSchema) -> pa.Schema:
    """What the log holds: `event_schema` and the two partition columns, which come last."""
    return pa.schema(
        [*event_schema(table), pa.field(ID_RANGE, pa.string()), pa.field(EVENT_DATE, pa.date32())]
    )


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one table, in stream order. `rows` has exactly `event_schema(schema)`.

    A change of a row's key is two events at one position: `D` of the old key and `U` of the
    new one, so that each id range tells its whole story alone. For a table without a key
    every update is such a pair, with whole rows as images (`D` old, `I` new).
    """

    table: TableId
    schema: TableSchema
    rows: pa.RecordBatch
