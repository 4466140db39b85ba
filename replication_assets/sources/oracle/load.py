"""Reading rows: one slice of a table as Arrow batches, as of one SCN.

Each slice has an SCN of its own (`snapshot`), so slices can be read at different times by different processes
and still meet the change stream exactly. The server builds the rows as of the SCN from undo: a slice that
takes longer than undo is kept is ORA-01555, told with what mends it; nothing of it was stored.

A table that is altered between SCN and read is ORA-01466: the load is repeated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import LoadSlice
from replication_assets.sources.oracle.extent import check_order
from replication_assets.sources.oracle.predicates import Conditions, row_conditions
from replication_assets.sources.oracle.reflection import table_columns
from replication_assets.sources.oracle.select_list import loaded_batch, loaded_schema, read_expression
from replication_assets.sources.oracle.sessions import Server, Session, connected
from replication_assets.sources.oracle.snapshot import current_scn, read_clock
from replication_assets.sources.oracle.statements import rows
from replication_assets.sources.oracle.types import is_out_of_row

_FRAME_ROWS = 20_000
_FRAME_ROWS_WITH_LOBS = 200
"""Values of megabytes are read whole: few rows at a time keep that bounded."""


class OracleLoad:
    """An open read: see `ports.LoadStream`. It can be iterated once."""

    def __init__(
        self,
        commit: int,
        taken_at: dt.datetime,
        columns: tuple[Column, ...],
        schema: TableSchema,
        frames: Iterator[pa.RecordBatch],
    ) -> None:
        self.commit = commit
        self.taken_at = taken_at
        self.columns = columns
        self._schema = schema
        self._frames = frames

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        stored = loaded_schema(self._schema)
        for frame in self._frames:
            if frame.num_rows:
                yield loaded_batch(self._schema, stored, frame)


@contextmanager
def open_load(server: Server, load_slice: LoadSlice) -> Iterator[OracleLoad]:
    """Open a slice. Holds no lock and no transaction.

    Raises:
        SourceNotReady: the table, a column or a grant is missing.
        SourceUnavailable: the undo that the rows are read from is gone; the message says what mends it.
    """
    conditions = row_conditions(load_slice)
    table, schema = load_slice.table, load_slice.schema
    with connected(server, statement_seconds=0) as session:
        if load_slice.range_column is not None:
            check_order(session, table, schema.column(load_slice.range_column))
        # The columns first: were they altered in between, the read as of the SCN is refused.
        columns = table_columns(session, table)
        scn = current_scn(session)
        taken_at = read_clock(session)
        frames = read_rows(session, table, schema, conditions, scn)
        yield OracleLoad(scn + 1, taken_at, columns, schema, frames)


def read_rows(
    session: Session, table: TableId, schema: TableSchema, conditions: Conditions, scn: int
) -> Iterator[pa.RecordBatch]:
    """The driver's frames of the rows as of an SCN."""
    expressions = [read_expression(column) for column in schema.columns]
    query = rows.select(expressions, table.schema, table.name, conditions.text, "scn")
    large = any(is_out_of_row(column) for column in schema.columns)
    size = _FRAME_ROWS_WITH_LOBS if large else _FRAME_ROWS
    return session.frames(query, {**conditions.binds, "scn": scn}, size)
