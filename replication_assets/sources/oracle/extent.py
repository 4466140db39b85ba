"""Bounds, row counts and quantiles of a column: what id ranges are cut from; and whether an index serves
reads of its ranges."""

from __future__ import annotations

from replication_assets.core.id_ranges import Key
from replication_assets.core.schema import Column, TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports import KeyBounds
from replication_assets.sources.oracle.predicates import is_number, is_range_column
from replication_assets.sources.oracle.reflection import existing_relation, table_columns
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import catalog, rows
from replication_assets.sources.oracle.values import canonical_number

SAMPLED_ABOVE = 200_000
"""Rows beyond which quantiles come from a sample of about this many."""


def range_column(session: Session, table: TableId, name: str) -> Column:
    """Raises SourceNotReady if the column cannot cut ranges."""
    columns = table_columns(session, table)
    found = next((column for column in columns if column.name == name and is_range_column(column)), None)
    if found is None:
        usable = [column.name for column in columns if is_range_column(column)]
        raise SourceNotReady(
            f"column {name!r} cannot cut id ranges: a whole number (NUMBER without digits only in a primary"
            " key) or VARCHAR2 can",
            where=str(table),
            fix=f"use one of {', '.join(usable) or 'no range column'}, or read a view that casts it to"
            " NUMBER(18)",
        )
    check_order(session, table, found)
    return found


def check_order(session: Session, table: TableId, column: Column) -> None:
    """Raises SourceNotReady if the database orders text in another way than ranges are cut in."""
    if is_number(column):
        return
    row = one_row(session, catalog.CHARACTER_SET)
    if row is None or row[0] != "AL32UTF8":
        raise SourceNotReady(
            f"text orders otherwise in this database ({row[0] if row else 'unknown'}) than in UTF-8",
            where=str(table),
            fix="cut ranges by a number, or load the table whole (ByCount(1))",
        )


def bounds(session: Session, table: TableId, column: Column) -> KeyBounds:
    """Smallest and greatest value, by one look at each end where an index gives the order."""
    row = one_row(session, rows.bounds(table.schema, table.name, column.name)) or (None, None)
    return KeyBounds(_key(column, row[0]), _key(column, row[1]), row_estimate(session, table))


def row_estimate(session: Session, table: TableId) -> int:
    """What statistics tell; counted where there are none, of views always."""
    told = existing_relation(session, table).rows
    if told is not None:
        return told
    row = one_row(session, rows.count(table.schema, table.name))
    return int(row[0]) if row is not None else 0


def quantiles(session: Session, table: TableId, column: Column, parts: int) -> tuple[Key, ...]:
    """Ascending values that cut the rows into about equal parts; fewer than `parts - 1` where values
    repeat. Of a large table a sample is ordered, which takes a scan all the same."""
    if parts < 2:
        return ()
    estimate = row_estimate(session, table)
    sampled = estimate > SAMPLED_ABOVE
    query = rows.quantiles(table.schema, table.name, column.name, sampled=sampled)
    binds: dict[str, object] = {"parts": parts}
    if sampled:
        binds["share"] = SAMPLED_ABOVE / estimate
    found = [_key(column, row[0]) for row in session.rows(query, binds)]
    return tuple(dict.fromkeys(key for key in found[: parts - 1] if key is not None))


def _key(column: Column, printed: object) -> Key | None:
    if printed is None:
        return None
    return int(canonical_number(str(printed).strip())) if is_number(column) else str(printed)
