"""Reading rows: one consistent slice of a table as Arrow batches, at an exact position.

Each slice has a snapshot of its own (`snapshot.py`), so slices can be read at different
times by different processes and still meet the change stream exactly. Rows come through a
binary COPY in the order that costs the server least, some megabytes at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import adbc_driver_manager
import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import LoadBlocked, SourceError, SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.sources.postgres.connection import (
    PostgresConnection,
    connect_adbc,
    source_errors,
)
from replication_assets.sources.postgres.predicates import row_conditions
from replication_assets.sources.postgres.quoting import from_item, identifier, literal
from replication_assets.sources.postgres.select_list import (
    loaded_schema,
    overflow_expression,
    read_expression,
    to_stored,
)
from replication_assets.sources.postgres.silence import Silence, WatchedCalls
from replication_assets.sources.postgres.snapshot import Snapshot, Snapshots, exported_snapshot
from replication_assets.sources.postgres.under_snapshot import (
    columns_at,
    holds_what_the_snapshot_shows,
    relkind,
)

BATCH_BYTES = 4 << 20
"""Where a batch ends; a single row may exceed it."""

_ATTEMPTS = 5


class PostgresLoad:
    """An open read: see `ports.LoadStream`. It can be iterated once."""

    def __init__(
        self,
        commit: int,
        taken_at: dt.datetime,
        columns: tuple[Column, ...],
        read: Callable[[], pa.RecordBatch],
        schema: TableSchema,
        where: str,
    ) -> None:
        self.commit = commit
        self.taken_at = taken_at
        self.columns = columns
        self._read = read
        self._schema = schema
        self._stored = loaded_schema(schema)
        self._where = where

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._next()) is not None:
            if batch.num_rows:
                yield self._to_stored(batch)

    def _next(self) -> pa.RecordBatch | None:
        with source_errors(self._where):
            try:
                return self._read()
            except StopIteration:
                return None
            except (pa.ArrowException, OSError) as error:
                raise _interrupted(str(error), self._where) from None

    def _to_stored(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [to_stored(c, batch.column(i)) for i, c in enumerate(self._schema.columns)]
        if batch.num_columns > len(columns):
            columns.append(batch.column(len(columns)))
        else:
            columns.append(pa.nulls(batch.num_rows, pa.string()))
        return pa.RecordBatch.from_arrays(columns, schema=self._stored)


@contextmanager
def open_load(
    connection: PostgresConnection,
    load_slice: LoadSlice,
    wait: float,
    snapshots: Snapshots = exported_snapshot,
) -> Iterator[PostgresLoad]:
    """Open a slice, waiting at most `wait` seconds for transactions that hold up the snapshot.

    Leaves no slot, walsender or transaction behind, however the block ends.

    Raises:
        LoadBlocked: running or prepared transactions did not end in time, or the table was
            rewritten each time that it was about to be read.
        SourceNotReady: the table, a column or a grant is missing.
    """
    for _ in range(_ATTEMPTS):
        calls, resources = WatchedCalls(Silence(connection)), ExitStack()
        try:
            load = _open(resources, calls, connection, load_slice, partial(snapshots, connection, wait))
            if load is not None:
                yield load
                return
        finally:
            calls.close(resources)
    raise LoadBlocked(
        f"the table was rewritten {_ATTEMPTS} times while a load of it was opened",
        where=str(load_slice.table),
        fix="load it again when ALTER TABLE, TRUNCATE or VACUUM FULL have come to an end",
    )


def _open(
    stack: ExitStack,
    calls: WatchedCalls,
    connection: PostgresConnection,
    load_slice: LoadSlice,
    exported: Callable[[], AbstractContextManager[Snapshot]],
) -> PostgresLoad | None:
    """None if the table was rewritten between its snapshot and the first lock on it: a snapshot
    older than a rewrite sees no rows."""
    table, where = load_slice.table, str(load_slice.table)
    conditions = row_conditions(load_slice)
    # The driver reads the catalog of types while it connects.
    session = stack.enter_context(calls.run(partial(connect_adbc, connection), lambda: None))
    cursor = _WatchedCursor(stack.enter_context(session.cursor()), calls)
    with source_errors(where):
        calls.silence.pid = cursor.value("SELECT pg_catalog.pg_backend_pid()")
        rows = from_item(table, relkind(cursor, table))
        cursor.watched(session.rollback)
    with exported() as snapshot, source_errors(where):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot.name)}")
        columns = columns_at(connection, snapshot.name, table)
    with source_errors(where):
        taken_at: dt.datetime = cursor.value("SELECT pg_catalog.clock_timestamp()")
        if not holds_what_the_snapshot_shows(cursor, table, rows):
            return None
        reader = stack.enter_context(cursor.stream(slice_query(load_slice.schema, rows, conditions)))
    stack.callback(_cancel, cursor)

    def read() -> pa.RecordBatch:
        batch: pa.RecordBatch = cursor.watched(reader.read_next_batch)
        return batch

    return PostgresLoad(snapshot.commit, taken_at.astimezone(dt.UTC), columns, read, load_slice.schema, where)


class _WatchedCursor:
    """A cursor of ADBC whose calls end when the server's answer is lost."""

    def __init__(self, cursor: Any, calls: WatchedCalls) -> None:
        self._cursor, self._calls = cursor, calls
        self.adbc_cancel = cursor.adbc_cancel

    def watched(self, call: Callable[[], Any]) -> Any:
        return self._calls.run(call, self.adbc_cancel)

    def execute(self, query: str) -> None:
        self.watched(partial(self._cursor.execute, query))

    def fetchone(self) -> Any:
        return self.watched(self._cursor.fetchone)

    def fetchall(self) -> Any:
        return self.watched(self._cursor.fetchall)

    def value(self, query: str) -> Any:
        self.execute(query)
        return self.fetchone()[0]

    def stream(self, query: str) -> Any:
        statement = self._cursor.adbc_statement
        statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        self.execute(query)
        return self._cursor.fetch_record_batch()


def _interrupted(message: str, where: str) -> SourceError:
    """Arrow's stream interface reduces a driver's error to its text, which may quote a value:
    only its kind is passed on."""
    if "ERROR:" in message and "canceling statement" not in message:
        return SourceError(
            "the server could not produce a row",
            where=where,
            fix="read the server's log: an expression of a view, or a damaged row",
        )
    return SourceUnavailable("the rows stopped before their end", where=where)


def slice_query(schema: TableSchema, rows: str, conditions: str) -> str:
    """What a load of these rows executes."""
    expressions = [
        f"{read_expression(column)} AS {identifier(f'c{place}')}"
        for place, column in enumerate(schema.columns)
    ]
    overflow = overflow_expression(schema.columns)
    if overflow is not None:
        expressions.append(f"{overflow} AS {identifier(OVERFLOW)}")
    return f"SELECT {', '.join(expressions)} FROM {rows} WHERE {conditions}"


def _cancel(cursor: Any) -> None:
    """Stop the server if the rows were not read to their end."""
    try:
        cursor.adbc_cancel()
    except adbc_driver_manager.Error:
        # The connection is gone, and with it the query.
        return
