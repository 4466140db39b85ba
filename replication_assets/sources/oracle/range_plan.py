"""How the server would read one id range: EXPLAIN PLAN, read from PLAN_TABLE.

The plan has operations and names of objects alone; conditions with their values are not read. EXPLAIN PLAN
writes into a temporary table of the session, which is emptied after.
"""

from __future__ import annotations

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.sources.oracle.predicates import range_conditions
from replication_assets.sources.oracle.reflection import catalog_columns, existing_relation, names_of
from replication_assets.sources.oracle.select_list import read_expression
from replication_assets.sources.oracle.sessions import Row, Session
from replication_assets.sources.oracle.statements import catalog, mending, rows
from replication_assets.sources.oracle.statements.names import quoted

STATEMENT = "REPLICATION_ASSETS"


def read_range_plan(
    session: Session, table: TableId, schema: TableSchema, column: str, id_range: IdRange
) -> RangePlan:
    """See `core.range_plans`."""
    conditions = range_conditions(schema.column(column), id_range)
    expressions = [read_expression(each) for each in schema.columns]
    query = rows.select(expressions, table.schema, table.name, conditions.text, None)
    session.run(rows.explain(STATEMENT, query, conditions.binds))
    try:
        plan = session.rows(catalog.EXPLAINED, {"statement": STATEMENT})
    finally:
        session.run(catalog.FORGET_PLAN, {"statement": STATEMENT})
    scanned = tuple(dict.fromkeys(quoted(str(row[3]), str(row[4])) for row in plan if _is_scan(row)))
    told = tuple(_line(row) for row in plan)
    if not scanned:
        return RangePlan((), None, "", told)
    if not conditions.text:
        return RangePlan(scanned, None, "the range is the whole table", told)
    base = _base(session, table, column, plan)
    if base is None:
        reason = f"the view does not pass {column} on from one of the tables that it scans"
        return RangePlan(scanned, None, reason, told)
    return RangePlan(scanned, mending.create_index(*base), "", told)


def _is_scan(row: Row) -> bool:
    """A scan of one partition that the range picks is none of the table."""
    return row[1] in ("TABLE ACCESS", "MAT_VIEW ACCESS") and str(row[2] or "").startswith("FULL")


def _line(row: Row) -> str:
    number, operation, options, owner, name, _ = row
    what = " ".join(str(part) for part in (operation, options) if part)
    return f"{number} {what}{f' {owner}.{name}' if name is not None else ''}"


def _base(session: Session, table: TableId, column: str, plan: list[Row]) -> tuple[str, str, str] | None:
    """The scanned table and its column behind the table's; of a view the one table beneath it that has a
    column of that name."""
    if existing_relation(session, table).kind != "view":
        return table.schema, table.name, column
    scanned = {(str(row[3]), str(row[4])) for row in plan if _is_scan(row)}
    behind = {(str(owner), str(name)) for owner, name in session.rows(catalog.DEPENDENCIES, names_of(table))}
    found = [
        (owner, name, column)
        for owner, name in sorted(scanned & behind or scanned)
        if any(each.name == column for each in catalog_columns(session, TableId(table.source, owner, name)))
    ]
    return found[0] if len(found) == 1 else None
