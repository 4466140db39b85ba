"""Bounds, row estimates and quantiles of a column, and whether an index serves its ranges."""

from __future__ import annotations

from typing import Any

from replication_assets.core import table_problems
from replication_assets.core.id_ranges import Key
from replication_assets.core.schema import Column, TableId
from replication_assets.ports import KeyBounds
from replication_assets.sources.sqlserver.reflection import existing_relation, table_columns
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import extent as statements
from replication_assets.sources.sqlserver.statements.predicates import is_range_column
from replication_assets.sources.sqlserver.types import is_whole_number

_SAMPLED_ABOVE = 1_000_000
"""Rows beyond which quantiles come from a sample of about this many."""


def range_column(session: Session, table: TableId, name: str) -> Column:
    """Raises SourceNotReady if the column cannot cut ranges."""
    columns = table_columns(session, table)
    return table_problems.range_column(columns, name, is_range_column, str(table))


def bounds(session: Session, table: TableId, column: Column) -> KeyBounds:
    """Rows are the catalog's own count; of a view they are counted."""
    ((low, high),) = session.rows(statements.bounds(table, column))
    found = existing_relation(session, table)
    rows = found.rows
    if not found.can_be_captured:
        ((rows,),) = session.rows(statements.count(table))
    return KeyBounds(_key(column, low), _key(column, high), int(rows))


def quantiles(session: Session, table: TableId, column: Column, parts: int) -> tuple[Key, ...]:
    """Ascending values that cut the rows into about equal parts; fewer than `parts - 1` where values
    repeat."""
    if parts < 2:
        return ()
    found = existing_relation(session, table)
    percent = None
    if found.can_be_captured and found.rows > _SAMPLED_ABOVE:
        percent = 100 * _SAMPLED_ABOVE / found.rows
    keys = (
        _key(column, value) for (value,) in session.rows(statements.quantiles(table, column, parts, percent))
    )
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def _key(column: Column, value: Any) -> Key | None:
    if value is None:
        return None
    return int(value) if is_whole_number(column) else bytes(value).decode()
