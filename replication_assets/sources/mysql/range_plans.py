"""How a load of an id range would be read, and the index that would serve it.

The bounds of the range stand as constants in the conditions of the plan, beside the column that they came
down to: through views, joins, and the arms of a UNION.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import SMALL_ROWS, RangePlan
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.explained import (
    PlannedTable,
    References,
    compared,
    explain,
    planned_tables,
    references,
)
from replication_assets.sources.mysql.grants import current_account
from replication_assets.sources.mysql.load import select
from replication_assets.sources.mysql.predicates import is_number, range_conditions
from replication_assets.sources.mysql.reflection import existing_relation, find_relation, primary_key

_INDEX_COLUMNS = 16
_INDEX_BYTES = 3_072
"""What InnoDB takes in an index: with wider columns the statement itself would fail."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A table that is read whole for the range, and the column that the bounds came down to."""

    table: TableId
    column: str | None
    planned: PlannedTable


def range_plan(
    session: Session, table: TableId, schema: TableSchema, column: Column, id_range: IdRange
) -> RangePlan:
    """See `ports.ChangeSource.range_plan`."""
    found = existing_relation(session, table)
    conditions = " AND ".join(range_conditions(column, id_range)) or "TRUE"
    query = select(schema, quoted(table.schema, table.name), conditions)
    try:
        plan = explain(session, query)
    except SourceNotReady:
        if found.kind != "view":
            raise
        grant = f"GRANT SELECT, SHOW VIEW ON {quoted(table.schema)}.* TO {current_account(session)}"
        return RangePlan(
            (), None, f"the account may not see the plan of a view. To have it seen: {grant}", ()
        )
    read = references(session, table.schema, table.name)
    planned = tuple(planned_tables(plan, id_range))
    told = tuple(str(each) for each in planned)
    scanned = _whole(session, table, planned, read)
    if not scanned:
        return RangePlan((), None, _told_nothing(planned), told)
    return _advised(session, table, column, scanned, list(compared(plan, id_range)), read, told)


def _told_nothing(planned: Sequence[PlannedTable]) -> str:
    if not planned:
        return "the plan names no table that is known here"
    if any(each.whole and each.choices for each in planned):
        return "an index serves the range, which is so much of the rows that reading them all is cheaper"
    return ""


def _whole(
    session: Session, table: TableId, planned: Sequence[PlannedTable], read: References
) -> list[_Read]:
    """Tables of some size that are read whole, with no index that could have been used instead."""
    found: dict[TableId, _Read] = {}
    for each in planned:
        if not each.whole or each.choices or each.rows < SMALL_ROWS:
            continue
        for database, name in sorted(read.tables.get(each.alias, ())):
            base = TableId(table.source, database, name)
            if len(each.compared) == 3 and each.compared[0] != database:
                continue
            if find_relation(session, base) is not None:
                found.setdefault(base, _Read(base, each.compared[-1] if each.compared else None, each))
    return list(found.values())


def _advised(
    session: Session,
    table: TableId,
    column: Column,
    scanned: Sequence[_Read],
    conditions: Sequence[tuple[str, ...]],
    read: References,
    told: tuple[str, ...],
) -> RangePlan:
    statements, reasons = [], []
    reached = any(each.planned.compared for each in scanned) or _reaches_a_table(conditions, read)
    for each in scanned:
        if each.column is None:
            reasons.append(_why_not(each, column, reached=reached, made=bool(conditions)))
            continue
        statement, left_out = _index(session, table, each.table, each.column, read)
        statements.append(statement)
        reasons += [left_out] if left_out else []
    names = tuple(quoted(each.table.schema, each.table.name) for each in scanned)
    return RangePlan(names, "; ".join(statements) or None, "; ".join(reasons), told)


def _reaches_a_table(conditions: Sequence[tuple[str, ...]], read: References) -> bool:
    return any(path and path[-2:-1] and path[-2] in read.tables for path in conditions)


def _why_not(each: _Read, column: Column, *, reached: bool, made: bool) -> str:
    rows = quoted(each.table.schema, each.table.name)
    if not is_number(column):
        return f"{column.name} is text, compared by its bytes, which no index here serves: cut by a number"
    if each.planned.expression:
        return f"{column.name} is compared as an expression over {rows}, which no index of a column serves"
    if reached:
        return f"{rows} is joined whole to the rows of each range: no index leads with what it is joined by"
    if made:
        why = "an aggregate, DISTINCT, LIMIT, a window function or a UNION makes them anew"
        return f"all rows of {rows} are read before any can be chosen by {column.name}: {why}"
    return f"{column.name} comes from no column of {rows} that an index could be on"


def _index(session: Session, view: TableId, base: TableId, column: str, read: References) -> tuple[str, str]:
    """The statement, and why it does not cover what it might."""
    rows = quoted(base.schema, base.name)
    name = quoted(f"ix_{column}"[:64])
    if base == view:
        return f"CREATE INDEX {name} ON {rows} ({quoted(column)})", ""
    widths = dict(_widths(session, base))
    # InnoDB's indexes end with the primary key, whatever they are declared with.
    keyed = {column, *primary_key(session, base)}
    used = [each for each in read.columns.get((base.schema, base.name), ()) if each not in keyed]
    unbounded = [each for each in used if widths.get(each) is None]
    plain = f"CREATE INDEX {name} ON {rows} ({quoted(column)})"
    if unbounded:
        listed = ", ".join(quoted(each) for each in unbounded)
        return plain, f"{listed} of {rows} may be longer than an index holds: not included"
    if len(used) >= _INDEX_COLUMNS or sum(widths.get(each) or 0 for each in {column, *used}) > _INDEX_BYTES:
        return plain, f"the columns used of {rows} are too much for an index"
    return f"CREATE INDEX {name} ON {rows} ({', '.join(quoted(each) for each in [column, *used])})", ""


def _widths(session: Session, table: TableId) -> Iterator[tuple[str, int | None]]:
    """Bytes that each column takes in an index; None for what only a prefix of can be in one."""
    for name, kind, octets in session.rows(
        "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_OCTET_LENGTH FROM information_schema.COLUMNS"
        f" WHERE TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"
    ):
        if str(kind).lower() in ("char", "varchar", "binary", "varbinary", "enum", "set"):
            yield str(name), int(octets or 0) + 3
        else:
            yield str(name), None if _is_unbounded(str(kind).lower()) else 32


def _is_unbounded(kind: str) -> bool:
    shapes = ("geometry", "point", "linestring", "polygon", "multi", "geom", "vector")
    return kind.endswith(("text", "blob")) or kind == "json" or kind.startswith(shapes)
