"""The load's way of getting a value: what the server is asked to print for each type.

Text columns are converted to UTF-8 by the server, as results of a session with that character set.
Values are passed through functions only where their own text would lose something: FLOAT prints six
digits, BIT prints bytes, and ZEROFILL prints zeros that are not stored.
"""

from __future__ import annotations

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column, TableSchema, field_of
from replication_assets.sources.mysql.connection import quoted
from replication_assets.sources.mysql.types import NativeType, from_text


def read_expression(column: Column) -> str:
    """SQL for what `types.from_text` makes the column's stored value from."""
    name, native = quoted(column.name), NativeType.parse(column.source_type)
    if native.base in ("float", "double"):
        # A double prints as the shortest text that is read back as the same bits; a column with
        # declared decimals would print no more than those.
        return f"{name} * 1e0"
    if native.base == "bit" or (native.base == "decimal" and pa.types.is_string(column.arrow)):
        return f"{name} + 0"
    return name


def loaded_schema(schema: TableSchema) -> pa.Schema:
    """What a load yields: the table's columns, then `_overflow`."""
    return pa.schema([*(field_of(c) for c in schema.columns), pa.field(OVERFLOW, pa.string())])


def loaded_batch(schema: TableSchema, stored: pa.Schema, printed: list[pa.BinaryArray]) -> pa.RecordBatch:
    """Rows from what the server printed for each column; `stored` is `loaded_schema(schema)`.

    Raises:
        DecodeError: text that is not of the column's type.
    """
    columns: list[pa.Array] = []
    odd: list[pa.StringArray | None] = []
    for column, values in zip(schema.columns, printed, strict=True):
        typed, texts = from_text(column, values)
        columns.append(typed)
        odd.append(texts)
    if any(texts is not None for texts in odd):
        overflow = overflow_json(schema.names, odd)
    else:
        overflow = pa.nulls(len(columns[0]), pa.string())
    return pa.RecordBatch.from_arrays([*columns, overflow], schema=stored)
