"""What a copy of a table must have besides rows: types, keys, indexes, defaults, checks.

Read from the catalog alone, which every role may read. Types and expressions are the server's own
text, printed under `search_path = pg_catalog`, so that names in them are qualified. What a copy
never has is listed as `others`, by name only: the text of a comment or of a trigger is not read.

A constraint that rows may break (NOT VALID, NOT ENFORCED) is among the `others` too: a copy that
demanded it could not be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    ForeignKey,
    Identity,
    Index,
    OwnedSequence,
    TableStructure,
    UniqueKey,
)
from replication_assets.sources.postgres import structure_queries as queries
from replication_assets.sources.postgres.reflection import existing_relation

_IDENTITIES: Mapping[str, Identity | None] = {"": None, "a": "always", "d": "by default"}
_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
LOCK_TIMEOUT = "2s"
"""Expressions are printed under a lock that an ALTER TABLE in progress holds up. Whoever records
structures looks again, so it is not worth a long wait."""

_ONLY_COLUMNS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


def read_structure(session: psycopg.Connection[Any], table: TableId) -> TableStructure:
    """See `ports.ChangeSource.structure`. Of a partitioned table it is the structure of the whole; of
    what is no table, its columns.

    Raises:
        LockNotAvailable: of psycopg; the table is being altered.
    """
    # One snapshot, so that the queries agree with each other.
    with session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        session.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        found = existing_relation(session, table)
        columns = _rows(session, queries.COLUMNS, found.oid)
        if found.kind in _ONLY_COLUMNS:
            bare = tuple(
                ColumnStructure(row.name, row.type, labels=tuple(row.labels or ())) for row in columns
            )
            what = f"being {_ONLY_COLUMNS[found.kind]}"
            return TableStructure(table, "postgresql", bare, others=(what,))
        constraints = _rows(session, queries.CONSTRAINTS, found.oid)
        indexes = _rows(session, queries.INDEXES, found.oid)
        sequences = _rows(session, queries.SEQUENCES, found.oid)
        others = [row.line for row in _rows(session, queries.OTHERS, found.oid)]
    carried = [row for row in constraints if row.carried]
    return TableStructure(
        table,
        "postgresql",
        tuple(_column(row) for row in columns),
        primary_key=next((UniqueKey(row.name, tuple(row.columns)) for row in _of(carried, "p")), None),
        unique_keys=tuple(UniqueKey(row.name, tuple(row.columns)) for row in _of(carried, "u")),
        foreign_keys=tuple(_foreign_key(row, table.source) for row in _of(carried, "f")),
        indexes=tuple(_index(row) for row in indexes),
        checks=tuple(Check(row.name, row.expression) for row in _of(carried, "c")),
        sequences=tuple(
            OwnedSequence(row.name, row.column_name, increment=row.increment) for row in sequences
        ),
        others=tuple(sorted({*others, *(line for row in (*columns, *constraints) for line in row.others)})),
    )


def _rows(session: psycopg.Connection[Any], query: str, oid: int) -> list[Any]:
    with session.cursor(row_factory=namedtuple_row) as cursor:
        return list(cursor.execute(query.encode(), {"oid": oid}).fetchall())


def _of(constraints: list[Any], kind: str) -> list[Any]:
    return [row for row in constraints if row.kind == kind]


def _column(row: Any) -> ColumnStructure:
    return ColumnStructure(
        row.name,
        row.type,
        nullable=not row.required,
        default=None if row.generated else row.expression,
        identity=_IDENTITIES[row.identity],
        generated=row.expression if row.generated else None,
        collation=row.collation,
        labels=tuple(row.labels or ()),
    )


def _foreign_key(row: Any, source: str) -> ForeignKey:
    return ForeignKey(
        row.name,
        tuple(row.columns),
        TableId(source, row.parent_schema, row.parent_name),
        tuple(row.referred),
        on_delete=_ACTIONS[row.on_delete],
        on_update=_ACTIONS[row.on_update],
        deferrable=row.deferrable,
        initially_deferred=row.deferred,
    )


def _index(row: Any) -> Index:
    return Index(
        row.name,
        tuple(row.columns or ()),
        unique=row.is_unique,
        method=row.method,
        definition=None if row.is_plain else row.definition,
    )
