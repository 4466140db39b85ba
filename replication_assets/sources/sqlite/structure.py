"""What a copy of a table must have besides rows: types, keys, indexes, defaults.

CHECK constraints stand in the table's CREATE statement alone, which is not taken apart here: they
are among the `others`, as are triggers.
"""

from __future__ import annotations

import re
import sqlite3

from replication_assets.core.schema import TableId
from replication_assets.core.structure import ColumnStructure, ForeignKey, Index, TableStructure, UniqueKey
from replication_assets.sources.sqlite.quoting import SCHEMA
from replication_assets.sources.sqlite.reflection import Relation, TableColumn, existing_relation
from replication_assets.sources.sqlite.triggers import LogNames


def read_structure(session: sqlite3.Connection, names: LogNames, table: TableId) -> TableStructure:
    """See `ports.ChangeSource.structure`."""
    found = existing_relation(session, table)
    if found.kind != "table":
        bare = tuple(ColumnStructure(column.name, column.declared.lower()) for column in found.columns)
        what = "a view" if found.kind == "view" else "a foreign table"
        return TableStructure(table, "sqlite", bare, others=(f"being {what}",))
    unique, indexes = _indexes(session, found)
    key = found.primary_key
    return TableStructure(
        table,
        "sqlite",
        tuple(_column(column, found) for column in found.columns),
        primary_key=UniqueKey(f"{found.name}_pkey", key) if key else None,
        unique_keys=unique,
        foreign_keys=_foreign_keys(session, table, found),
        indexes=indexes,
        others=tuple(sorted(_others(session, names, found))),
    )


def _column(column: TableColumn, found: Relation) -> ColumnStructure:
    keyed = column.key > 0 and (found.strict or found.without_rowid)
    return ColumnStructure(
        column.name,
        column.declared.lower(),
        nullable=not (column.required or keyed),
        default=None if column.generated else column.default,
        # Its expression is not in the catalog, only in the CREATE statement.
        generated="" if column.generated else None,
    )


def _indexes(session: sqlite3.Connection, found: Relation) -> tuple[tuple[UniqueKey, ...], tuple[Index, ...]]:
    unique, indexes = [], []
    rows = session.execute(
        'SELECT l.name, l."unique", l.origin, l.partial, m.sql FROM pragma_index_list(?) l'
        " LEFT JOIN main.sqlite_master m ON m.type = 'index' AND m.name = l.name ORDER BY l.name",
        (found.name,),
    ).fetchall()
    for name, is_unique, origin, partial, definition in rows:
        parts = session.execute(
            "SELECT name, cid FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", (name,)
        ).fetchall()
        plain = not partial and all(cid >= 0 for _, cid in parts)
        columns = tuple(each for each, _ in parts) if plain else ()
        if origin == "u":
            unique.append(UniqueKey(name, columns))
        elif origin == "c":
            told = None if plain else definition
            indexes.append(Index(name, columns, unique=bool(is_unique), definition=told))
    return tuple(unique), tuple(indexes)


def _foreign_keys(session: sqlite3.Connection, table: TableId, found: Relation) -> tuple[ForeignKey, ...]:
    rows = session.execute(
        'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?)'
        " ORDER BY id, seq",
        (found.name,),
    ).fetchall()
    grouped: dict[int, list[tuple[str, ...]]] = {}
    for number, *rest in rows:
        grouped.setdefault(number, []).append(tuple(rest))
    return tuple(_foreign_key(session, table, number, parts) for number, parts in grouped.items())


def _foreign_key(
    session: sqlite3.Connection, table: TableId, number: int, parts: list[tuple[str, ...]]
) -> ForeignKey:
    parent, _, _, on_update, on_delete = parts[0]
    referred = tuple(to for _, _, to, _, _ in parts)
    if None in referred:
        # Without columns it refers to the primary key.
        rows = session.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (parent,))
        referred = tuple(name for (name,) in rows)
    return ForeignKey(
        f"{table.name}_fk{number}",
        tuple(column for _, column, _, _, _ in parts),
        TableId(table.source, SCHEMA, parent),
        referred,
        on_delete=on_delete,
        on_update=on_update,
    )


def _others(session: sqlite3.Connection, names: LogNames, found: Relation) -> list[str]:
    own = f"{names.prefix}_"
    rows = session.execute(
        "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (found.name,)
    ).fetchall()
    lines = [f"trigger {name}" for (name,) in rows if not name.startswith(own)]
    (text,) = session.execute(
        "SELECT coalesce(max(sql), '') FROM main.sqlite_master WHERE type = 'table' AND name = ?",
        (found.name,),
    ).fetchone()
    if re.search(r"\bCHECK\s*\(", text, re.IGNORECASE):
        lines.append("check constraints")
    if found.without_rowid:
        lines.append("being WITHOUT ROWID")
    if found.strict:
        lines.append("being STRICT")
    return lines
