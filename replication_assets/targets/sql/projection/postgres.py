"""PostgreSQL as a projection target: COPY in and out, and statements over temporary tables.

PostgreSQL keeps no 0x00 in a text: such a value stands in `_as_text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pyarrow as pa

from replication_assets.core.events import ID_RANGE, OVERFLOW, POSITION
from replication_assets.core.schema import Column, TableId
from replication_assets.targets.sql.names import text
from replication_assets.targets.sql.postgres.connection import TargetConnection
from replication_assets.targets.sql.postgres.copied_out import copied_out
from replication_assets.targets.sql.postgres.expressions import identifier, qualified
from replication_assets.targets.sql.postgres.row_text import csv_pieces, rows_from_csv
from replication_assets.targets.sql.projection.arriving import KeyLimits
from replication_assets.targets.sql.projection.layout import (
    CONTENT,
    ROW_ID,
    Layout,
    Named,
    Place,
    refuse_names,
    standing,
)
from replication_assets.targets.sql.projection.postgres_tables import (
    LIMIT,
    PostgresTables,
    column_type,
    errors,
    listed,
    named,
)
from replication_assets.targets.sql.projection.values import carriers, not_json, not_uuid, with_nul

LONGEST_KEY = 2_600
"""Bytes: a row of a B-tree index takes 2,704, its header and fixed columns among them."""
LONGEST_ROW = 256 << 20
"""Bytes: a field takes 1 GiB, its hex digits and quotes among them, and so does a line of COPY."""
READ_BYTES = 4 << 20
_LOCK = 0x7261_7072
"""Of advisory locks: `rapr`."""


class PostgresDatabase:
    """One database. `into` names the one schema that all tables go to, instead of their own."""

    engine = "postgresql"

    def __init__(
        self, connection: TargetConnection, *, into: str | None = None, called: Named | None = None
    ) -> None:
        self._connection = connection
        self._into = into
        self._called = called or {}

    def __repr__(self) -> str:
        return f"PostgresDatabase({self.where!r})"

    @property
    def where(self) -> str:
        return self._connection.where

    def place(self, table: TableId) -> Place:
        return standing(table, self._into, self._called)

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        with errors(self.where), closing(self._connection.open()) as connection:
            connection.autocommit = True
            yield PostgresSession(connection, self.place)

    def named(self, place: Place) -> str:
        return named(place)

    def staged(self, place: Place, name: str) -> str:  # noqa: ARG002
        return qualified("pg_temp", name)

    def quoted(self, name: str) -> str:
        return identifier(name)

    def text(self, value: str) -> str:
        return text(value)

    def same_key(self, layout: Layout) -> str:
        return _same(layout.key)

    def locking(self, table: str) -> tuple[str, str]:
        return table, " FOR UPDATE"

    def unheld(self, values: pa.Array, column: Column) -> pa.Array | None:
        if not pa.types.is_string(values.type) and not pa.types.is_large_string(values.type):
            return None
        checked = {"uuid": not_uuid, "json": not_json}.get(column.source_type, with_nul)
        return checked(values)

    def longest_key(self, layout: Layout) -> KeyLimits:  # noqa: ARG002
        return KeyLimits(LONGEST_KEY)

    def refuse_names(self, layout: Layout) -> None:
        where = f"{layout.place} in {self.where}"
        refuse_names(layout, layout.names, folds=False, limit=LIMIT, where=where)


class PostgresSession(PostgresTables):
    """A connection; each statement outside a transaction is one of its own."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._connection.transaction():
            self.run("SET LOCAL replication_assets.writer = 'on'")
            yield

    @contextmanager
    def defining(self) -> Iterator[None]:
        with self._connection.transaction():
            self.rows(f"SELECT pg_advisory_xact_lock({_LOCK})")
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._connection.transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def longest_row(self) -> int | None:
        return LONGEST_ROW

    def make_staged(self, layout: Layout, name: str, columns: pa.Schema, key: Sequence[str]) -> None:
        self.run(f"DROP TABLE IF EXISTS {qualified('pg_temp', name)}")
        parts = [f"{identifier(field.name)} {column_type(field, layout)}" for field in columns]
        parts += [f"PRIMARY KEY ({listed(key)})"] if key else []
        self.run(f"CREATE TEMP TABLE {identifier(name)} ({', '.join(parts)}) ON COMMIT DROP")

    def load(self, into: str, batch: pa.RecordBatch, layout: Layout) -> None:
        names = batch.schema.names
        plain = [f"c{at}" for at in range(len(names))]
        nothing = pa.nulls(batch.num_rows, pa.string())
        given = pa.RecordBatch.from_arrays([*batch.columns, nothing], names=[*plain, OVERFLOW])
        statement = f"COPY {into} ({listed(names)}) FROM STDIN (FORMAT csv)"
        with (
            errors(str(layout.place), names),
            self._connection.cursor() as cursor,
            cursor.copy(statement.encode()) as copy,
        ):
            for piece in csv_pieces(given):
                copy.write(piece)

    def read(self, columns: pa.Schema, source: str, layout: Layout) -> Iterator[pa.RecordBatch]:
        selected = ", ".join(
            f"{'s' if name.startswith('_ra_') else 't'}.{identifier(name)}" for name in columns.names
        )
        plain = [pa.field(f"c{at}", field.type) for at, field in enumerate(columns)]
        schema = pa.schema([*plain, pa.field(OVERFLOW, pa.string())])
        statement = f"COPY (SELECT {selected} FROM {source}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"
        with errors(str(layout.place)):
            for piece in copied_out(self._connection, statement, READ_BYTES):
                found = rows_from_csv(piece, schema)
                yield pa.RecordBatch.from_arrays(found.columns[:-1], schema=columns)

    def delete_older(self, layout: Layout, staged: str, id_range: str, *, whatever: bool = False) -> int:
        # Without figures, the planner takes a temporary table for large, and reads all of the other.
        self.run(f"ANALYZE {qualified('pg_temp', staged)}")
        older = "" if whatever else f" AND ({_position('t')}) < ({_position('s')})"
        return self.run(
            f"DELETE FROM {named(layout.place)} t USING {qualified('pg_temp', staged)} s"
            f" WHERE {_same(layout.key)} AND t.{ID_RANGE} = {text(id_range)}{older}"
        )

    def insert_missing(self, layout: Layout, staged: str) -> int:
        names = listed(carriers(layout.rows).names)
        return self.run(
            f"INSERT INTO {named(layout.place)} ({names}) SELECT {names}"
            f" FROM {qualified('pg_temp', staged)} ON CONFLICT ({listed(layout.key)}) DO NOTHING"
        )

    def delete_copies(self, layout: Layout, staged: str, id_range: str) -> int:
        table = named(layout.place)
        self.run(f"ANALYZE {qualified('pg_temp', staged)}")
        return self.run(
            f"DELETE FROM {table} WHERE {ROW_ID} IN (SELECT {ROW_ID} FROM (SELECT t.{ROW_ID}, s.copies,"
            f" row_number() OVER (PARTITION BY t.{CONTENT} ORDER BY t.{ROW_ID}) AS copy"
            f" FROM {qualified('pg_temp', staged)} s JOIN {table} t ON t.{CONTENT} = s.{CONTENT}"
            f" WHERE t.{ID_RANGE} = {text(id_range)}) found WHERE copy <= copies)"
        )


def _same(key: Sequence[str]) -> str:
    return " AND ".join(f"t.{identifier(name)} = s.{identifier(name)}" for name in key)


def _position(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in POSITION)
