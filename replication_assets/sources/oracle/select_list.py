"""The load's way of getting a value: what the server is asked for, for each type.

The driver's frames carry numbers of declared digits, floats, text and bytes as they are. A NUMBER without
declared digits would come as a double, a DATE before the year 1 not at all, and nanoseconds in 64 bits end
in the year 2262: these the server prints.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column, TableSchema, field_of
from replication_assets.errors import DecodeError
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.types import NativeType
from replication_assets.sources.oracle.values import from_frame

_DATE = "SYYYY-MM-DD HH24:MI:SS"


def read_expression(column: Column) -> str:
    """SQL for what `values.from_frame` makes the column's stored value from."""
    name, native = quoted(column.name), NativeType.parse(column.source_type)
    if native.family == "number":
        return name if _is_exact(native) else f"TO_CHAR({name}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')"
    if native.family == "date":
        return f"TO_CHAR({name}, '{_DATE}')"
    if native.family in ("timestamp", "local"):
        return f"TO_CHAR({name}, '{_DATE}{_fraction(native)}')"
    if native.family == "zoned":
        return f"TO_CHAR({name}, '{_DATE}{_fraction(native)} TZR TZD')"
    if native.family == "interval":
        return f"TO_CHAR({name})"
    return _PRINTED.get(native.base, "{}").format(name)


_PRINTED = {
    "ROWID": "ROWIDTOCHAR({})",
    "UROWID": "CAST({} AS VARCHAR2(4000))",
    "XMLTYPE": "XMLSERIALIZE(CONTENT {} AS CLOB)",
    "JSON": "JSON_SERIALIZE({} RETURNING CLOB)",
    "VECTOR": "FROM_VECTOR({} RETURNING CLOB)",
}


def _is_exact(native: NativeType) -> bool:
    """Whether the driver's frames hold the number as it is: declared digits, a scale among them."""
    if native.base != "NUMBER" or native.precision is None:
        return False
    return 0 <= (native.scale or 0) <= native.precision


def _fraction(native: NativeType) -> str:
    return f".FF{native.precision}" if native.precision else ""


def loaded_schema(schema: TableSchema) -> pa.Schema:
    """What a load yields: the table's columns, then `_overflow`."""
    return pa.schema([*(field_of(c) for c in schema.columns), pa.field(OVERFLOW, pa.string())])


def loaded_batch(schema: TableSchema, stored: pa.Schema, frame: pa.RecordBatch) -> pa.RecordBatch:
    """Rows from one frame of the driver; `stored` is `loaded_schema(schema)`.

    Raises:
        DecodeError: a value is not of its column's type.
    """
    if frame.num_columns != len(schema.columns):
        raise DecodeError("the answer has not the columns that were asked for")
    pairs = zip(schema.columns, frame.columns, strict=True)
    found = [from_frame(column, values) for column, values in pairs]
    typed = [values for values, _ in found]
    odd: Sequence[pa.StringArray | None] = [texts for _, texts in found]
    for name, texts in zip(schema.names, odd, strict=True):
        if texts is not None and name in schema.key:
            raise DecodeError(
                f"key column {name!r} holds what its type cannot: fractions, or too many digits",
                fix=f"ALTER TABLE ... MODIFY ({quoted(name)} NUMBER(38)), or declare another key",
            )
    if any(texts is not None for texts in odd):
        overflow = overflow_json(schema.names, odd)
    else:
        overflow = pa.nulls(frame.num_rows, pa.string())
    return pa.RecordBatch.from_arrays([*typed, overflow], schema=stored)
