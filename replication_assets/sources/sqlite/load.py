"""Reading rows: one consistent slice of a table as Arrow batches, at an exact position.

One read transaction shows the rows and the newest change id. SQLite has one writer at a time, so
the id is exact: every change up to it is in the rows, and no later one.

With a write-ahead log (`PRAGMA journal_mode = WAL`) writers go on meanwhile. With a rollback journal
they wait while rows are read, as they do for any reader.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column, TableId, TableSchema, field_of
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.ports import LoadSlice
from replication_assets.sources.sqlite.change_log import newest, read_state
from replication_assets.sources.sqlite.connection import (
    SqliteDatabase,
    open_session,
    reading,
    sqlite_errors,
)
from replication_assets.sources.sqlite.predicates import in_dates, range_condition, row_conditions
from replication_assets.sources.sqlite.quoting import identifier, relation
from replication_assets.sources.sqlite.reflection import columns_of, existing_relation
from replication_assets.sources.sqlite.rows import batches_of_rows
from replication_assets.sources.sqlite.triggers import LogNames
from replication_assets.sources.sqlite.types import stored


class SqliteLoad:
    """An open read: see `ports.LoadStream`. It can be iterated once."""

    def __init__(
        self,
        session: sqlite3.Connection,
        load_slice: LoadSlice,
        commit: int,
        taken_at: dt.datetime,
        columns: tuple[Column, ...],
    ) -> None:
        self._session = session
        self._slice = load_slice
        self.commit = commit
        self.taken_at = taken_at
        self.columns = columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        wanted = self._slice
        batches = rows_of(self._session, wanted.table, wanted.schema, row_conditions(wanted))
        with sqlite_errors(str(wanted.table)):
            for batch in batches:
                chosen = self._of_dates(batch)
                if chosen.num_rows:
                    yield chosen

    def _of_dates(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        wanted = self._slice
        if wanted.dates is None:
            return batch
        if wanted.event_dates.column is None:
            raise ValueError("rows cannot be chosen by commit date: the table holds none")
        values = batch.column(wanted.event_dates.column)
        return batch.filter(in_dates(values, wanted.event_dates, wanted.dates))


@contextmanager
def open_load(database: SqliteDatabase, names: LogNames, load_slice: LoadSlice) -> Iterator[SqliteLoad]:
    """Open a slice. The transaction ends with the block.

    Raises:
        SourceNotReady: there is no such table, a column is gone, or no log was set up.
        LoadBlocked: another process holds the file locked.
    """
    where = str(load_slice.table)
    with closing(open_session(database)) as session, sqlite_errors(where), reading(session):
        commit, columns = position_and_columns(session, names, load_slice.table)
        gone = [name for name in load_slice.schema.names if name not in {column.name for column in columns}]
        if gone:
            raise SourceNotReady(
                f"columns {gone} are not in the table any more", where=where, fix="read its schema again"
            )
        yield SqliteLoad(session, load_slice, commit, dt.datetime.now(dt.UTC), columns)


def position_and_columns(
    session: sqlite3.Connection, names: LogNames, table: TableId
) -> tuple[int, tuple[Column, ...]]:
    """The commit position of what the session's transaction sees, and the table's columns there."""
    columns = columns_of(existing_relation(session, table))
    found = newest(session, names) if read_state(session, names) is not None else None
    # Views of a file that nothing is captured from are loaded too.
    return (found or 0) + 1, columns


def rows_of(
    session: sqlite3.Connection, table: TableId, schema: TableSchema, condition: str
) -> Iterator[pa.RecordBatch]:
    """Rows of a table that a condition chooses, with the table's columns and `_overflow`."""
    listed = ", ".join(identifier(name) for name in schema.names)
    query = f"SELECT {listed} FROM {relation(table)} WHERE {condition}"
    kept = pa.schema([*(field_of(column) for column in schema.columns), pa.field(OVERFLOW, pa.string())])
    for rows in batches_of_rows(session, query):
        pairs = [
            stored(column, each) for column, each in zip(schema.columns, zip(*rows, strict=True), strict=True)
        ]
        odd = [text for _, text in pairs]
        found = any(text is not None for text in odd)
        overflow = overflow_json(schema.names, odd) if found else pa.nulls(len(rows), pa.string())
        batch = pa.RecordBatch.from_arrays([*(typed for typed, _ in pairs), overflow], schema=kept)
        _refuse_missing_key(batch, table, schema)
        yield batch


def _refuse_missing_key(batch: pa.RecordBatch, table: TableId, schema: TableSchema) -> None:
    for name in schema.key:
        if batch.column(name).null_count:
            raise DecodeError(
                f"key column {name!r} of a row is null, or not of the column's type",
                where=str(table),
                fix="give the row a key, or declare another key for the table",
            )


def range_conditions(
    schema: TableSchema, range_column: str | None, id_ranges: Sequence[IdRange]
) -> list[str]:
    """One condition per range, in their order."""
    if range_column is None:
        return ["true"] * len(id_ranges)
    return [range_condition(schema.column(range_column), each) for each in id_ranges]
