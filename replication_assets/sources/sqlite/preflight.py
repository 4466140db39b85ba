"""What triggers of a table must know, and what keeps them from telling every change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import Shape
from replication_assets.sources.sqlite import triggers as sql
from replication_assets.sources.sqlite.quoting import relation
from replication_assets.sources.sqlite.reflection import Relation, find_relation
from replication_assets.sources.sqlite.triggers import LogNames, TriggeredTable, UniqueSet

Tables = Sequence[tuple[TableId, TableSchema]]


def setup_problems(session: sqlite3.Connection, tables: Tables) -> Iterator[str]:
    """Everything that keeps the tables from being captured."""
    for table, schema in tables:
        found = find_relation(session, table)
        if found is None:
            yield f"there is no table {relation(table)}"
        elif found.can_be_captured:
            yield from table_problems(session, table, schema, found)


def table_problems(
    session: sqlite3.Connection, table: TableId, schema: TableSchema, found: Relation
) -> Iterator[str]:
    """What keeps one table from being captured."""
    if len(schema.columns) > sql.MOST_COLUMNS:
        yield f"{relation(table)} has {len(schema.columns)} columns; {sql.MOST_COLUMNS} can be captured"
    if schema.append_only:
        return
    for name, unique in _unique_sets(session, table.name):
        if unique is None:
            yield (
                f"unique index {name} of {relation(table)} is over an expression or has a condition: rows"
                " that INSERT OR REPLACE removes for it would not be told. Fix: an index over columns,"
                " or declare the table append_only if its rows never go"
            )
        elif found.rowid is None and not found.without_rowid:
            yield f"every name of the rowid of {relation(table)} is a column's. Fix: rename a column"


def wanted_triggers(
    session: sqlite3.Connection, names: LogNames, shape: Shape, found: Relation, append_only: bool
) -> dict[str, str]:
    """CREATE statements of the triggers that a table of this shape needs, by name."""
    unique = () if append_only else tuple(u for _, u in _unique_sets(session, found.name) if u is not None)
    identity = (found.rowid,) if found.rowid is not None else found.primary_key
    table = TriggeredTable(shape.number, found.name, shape.names, identity, unique, append_only)
    return sql.triggers(names, table)


def _unique_sets(session: sqlite3.Connection, table: str) -> Iterator[tuple[str, UniqueSet | None]]:
    """Unique keys by the name of their index; None for one that is no list of columns."""
    found = [
        (name, collation)
        for name, collation in session.execute(
            "SELECT name, 'BINARY' FROM pragma_table_xinfo(?) WHERE pk = 1 AND upper(type) = 'INTEGER'",
            (table,),
        )
    ]
    indexes = session.execute(
        'SELECT name, origin, partial FROM pragma_index_list(?) WHERE "unique" ORDER BY name', (table,)
    ).fetchall()
    if found and not any(origin == "pk" for _, origin, _ in indexes):
        # The rowid by another name: it has no index of its own.
        yield "the primary key", UniqueSet(tuple(found))
    for index, _, partial in indexes:
        columns = session.execute(
            "SELECT name, coll, cid FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", (index,)
        ).fetchall()
        plain = not partial and all(cid >= 0 for _, _, cid in columns)
        yield index, UniqueSet(tuple((name, coll) for name, coll, _ in columns)) if plain else None
