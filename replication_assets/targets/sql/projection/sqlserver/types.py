"""Columns of SQL Server as projections have them, and how values get into them and out.

| carrier | column | in JSON |
|---|---|---|
| boolean, integers | bit, smallint, int, bigint | numbers |
| decimal(p, s) | decimal(p, s) | text of digits |
| float, double | real, float | two numbers, see below |
| date, timestamp | date, datetime2(6) | text |
| timestamp in UTC | datetimeoffset(6) | text |
| text | nvarchar(max), bounded in the key | text |
| binary | varbinary(max), bounded in the key | text of hex digits |

Texts compare by code points: `Latin1_General_100_BIN2`. NaN, infinity, the negative zero and numbers below
the smallest normal one are no floats here, and what OPENJSON makes of 0x00 is not documented: they stand in
`_as_text`.

A float goes in as `m * 2^e`, both whole numbers, by two powers that are normal numbers, so that every step
is exact: no page of the manual says that the text of a float becomes the nearest one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.targets.sql.projection.layout import CONTENT, CONTENT_LENGTH, Layout
from replication_assets.targets.sql.projection.sqlserver.names import quoted
from replication_assets.targets.sql.projection.values import carrier

KEY_BYTES = 1_700
"""Of a nonclustered index."""
RANGE_CHARACTERS = 191
_FIXED_BYTES = 17
"""The longest column of a key that is no text: decimal(38)."""
_LENGTH_BYTES = 8
"""DATALENGTH of a bounded value is an int, of one that is not a bigint."""
COLLATION = "COLLATE Latin1_General_100_BIN2"
LENGTH = "_key_length_"
_SIMPLE = {
    pa.bool_(): "bit",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "float",
    pa.date32(): "date",
    pa.timestamp("us"): "datetime2(6)",
    pa.timestamp("us", tz="UTC"): "datetimeoffset(6)",
}


def column_type(field: pa.Field, layout: Layout) -> str:
    """Of a column of the table, or of a staged one of the same name."""
    kind = carrier(field.type, field.name)
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if field.name == CONTENT:
        return f"char({CONTENT_LENGTH}) {COLLATION}"
    if field.name == ID_RANGE:
        return f"nvarchar({RANGE_CHARACTERS}) {COLLATION}"
    if pa.types.is_string(kind):
        size = str(key_share(layout) // 2) if field.name in layout.key else "max"
        return f"nvarchar({size}) {COLLATION}"
    if pa.types.is_binary(kind):
        return f"varbinary({key_share(layout) if field.name in layout.key else 'max'})"
    return _SIMPLE[kind]


def is_sized(layout: Layout, name: str) -> bool:
    """Whether a key column has values of different lengths, which trailing spaces or zeros hide."""
    return name != CONTENT and is_text(layout.schema.column(name).arrow)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type is unbounded unless it is in the key."""
    wide = carrier(kind, "")
    return bool(pa.types.is_string(wide) or pa.types.is_binary(wide))


def key_share(layout: Layout) -> int:
    """Bytes that each text or binary of the key may have; even, since a text has two for each unit."""
    sized = [name for name in layout.key if is_sized(layout, name)]
    rest = KEY_BYTES - _FIXED_BYTES * (len(layout.key) - len(sized)) - _LENGTH_BYTES * len(sized)
    return rest // max(len(sized), 1) // 2 * 2


def length_of(key: Sequence[str], name: str) -> str:
    """The computed column that holds the length of a key column."""
    return f"{LENGTH}{key.index(name) + 1}"


def json_columns(rows: pa.Schema) -> list[tuple[str, str]]:
    """Names and types of a row's values in JSON, in their order. Texts are unbounded here: OPENJSON cuts
    what is longer than the type that it is given, an INSERT refuses it."""
    found = []
    for at, field in enumerate(rows):
        kind = field.type
        if pa.types.is_floating(kind):
            found += [(f"m{at}", "bigint"), (f"e{at}", "smallint")]
        elif pa.types.is_decimal(kind):
            found.append((f"c{at}", f"decimal({kind.precision},{kind.scale})"))
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            found.append((f"c{at}", "nvarchar(max)"))
        else:
            found.append((f"c{at}", _SIMPLE[kind]))
    return found


def expression(at: int, kind: pa.DataType) -> str:
    """What of a row of JSON goes into a column."""
    if pa.types.is_binary(kind):
        return f"CONVERT(varbinary(max), r.c{at}, 2)"
    if pa.types.is_floating(kind):
        two, half = "POWER(CAST(2 AS float)", f"r.e{at} / 2"
        made = f"CAST(r.m{at} AS float) * {two}, {half}) * {two}, r.e{at} - {half})"
        return f"CAST({made} AS real)" if pa.types.is_float32(kind) else made
    return f"r.c{at}"


def selected(field: pa.Field, alias: str) -> str:
    """What the driver is asked for. It has no Arrow type for an instant with an offset."""
    name = quoted(alias, field.name)
    if pa.types.is_timestamp(field.type) and field.type.tz is not None:
        return f"CONVERT(datetime2(6), SWITCHOFFSET({name}, '+00:00'))"
    return name
