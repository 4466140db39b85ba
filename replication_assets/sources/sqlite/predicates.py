"""Which rows a slice reads, as SQL conditions that indexes can serve, and what ranges are cut from.

They agree with `core.id_ranges` and `core.dates`, which place the same rows from their stored
values. A value that its column's type cannot hold is null there, and goes where NULL goes.
"""

from __future__ import annotations

import datetime as dt
import sqlite3

import pyarrow as pa

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.pushed_filters import pushed
from replication_assets.core.schema import Column, TableId
from replication_assets.ports import KeyBounds, LoadSlice
from replication_assets.sources.sqlite.filters import SqliteFilters
from replication_assets.sources.sqlite.quoting import identifier, literal, relation
from replication_assets.sources.sqlite.types import holds_literals


def is_range_column(column: Column) -> bool:
    """Whether rows can be cut by it: integers and text."""
    text = pa.types.is_string(column.arrow) and not holds_literals(column)
    return text or bool(pa.types.is_int64(column.arrow))


def row_conditions(load_slice: LoadSlice) -> str:
    """The WHERE clause of a slice; `true` for a whole table. Dates are chosen by `in_dates`."""
    schema = load_slice.schema
    conditions = pushed(SqliteFilters(), load_slice.where, schema)
    if load_slice.range_column is not None:
        conditions.append(f"({range_condition(schema.column(load_slice.range_column), load_slice.id_range)})")
    return " AND ".join(conditions) or "true"


def range_condition(column: Column, id_range: IdRange) -> str:
    if id_range.lo is None and id_range.hi is None:
        return "true"
    if not is_range_column(column):
        raise ValueError(f"column {column.name!r} ({column.source_type}) cannot cut ranges")
    key = key_expression(column)
    parts = [_has_key(column)]
    if id_range.lo is not None:
        parts.append(f"{key} >= {_constant(id_range.lo)}")
    if id_range.hi is not None:
        parts.append(f"{key} < {_constant(id_range.hi)}")
    condition = " AND ".join(parts)
    return f"({condition} OR NOT ({_has_key(column)}))" if id_range.includes_null else condition


def bounds(session: sqlite3.Connection, table: TableId, column: Column) -> KeyBounds:
    """Smallest and greatest key, and the number of rows, which SQLite can only count."""
    where = f"FROM {relation(table)} WHERE {_has_key(column)}"
    ends = [
        session.execute(
            f"SELECT {identifier(column.name)} {where} ORDER BY {key_expression(column)} {way} LIMIT 1"
        ).fetchone()
        for way in ("ASC", "DESC")
    ]
    (rows,) = session.execute(f"SELECT count(*) FROM {relation(table)}").fetchone()
    low, high = (None if row is None else row[0] for row in ends)
    return KeyBounds(low, high, int(rows))


def quantiles(session: sqlite3.Connection, table: TableId, column: Column, parts: int) -> tuple[Key, ...]:
    """Ascending values that cut the rows into about equal parts; fewer where values repeat."""
    (rows,) = session.execute(f"SELECT count(*) FROM {relation(table)} WHERE {_has_key(column)}").fetchone()
    places = [int(rows * part / parts) for part in range(1, parts)]
    found: list[Key] = []
    query = (
        f"SELECT {identifier(column.name)} FROM {relation(table)} WHERE {_has_key(column)}"
        f" ORDER BY {key_expression(column)} LIMIT 1 OFFSET ?"
    )
    for place in places:
        row = session.execute(query, (place,)).fetchone()
        if row is not None and row[0] not in found:
            found.append(row[0])
    return tuple(found)


def in_dates(values: pa.Array, event_dates: EventDates, wanted: tuple[dt.date | None, ...]) -> pa.Array:
    """Which rows fall into the wanted buckets, by their stored dates: as the log places them."""
    buckets = event_dates.bucket(values)
    listed = pa.array([each for each in wanted if each is not None], pa.date32())
    chosen = pa.compute.is_in(buckets, value_set=listed)
    return pa.compute.or_(chosen, buckets.is_null()) if None in wanted else chosen


def _has_key(column: Column) -> str:
    return f"typeof({identifier(column.name)}) = '{'integer' if pa.types.is_int64(column.arrow) else 'text'}'"


def key_expression(column: Column) -> str:
    """In the order that `core.id_ranges` cuts in: text by its bytes, whatever its collation."""
    name = identifier(column.name)
    return name if pa.types.is_int64(column.arrow) else f"{name} COLLATE BINARY"


def _constant(bound: Key) -> str:
    return str(bound) if isinstance(bound, int) else literal(bound)
