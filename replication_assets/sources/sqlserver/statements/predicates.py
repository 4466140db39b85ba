"""Which rows a slice reads, as SQL conditions that indexes can serve where the types allow it.

They agree with `core.id_ranges` and `core.dates`, which place the same rows from their stored values:
every row is in the slice of its range and its bucket, and in no other. The server orders a
uniqueidentifier by its last bytes first, and text by a collation that pads with spaces: both are compared
by the bytes of their stored text, which no index serves.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

from replication_assets.core.dates import USABLE_BEFORE, USABLE_FROM, EventDates, is_date
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import Column
from replication_assets.ports import LoadSlice
from replication_assets.ports.slice_conditions import Buckets, key_conditions, slice_conditions
from replication_assets.sources.sqlserver.statements.filters import SqlServerFilters
from replication_assets.sources.sqlserver.statements.names import hexadecimal, literal, quoted
from replication_assets.sources.sqlserver.types import NativeType, is_whole_number

EVERY_ROW = "1 = 1"
_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar"})


def row_conditions(load_slice: LoadSlice) -> str:
    """The WHERE clause of a slice; `EVERY_ROW` for a whole table."""
    conditions = slice_conditions(
        load_slice, in_range=range_conditions, in_dates=_in_dates, filters=SqlServerFilters()
    )
    return " AND ".join(conditions) or EVERY_ROW


def range_conditions(column: Column, id_range: IdRange) -> list[str]:
    """Conditions for the rows of a range; none for all rows."""
    if id_range.lo is None and id_range.hi is None:
        return []
    if not is_range_column(column):
        raise ValueError(f"column {column.name!r} ({column.source_type}) cannot cut ranges")
    return key_conditions(
        id_range,
        key_expression(column),
        bound=partial(_bound, column),
        no_key=f"{quoted(column.name)} IS NULL",
    )


def is_range_column(column: Column) -> bool:
    """Whether rows can be cut by it: whole numbers, uniqueidentifier, and text of a known length."""
    native = NativeType.parse(column.source_type)
    text = native.base in _TEXTS and native.length != -1
    return is_whole_number(column) or text or native.base == "uniqueidentifier"


def key_expression(column: Column) -> str:
    """SQL for a range column in the order that `core.id_ranges` cuts in."""
    name = quoted(column.name)
    if is_whole_number(column):
        return name
    if NativeType.parse(column.source_type).base == "uniqueidentifier":
        # Digits sort before letters in both cases, and all texts are of one length.
        return f"CAST(LOWER(CONVERT(char(36), {name})) AS varbinary(36))"
    # As varchar of this collation text is UTF-8; as binary it is compared by its bytes.
    return f"CAST(CAST({name} COLLATE Latin1_General_100_BIN2_UTF8 AS varchar(max)) AS varbinary(max))"


def _bound(column: Column, bound: Key) -> str:
    if is_whole_number(column):
        return str(int(bound))
    text = str(bound)
    if text.endswith("\0"):
        raise ValueError("a bound that ends with NUL: the server takes it for the same without")
    return hexadecimal(text.encode())


def _in_dates(column: Column, dates: EventDates, buckets: Buckets) -> str:
    if not is_date(column.arrow):
        raise ValueError(f"column {column.name!r} ({column.source_type}) has no date")
    conditions = [_within(column, low, high) for low, high in dates.intervals(buckets)]
    if None in buckets:
        conditions.append(f"({quoted(column.name)} IS NULL OR NOT {_within(column, *_USABLE)})")
        if NativeType.parse(column.source_type).may_be_odd:
            conditions.append(f"({_odd(column)})")
    return f"({' OR '.join(conditions)})" if conditions else "1 = 0"


_USABLE = (USABLE_FROM, USABLE_BEFORE)


def _odd(column: Column) -> str:
    return f"DATEPART(NANOSECOND, {quoted(column.name)}) % 1000 <> 0"


def _within(column: Column, low: dt.date, high: dt.date) -> str:
    """An odd value is null in its column, and so in the bucket of rows without a date."""
    name = quoted(column.name)
    native = NativeType.parse(column.source_type)
    parts = [f"{name} >= {_day(native, low)}", f"{name} < {_day(native, high)}"]
    if native.may_be_odd:
        parts.append(f"NOT {_odd(column)}")
    return f"({' AND '.join(parts)})"


_FIRST = {"datetime": dt.date(1753, 1, 1), "smalldatetime": dt.date(1900, 1, 1)}
_LAST = {"datetime": dt.date(9999, 12, 31), "smalldatetime": dt.date(2079, 6, 6)}


def _day(native: NativeType, day: dt.date) -> str:
    """Midnight in the column's own type, so that an index serves it. A datetime that is printed as the
    next day's first millisecond does not exist: its last is `23:59:59.997`."""
    clipped = min(max(day, _FIRST.get(native.base, day)), _LAST.get(native.base, day))
    if native.base == "smalldatetime" and clipped != day and clipped == _LAST["smalldatetime"]:
        return "CAST(N'9999-01-01' AS datetime2(0))"
    return f"CAST({literal(clipped.isoformat())} AS {native.name})"
