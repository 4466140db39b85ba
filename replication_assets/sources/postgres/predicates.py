"""Which rows a slice reads, as SQL conditions that indexes can serve.

They agree with `core.id_ranges` and `core.dates`, which place the same rows from their
stored values: every row is in the slice of its range and its bucket, and in no other.
"""

from __future__ import annotations

import datetime as dt
import uuid

import pyarrow as pa

from replication_assets.core.dates import USABLE_BEFORE, USABLE_FROM, EventDates
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import Column
from replication_assets.ports import LoadSlice
from replication_assets.ports.slice_conditions import Buckets, slice_conditions
from replication_assets.sources.postgres.extent import (
    has_key,
    has_no_key,
    is_number,
    is_range_column,
    key_expression,
)
from replication_assets.sources.postgres.filters import PostgresFilters
from replication_assets.sources.postgres.quoting import identifier, literal


def row_conditions(load_slice: LoadSlice) -> str:
    """The WHERE clause of a slice; `true` for a whole table."""
    conditions = slice_conditions(
        load_slice, in_range=range_conditions, in_dates=_in_dates, filters=PostgresFilters()
    )
    return " AND ".join(conditions) or "true"


def range_conditions(column: Column, id_range: IdRange) -> list[str]:
    if id_range.lo is None and id_range.hi is None:
        return []
    if not is_range_column(column):
        raise ValueError(f"column {column.name!r} ({column.source_type}) cannot cut ranges")
    conditions = []
    if id_range.lo is not None:
        conditions.append(_compare(column, ">=", id_range.lo))
    if id_range.hi is not None:
        conditions.append(_compare(column, "<", id_range.hi))
    elif not id_range.includes_null:
        # Above a bound is not enough where a value without stored key (NaN) sorts last.
        conditions.append(has_key(column))
    if id_range.includes_null:
        return [f"({' AND '.join(conditions)} OR {has_no_key(column)})"]
    return conditions


def _compare(column: Column, operator: str, bound: Key) -> str:
    if is_number(column):
        return f"{key_expression(column)} {operator} {literal(str(int(bound)))}::pg_catalog.int8"
    text = str(bound)
    if column.source_type == "uuid":
        if _is_uuid(text):
            return f"{identifier(column.name)} {operator} {literal(text)}::pg_catalog.uuid"
        return f'{identifier(column.name)}::pg_catalog.text COLLATE "C" {operator} {literal(text)}'
    return f"{key_expression(column)} {operator} {literal(text)}"


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _in_dates(column: Column, dates: EventDates, buckets: Buckets) -> str:
    conditions = [
        f"({_date_compare(column, '>=', low)} AND {_date_compare(column, '<', high)})"
        for low, high in dates.intervals(buckets)
    ]
    if None in buckets:
        low, high = _date_compare(column, "<", USABLE_FROM), _date_compare(column, ">=", USABLE_BEFORE)
        conditions.append(f"({identifier(column.name)} IS NULL OR {low} OR {high})")
    return f"({' OR '.join(conditions)})" if conditions else "false"


def _date_compare(column: Column, operator: str, day: dt.date) -> str:
    kind = column.arrow
    if pa.types.is_date(kind):
        native = "date"
    elif pa.types.is_timestamp(kind):
        native = "timestamptz" if kind.tz else "timestamp"
    else:
        raise ValueError(f"column {column.name!r} ({column.source_type}) has no date")
    zone = "+00" if native == "timestamptz" else ""
    midnight = f"{day.isoformat()}{' 00:00:00' if native != 'date' else ''}{zone}"
    return f"{identifier(column.name)} {operator} {literal(midnight)}::pg_catalog.{native}"
