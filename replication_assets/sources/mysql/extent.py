"""Bounds, row estimates and quantiles of a column: what id ranges are cut from."""

from __future__ import annotations

from typing import Any

import numpy as np

from replication_assets.core import table_problems
from replication_assets.core.id_ranges import Key
from replication_assets.core.schema import Column, TableId
from replication_assets.ports import KeyBounds
from replication_assets.sources.mysql.connection import Session, quoted
from replication_assets.sources.mysql.explained import explain, planned_tables
from replication_assets.sources.mysql.predicates import is_number, is_range_column, key_expression
from replication_assets.sources.mysql.reflection import existing_relation, table_columns
from replication_assets.sources.mysql.result_rows import ResultRows

_SAMPLED_ABOVE = 200_000
"""Rows beyond which quantiles come from a sample of about this many."""


def range_column(session: Session, table: TableId, name: str) -> Column:
    """Raises SourceNotReady if the column cannot cut ranges."""
    columns = table_columns(session, table)
    return table_problems.range_column(columns, name, is_range_column, str(table))


def bounds(session: Session, table: TableId, column: Column) -> KeyBounds:
    """Smallest and greatest value, by one look at each end where an index gives the order."""
    key, rows = key_expression(column), quoted(table.schema, table.name)
    low, high = session.row(f"SELECT MIN({key}), MAX({key}) FROM {rows}") or (None, None)
    return KeyBounds(_key(column, low), _key(column, high), row_estimate(session, table))


def row_estimate(session: Session, table: TableId) -> int:
    """The engine's estimate; of a view the optimiser's."""
    found = existing_relation(session, table)
    if found.can_be_captured:
        return found.rows
    plan = explain(session, f"SELECT * FROM {quoted(table.schema, table.name)}")
    return max((each.rows for each in planned_tables(plan)), default=0)


def quantiles(session: Session, table: TableId, column: Column, parts: int) -> tuple[Key, ...]:
    """Ascending values that cut the rows into about equal parts; fewer than `parts - 1` where values
    repeat. Of a large table a sample is read, which takes a scan all the same."""
    if parts < 2:
        return ()
    estimate = row_estimate(session, table)
    sample = f"RAND() < {_SAMPLED_ABOVE / estimate:.9f}" if estimate > _SAMPLED_ABOVE else "TRUE"
    key, name = key_expression(column), quoted(column.name)
    query = f"SELECT {key} FROM {quoted(table.schema, table.name)} WHERE {name} IS NOT NULL AND {sample}"
    found = sorted(
        value if not is_number(column) else int(value)
        for (printed,) in ResultRows(session, query, 1)
        for value in printed.to_pylist()
    )
    if not found:
        return ()
    places = np.ceil(np.arange(1, parts) / parts * len(found)).astype(int) - 1
    return tuple(dict.fromkeys(_found_key(column, found[place]) for place in places))


def _key(column: Column, value: Any) -> Key | None:
    return None if value is None else _found_key(column, value)


def _found_key(column: Column, value: Any) -> Key:
    if is_number(column):
        return int(value)
    return value.decode() if isinstance(value, bytes) else str(value)
