"""Which rows a slice reads, as SQL conditions that indexes can serve where the types allow it.

They agree with `core.id_ranges` and `core.dates`, which place the same rows from their stored values:
every row is in the slice of its range and its bucket, and in no other. Text is compared by its bytes in
UTF-8; no collation of the server does that, so no index serves it.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

import pyarrow as pa

from replication_assets.core.dates import USABLE_BEFORE, USABLE_FROM, EventDates, is_date
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import Column
from replication_assets.ports import LoadSlice
from replication_assets.ports.slice_conditions import Buckets, key_conditions, slice_conditions
from replication_assets.sources.mysql.connection import literal, quoted
from replication_assets.sources.mysql.filters import MySqlFilters


def row_conditions(load_slice: LoadSlice) -> str:
    """The WHERE clause of a slice; `TRUE` for a whole table."""
    conditions = slice_conditions(
        load_slice, in_range=range_conditions, in_dates=_in_dates, filters=MySqlFilters()
    )
    return " AND ".join(conditions) or "TRUE"


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
    """Whether rows can be cut by it: whole numbers, and anything stored as text."""
    return is_number(column) or pa.types.is_string(column.arrow)


def is_number(column: Column) -> bool:
    kind = column.arrow
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def key_expression(column: Column) -> str:
    """SQL for a range column in the order that `core.id_ranges` cuts in."""
    name = quoted(column.name)
    if not is_number(column):
        return f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)"
    # A YEAR is compared as one: 5 would be 2005.
    return f"{name} + 0" if column.source_type.startswith("year") else name


def _bound(column: Column, bound: Key) -> str:
    if is_number(column):
        return str(int(bound))
    return f"x'{str(bound).encode().hex()}'"


def _in_dates(column: Column, dates: EventDates, buckets: Buckets) -> str:
    if not is_date(column.arrow):
        raise ValueError(f"column {column.name!r} ({column.source_type}) has no date")
    conditions = [
        f"({_within(column, low, high)} AND {_is_ordinary(column)})" for low, high in dates.intervals(buckets)
    ]
    if None in buckets:
        usable = f"{_within(column, USABLE_FROM, USABLE_BEFORE)} AND {_is_ordinary(column)}"
        conditions.append(f"({usable}) IS NOT TRUE")
    return f"({' OR '.join(conditions)})" if conditions else "FALSE"


def _is_ordinary(column: Column) -> str:
    """Zero, partial and impossible dates sort among the others, and are in no bucket: counting their
    days from year 0 and back gives NULL or another date."""
    name = quoted(column.name)
    return f"FROM_DAYS(TO_DAYS({name})) = DATE({name})"


def _within(column: Column, low: dt.date, high: dt.date) -> str:
    name = quoted(column.name)
    return f"({name} >= {_midnight(low)} AND {name} < {_midnight(high)})"


def _midnight(day: dt.date) -> str:
    return f"TIMESTAMP{literal(f'{day.isoformat()} 00:00:00')}"
