"""What a copy of a table must have besides rows: types, keys, indexes, defaults, checks.

Read from the system catalog alone. Types and expressions are the server's own text. What a copy never
has is listed as `others`, by name only. An index with a filter, included or descending columns, or of
another kind than a B-tree keeps its definition only.
"""

from __future__ import annotations

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
from replication_assets.sources.sqlserver.reflection import existing_relation
from replication_assets.sources.sqlserver.sessions import Row, Session
from replication_assets.sources.sqlserver.statements import catalog
from replication_assets.sources.sqlserver.statements.names import quoted, relation
from replication_assets.sources.sqlserver.types import NativeType

_ENGINE: Engine = "sqlserver"
_PLAIN = ("CLUSTERED", "NONCLUSTERED")


def read_structure(session: Session, table: TableId) -> TableStructure:
    """See `ports.ChangeSource.structure`. Of a view it is its columns."""
    found = existing_relation(session, table)
    columns = session.rows(catalog.structure_columns(table))
    if found.kind == "view":
        bare = tuple(ColumnStructure(str(row[0]), _type(row)) for row in columns)
        return TableStructure(table, _ENGINE, bare, others=("being a view",))
    indexes = list(_indexes(session, table))
    return TableStructure(
        table,
        _ENGINE,
        tuple(_column(row) for row in columns),
        primary_key=next((UniqueKey(i.name, c) for i, c, role in indexes if role == "primary"), None),
        unique_keys=tuple(
            UniqueKey(i.name, c) for i, c, role in indexes if role == "unique" or _is_key(i, role)
        ),
        foreign_keys=tuple(_foreign_keys(session, table)),
        indexes=tuple(i for i, _, role in indexes if role == "index" and not _is_key(i, role)),
        checks=tuple(_checks(session, table)),
        others=tuple(sorted(_others(session, table, columns))),
    )


def _is_key(index: Index, role: str) -> bool:
    return role == "index" and index.unique and index.definition is None


def _type(row: Row) -> str:
    _, base, length, precision, scale, *_ = row
    return NativeType.of(str(base), int(length), int(precision), int(scale)).name


def _column(row: Row) -> ColumnStructure:
    name, _, _, _, _, nullable, identity, collation, default, generated, *_ = row
    return ColumnStructure(
        str(name),
        _type(row),
        nullable=bool(nullable),
        default=None if default is None or generated is not None else str(default),
        identity="always" if identity else None,
        generated=None if generated is None else str(generated),
        collation=None if collation is None else str(collation),
    )


def _indexes(session: Session, table: TableId) -> Iterator[tuple[Index, tuple[str, ...], str]]:
    """The index, its key columns, and whether it is the primary key, a unique constraint or neither."""
    for name, group in groupby(session.rows(catalog.indexes(table)), key=lambda row: str(row[0])):
        parts = list(group)
        _, kind, unique, primary, constraint, condition, *_, disabled = parts[0]
        if disabled:
            continue
        keys = tuple(str(part[6]) for part in parts if not part[7])
        plain = kind in _PLAIN and condition is None and not any(part[7] or part[8] for part in parts)
        definition = None if plain else _definition(table, name, parts)
        index = Index(
            name,
            keys if plain else (),
            unique=bool(unique),
            method="btree" if kind in _PLAIN else str(kind).lower(),
            definition=definition,
        )
        yield index, keys, "primary" if primary else "unique" if constraint else "index"


def _definition(table: TableId, name: str, parts: Sequence[Row]) -> str:
    _, kind, unique, _, _, condition, *_ = parts[0]
    keys = [f"{quoted(str(part[6]))}{' DESC' if part[8] else ''}" for part in parts if not part[7]]
    included = [quoted(str(part[6])) for part in parts if part[7]]
    what = f"{'UNIQUE ' if unique else ''}{'' if kind == 'NONCLUSTERED' else f'{kind} '}INDEX"
    text = f"CREATE {what} {quoted(name)} ON {relation(table)} ({', '.join(keys)})"
    if included:
        text += f" INCLUDE ({', '.join(included)})"
    return text if condition is None else f"{text} WHERE {condition}"


def _foreign_keys(session: Session, table: TableId) -> Iterator[ForeignKey]:
    for name, group in groupby(session.rows(catalog.foreign_keys(table)), key=lambda row: str(row[0])):
        parts = list(group)
        _, _, schema, parent, _, on_delete, on_update, disabled = parts[0]
        if disabled:
            continue
        yield ForeignKey(
            name,
            tuple(str(part[1]) for part in parts),
            TableId(table.source, str(schema), str(parent)),
            tuple(str(part[4]) for part in parts),
            on_delete=str(on_delete).replace("_", " "),
            on_update=str(on_update).replace("_", " "),
        )


def _checks(session: Session, table: TableId) -> Iterator[Check]:
    for name, definition, disabled in session.rows(catalog.checks(table)):
        if not disabled:
            yield Check(str(name), str(definition))


def _others(session: Session, table: TableId, columns: Sequence[Row]) -> Iterator[str]:
    for row in columns:
        name, flags = str(row[0]), row[10:14]
        told: list[tuple[Any, str]] = list(
            zip(flags, ("being sparse", "being ROWGUIDCOL", "being masked", "being hidden"), strict=True)
        )
        yield from (f"column {name} {what}" for flag, what in told if flag)
    for (text,) in session.rows(catalog.others(table)):
        yield str(text)
    ((partitions,),) = session.rows(catalog.partition_scheme(table))
    if int(partitions) > 1:
        yield "partitioning"
    for name, _, disabled in session.rows(catalog.checks(table)):
        if disabled:
            yield f"the disabled check {name}"
