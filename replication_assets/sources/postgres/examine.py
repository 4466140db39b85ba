"""A look at a source before anything is done to it: what setup lacks, which index a load lacks.

Reads catalogs and plans only. The planner itself says whether a range can be read through an
index: with sequential scans made dear, it takes any index that serves, also on a small table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.extent import key_expression
from replication_assets.sources.postgres.preflight import setup_problems
from replication_assets.sources.postgres.publication import CaptureNames
from replication_assets.sources.postgres.quoting import from_item, identifier, relation
from replication_assets.sources.postgres.reflection import existing_relation, find_relation
from replication_assets.sources.postgres.slot import find_slot

_INDEXED_KINDS = frozenset("rpm")
_INDEX_SCANS = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")


def missing(
    connection: PostgresConnection, names: CaptureNames, tables: Sequence[tuple[TableId, TableSchema]]
) -> tuple[str, ...]:
    """See `ports.ChangeSource.missing`. A slot that is lost is a matter of status, not of setup."""
    with connect(connection) as session, source_errors(connection.where):
        found = [(table, schema, find_relation(session, table)) for table, schema in tables]
        slot = find_slot(session, names.slot)
        return tuple(setup_problems(session, names.slot, slot, found, names.publications))


def range_index(session: psycopg.Connection[Any], table: TableId, column: Column) -> str | None:
    """See `ports.ChangeSource.range_index`."""
    found = existing_relation(session, table)
    if found.kind not in _INDEXED_KINDS:
        return None
    key = key_expression(column)
    # A value of the column's own type and order, unknown to the planner.
    bound = f"(SELECT {key} FROM {from_item(table, found.kind)} LIMIT 1)"
    query = f"EXPLAIN (FORMAT JSON) SELECT * FROM {from_item(table, found.kind)} WHERE {key} >= {bound}"
    with session.transaction():
        session.execute("SET LOCAL enable_seqscan = off")
        row = session.execute(query).fetchone()
        names = [_index_by(plan, column) for plan in _plans(row[0][0]["Plan"])] if row is not None else []
        if any(_leads(session, name, column) for name in names if name is not None):
            return None
    concurrently = "" if found.kind == "p" else "CONCURRENTLY "
    indexed = key if key == identifier(column.name) else f"({key})"
    return f"CREATE INDEX {concurrently}ON {relation(table)} ({indexed})"


def _plans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        if inner.get("Parent Relationship") not in ("InitPlan", "SubPlan"):
            yield from _plans(inner)


def _index_by(plan: dict[str, Any], column: Column) -> str | None:
    """The index that a scan finds its rows in by the range column, rather than filtering all."""
    if plan["Node Type"] in _INDEX_SCANS and column.name in plan.get("Index Cond", ""):
        return str(plan["Index Name"])
    return None


def _leads(session: psycopg.Connection[Any], index: str, column: Column) -> bool:
    """Whether the column comes first in the index: a later one is found by reading all of it."""
    rows = session.execute(
        "SELECT pg_get_indexdef(oid, 1, false) FROM pg_catalog.pg_class"
        " WHERE relname = %s AND relkind IN ('i', 'I')",
        (index,),
    ).fetchall()
    return any(column.name in first for (first,) in rows)
