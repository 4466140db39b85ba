"""The envelope of AWS DMS's Kafka target: `data`, `metadata`, `control`, `before-image`.

    {"data": {"id": 1, "name": "x"},
     "metadata": {"timestamp": "2026-06-01T12:00:00.000000Z", "record-type": "data", "operation": "load",
                  "partition-key-type": "primary-key", "schema-name": "public", "table-name": "orders",
                  "transaction-id": 4711}}

Control records tell of DDL. Columns that are added need none of them: they are seen in the data. A
renamed column or table leaves rows behind that no message tells of, so the table is stale.
"""

from __future__ import annotations

from typing import Any

from replication_assets.core.envelopes.messages import (
    Message,
    RowChange,
    TableChange,
    int64,
    microseconds,
    optional_row,
)
from replication_assets.errors import DecodeError

_OPERATIONS = {"load": "I", "insert": "I", "update": "U", "delete": "D"}
_EMPTIED = frozenset({"truncate-table", "drop-table"})
_STALE = frozenset({"rename-table", "rename-column"})
_TOLD_BY_DATA = frozenset(
    {"create-table", "add-column", "drop-column", "change-columns", "column-type-change"}
)


def decode_dms(value: Any) -> Message:
    """What a message says. Raises DecodeError for one that is not in this envelope."""
    try:
        metadata = value["metadata"]
        operation, kind = metadata["operation"], metadata["record-type"]
        schema, table = metadata["schema-name"], metadata["table-name"]
    except (KeyError, TypeError, IndexError):
        raise DecodeError("the message has no metadata as its envelope asks for") from None
    if not (type(schema) is type(table) is type(operation) is str):
        raise DecodeError("the message's metadata are no texts")
    at = microseconds(metadata.get("commit-timestamp")) or microseconds(metadata.get("timestamp"))
    if kind == "control":
        return _control(operation, schema, table, at)
    op = _OPERATIONS.get(operation)
    if kind != "data" or op is None:
        raise DecodeError("the message's record type or operation is not one that DMS documents")
    before = optional_row(value, "before-image")
    row = optional_row(value, "data") or (before if op == "D" else None)
    if row is None:
        raise DecodeError("the message has no 'data' as its envelope asks for")
    return RowChange(op, schema, table, row, before, at, int64(metadata.get("transaction-id")))  # type: ignore[arg-type]


def _control(operation: str, schema: str, table: str, at: int | None) -> Message:
    if operation in _EMPTIED:
        return TableChange("emptied", schema, table, at, f"{operation} in the topic")
    if operation in _STALE:
        return TableChange("stale", schema, table, at, f"{operation} in the topic")
    if operation in _TOLD_BY_DATA:
        return None
    raise DecodeError("the control message's operation is not one that DMS documents")
