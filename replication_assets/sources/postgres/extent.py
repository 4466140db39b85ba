"""Bounds, row estimates and quantiles of a column: what id ranges are cut from."""

from __future__ import annotations

from typing import Any

import psycopg
import pyarrow as pa

from replication_assets.core.id_ranges import Key
from replication_assets.core.schema import Column, TableId
from replication_assets.ports import KeyBounds
from replication_assets.sources.postgres.quoting import from_item, identifier
from replication_assets.sources.postgres.select_list import output_text

_SAMPLED_ABOVE = 200_000
"""Rows beyond which quantiles come from a sample of about this many."""


def key_expression(column: Column) -> str:
    """SQL for a range column in the order that `core.id_ranges` cuts in: numbers and UUIDs
    as they are, text by the bytes of its stored form."""
    if column.source_type == "oid":
        return f"{identifier(column.name)}::pg_catalog.int8"
    if is_number(column) or column.source_type == "uuid":
        return identifier(column.name)
    if column.source_type == "text" or column.source_type.startswith("character varying"):
        return f'{identifier(column.name)}::pg_catalog.text COLLATE "C"'
    return f'({output_text(column)}) COLLATE "C"'


def has_key(column: Column) -> str:
    """SQL condition for rows whose stored key is not null: NaN in a decimal is (see `types`)."""
    name = identifier(column.name)
    if pa.types.is_decimal(column.arrow):
        return f"{name} < 'NaN'::pg_catalog.numeric"
    # Not IS NOT NULL: a composite value of nulls is a key like any other.
    return f"{name} IS DISTINCT FROM NULL"


def has_no_key(column: Column) -> str:
    """The opposite of `has_key`, in a form that an index serves."""
    name = identifier(column.name)
    if pa.types.is_decimal(column.arrow):
        return f"{name} IS NULL OR {name} = 'NaN'::pg_catalog.numeric"
    return f"{name} IS NOT DISTINCT FROM NULL"


def is_range_column(column: Column) -> bool:
    """Whether rows can be cut by it: whole numbers, UUIDs, and anything stored as text."""
    return is_number(column) or pa.types.is_string(column.arrow)


def bounds(session: psycopg.Connection[Any], table: TableId, relkind: str, column: Column) -> KeyBounds:
    """Smallest and greatest value, by one look at each end where an index gives the order."""
    key = key_expression(column)
    ends = []
    for direction in ("ASC", "DESC"):
        # In a subquery, where ORDER BY cannot take the text form for the key.
        row = session.execute(
            f"SELECT k::text FROM (SELECT {key} AS k FROM {from_item(table, relkind)}"
            f" WHERE {has_key(column)} ORDER BY {key} {direction} LIMIT 1) AS ends"
        ).fetchone()
        ends.append(None if row is None else _key(column, row[0]))
    return KeyBounds(ends[0], ends[1], row_estimate(session, table, relkind))


def row_estimate(session: psycopg.Connection[Any], table: TableId, relkind: str) -> int:
    """The planner's estimate, which is right for tables never analysed too, and free."""
    row = session.execute(f"EXPLAIN (FORMAT JSON) SELECT FROM {from_item(table, relkind)}").fetchone()
    return 0 if row is None else int(row[0][0]["Plan"]["Plan Rows"])


def quantiles(
    session: psycopg.Connection[Any], table: TableId, relkind: str, column: Column, parts: int
) -> tuple[Key, ...]:
    """Ascending values that cut the rows into about equal parts; fewer than `parts - 1`
    where values repeat. Tables beyond `_SAMPLED_ABOVE` rows are sampled by blocks."""
    if parts < 2:
        return ()
    # Not as a parameter: key expressions hold `%`, which would have to be doubled then.
    fractions = ", ".join(f"{part / parts:.9f}" for part in range(1, parts))
    row = session.execute(
        f"SELECT (percentile_disc(ARRAY[{fractions}]) WITHIN GROUP (ORDER BY {key_expression(column)}))"
        f"::text[] FROM {from_item(table, relkind)} {_sample(session, table, relkind)}"
        f" WHERE {has_key(column)}"
    ).fetchone()
    found = row[0] if row is not None and row[0] is not None else []
    return tuple(dict.fromkeys(_key(column, text) for text in found))


def _sample(session: psycopg.Connection[Any], table: TableId, relkind: str) -> str:
    estimate = row_estimate(session, table, relkind)
    if relkind not in "rpm" or estimate <= _SAMPLED_ABOVE:
        return ""
    return f"TABLESAMPLE SYSTEM ({100 * _SAMPLED_ABOVE / estimate:.6f})"


def is_number(column: Column) -> bool:
    kind = column.arrow
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def _key(column: Column, text: str) -> Key:
    return int(text) if is_number(column) else text
