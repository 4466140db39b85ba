"""Reading rows: one consistent slice of a table as Arrow batches, at an exact place of the binlog.

Each slice has a snapshot of its own (`snapshot.py`), so slices can be read at different times by
different processes and still meet the change stream exactly. Rows come as the server prints them
(`result_rows.py`), some megabytes at a time.

While a slice is read its table can be written to and cannot be altered: an ALTER TABLE waits for it, and
whoever comes after that ALTER TABLE waits too. Small slices keep that short.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.sources.mysql.connection import MySqlConnection, Session, quoted
from replication_assets.sources.mysql.predicates import row_conditions
from replication_assets.sources.mysql.reflection import table_columns
from replication_assets.sources.mysql.result_rows import ResultRows
from replication_assets.sources.mysql.select_list import loaded_batch, loaded_schema, read_expression
from replication_assets.sources.mysql.snapshot import Snapshots, consistent_snapshot


class MySqlLoad:
    """An open read: see `ports.LoadStream`. It can be iterated once."""

    def __init__(
        self,
        commit: int,
        taken_at: dt.datetime,
        columns: tuple[Column, ...],
        schema: TableSchema,
        rows: ResultRows,
    ) -> None:
        self.commit = commit
        self.taken_at = taken_at
        self.columns = columns
        self._schema = schema
        self._rows = rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        stored = loaded_schema(self._schema)
        for printed in self._rows:
            yield loaded_batch(self._schema, stored, printed)


@contextmanager
def open_load(
    connection: MySqlConnection,
    load_slice: LoadSlice,
    wait: float,
    snapshots: Snapshots = consistent_snapshot,
) -> Iterator[MySqlLoad]:
    """Open a slice. Leaves no lock or transaction behind, however the block ends.

    Raises:
        LoadBlocked: transactions or statements held the table for longer than `wait` seconds.
        SourceNotReady: the table, a column or a grant is missing.
    """
    table = load_slice.table
    conditions = row_conditions(load_slice)
    with snapshots(connection, table, wait) as snapshot:
        session = snapshot.session
        columns = table_columns(session, table)
        taken_at = read_clock(session)
        query = select(load_slice.schema, quoted(table.schema, table.name), conditions)
        rows = ResultRows(session, query, len(load_slice.schema.columns))
        yield MySqlLoad(snapshot.commit, taken_at, columns, load_slice.schema, rows)


def select(schema: TableSchema, rows: str, conditions: str) -> str:
    """The query of a slice."""
    expressions = ", ".join(read_expression(column) for column in schema.columns)
    return f"SELECT {expressions} FROM {rows} WHERE {conditions}"


def read_clock(session: Session) -> dt.datetime:
    """The server's time."""
    row = session.row("SELECT SYSDATE(6)")
    if row is None or not isinstance(row[0], dt.datetime):
        raise SourceUnavailable("the server did not tell its time", where=session.where)
    return row[0].replace(tzinfo=dt.UTC)
