"""What a copy of a table must have besides rows: types, keys, indexes, defaults, checks.

Read from the data dictionary alone; types and expressions are the server's own text. What a copy never has is
listed as `others`, by name only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    ForeignKey,
    Index,
    TableStructure,
    UniqueKey,
)
from replication_assets.sources.oracle.reflection import (
    CatalogColumn,
    catalog_columns,
    existing_relation,
    names_of,
)
from replication_assets.sources.oracle.sessions import Row, Session, one_row
from replication_assets.sources.oracle.statements import catalog
from replication_assets.sources.oracle.statements.names import quoted

_NOT_NULL = re.compile(r'"[^"]+" IS NOT NULL')
"""How the dictionary tells of a NOT NULL column, which a copy knows without."""


def read_structure(session: Session, table: TableId) -> TableStructure:
    """See `ports.ChangeSource.structure`. Of a view it is its columns."""
    found = existing_relation(session, table)
    columns = catalog_columns(session, table)
    if found.kind != "table":
        bare = tuple(ColumnStructure(column.name, _type(column)) for column in columns)
        return TableStructure(table, "oracle", bare, others=(f"being a {found.kind}",))
    defaults = {
        str(name): str(text).strip() for name, text in session.rows(catalog.DEFAULTS, names_of(table))
    }
    constraints = _constraints(session, table)
    unique = [UniqueKey(name, _columns(rows)) for name, kind, rows in constraints if kind == "U"]
    primary = [UniqueKey(name, _columns(rows)) for name, kind, rows in constraints if kind == "P"]
    owned = {key.name for key in [*unique, *primary]}
    return TableStructure(
        table,
        "oracle",
        tuple(_column(column, defaults) for column in columns),
        primary_key=primary[0] if primary else None,
        unique_keys=tuple(unique),
        foreign_keys=tuple(
            _foreign_key(table, name, rows) for name, kind, rows in constraints if kind == "R"
        ),
        indexes=tuple(index for index in _indexes(session, table) if index.name not in owned),
        checks=tuple(
            Check(str(name), str(text))
            for name, text in session.rows(catalog.CHECKS, names_of(table))
            if text is not None and not _NOT_NULL.fullmatch(str(text))
        ),
        others=tuple(sorted(_others(session, table, columns, partitioned=found.partitioned))),
    )


def _column(column: CatalogColumn, defaults: Mapping[str, str]) -> ColumnStructure:
    text = defaults.get(column.name)
    return ColumnStructure(
        column.name,
        _type(column),
        nullable=column.nullable,
        default=None if column.virtual or column.identity else text,
        # The dictionary's ALWAYS and BY DEFAULT stand in a view that may not be granted: the wider one.
        identity="by default" if column.identity else None,
        generated=text if column.virtual else None,
        collation=None if column.collation in (None, "USING_NLS_COMP") else column.collation,
    )


def _type(column: CatalogColumn) -> str:
    """The type as DDL spells it: what of a length is in bytes and what in characters is said."""
    if column.data_type in ("CHAR", "VARCHAR2"):
        return f"{column.data_type}({column.length} {'BYTE' if column.is_bytes else 'CHAR'})"
    if column.type_owner is not None:
        return f"{quoted(column.type_owner)}.{quoted(column.data_type)}"
    if column.data_type in ("NUMBER", "FLOAT", "NCHAR", "NVARCHAR2", "RAW"):
        return column.type
    return column.data_type


# --- keys and indexes -----------------------------------------------------------------------


def _constraints(session: Session, table: TableId) -> list[tuple[str, str, list[Row]]]:
    rows = session.rows(catalog.CONSTRAINTS, names_of(table))
    grouped = ((name, list(group)) for name, group in groupby(rows, key=lambda row: str(row[0])))
    return [(name, str(group[0][1]), group) for name, group in grouped]


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(str(row[2]) for row in rows)


def _foreign_key(table: TableId, name: str, rows: Sequence[Row]) -> ForeignKey:
    _, _, _, owner, parent, _, on_delete, deferrable, deferred = rows[0]
    return ForeignKey(
        name,
        _columns(rows),
        TableId(table.source, str(owner), str(parent)),
        tuple(str(row[5]) for row in rows),
        on_delete=str(on_delete or "NO ACTION"),
        deferrable=deferrable == "DEFERRABLE",
        initially_deferred=deferred == "DEFERRED",
    )


def _indexes(session: Session, table: TableId) -> Iterator[Index]:
    rows = session.rows(catalog.INDEXES, names_of(table))
    for (owner, name), group in groupby(rows, key=lambda row: (str(row[0]), str(row[1]))):
        parts = list(group)
        kind, unique = str(parts[0][2]), parts[0][3] == "UNIQUE"
        if kind == "LOB":
            continue
        columns = tuple(str(part[6]) for part in parts)
        plain = kind == "NORMAL" and all(part[7] == "ASC" for part in parts)
        yield Index(
            name,
            columns if plain else (),
            unique=unique,
            method="btree" if kind == "NORMAL" else kind.lower(),
            definition=None if plain else _definition(table, owner, name, kind, parts, unique=unique),
        )


def _definition(
    table: TableId, owner: str, name: str, kind: str, parts: Sequence[Row], *, unique: bool
) -> str:
    what = "UNIQUE " if unique else "BITMAP " if "BITMAP" in kind else ""
    # Columns of an index over expressions have names that the server made.
    shown = ["(an expression)" if str(p[6]).startswith("SYS_NC") else quoted(str(p[6])) for p in parts]
    ordered = [each + (" DESC" if p[7] == "DESC" else "") for each, p in zip(shown, parts, strict=True)]
    rows = quoted(table.schema, table.name)
    return f"CREATE {what}INDEX {quoted(owner, name)} ON {rows} ({', '.join(ordered)})"


# --- what a copy never has ------------------------------------------------------------------


def _others(
    session: Session, table: TableId, columns: Sequence[CatalogColumn], *, partitioned: bool
) -> Iterator[str]:
    for (name,) in session.rows(catalog.TRIGGERS, names_of(table)):
        yield f"trigger {name}"
    for (name,) in session.rows(catalog.COLUMN_COMMENTS, names_of(table)):
        yield f"a comment on column {name}"
    for column in columns:
        if column.hidden:
            yield f"column {column.name} being invisible"
    row = one_row(session, catalog.TABLE_COMMENT, names_of(table))
    if row is not None and int(row[0]):
        yield "a comment on the table"
    if partitioned:
        yield "partitioning"
