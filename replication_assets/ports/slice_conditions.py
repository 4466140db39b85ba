"""Which rows a slice has, as conditions of a database: put together the same way for all of them, so that
none forgets a part. How a part is written is the source's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeAlias

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.pushed_filters import Dialect, pushed
from replication_assets.core.schema import Column
from replication_assets.ports.source import LoadSlice

Buckets: TypeAlias = tuple[dt.date | None, ...]


def slice_conditions(
    load_slice: LoadSlice,
    *,
    in_range: Callable[[Column, IdRange], list[str]],
    in_dates: Callable[[Column, EventDates, Buckets], str],
    filters: Dialect,
) -> list[str]:
    """What every row of a slice meets: of its range, of its dates, and of the filters that the database
    compares as we do. None for a whole table.

    Raises:
        ValueError: rows are to be chosen by commit date, which no table holds.
    """
    schema = load_slice.schema
    conditions = []
    if load_slice.range_column is not None:
        conditions += in_range(schema.column(load_slice.range_column), load_slice.id_range)
    if load_slice.dates is not None:
        if load_slice.event_dates.column is None:
            raise ValueError("rows cannot be chosen by commit date: the table holds none")
        column = schema.column(load_slice.event_dates.column)
        conditions.append(in_dates(column, load_slice.event_dates, load_slice.dates))
    return [*conditions, *pushed(filters, load_slice.where, schema)]


def key_conditions(id_range: IdRange, key: str, *, bound: Callable[[Key], str], no_key: str) -> list[str]:
    """That `key` is between the bounds of a range, half-open; of the range that rows without a key are in,
    also that `no_key`. None for the range of all rows."""
    conditions = []
    if id_range.lo is not None:
        conditions.append(f"{key} >= {bound(id_range.lo)}")
    if id_range.hi is not None:
        conditions.append(f"{key} < {bound(id_range.hi)}")
    if conditions and id_range.includes_null:
        return [f"({' AND '.join(conditions)} OR {no_key})"]
    return conditions
