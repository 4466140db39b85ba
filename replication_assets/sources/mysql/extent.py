"""Bounds, row estimates and quantiles of a column: what id ranges are cut from; and whether an index
serves reads of its ranges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from replication_assets.core.id_ranges import Key
from replication_assets.core.schema import Column, TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports import KeyBounds
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.predicates import is_number, is_range_column, key_expression
from replication_assets.sources.mysql.reflection import existing_relation, table_columns
from replication_assets.sources.mysql.result_rows import ResultRows

_SAMPLED_ABOVE = 200_000
"""Rows beyond which quantiles come from a sample of about this many."""


def range_column(session: Session, table: TableId, name: str) -> Column:
    """Raises SourceNotReady if the column cannot cut ranges."""
    columns = table_columns(session, table)
    for column in columns:
        if column.name == name and is_range_column(column):
            return column
    usable = [column.name for column in columns if is_range_column(column)]
    raise SourceNotReady(
        f"column {name!r} cannot cut id ranges",
        where=str(table),
        fix=f"use one of {', '.join(usable) or 'no range column'}",
    )


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
    return max((_rows(plan) for plan in _plans(session, table, "TRUE")), default=0)


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


def range_index(session: Session, table: TableId, column: Column) -> str | None:
    """See `ports.ChangeSource.range_index`. Text is compared by its bytes, which no index here serves.
    Of a view the optimiser is asked how it would read a range."""
    if not is_number(column) or column.source_type.startswith("year"):
        return None
    found = existing_relation(session, table)
    if found.kind == "view":
        return _view_index(session, table, column)
    leading = session.rows(
        "SELECT INDEX_NAME FROM information_schema.STATISTICS"
        f" WHERE TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"
        f" AND COLUMN_NAME = {literal(column.name)} AND SEQ_IN_INDEX = 1 AND INDEX_TYPE = 'BTREE'"
    )
    if leading:
        return None
    return _create_index(quoted(table.schema, table.name), column.name)


def _create_index(rows: str, column: str) -> str:
    return f"CREATE INDEX {quoted(f'ix_{column}'[:64])} ON {rows} ({quoted(column)})"


def _view_index(session: Session, table: TableId, column: Column) -> str | None:
    """The name of the column behind the view's stands beside the bounds in the plan."""
    width = 8 if pa.types.is_decimal(column.arrow) else int(column.arrow.bit_width) // 8
    # Narrow, and inside what the type holds: other bounds are optimised away, or need no index.
    low, high = 2 ** (8 * width - 2) + 11, 2 ** (8 * width - 2) + 17
    name = quoted(column.name)
    for plan in _plans(session, table, f"{name} >= {low} AND {name} < {high}"):
        condition = str(plan.get("attached_condition", ""))
        compared = re.search(rf"(?P<column>[^\s()]+) (?:>=|between) {low}\b", condition)
        if plan.get("access_type") in ("ALL", "index") and compared is not None:
            *rows, base = (_bare(part) for part in _PARTS.findall(compared["column"]))
            return _create_index(quoted(*rows), base)
    return None


_PARTS = re.compile(r"`(?:[^`]|``)*`|[^.`]+")


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _plans(session: Session, table: TableId, condition: str) -> Iterator[dict[str, Any]]:
    """The tables that a read of the rows touches, as EXPLAIN tells of them."""
    row = session.row(
        f"EXPLAIN FORMAT=JSON SELECT * FROM {quoted(table.schema, table.name)} WHERE {condition}"
    )
    yield from _tables(json.loads(row[0]) if row is not None else {})


def _tables(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for each in node:
            yield from _tables(each)
    if isinstance(node, dict):
        if isinstance(node.get("table"), dict):
            yield node["table"]
        for each in node.values():
            yield from _tables(each)


def _rows(plan: dict[str, Any]) -> int:
    return int(plan.get("rows", plan.get("rows_examined_per_scan", 0)) or 0)
