"""The load's way of getting a value: SELECT expressions and what follows them in Arrow.

Written to give, through a binary COPY, exactly what `types.from_text` gives from output
text. The binary reader turns `infinity` into an ordinary-looking date without a word, so
odd values are taken out by the server, in the SELECT list.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import OVERFLOW
from replication_assets.core.overflow import json_key
from replication_assets.core.schema import Column, TableSchema, field_of
from replication_assets.errors import DecodeError
from replication_assets.sources.postgres.quoting import identifier, literal

_BINARY_TEXT = re.compile(r"text|name|bpchar|character( varying)?(\(\d+\))?")
"""Types whose binary form is their text, padding of `character(n)` included."""

_CAST_PRINTS = frozenset({"uuid", "json", "jsonb", "numeric", "interval"})
"""Types whose `::text` is their output function; cheaper than `format`. With a typmod as well."""

_LOW = {"date": "0001-01-01", "timestamp": "0001-01-01 00:00:00", "timestamptz": "0001-01-01 00:00:00+00"}
_HIGH = {
    "date": "9999-12-31",
    "timestamp": "9999-12-31 23:59:59.999999",
    "timestamptz": "9999-12-31 23:59:59.999999+00",
}


def read_expression(column: Column) -> str:
    """SQL for what `to_stored` makes the column's stored value from.

    A UUID is read as 16 bytes: the server's cast to text costs it 0.1 µs, and here it takes less
    than half of that.
    """
    if column.source_type == "uuid":
        return f"{identifier(column.name)}::pg_catalog.uuid"
    return select_expression(column)


def select_expression(column: Column) -> str:
    """SQL that yields the column's stored value, a decimal as its text."""
    name = identifier(column.name)
    kind = column.arrow
    ordinary = is_ordinary(column)
    if ordinary is not None:
        value = f"{name}::pg_catalog.text" if pa.types.is_decimal(kind) else name
        return f"CASE WHEN {ordinary} THEN {value} END"
    if column.source_type == "oid":
        return f"{name}::pg_catalog.int8"
    if not pa.types.is_string(kind) or _BINARY_TEXT.fullmatch(column.source_type):
        return name
    return output_text(column)


def output_text(column: Column) -> str:
    """SQL for what the type's output function prints; SQL NULL stays NULL."""
    name = identifier(column.name)
    if column.source_type.partition("(")[0] in _CAST_PRINTS:
        return f"{name}::pg_catalog.text"
    # IS DISTINCT FROM, because a row of nulls IS NULL without being NULL.
    return f"CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {name}) END"


def overflow_expression(columns: Sequence[Column]) -> str | None:
    """SQL for the `_overflow` object, NULL in rows without odd values; None if no column
    can have any. Odd values print in ASCII without quotes: nothing needs escaping."""
    members, conditions = [], []
    for column in columns:
        ordinary = is_ordinary(column)
        if ordinary is None:
            continue
        conditions.append(f"({ordinary}) IS FALSE")
        key = literal(f'{json_key(column.name)}:"')
        text = f"{identifier(column.name)}::pg_catalog.text"
        members.append(f"CASE WHEN ({ordinary}) IS FALSE THEN {key} || {text} || '\"' END")
    if not members:
        return None
    return (
        f"CASE WHEN {' OR '.join(conditions)} "
        f"THEN '{{' || pg_catalog.concat_ws(',', {', '.join(members)}) || '}}' END"
    )


def is_ordinary(column: Column) -> str | None:
    """A condition that holds for values the stored type can hold; None if it holds them all."""
    name, kind = identifier(column.name), column.arrow
    if pa.types.is_decimal(kind):
        # NaN equals NaN here and sorts above everything; a constrained numeric has no infinity.
        return f"{name} < 'NaN'::pg_catalog.numeric"
    if pa.types.is_date(kind):
        native = "date"
    elif pa.types.is_timestamp(kind):
        native = "timestamptz" if kind.tz else "timestamp"
    else:
        return None
    return f"{name} BETWEEN {_constant(native, _LOW)} AND {_constant(native, _HIGH)}"


def _constant(native: str, bound: dict[str, str]) -> str:
    return f"{literal(bound[native])}::pg_catalog.{native}"


def loaded_schema(schema: TableSchema) -> pa.Schema:
    """What a load yields: the table's columns, then `_overflow`."""
    return pa.schema([*(field_of(c) for c in schema.columns), pa.field(OVERFLOW, pa.string())])


def to_stored(column: Column, values: pa.Array) -> pa.Array:
    """The stored value from what `read_expression` or `select_expression` read.

    Raises:
        DecodeError: the reader gave another type than asked for, or text does not fit.
    """
    kind = column.arrow
    if values.type == kind:
        return _one_nan(values) if pa.types.is_floating(kind) else values
    if column.source_type == "uuid" and isinstance(values, pa.UuidArray):
        return uuid_text(values.storage)
    if pa.types.is_decimal(kind) and pa.types.is_string(values.type):
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            raise DecodeError(f"a value of column {column.name!r} is not a {column.source_type}") from None
    raise DecodeError(
        f"column {column.name!r} ({column.source_type}) arrived as {values.type}, expected {kind}",
        fix="the table changed since its schema was read: read it again",
    )


def _one_nan(values: pa.Array) -> pa.Array:
    """Arithmetic can leave NaNs of differing bits, which print alike: make them one."""
    nan = pc.is_nan(values)
    if not pc.any(nan).as_py():
        return values
    return pc.if_else(nan, pa.scalar(math.nan, values.type), values)


_HEX_PAIRS = np.array([f"{byte:02x}".encode() for byte in range(256)]).view(np.uint16)
"""The two hex digits of each byte, as one native 16-bit integer."""

_GROUPS = ("u8", "u4", "u4", "u4", "u8", "u4")
"""The digits of a UUID without dashes, in pieces that numpy moves at once; they only carry bytes."""
_GROUP_NAMES = tuple(f"f{place}" for place in range(len(_GROUPS)))
_DIGITS = np.dtype(list(zip(_GROUP_NAMES, _GROUPS, strict=True)))
_LENGTH = 36
_TEXT: np.dtype[np.void] = np.dtype(
    {"names": _GROUP_NAMES, "formats": _GROUPS, "offsets": (0, 9, 14, 19, 24, 32), "itemsize": _LENGTH}
)
"""Where they stand in its text (RFC 9562, section 4)."""


def uuid_text(values: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """The text of UUIDs as the server prints it, from their 16 bytes; null stays null."""
    count = len(values)
    if not count:
        return pa.array([], pa.string())
    data = np.frombuffer(values.buffers()[1], np.uint8)[16 * values.offset : 16 * (values.offset + count)]
    digits = _HEX_PAIRS.take(data).view(_DIGITS)
    text = np.full(count * _LENGTH, ord("-"), np.uint8)
    for name in _GROUP_NAMES:
        text.view(_TEXT)[name] = digits[name]
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(_LENGTH)
    valid = values.is_valid().buffers()[1] if values.null_count else None
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(text), valid)
