"""What a table is: its columns, its key, and whether its changes can be captured by key.

Generated columns are left out and listed as `not_replicated`, as with other engines: they are
computed from the others, where the rows are read.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.table_problems import key_problems, name_problems, not_ready
from replication_assets.errors import SourceNotReady
from replication_assets.sources.sqlite.quoting import SCHEMA, identifier, relation
from replication_assets.sources.sqlite.types import stored_type

_NO_KEY = "is generated, and generated columns are not replicated"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column as `PRAGMA table_xinfo` describes it. `key` is its place in the primary key, from 1."""

    name: str
    declared: str
    required: bool
    default: str | None
    key: int
    generated: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view. `virtual` tables have no triggers; `rowid` is the name by which a row's number
    is read, None without one (WITHOUT ROWID, or every name of it is a column's)."""

    name: str
    kind: str
    columns: tuple[TableColumn, ...]
    strict: bool
    without_rowid: bool
    rowid: str | None

    @property
    def can_be_captured(self) -> bool:
        return self.kind == "table"

    @property
    def replicated(self) -> tuple[TableColumn, ...]:
        return tuple(column for column in self.columns if not column.generated)

    @property
    def primary_key(self) -> tuple[str, ...]:
        keyed = sorted((column.key, column.name) for column in self.columns if column.key)
        return tuple(name for _, name in keyed)


def find_relation(session: sqlite3.Connection, table: TableId) -> Relation | None:
    """The table or view of exactly this name; None if there is none."""
    row = session.execute(
        "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?",
        (table.name,),
    ).fetchone()
    if row is None or table.schema != SCHEMA or row[1] == "shadow":
        return None
    name, kind, without_rowid, strict = row
    columns = tuple(
        TableColumn(each, declared, bool(required), default, key, hidden in (2, 3))
        for each, declared, required, default, key, hidden in session.execute(
            'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
            " WHERE hidden <> 1 ORDER BY cid",
            (name,),
        )
    )
    taken = {column.name.lower() for column in columns}
    free = [each for each in ("rowid", "_rowid_", "oid") if each not in taken]
    rowid = free[0] if free and not without_rowid and kind == "table" else None
    return Relation(name, kind, columns, bool(strict), bool(without_rowid), rowid)


def existing_relation(session: sqlite3.Connection, table: TableId) -> Relation:
    """As `find_relation`. Raises SourceNotReady if there is none."""
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(
            f"there is no table or view {relation(table)}",
            where=str(table),
            fix="check the spelling (case counts here) and that its schema is `main`",
        )
    return found


def columns_of(found: Relation) -> tuple[Column, ...]:
    return tuple(
        Column(c.name, declared_type(c), stored_type(c.declared), not c.required) for c in found.replicated
    )


def declared_type(column: TableColumn) -> str:
    """As it is spelled, but for spaces: `VARCHAR(10)` and `varchar (10)` are one type."""
    return re.sub(r"\s+", " ", column.declared).strip().replace(" (", "(").lower()


def reflect_table(
    session: sqlite3.Connection, table: TableId, *, key: Sequence[str] = (), append_only: bool = False
) -> TableSchema:
    """See `ports.ChangeSource.reflect`. Without a declared key it is the primary key; the rowid of a
    table without one is no key: `VACUUM` may change it."""
    found = existing_relation(session, table)
    columns = columns_of(found)
    names = [column.name for column in columns]
    generated = tuple(column.name for column in found.columns if column.generated)
    chosen = tuple(key) or found.primary_key
    problems = [*name_problems(names), *key_problems(chosen, names, generated, _NO_KEY)]
    if not problems:
        problems += _null_keys(session, found, table, chosen)
    if problems:
        raise not_ready(problems, str(table))
    return TableSchema(columns, chosen, append_only, generated)


def _null_keys(session: sqlite3.Connection, found: Relation, table: TableId, key: Sequence[str]) -> list[str]:
    """SQLite lets a primary key be NULL, in many rows at once, unless the column says NOT NULL."""
    required = {column.name for column in found.columns if column.required}
    if found.kind != "table" or found.strict or found.without_rowid:
        required |= set(found.primary_key)
    problems = []
    for name in key:
        if name in required:
            continue
        row = session.execute(
            f"SELECT 1 FROM {relation(table)} WHERE {identifier(name)} IS NULL LIMIT 1"
        ).fetchone()
        if row is not None:
            problems.append(f"key column {name!r} is NULL in some row. Give each row a key")
    return problems
