"""The change stream of a database with change data capture: reads change tables, window by window.

A window is what some thousand transactions changed, up to a place that is known to be whole (`reach`). Its
tables are read one after the other, in batches of some megabytes; only at its end no transaction is cut in
two, and only then `through` is told. Memory is that of a few batches, whatever a transaction changed.

Between windows the columns of the tables are looked at, and the age of the capture job's last look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa

from replication_assets.core.change_rows import row_events
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import COMMITTED_AT, EventBatch
from replication_assets.core.lost_changes import changes_lost, changes_not_kept
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError, SlotLost
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.books import Captured, columns_of
from replication_assets.sources.sqlserver.cdc import setup
from replication_assets.sources.sqlserver.cdc.decoding import Instance, change_rows, split_last
from replication_assets.sources.sqlserver.cdc.positions import SLOT_SHIFT, commit_of, last_of, slot_of
from replication_assets.sources.sqlserver.cdc.reach import read_reach, require_work
from replication_assets.sources.sqlserver.lease import Lease
from replication_assets.sources.sqlserver.reflection import find_relation
from replication_assets.sources.sqlserver.sessions import Session, Sessions, connected
from replication_assets.sources.sqlserver.statements import cdc
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.names import hexadecimal

WINDOW_TRANSACTIONS = 2_000
POLL_SECONDS = 0.5
SHAPE_SECONDS = 10.0
"""How often the columns of captured tables are looked at."""

Tables = Sequence[tuple[TableId, TableSchema]]
SchemaChange = tuple[TableId, TableSchema, SchemaChanged]


@contextmanager
def open_changes(
    sessions: Sessions,
    source: str,
    tables: Tables,
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
) -> Iterator[ChangeStream]:
    """The stream after commit position `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another capture reads it.
        SlotLost: cleanup passed `after`, or the books begin later.
        SourceNotReady: a table is not captured, or the capture job stands still.
    """
    books = Books(source)
    with ExitStack() as stack:
        lease = Lease(sessions, source)
        stack.callback(lease.close)
        session = stack.enter_context(connected(sessions, statement_seconds=0))
        stream = CdcChanges(sessions, session, lease, books, dict(tables), epoch, after, upto, stop)
        stream.begin()
        yield stream


@dataclass(frozen=True, slots=True)
class _Piece:
    """A window of one instance: LSNs in `(after, upto]`, below `before`."""

    row: Captured
    after: str
    upto: str
    before: str | None


class CdcChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        sessions: Sessions,
        session: Session,
        lease: Lease,
        books: Books,
        schemas: dict[TableId, TableSchema],
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._sessions, self._session, self._lease, self._books = sessions, session, lease, books
        self._schemas, self._epoch, self._at, self._upto, self._stop = schemas, epoch, after, upto, stop
        self._told: dict[TableId, int] = {}
        self._looked = float("-inf")

    def begin(self) -> None:
        """What can be wrong before anything is read; see `open_changes`."""
        setup.finish_or_forget(self._session, self._books)
        self._check_reach_back()
        left_out = [
            table.name
            for table in self._schemas
            if not self._rows_of(table) and find_relation(self._session, table) is not None
        ]
        if left_out:
            raise changes_not_kept(
                f"no capture instance of ours keeps the changes of {', '.join(left_out)}",
                self._session.where,
            )
        for table in self._schemas:
            for row in self._rows_of(table):
                if row.began is not None and row.began <= self._at:
                    self._told[table] = row.number

    def __iter__(self) -> Iterator[ChangeChunk]:
        quiet = time.monotonic()
        while not self._stop():
            self._follow_columns()
            reach = self._reach()
            end = self._window_end(reach)
            if end > self._at:
                yield from self._window(end)
                quiet = time.monotonic()
                continue
            if self._upto is not None and self._upto <= self._at:
                return
            self._lease.keep()
            if time.monotonic() - quiet >= 1.0:
                quiet = time.monotonic()
                yield ChangeChunk((), (), (), self._at, None)
            time.sleep(POLL_SECONDS)

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. Cleanup goes by its own clock; noted here is what may be removed of
        instances, and for `status` how far we are."""
        self._lease.keep()
        with connected(self._sessions) as session:
            session.run(self._books.acknowledge(commit))
            setup.retire_read(session, self._books, commit)

    # --- where to read ------------------------------------------------------------------------

    def _rows(self) -> list[Captured]:
        return ledger.read_captured(self._session, self._books)

    def _rows_of(self, table: TableId) -> list[Captured]:
        return [row for row in self._rows() if row.is_of(table) and row.began is not None]

    def _check_reach_back(self) -> None:
        state = ledger.read_state(self._session, self._books)
        if state is None or state.began is None:
            raise self._lost("the books of the capture are gone", [])
        if self._at < state.began:
            raise self._lost("the capture was set up after the last durable change", [])
        cut = setup.lost_tables(self._session, self._rows(), self._at)
        if cut:
            raise self._lost(
                "changes were cleaned up before they were read, or capture was switched off", cut
            )
        newest = read_reach(self._session).newest
        if newest is not None and newest < self._at:
            raise self._lost("the log ends before the last durable change: the database was restored", [])

    def _lost(self, what: str, tables: Sequence[str]) -> SlotLost:
        of = f" (of {', '.join(tables)})" if tables else ""
        return changes_lost(
            f"{what}{of}: everything after commit position {self._at} is lost", self._session.where
        )

    def _reach(self) -> int:
        reach = read_reach(self._session)
        if self._upto is None or (reach.whole or 0) < self._upto:
            require_work(self._session, reach)
        whole = self._at if reach.whole is None else reach.whole
        return whole if self._upto is None else min(whole, max(self._upto, self._at))

    def _window_end(self, reach: int) -> int:
        """Where the next window ends: at the end of a block, so that no commit position is cut."""
        if reach <= self._at:
            return self._at
        query = cdc.window_end(last_of(self._at), last_of(reach), WINDOW_TRANSACTIONS)
        ((lsn,),) = self._session.rows(query)
        found = reach if lsn is None else commit_of(bytes(lsn))
        ((rest,),) = self._session.rows(cdc.window_end(last_of(found), last_of(reach), 1))
        return reach if rest is None else found

    # --- reading --------------------------------------------------------------------------------

    def _window(self, end: int) -> Iterator[ChangeChunk]:
        """Chunks of `(at, end]`; the last one tells that all of it was delivered."""
        last = None
        for table in list(self._schemas):
            for piece in self._pieces(table, end):
                changes = self._taken_over(table, piece.row)
                if changes:
                    yield ChangeChunk((), (), (changes,), None, None)
                for batch in self._events(table, piece):
                    if self._stop():
                        return
                    at = batch.rows.column(COMMITTED_AT)
                    last = max(filter(None, (last, pa.compute.max(at).as_py())), default=None)
                    yield ChangeChunk((batch,), (), (), None, None)
        # Cleanup may have run between the first look and the last row.
        self._check_reach_back()
        self._at = end
        yield ChangeChunk((), (), (), end, last)

    def _pieces(self, table: TableId, end: int) -> Iterator[_Piece]:
        standing = setup.instances(self._session)
        rows = [row for row in self._rows_of(table) if row.instance in standing]
        for row, newer in zip(rows, [*rows[1:], None], strict=False):
            if newer is not None and (newer.began or 0) < self._at:
                continue
            if (row.began or 0) > end:
                return
            before = None if newer is None or newer.began_lsn is None else hexadecimal(newer.began_lsn)
            yield _Piece(row, last_of(self._at), last_of(end), before)

    def _events(self, table: TableId, piece: _Piece) -> Iterator[EventBatch]:
        instance, ordinals = self._instance(piece.row)
        query = cdc.changes(
            instance.name,
            instance.columns,
            ordinals,
            after=piece.after,
            upto=piece.upto,
            before=piece.before,
        )
        waiting: pa.RecordBatch | None = None
        for batch in self._session.batches(query):
            whole = batch if waiting is None or not waiting.num_rows else _joined(waiting, batch)
            ready, waiting = split_last(whole)
            if ready.num_rows:
                yield self._batch(table, instance, ready)
        if waiting is not None and waiting.num_rows:
            yield self._batch(table, instance, waiting)

    def _batch(self, table: TableId, instance: Instance, batch: pa.RecordBatch) -> EventBatch:
        schema = self._schemas[table]
        try:
            rows = change_rows(instance, schema, batch)
            return EventBatch(table, schema, row_events(rows, schema, self._epoch))
        except DecodeError as error:
            raise DecodeError(error.what, where=str(table), fix=error.fix) from None

    def _instance(self, row: Captured) -> tuple[Instance, tuple[int, ...]]:
        """The instance, and the ordinals of its large columns."""
        name = row.instance or ""
        found = {str(column): int(at) for column, at in self._session.rows(cdc.captured_columns(name))}
        columns = tuple(column for column in columns_of(row.shape) if column.name in found)
        ordinals = [found[column.name] for column in columns]
        large = cdc.large_ordinals(columns, ordinals)
        return Instance(name, columns, tuple(ordinals.index(each) for each in large)), large

    # --- columns --------------------------------------------------------------------------------

    def _follow_columns(self) -> None:
        if time.monotonic() - self._looked < SHAPE_SECONDS:
            return
        self._looked = time.monotonic()
        with connected(self._sessions, statement_seconds=0) as session:
            for table, schema in self._schemas.items():
                rows = self._rows_of(table)
                if rows and find_relation(session, table) is not None:
                    setup.follow(session, self._books, table, schema, rows[-1])

    def _taken_over(self, table: TableId, row: Captured) -> SchemaChange | None:
        """What is told where an instance takes over from an older one, once."""
        if self._told.get(table, 0) >= row.number:
            return None
        self._told[table] = row.number
        known, shape = self._schemas[table], row.shape
        fits = shape.fits(known)
        if row.change is None and fits:
            return None
        before = {(column.name, column.source_type): column for column in known.columns}
        now = tuple(before.get((each.name, each.source_type), each) for each in columns_of(shape))
        schema = known if fits else replace(known, columns=now, key=shape.key)
        self._schemas[table] = schema
        lsn = row.began_lsn or bytes(10)
        at = Position(self._epoch, commit_of(lsn), slot_of(lsn) << SLOT_SHIFT)
        change = row.change
        if change is None:
            gone = tuple(name for name in known.names if name not in schema.names)
            came = tuple(name for name in schema.names if name not in known.names)
            return (
                table,
                schema,
                SchemaChanged(at, True, "columns are not those of the last load", came, gone),
            )
        return table, schema, SchemaChanged(at, change.reload, change.reason, change.added, change.dropped)


def _joined(one: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
    columns = [pa.concat_arrays([a, b]) for a, b in zip(one.columns, other.columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=other.schema)
