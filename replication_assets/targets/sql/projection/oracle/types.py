"""Columns of Oracle as projections have them, and how values get into them and out.

| carrier | column | bound as |
|---|---|---|
| boolean | NUMBER(1): there is no boolean before 23ai | a small number |
| integers, decimal(p, s) | NUMBER(5), NUMBER(10), NUMBER(19), NUMBER(p, s) | NUMBER |
| float, double | BINARY_FLOAT, BINARY_DOUBLE | the same |
| date | DATE, at midnight | DATE |
| timestamp | TIMESTAMP(6) | the same |
| timestamp in UTC | TIMESTAMP(6) WITH TIME ZONE; in the key TIMESTAMP(6): no key has zones | TIMESTAMP |
| text | CLOB; in the key VARCHAR2, bounded | LONG; VARCHAR2 |
| binary | BLOB; in the key RAW, bounded | LONG RAW; RAW |

Oracle takes an empty text for NULL, and an empty binary that is bound; it makes a zero of the negative one,
and one NaN of all. Such values stand in `_as_text`, and in a key they are refused.
"""

from __future__ import annotations

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.layout import CONTENT, CONTENT_LENGTH, Layout
from replication_assets.targets.sql.projection.oracle.names import quoted
from replication_assets.targets.sql.projection.values import carrier

KEY_BYTES = 6_000
"""Of an index in blocks of 8 KiB, which takes 6,398."""
TEXT_BYTES, RAW_BYTES = 4_000, 2_000
"""The longest VARCHAR2 and RAW of a database that is not told otherwise."""
RANGE_BYTES = 764
_FIXED_BYTES = 23
_UTC = pa.timestamp("us", tz="UTC")
_SIMPLE = {
    pa.bool_(): "NUMBER(1)",
    pa.int16(): "NUMBER(5)",
    pa.int32(): "NUMBER(10)",
    pa.int64(): "NUMBER(19)",
    pa.float32(): "BINARY_FLOAT",
    pa.float64(): "BINARY_DOUBLE",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP(6)",
    _UTC: "TIMESTAMP(6) WITH TIME ZONE",
    pa.string(): "CLOB",
    pa.binary(): "BLOB",
}


def column_type(field: pa.Field, layout: Layout) -> str:
    """Of a column of the table, or of a staged one of the same name."""
    kind = carrier(field.type, field.name)
    if pa.types.is_decimal(kind):
        return f"NUMBER({kind.precision},{kind.scale})"
    size = bounded(field.name, layout)
    if kind == _UTC and not is_zoned(field, layout):
        return _SIMPLE[pa.timestamp("us")]
    if size is not None and pa.types.is_string(kind):
        return f"VARCHAR2({size} BYTE)"
    if size is not None and pa.types.is_binary(kind):
        return f"RAW({size})"
    return _SIMPLE[kind]


def bounded(name: str, layout: Layout) -> int | None:
    """Bytes that a text or binary may have; None where it may have any, or is neither."""
    if name == CONTENT:
        return CONTENT_LENGTH
    if name == ID_RANGE:
        return RANGE_BYTES
    if name not in layout.key or not is_large(layout.schema.column(name).arrow):
        return None
    large = [each for each in layout.key if is_large(layout.schema.column(each).arrow)]
    share = (KEY_BYTES - _FIXED_BYTES * (len(layout.key) - len(large))) // len(large)
    return min(share, TEXT_BYTES if _is_text(layout.schema.column(name).arrow) else RAW_BYTES)


def is_large(kind: pa.DataType) -> bool:
    """Whether a column of this type is a LOB unless it is in the key."""
    wide = carrier(kind, "")
    return bool(pa.types.is_string(wide) or pa.types.is_binary(wide))


def is_zoned(field: pa.Field, layout: Layout) -> bool:
    """Whether its column has time zones: of instants beside the key."""
    return bool(field.type == _UTC and field.name not in layout.key)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(carrier(kind, "")))


# --- values in ------------------------------------------------------------------------------


def bound(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """In the types that the driver binds as the table above says: it takes a `large_string` for LONG."""
    arrays = [
        _bound(values, bounded(field.name, layout))
        for values, field in zip(batch.columns, batch.schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[f"c{at}" for at in range(len(arrays))])


def _bound(values: pa.Array, size: int | None) -> pa.Array:
    kind = values.type
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8())
    if pa.types.is_timestamp(kind):
        return values.view(pa.timestamp("us"))
    if size is None and pa.types.is_string(kind):
        return values.cast(pa.large_string())
    if size is None and pa.types.is_binary(kind):
        return values.cast(pa.large_binary())
    return values


def expression(at: int, field: pa.Field, layout: Layout) -> str:
    """What of the bound values goes into a column."""
    return f"FROM_TZ(:{at + 1}, '+00:00')" if is_zoned(field, layout) else f":{at + 1}"


# --- values out -------------------------------------------------------------------------------


def selected(field: pa.Field, alias: str, layout: Layout) -> str:
    """What the driver is asked for. Its timestamps have no zone."""
    name = f"{alias}.{quoted(field.name)}"
    return f"SYS_EXTRACT_UTC({name})" if is_zoned(field, layout) else name


def requested(columns: pa.Schema) -> pa.Schema:
    """The types that the driver is to give."""
    return pa.schema([pa.field(f"c{at}", _requested(field.type)) for at, field in enumerate(columns)])


def _requested(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_boolean(kind):
        return pa.int8()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    if pa.types.is_string(kind):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary(kind) else kind


def from_driver(batch: pa.RecordBatch, columns: pa.Schema, where: str) -> pa.RecordBatch:
    """A batch of the driver in carrier types.

    Raises:
        TargetError: it gives another type than was asked for. Nothing is cast to fit.
    """
    arrays = []
    for values, field in zip(batch.columns, columns, strict=True):
        if values.type != _requested(field.type) and not pa.types.is_null(values.type):
            raise TargetError(
                f"column {field.name!r} came as {values.type} instead of {field.type}",
                where=where,
                fix="somebody altered the table: reset the projection (replication-assets project --reset)",
            )
        is_instant = field.type == _UTC and pa.types.is_timestamp(values.type)
        arrays.append(values.view(field.type) if is_instant else values.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=columns)
