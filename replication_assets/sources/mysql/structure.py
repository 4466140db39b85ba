"""What a copy of a table must have besides rows: types, keys, indexes, defaults, checks.

Read from `information_schema` alone. Types and expressions are the server's own text. What a copy never
has is listed as `others`, by name only: the text of a comment or of a trigger is not read.

An index of the engine is a constraint too where it is unique; one over parts of columns, descending or
of another kind than a B-tree keeps its definition only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    Engine,
    ForeignKey,
    Index,
    TableStructure,
    UniqueKey,
)
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.reflection import existing_relation

LOCK_SECONDS = 2
"""The server opens a table to tell what it is made of, which an ALTER TABLE in progress holds up. Whoever
records structures looks again, so it is not worth a long wait."""

_LABEL = re.compile(r"'((?:[^']|'')*)'")
_NUMERIC = re.compile(r"(tinyint|smallint|mediumint|int|bigint|decimal|float|double|bit|year)\b")


def read_structure(session: Session, table: TableId) -> TableStructure:
    """See `ports.ChangeSource.structure`. Of a view it is its columns.

    Raises:
        LoadBlocked: the table is being altered.
    """
    session.rows(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
    found = existing_relation(session, table)
    session.rows(f"SELECT 1 FROM {quoted(table.schema, table.name)} LIMIT 0")
    columns = session.rows(
        "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION,"
        f" COLLATION_NAME, COLUMN_COMMENT <> '' FROM information_schema.COLUMNS WHERE {_of(table)}"
        " ORDER BY ORDINAL_POSITION"
    )
    engine: Engine = "mariadb" if session.is_mariadb else "mysql"
    if found.kind == "view":
        typed = [(str(row[0]), *_type(str(row[1]))) for row in columns]
        bare = tuple(ColumnStructure(name, kind, labels=labels) for name, kind, labels in typed)
        return TableStructure(table, engine, bare, others=("being a view",))
    indexes = _indexes(session, table)
    primary = next((UniqueKey("PRIMARY", columns) for name, columns, _ in indexes if name == "PRIMARY"), None)
    return TableStructure(
        table,
        engine,
        tuple(_column(session, row) for row in columns),
        primary_key=primary,
        unique_keys=tuple(
            UniqueKey(name, index.columns)
            for name, _, index in indexes
            if name != "PRIMARY" and index.unique and index.definition is None
        ),
        foreign_keys=tuple(_foreign_keys(session, table)),
        indexes=tuple(
            index
            for name, _, index in indexes
            if name != "PRIMARY" and not (index.unique and index.definition is None)
        ),
        checks=tuple(_checks(session, table)),
        others=tuple(sorted(_others(session, table, columns, partitioned=found.partitioned))),
    )


def _of(table: TableId) -> str:
    return f"TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"


# --- columns --------------------------------------------------------------------------------


def _type(column_type: str) -> tuple[str, tuple[str, ...]]:
    """The type and the labels of an ENUM or SET, whose type is its name alone."""
    base = column_type.partition("(")[0]
    return (base, labels_of(column_type)) if base in ("enum", "set") else (column_type, ())


def labels_of(column_type: str) -> tuple[str, ...]:
    """Labels of `enum('a','it''s')`: quotes are doubled, and backslashes are."""
    found = _LABEL.findall(column_type.partition("(")[2])
    return tuple(label.replace("''", "'").replace("\\\\", "\\") for label in found)


def _column(session: Session, row: Sequence[Any]) -> ColumnStructure:
    name, column_type, nullable, default, extra, expression, collation, _ = row
    words = str(extra).upper()
    generated = str(expression) if "GENERATED" in words.split() and expression else None
    kind, labels = _type(str(column_type))
    return ColumnStructure(
        str(name),
        kind,
        nullable=nullable == "YES",
        default=None if generated else _default(session, kind, default, words),
        identity="by default" if "AUTO_INCREMENT" in words else None,
        generated=generated,
        collation=str(collation) if collation is not None else None,
        labels=labels,
    )


def _default(session: Session, kind: str, default: object, extra: str) -> str | None:
    """As SQL. MariaDB gives it so; MySQL gives the bare text of a constant."""
    if default is None or (session.is_mariadb and default == "NULL"):
        return None
    text = str(default)
    if session.is_mariadb or "DEFAULT_GENERATED" in extra or _NUMERIC.match(kind):
        return text
    return literal(text)


# --- keys and indexes -----------------------------------------------------------------------


def _indexes(session: Session, table: TableId) -> list[tuple[str, tuple[str, ...], Index]]:
    """Name, columns, and the index as a structure has it."""
    rows = session.rows(
        "SELECT INDEX_NAME, COLUMN_NAME, NON_UNIQUE, SUB_PART, COLLATION, INDEX_TYPE"
        f" FROM information_schema.STATISTICS WHERE {_of(table)} ORDER BY INDEX_NAME, SEQ_IN_INDEX"
    )
    found = []
    for name, group in groupby(rows, key=lambda row: str(row[0])):
        parts = list(group)
        kind, unique = str(parts[0][5]).lower(), not int(parts[0][2])
        plain = kind == "btree" and all(
            part[1] is not None and part[3] is None and part[4] == "A" for part in parts
        )
        columns = tuple(str(part[1]) for part in parts if part[1] is not None)
        definition = None if plain else _definition(table, name, parts, kind, unique=unique)
        index = Index(name, columns if plain else (), unique=unique, method=kind, definition=definition)
        found.append((name, columns, index))
    return found


def _definition(table: TableId, name: str, parts: list[Any], kind: str, *, unique: bool) -> str:
    what = {"fulltext": "FULLTEXT ", "spatial": "SPATIAL "}.get(kind, "UNIQUE " if unique else "")
    columns = []
    for _, column, _, length, order, _ in parts:
        shown = quoted(str(column)) if column is not None else "(an expression)"
        columns.append(f"{shown}{f'({length})' if length else ''}{' DESC' if order == 'D' else ''}")
    rows = quoted(table.schema, table.name)
    return f"CREATE {what}INDEX {quoted(name)} ON {rows} ({', '.join(columns)})"


def _foreign_keys(session: Session, table: TableId) -> Iterator[ForeignKey]:
    rows = session.rows(
        "SELECT k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME,"
        " k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE"
        " FROM information_schema.KEY_COLUMN_USAGE k"
        " JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA"
        "  AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME"
        f" WHERE k.TABLE_SCHEMA = {literal(table.schema)} AND k.TABLE_NAME = {literal(table.name)}"
        " AND k.REFERENCED_TABLE_NAME IS NOT NULL ORDER BY k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
    )
    for name, group in groupby(rows, key=lambda row: str(row[0])):
        parts = list(group)
        _, _, schema, parent, _, on_delete, on_update = parts[0]
        yield ForeignKey(
            name,
            tuple(str(part[1]) for part in parts),
            TableId(table.source, str(schema), str(parent)),
            tuple(str(part[4]) for part in parts),
            on_delete=str(on_delete),
            on_update=str(on_update),
        )


def _checks(session: Session, table: TableId) -> Iterator[Check]:
    join = "TRUE"
    of = f"c.CONSTRAINT_SCHEMA = {literal(table.schema)}"
    if session.is_mariadb:
        of += f" AND c.TABLE_NAME = {literal(table.name)}"
    elif session.version >= (8, 0, 16):
        join = "t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME"
        of += f" AND t.TABLE_NAME = {literal(table.name)} AND t.ENFORCED = 'YES'"
    else:
        return
    joined = "" if join == "TRUE" else f" JOIN information_schema.TABLE_CONSTRAINTS t ON {join}"
    for name, clause in session.rows(
        f"SELECT c.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c{joined}"
        f" WHERE {of} ORDER BY 1"
    ):
        yield Check(str(name), str(clause))


# --- what a copy never has ------------------------------------------------------------------


def _others(
    session: Session, table: TableId, columns: Sequence[Sequence[Any]], *, partitioned: bool
) -> Iterator[str]:
    for name, _, _, _, extra, _, _, commented in columns:
        if commented:
            yield f"a comment on column {name}"
        if "ON UPDATE" in str(extra).upper():
            yield f"ON UPDATE of column {name}"
        if "INVISIBLE" in str(extra).upper():
            yield f"column {name} being invisible"
    for (name,) in session.rows(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS"
        f" WHERE EVENT_OBJECT_SCHEMA = {literal(table.schema)} AND EVENT_OBJECT_TABLE = {literal(table.name)}"
    ):
        yield f"trigger {name}"
    row = session.row(f"SELECT TABLE_COMMENT <> '' FROM information_schema.TABLES WHERE {_of(table)}")
    if row is not None and row[0]:
        yield "a comment on the table"
    if partitioned:
        yield "partitioning"
