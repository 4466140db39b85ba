"""How a load of an id range would be read, and the index that would serve it.

The planner is asked twice: as it is, and again with whole reads made dear. What it reads whole both
times has no index that could serve; what it reads whole only the first time has one, and the range is
too much of it. The bounds of the range stand as constants in the conditions of the plan, beside the
column that they came down to: through views, partitions, joins, and the arms of a UNION.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import SMALL_ROWS, RangePlan
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.sources.postgres.extent import key_expression, row_estimate
from replication_assets.sources.postgres.load import slice_query
from replication_assets.sources.postgres.plan_nodes import Plan, Scan, compared_with, nodes, scans
from replication_assets.sources.postgres.predicates import range_conditions
from replication_assets.sources.postgres.quoting import from_item, identifier, relation
from replication_assets.sources.postgres.reflection import existing_relation, replicated_columns

_INDEX_COLUMNS = 32
_INDEX_ROW_BYTES = 2_600
"""A row of a B-tree may be 2,704 bytes: with a longer one the application's own INSERT would fail."""

_BARRIERS = {
    "Aggregate": "an aggregate",
    "Group": "GROUP BY",
    "WindowAgg": "a window function",
    "Limit": "LIMIT",
    "Unique": "DISTINCT",
    "SetOp": "EXCEPT or INTERSECT",
    "CTE Scan": "a WITH query that is kept apart",
    "ProjectSet": "a function that returns sets",
    "Recursive Union": "a recursive query",
}


@dataclass(frozen=True, slots=True)
class _Read:
    """A relation that is read whole for the range: a partition stands for its whole table."""

    table: TableId
    kind: str
    scan: Scan


def range_plan(
    session: psycopg.Connection[Any], table: TableId, schema: TableSchema, column: Column, id_range: IdRange
) -> RangePlan:
    """See `ports.ChangeSource.range_plan`."""
    found = existing_relation(session, table)
    conditions = " AND ".join(range_conditions(column, id_range)) or "true"
    query = slice_query(schema, from_item(table, found.kind), conditions)
    chosen = _explained(session, query)
    told = tuple(str(scan) for scan in scans(chosen, id_range))
    if found.kind == "f":
        return _of_foreign_table(table, chosen, id_range, told)
    whole = _large(session, table, [scan for scan in scans(chosen, id_range) if scan.whole])
    if not whole:
        return RangePlan((), None, "", told)
    forced = _explained(session, query, by_indexes=True)
    helpless = {_name(each) for each in scans(forced, id_range) if each.whole or not _leads(session, each)}
    scanned = [read for read in whole if _name(read.scan) in helpless]
    if not scanned:
        reason = "an index serves the range, which is so much of the rows that reading them all is cheaper"
        return RangePlan((), None, reason, told)
    return _advised(session, table, column, id_range, scanned, chosen, told)


def _explained(session: psycopg.Connection[Any], query: str, *, by_indexes: bool = False) -> Plan:
    with session.transaction():
        if by_indexes:
            for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
                session.execute(f"SET LOCAL {setting} = off".encode())
        row = session.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {query}".encode()).fetchone()
    assert row is not None
    plan: Plan = row[0][0]["Plan"]
    return plan


def _name(scan: Scan) -> tuple[str, str]:
    return scan.schema, scan.relation


def _leads(session: psycopg.Connection[Any], scan: Scan) -> bool:
    """Whether what the bounds are compared with comes first in the index. Where it comes later, the index
    is read from end to end, or skipped through, which is no better than a scan if it has many leading
    values."""
    if not scan.index or scan.compared is None:
        return True
    name = scan.compared.strip("()").rpartition(".")[2].partition(")")[0].strip('"')
    rows = session.execute(
        "SELECT pg_get_indexdef(c.oid, 1, false) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('i', 'I')",
        (scan.schema, scan.index),
    ).fetchall()
    return any(name in first for (first,) in rows)


def _large(session: psycopg.Connection[Any], table: TableId, whole: Sequence[Scan]) -> list[_Read]:
    """The relations of some size among those that are read whole, once each, with their partitions'
    table in place of partitions."""
    reads: dict[TableId, _Read] = {}
    for scan in whole:
        row = session.execute(
            "SELECT n.nspname, c.relname, c.relkind::text FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid = (SELECT coalesce(pg_partition_root(l.oid), l.oid) FROM pg_catalog.pg_class l"
            " JOIN pg_catalog.pg_namespace m ON m.oid = l.relnamespace"
            " WHERE m.nspname = %s AND l.relname = %s)",
            _name(scan),
        ).fetchone()
        if row is None:
            continue
        read = TableId(table.source, row[0], row[1])
        if read not in reads and row_estimate(session, read, row[2]) >= SMALL_ROWS:
            reads[read] = _Read(read, row[2], scan)
    return list(reads.values())


def _of_foreign_table(table: TableId, plan: Plan, id_range: IdRange, told: tuple[str, ...]) -> RangePlan:
    if any(compared_with(node, id_range) is not None for node in nodes(plan)):
        reason = "the bounds are not sent to the foreign server: all rows come here for every range"
        return RangePlan((relation(table),), None, reason, told)
    return RangePlan((), None, "a foreign server reads the rows, and how is not known here", told)


def _advised(
    session: psycopg.Connection[Any],
    table: TableId,
    column: Column,
    id_range: IdRange,
    scanned: Sequence[_Read],
    plan: Plan,
    told: tuple[str, ...],
) -> RangePlan:
    statements, reasons = [], []
    reached = any(scan.compared is not None for scan in scans(plan, id_range))
    for read in scanned:
        base = _base_column(session, read, column)
        if base is None:
            reasons.append(_why_not(read, column, reached=reached))
            continue
        statement, left_out = _index(session, table, read, base)
        statements.append(statement)
        reasons += [left_out] if left_out else []
    names = tuple(relation(read.table) for read in scanned)
    return RangePlan(names, "; ".join(statements) or None, "; ".join(reasons), told)


def _base_column(session: psycopg.Connection[Any], read: _Read, column: Column) -> Column | None:
    """The column of the table that the range's bounds are compared with, of the range column's own type;
    None where they are not, or with an expression."""
    name = read.scan.column(_cast(column))
    for base in replicated_columns(session, read.table):
        if base.name == name and base.source_type == column.source_type:
            return replace(column, name=base.name)
    return None


def _cast(column: Column) -> str:
    """What `key_expression` adds to the name of a column of this type, as plans print it."""
    if column.source_type == "oid":
        return "::bigint"
    # A collation prints as a cast, too.
    text = column.source_type == "text" or column.source_type.startswith("character varying")
    return "::text" if text else ""


def _why_not(read: _Read, column: Column, *, reached: bool) -> str:
    rows = relation(read.table)
    if read.scan.compared is not None:
        return f"{column.name} is compared as an expression over {rows}, which no index of a column serves"
    if reached:
        return f"{rows} is joined whole to the rows of each range: no index leads with what it is joined by"
    barriers = [_BARRIERS[node] for node in read.scan.above if node in _BARRIERS]
    if barriers:
        return f"the view applies {barriers[0]} to {rows}, before rows can be chosen by {column.name}"
    return f"the view makes rows of {rows} anew before they can be chosen by {column.name}"


def _index(session: psycopg.Connection[Any], table: TableId, read: _Read, base: Column) -> tuple[str, str]:
    """The statement, and why it does not cover what it might."""
    key = key_expression(base)
    plain = key == identifier(base.name)
    concurrently = "" if read.kind == "p" else "CONCURRENTLY "
    index = f"CREATE INDEX {concurrently}ON {relation(read.table)} ({key if plain else f'({key})'})"
    if read.table == table:
        return index, ""
    used = [each for each in _used_columns(session, table, read.table) if not plain or each[0] != base.name]
    unbounded = [name for name, width in used if width is None]
    if unbounded:
        listed = ", ".join(identifier(name) for name in unbounded)
        return index, f"{listed} of {relation(read.table)} may be longer than a row of an index: not included"
    if len(used) >= _INDEX_COLUMNS or sum(width or 0 for _, width in used) > _INDEX_ROW_BYTES:
        return index, f"the columns used of {relation(read.table)} are too much for a row of an index"
    included = ", ".join(identifier(name) for name, _ in used)
    return (f"{index} INCLUDE ({included})" if included else index), ""


_USED = """
WITH RECURSIVE rules AS (
    SELECT r.oid AS rule, r.ev_class AS view FROM pg_catalog.pg_rewrite r
      JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
), used AS (
    SELECT d.refobjid AS relation, d.refobjsubid AS attribute
      FROM rules JOIN pg_catalog.pg_depend d ON d.objid = rules.rule AND d.refobjid <> rules.view
       AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
     WHERE rules.view = (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
                             ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s)
    UNION
    SELECT d.refobjid, d.refobjsubid FROM used JOIN rules ON rules.view = used.relation
      JOIN pg_catalog.pg_depend d ON d.objid = rules.rule AND d.refobjid <> rules.view
       AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
)
SELECT a.attname, a.attlen, a.atttypid::regtype::text, a.atttypmod FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
                         ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s)
   AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attnum IN (SELECT attribute FROM used WHERE relation = a.attrelid)
 ORDER BY a.attnum
"""
"""A view depends on each column that it uses, and on the columns of the views that it reads."""


def _used_columns(
    session: psycopg.Connection[Any], view: TableId, base: TableId
) -> Iterator[tuple[str, int | None]]:
    """Columns of the table that the view uses, and how many bytes each takes at most."""
    names = (view.schema, view.name, base.schema, base.name)
    for name, length, kind, modifier in session.execute(_USED.encode(), names).fetchall():
        yield name, _most_bytes(length, kind, modifier)


def _most_bytes(length: int, kind: str, modifier: int) -> int | None:
    """None for a type without a limit of its own."""
    if length > 0:
        return length
    if modifier < 4:
        return None
    if kind in ("character varying", "character"):
        return 4 * (modifier - 4) + 4
    if kind == "numeric":
        # Four decimal digits in two bytes.
        return ((modifier - 4) >> 16) // 2 + 12
    return None
