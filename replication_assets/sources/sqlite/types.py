"""SQLite's declared types as the event store holds them, and how a value gets there.

SQLite stores a value of any storage class in any column (but for STRICT tables); the declared type
only asks for one. So a column's Arrow type comes from its declared type, values of the class that
it asks for are stored typed, and every other value stands in the row's `_overflow` as SQLite's own
literal of it: `12`, `1.5`, `'text'`, `X'00ff'`. Nothing is coerced.

| declared type | stored as | values that it takes |
|---|---|---|
| contains INT | int64 | integers |
| BOOLEAN, BOOL | bool | 0 and 1 |
| contains CHAR, CLOB, TEXT | string | text |
| contains BLOB | binary | blobs |
| contains REAL, FLOA, DOUB | float64 | reals |
| DATE | date32 | text `YYYY-MM-DD` |
| DATETIME, TIMESTAMP | timestamp(us) | text `YYYY-MM-DD HH:MM:SS`, with six digits of fraction or none |
| JSON, UUID, TIME | string | text |
| any other (DECIMAL, NUMERIC) | float64 | reals, and integers up to 2**53 |
| none, ANY | string | every value, as its literal |

A load and a capture hand the same Python values to `Values`, so they store the same.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from replication_assets.core.schema import Column

Value: TypeAlias = int | float | str | bytes | None
Taken: TypeAlias = Callable[[Any], Any]
"""The stored value of a value, `_ODD` where the type cannot hold it."""

_ODD: Any = object()
_EXACT = 2**53
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?")


_WRITTEN = ("JSON", "UUID", "TIME")
"""Asks for a number by the rules of affinity, as all words do that none of them knows; what applications keep
there is text."""


class NotUtf8(bytes):
    """A text whose bytes are not UTF-8, as the sessions that look twice hand it out."""


def stored_type(declared: str) -> pa.DataType:
    """The Arrow type of a column, by the rules of affinity in their order."""
    name = declared.upper()
    base = name.partition("(")[0].strip()
    if base in ("BOOLEAN", "BOOL"):
        return pa.bool_()
    if base == "DATE":
        return pa.date32()
    if base in ("DATETIME", "TIMESTAMP"):
        return pa.timestamp("us")
    if "INT" in name:
        return pa.int64()
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return pa.string()
    if "BLOB" in name:
        return pa.binary()
    if base in ("", "ANY", *_WRITTEN):
        return pa.string()
    return pa.float64()


def holds_literals(column: Column) -> bool:
    """Whether the column's stored text is the literal of its value."""
    return column.source_type.upper() in ("", "ANY")


def stored(column: Column, values: Sequence[Value]) -> tuple[pa.Array, pa.StringArray | None]:
    """Stored values, null where the type cannot hold one, and the literals of those; None if there
    are none, the usual case."""
    kinds = set(map(type, values)) - {type(None)}
    plain = _plain_class(column)
    if plain is not None and kinds <= {plain}:
        return pa.array(values, column.arrow), None
    take = _taker(column)
    found = [None if value is None else take(value) for value in values]
    odd = [literal_of(v) if each is _ODD else None for v, each in zip(values, found, strict=True)]
    typed = pa.array([None if each is _ODD else each for each in found], column.arrow)
    return typed, (pa.array(odd, pa.string()) if any(odd) else None)


def texts(column: Column, values: Sequence[Value]) -> pa.StringArray:
    """Canonical texts of a column's values: of text its own where the column is one of text, of all
    else SQLite's literal; null for NULL."""
    plain = pa.types.is_string(column.arrow) and not holds_literals(column)
    if plain and set(map(type, values)) <= {str, type(None)}:
        return pa.array(values, pa.string())
    return pa.array(
        [None if v is None else v if plain and type(v) is str else literal_of(v) for v in values],
        pa.string(),
    )


def literal_of(value: Value) -> str:
    """A value as SQLite reads it back: the class is part of the text."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, NotUtf8):
        return f"CAST(X'{value.hex()}' AS TEXT)"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, float):
        if math.isinf(value):
            return "9e999" if value > 0 else "-9e999"
        return repr(value)
    if value is None:
        return "NULL"
    return str(value)


def _plain_class(column: Column) -> type | None:
    """The class whose every value the column's type holds as it is."""
    kind = column.arrow
    if holds_literals(column):
        return None
    if pa.types.is_int64(kind):
        return int
    if pa.types.is_string(kind):
        return str
    if pa.types.is_binary(kind):
        return bytes
    return float if pa.types.is_float64(kind) else None


def _taker(column: Column) -> Taken:
    kind = column.arrow
    if holds_literals(column):
        return literal_of
    if pa.types.is_boolean(kind):
        return lambda v: bool(v) if type(v) is int and v in (0, 1) else _ODD
    if pa.types.is_date(kind):
        return _date
    if pa.types.is_timestamp(kind):
        return _timestamp
    if pa.types.is_float64(kind):
        return _number
    wanted = _plain_class(column)
    return lambda v: v if type(v) is wanted else _ODD


def _number(value: Any) -> Any:
    if type(value) is float:
        return value
    return float(value) if type(value) is int and abs(value) <= _EXACT else _ODD


def _date(value: Any) -> Any:
    if type(value) is not str or not value.isascii() or not _DATE.fullmatch(value):
        return _ODD
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        return _ODD


def _timestamp(value: Any) -> Any:
    # A fraction of zeros would be printed without: two texts of one moment are kept apart.
    if (
        type(value) is not str
        or not value.isascii()
        or not _TIME.fullmatch(value)
        or value.endswith(".000000")
    ):
        return _ODD
    try:
        return dt.datetime.fromisoformat(value)
    except ValueError:
        return _ODD
