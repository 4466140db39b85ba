"""One stored value, read the way a load reads it and the way capture reads it."""

from __future__ import annotations

from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql as compose

from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column, TableSchema
from replication_assets.sources.postgres.connection import PostgresConnection, connect_adbc
from replication_assets.sources.postgres.select_list import (
    overflow_expression,
    read_expression,
    to_stored,
)
from replication_assets.sources.postgres.types import (
    Attribute,
    from_text,
    resolve_columns,
)

Stored = tuple[list[Any], list[Any]]
"""Values and overflow texts of one column."""


def columns_of(session: psycopg.Connection[Any], table: str) -> tuple[Column, ...]:
    rows = session.execute(
        "SELECT attname, atttypid, atttypmod, attnum FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (table,),
    ).fetchall()
    return resolve_columns(session, [Attribute(*row) for row in rows])


def loaded(connection: PostgresConnection, table: str, columns: tuple[Column, ...]) -> pa.Table:
    """Rows through the SELECT list and a binary COPY."""
    overflow = overflow_expression(columns) or "NULL::text"
    expressions = ", ".join(f"{read_expression(c)} AS v{i}" for i, c in enumerate(columns))
    with connect_adbc(connection) as session, session.cursor() as cursor:
        cursor.execute(f"SELECT {expressions}, {overflow} AS _overflow FROM {table} ORDER BY ctid")
        table_read = cursor.fetch_arrow_table().combine_chunks()
    arrays = [to_stored(c, table_read.column(i).combine_chunks()) for i, c in enumerate(columns)]
    return pa.table([*arrays, table_read["_overflow"]], schema=_schema(columns))


def captured(connection: PostgresConnection, table: str, columns: tuple[Column, ...]) -> pa.Table:
    """Rows through output text, as a walsender prints it with the same settings."""
    with psycopg.connect(connection.conninfo(), autocommit=True) as session:
        names = compose.SQL(", ").join(compose.Identifier(c.name) for c in columns)
        cursor = session.execute(
            compose.SQL("SELECT {} FROM {} ORDER BY ctid").format(names, compose.SQL(table))
        )
        result = cursor.pgresult
        assert result is not None
        texts = [
            pa.array(
                [
                    None if (v := result.get_value(row, i)) is None else bytes(v).decode()
                    for row in range(result.ntuples)
                ],
                pa.string(),
            )
            for i in range(len(columns))
        ]
    pairs = [from_text(c, text) for c, text in zip(columns, texts, strict=True)]
    odd = [o for _, o in pairs]
    if any(o is not None for o in odd):
        overflow: pa.Array = overflow_json([c.name for c in columns], odd)
    else:
        overflow = pa.nulls(len(texts[0]), pa.string())
    return pa.table([*(value for value, _ in pairs), overflow], schema=_schema(columns))


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([*TableSchema(columns).arrow_schema(), pa.field("_overflow", pa.string())])


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """Rows for comparison: NaN equals NaN and -0.0 differs from 0.0."""
    return [{k: repr(v) if isinstance(v, float) else v for k, v in row.items()} for row in table.to_pylist()]
