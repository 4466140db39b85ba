"""Reading rows: one consistent slice of a table or view as Arrow batches.

Each slice is read under SNAPSHOT isolation: it takes no locks, holds up nobody, and sees what was
committed when it began, whatever happens meanwhile. Where it meets the change stream is the matter of the
way to capture (`HandOff`), and is asked for in the same session.

The server keeps versions of rows for it in tempdb (or in the database, with accelerated recovery) as long
as it runs: small slices keep that short. A table that is altered meanwhile ends the load with
`LoadBlocked`, to be tried again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Protocol

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import Column, TableId, TableSchema, field_of
from replication_assets.errors import SourceNotReady, SourceUnavailable
from replication_assets.ports import LoadSlice
from replication_assets.sources.sqlserver.reflection import table_columns
from replication_assets.sources.sqlserver.sessions import Session, Sessions, connected
from replication_assets.sources.sqlserver.statements import server
from replication_assets.sources.sqlserver.statements.predicates import row_conditions
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets.sources.sqlserver.types import NativeType, odd_texts, stored

_ATTEMPTS = 10
"""Snapshots that are begun to find one whose position is exact."""


class HandOff(Protocol):
    """How a snapshot finds its place in the change stream."""

    def before(self, session: Session) -> int | None:
        """Asked before the snapshot begins: a position that it has everything below of. None to wait."""
        ...

    def within(self, session: Session) -> int:
        """Asked as the first thing within the snapshot, where `before` told nothing."""
        ...


class SqlServerLoad:
    """An open read: see `ports.LoadStream`. It can be iterated once."""

    def __init__(
        self,
        session: Session,
        load_slice: LoadSlice,
        commit: int,
        taken_at: dt.datetime,
        columns: tuple[Column, ...],
    ) -> None:
        self._session, self._slice = session, load_slice
        self.commit, self.taken_at, self.columns = commit, taken_at, columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        wanted = self._slice
        yield from rows_of(self._session, wanted.table, wanted.schema, row_conditions(wanted))


@contextmanager
def open_load(sessions: Sessions, hand_off: HandOff, load_slice: LoadSlice) -> Iterator[SqlServerLoad]:
    """Open a slice. Leaves no lock or transaction behind, however the block ends.

    Raises:
        LoadBlocked: the table was altered while it was read, or is held.
        SourceNotReady: the table, a column, a grant or snapshot isolation is missing.
    """
    with snapshot(sessions, hand_off, load_slice.table) as (session, commit, taken_at, columns):
        gone = sorted(set(load_slice.schema.names) - {column.name for column in columns})
        if gone:
            raise SourceNotReady(
                f"columns {gone} are not in the table any more",
                where=str(load_slice.table),
                fix="read its schema again",
            )
        yield SqlServerLoad(session, load_slice, commit, taken_at, columns)


@contextmanager
def snapshot(
    sessions: Sessions, hand_off: HandOff, table: TableId
) -> Iterator[tuple[Session, int, dt.datetime, tuple[Column, ...]]]:
    """A session whose transaction sees the database at one moment; the commit position it stands at, when
    that was, and the columns of the table there."""
    with connected(sessions, statement_seconds=0) as session:
        before = hand_off.before(session)
        session.run(server.SNAPSHOT)
        commit = _begin(session, hand_off, table, before)
        columns = table_columns(session, table)
        # The transaction has written nothing, and ends with its session: rows may not be read to their end.
        yield session, commit, read_clock(session), columns


def _begin(session: Session, hand_off: HandOff, table: TableId, before: int | None) -> int:
    """Begin the snapshot; the commit position that it stands at.

    A snapshot stands where its transaction looks at data for the first time, and an ALTER TABLE from there
    on is noticed. A position that is told within is asked for once more after that look: the same twice,
    nothing came between. Where something always does, the earlier one is a lower bound, which is safe.
    """
    for attempt in range(_ATTEMPTS):
        session.run(server.BEGIN)
        commit = before if before is not None else hand_off.within(session)
        session.run(server.touch(table))
        if before is not None or attempt + 1 == _ATTEMPTS or hand_off.within(session) == commit:
            break
        session.run(server.ROLLBACK)
    return commit


def rows_of(
    session: Session, table: TableId, schema: TableSchema, condition: str
) -> Iterator[pa.RecordBatch]:
    """Rows that a condition chooses, with the table's columns and `_overflow`."""
    kept = loaded_schema(schema)
    with closing(_batches(session, select_rows(table, schema.columns, condition))) as batches:
        for batch in batches:
            typed, odd = typed_columns(schema.columns, batch.columns)
            present = any(each is not None for each in odd)
            overflow = overflow_json(schema.names, odd) if present else pa.nulls(batch.num_rows, pa.string())
            if batch.num_rows:
                yield pa.RecordBatch.from_arrays([*typed, overflow], schema=kept)


def _batches(session: Session, query: str) -> Generator[pa.RecordBatch, None, None]:
    yield from session.batches(query)


def loaded_schema(schema: TableSchema) -> pa.Schema:
    """What a load yields: the table's columns, then `_overflow`."""
    return pa.schema([*(field_of(c) for c in schema.columns), pa.field(OVERFLOW, pa.string())])


def typed_columns(
    columns: Sequence[Column], given: Sequence[pa.Array]
) -> tuple[list[pa.Array], list[pa.StringArray | None]]:
    """Stored values and odd texts from the columns of `statements.values.select_list`.

    Raises:
        DecodeError: the driver gave something else.
    """
    typed = [stored(column, values) for column, values in zip(columns, given, strict=False)]
    rest = iter(given[len(columns) :])
    odd = [
        odd_texts(next(rest)) if NativeType.parse(column.source_type).may_be_odd else None
        for column in columns
    ]
    return typed, odd


def read_clock(session: Session) -> dt.datetime:
    """The server's time."""
    ((now,),) = session.rows(server.CLOCK)
    if not isinstance(now, dt.datetime):
        raise SourceUnavailable("the server did not tell its time", where=session.where)
    return now.replace(tzinfo=dt.UTC)
