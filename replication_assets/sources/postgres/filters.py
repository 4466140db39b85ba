"""Row filters as PostgreSQL compares them, and whether changes of a filtered table are told whole.

Integers, decimals, booleans, dates and timestamps compare as they are stored. Text is compared by its bytes
in UTF-8, whatever the collation and encoding of the database; where it is to be equal, an index of any
deterministic or other collation narrows it down before. Types that no line here names are not pushed.
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa

from replication_assets.core.pushed_filters import Bound, Comparable, digits_of
from replication_assets.core.schema import Column
from replication_assets.core.table_filters import left_out_problem
from replication_assets.sources.postgres.quoting import identifier, literal
from replication_assets.sources.postgres.select_list import is_ordinary

_AS_STORED = frozenset(
    {
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "boolean",
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
    }
)
_TEXTS = frozenset({"text", "character varying", "uuid"})

# Without a table for large values no row can be longer than what stays in it, and is always told.
_LEFT_OUT = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relreplident <> 'f' AND c.reltoastrelid <> 0
AND (c.oid = %(oid)s OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s) WHERE isleaf))
ORDER BY 1, 2
"""


class PostgresFilters:
    """See `core.pushed_filters.Dialect`."""

    def comparable(self, column: Column) -> Comparable | None:
        base = _base(column)
        name = identifier(column.name)
        if base in _TEXTS and pa.types.is_string(column.arrow):
            value = f"pg_catalog.convert_to({name}::pg_catalog.text, 'UTF8')"
            return Comparable(value, same=name)
        if base not in _AS_STORED or pa.types.is_string(column.arrow):
            return None
        ordinary = is_ordinary(column)
        return Comparable(name, None if ordinary is None else f"({ordinary}) IS FALSE")

    def constant(self, bound: Bound) -> str | None:
        if isinstance(bound, bool):
            return "true" if bound else "false"
        if isinstance(bound, Decimal):
            return digits_of(bound)
        if isinstance(bound, dt.datetime):
            kind = "timestamptz" if bound.tzinfo else "timestamp"
            return f"{literal(bound.isoformat(sep=' '))}::pg_catalog.{kind}"
        if isinstance(bound, dt.date):
            return f"{literal(bound.isoformat())}::pg_catalog.date"
        return f"'\\x{bound.encode().hex()}'::pg_catalog.bytea"

    def plain_constant(self, column: Column, bound: Bound) -> str | None:
        """Text that every encoding has."""
        if not isinstance(bound, str) or not bound.isascii() or "\0" in bound:
            return None
        if _base(column) == "uuid" and not _is_uuid(bound):
            return None
        return literal(bound)


def left_out(session: psycopg.Connection[Any], oid: int) -> tuple[str, ...]:
    """What keeps changes of a table, or of its partitions, from being whole rows."""
    found = session.execute(_LEFT_OUT, {"oid": oid}).fetchall()
    return tuple(
        left_out_problem(
            ["large columns"],
            f"{schema}.{name}",
            f"Run: ALTER TABLE {identifier(schema)}.{identifier(name)} REPLICA IDENTITY FULL",
        )
        for schema, name in found
    )


def _base(column: Column) -> str:
    """The type without its figures: `numeric(10,2)`, `timestamp(3) with time zone`."""
    before, _, after = column.source_type.partition("(")
    return before + after.partition(")")[2] if after else before


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
