"""A table with one column of every kind, and rows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from replication_assets.core.fold import row_schema
from replication_assets.core.items.mapping import Converted, ItemMapping
from replication_assets.core.items.spec import ItemKey, Items
from replication_assets.core.schema import Column, TableSchema

COLUMNS = (
    Column("id", "bigint", pa.int64()),
    Column("name", "text", pa.string()),
    Column("total", "numeric(12,2)", pa.decimal128(12, 2)),
    Column("fine", "numeric(38,10)", pa.decimal128(38, 10)),
    Column("any_number", "numeric", pa.string()),
    Column("ratio", "double precision", pa.float64()),
    Column("small", "real", pa.float32()),
    Column("paid", "boolean", pa.bool_()),
    Column("made_at", "timestamp with time zone", pa.timestamp("us", tz="UTC")),
    Column("local_at", "timestamp without time zone", pa.timestamp("us")),
    Column("day", "date", pa.date32()),
    Column("raw", "bytea", pa.binary()),
    Column("doc", "jsonb", pa.string()),
    Column("sheet", "xml", pa.string()),
    Column("tags", "text[]", pa.string()),
)
SCHEMA = TableSchema(COLUMNS, ("id",))
PK = ItemKey("pk", "order#${id}")


def rows_of(*rows: Mapping[str, Any], schema: TableSchema = SCHEMA) -> pa.Table:
    """Rows with what is given and NULL elsewhere; the sequence of each is its number."""
    filled = [
        {"id": at, "_epoch": 0, "_commit_position": 7, "_sequence": at, **row} for at, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(filled, schema=row_schema(schema))


def only(*columns: str, **declared: Any) -> Items:
    """Items with the key and these columns as attributes."""
    unwanted = [name for name in SCHEMA.names if name not in columns]
    declared = {"partition_key": PK, "exclude": unwanted, **declared}
    return Items("shop.public.orders", "orders", **declared)


def converted(items: Items, *rows: Mapping[str, Any], schema: TableSchema = SCHEMA) -> Converted:
    return ItemMapping(items, schema).convert(rows_of(*rows, schema=schema))


def reasons(done: Converted) -> Sequence[tuple[str | None, str]]:
    """Column and reason of each refusal."""
    return [(refusal.column, refusal.reason) for refusal in done.refusals]
