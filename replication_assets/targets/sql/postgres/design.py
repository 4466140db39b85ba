"""What of a source's structures PostgreSQL makes, and how: types, expressions, and what is left out.

Only what is known before any row is there. Whether the server takes a statement (a function, an
operator class may be missing) is found by trying it: see `shadow.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from replication_assets.core.schema import TableId
from replication_assets.core.structure import ColumnStructure, TableStructure
from replication_assets.errors import RefreshError
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.postgres.connection import Work
from replication_assets.targets.sql.postgres.expressions import (
    Qualified,
    Translation,
    identifier,
    qualified,
    translated,
    type_text,
)

LIMIT = 63
"""Bytes of a name (NAMEDATALEN - 1)."""


def shadow_schema(schema: str) -> str:
    return suffixed(schema, "__incoming", limit=LIMIT)


class _TypeAsText(sa.types.UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, text: str, collation: str | None = None) -> None:
        self.text = text
        self.collation_text = collation

    def get_col_spec(self, **_: Any) -> str:
        return self.text if self.collation_text is None else f"{self.text} COLLATE {self.collation_text}"


_OTHER_ENGINES: tuple[tuple[str, str], ...] = (
    (r"tinyint\(1\)|bool(ean)?", "boolean"),
    (r"(tinyint|smallint)( unsigned)?(\(\d+\))?|year(\(4\))?", "integer"),
    (r"(mediumint|int|integer)(\(\d+\))?", "integer"),
    (r"(mediumint|int|integer)(\(\d+\))? unsigned|bigint(\(\d+\))?", "bigint"),
    (r"float", "real"),
    (r"double( precision)?|real", "double precision"),
    (r"date", "date"),
    (r"datetime(\(\d\))?", "timestamp without time zone"),
    (r"timestamp(\(\d\))?", "timestamp with time zone"),
    (r"(tiny|medium|long)?blob|(var)?binary\(\d+\)", "bytea"),
    (r"(tiny|medium|long)?text|clob|enum\(.*\)|set\(.*\)|time(\(\d\))?|json", "text"),
)
_SIZED = re.compile(r"(?:n?var)?char\((\d+)\)")
_DECIMAL = re.compile(r"(?:decimal|numeric)\((\d+),(\d+)\)")


@dataclass(slots=True)
class Design:
    """The structures of one copy, for the schemas that `schema_of` names. `lines` tell what is left
    out or otherwise, `refused` what cannot be held."""

    tables: Mapping[TableId, TableStructure]
    shadows: Mapping[str, str]
    enums: dict[Qualified, tuple[str, ...]] = field(default_factory=dict)
    types: dict[tuple[TableId, str], str] = field(default_factory=dict)
    collations: dict[tuple[TableId, str], str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def enum_names(self) -> Mapping[Qualified, Qualified]:
        """Enum types of the source, and where they are made."""
        return {(schema, name): (self.shadows[schema], name) for schema, name in self.enums}

    def type_of(self, structure: TableStructure, column: ColumnStructure) -> sa.types.TypeEngine[Any]:
        where = (structure.table, column.name)
        return _TypeAsText(self.types[where], self.collations.get(where))

    def expression(self, structure: TableStructure, text: str) -> Translation:
        """An expression of the source, in the copy's terms."""
        if structure.engine != "postgresql":
            return Translation(None, f"is in the SQL of {structure.engine}")
        return translated(text, self.enum_names)


def design(
    work: Work, tables: Sequence[TableStructure], place_of: Callable[[str], str] = shadow_schema
) -> Design:
    """`place_of` gives the schema in which one of the source is made.

    Raises:
        RefreshError: two tables would have one name; a type cannot be held. All of them at once.
    """
    _require_distinct(tables)
    enums = dict(_enums(tables))
    schemas = sorted({each.table.schema for each in tables} | {schema for schema, _ in enums})
    made = Design(
        {each.table: each for each in tables},
        {schema: place_of(schema) for schema in schemas},
        enums,
    )
    for structure in tables:
        for column in structure.columns:
            _place_type(work, made, structure, column)
    if made.refused:
        raise RefreshError(
            "types that a copy in PostgreSQL cannot hold: " + "; ".join(made.refused),
            where=work.where,
            fix="leave the tables out, or name another type at the source",
        )
    return made


def _require_distinct(tables: Sequence[TableStructure]) -> None:
    taken: dict[Qualified, TableId] = {}
    for structure in tables:
        name = (structure.table.schema, structure.table.name)
        other = taken.setdefault(name, structure.table)
        if other != structure.table:
            raise RefreshError(
                f"{other} and {structure.table} would be one table of the copy",
                fix="copy them into two environments",
            )
        if any(len(part.encode()) > LIMIT for part in name):
            raise RefreshError(f"the name is longer than {LIMIT} bytes", where=str(structure.table))


def _enums(tables: Sequence[TableStructure]) -> Iterator[tuple[Qualified, tuple[str, ...]]]:
    seen: dict[Qualified, tuple[str, ...]] = {}
    for structure in tables:
        for column in structure.columns:
            if not column.labels or structure.engine != "postgresql":
                continue
            text = type_text(column.type)
            if text is None or text.array:
                raise RefreshError("the type of a column is none", where=f"{structure.table}.{column.name}")
            name = text.name or (structure.table.schema, column.type.strip('"'))
            if seen.setdefault(name, column.labels) != column.labels:
                raise RefreshError(f"the enum type {name[0]}.{name[1]} has two lists of labels")
    yield from seen.items()


def enum_schemas(tables: Sequence[TableStructure]) -> frozenset[str]:
    """Schemas that enum types of the source are in."""
    return frozenset(schema for (schema, _), _ in _enums(tables))


def _place_type(work: Work, made: Design, structure: TableStructure, column: ColumnStructure) -> None:
    where = (structure.table, column.name)
    if structure.engine != "postgresql":
        text = _translated_type(column.type.lower().strip())
        if text is None:
            made.refused.append(f"{structure.table}.{column.name} {column.type}")
        else:
            made.types[where] = text
        return
    made.types[where] = _own_type(work, made, structure, column)
    if column.collation is not None:
        name = _collation(work, column.collation)
        if name is not None:
            made.collations[where] = name
        else:
            made.lines.append(f"{structure.table}: column {column.name}: collation {column.collation}")


def _own_type(work: Work, made: Design, structure: TableStructure, column: ColumnStructure) -> str:
    """The very type; or text, which holds what any type prints, and a line that says so."""
    text = type_text(column.type)
    if text is None:
        raise RefreshError("the type of a column is none", where=f"{structure.table}.{column.name}")
    name = text.name
    if column.labels and name is None:
        name = (structure.table.schema, column.type.strip('"'))
    if name is not None and name in made.enums:
        return qualified(made.shadows[name[0]], name[1]) + text.array
    known = work.rows(_KNOWN_TYPE, [column.type])
    if known:
        return column.type
    made.lines.append(f"{structure.table}: column {column.name}: type {column.type} is text in the copy")
    return "text"


_KNOWN_TYPE = """
SELECT 1 FROM pg_type t JOIN pg_type e ON e.oid = coalesce(nullif(t.typelem, 0), t.oid)
JOIN pg_namespace n ON n.oid = e.typnamespace
WHERE t.oid = to_regtype(%s)::oid AND (n.nspname = 'pg_catalog' OR EXISTS (
  SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.deptype = 'e' AND d.objid = e.oid))
"""
"""Types of the engine and of extensions that the target has as well."""


def _collation(work: Work, name: str) -> str | None:
    """One of the engine's own, which are named without a schema (and some with dots)."""
    found = work.rows(
        "SELECT collname FROM pg_collation WHERE collname = %s AND collnamespace = 'pg_catalog'::regnamespace"
        " AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))",
        [name],
    )
    return f"pg_catalog.{identifier(name)}" if found else None


def _translated_type(text: str) -> str | None:
    """A type for one of another engine, wide enough for each of its values."""
    sized = _SIZED.fullmatch(text)
    if sized is not None:
        return f"character varying({sized[1]})"
    decimal = _DECIMAL.fullmatch(text)
    if decimal is not None:
        return f"numeric({decimal[1]},{decimal[2]})"
    for pattern, own in _OTHER_ENGINES:
        if re.fullmatch(pattern, text):
            return own
    return None
