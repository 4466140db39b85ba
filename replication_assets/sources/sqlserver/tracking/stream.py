"""The change stream of a database with Change Tracking: net changes, look by look.

A look is one snapshot: the current version, and for every table the rows that changed since the last look
with what they are now. A row that changed twice between two looks is told once, at its last version; what
it was between is nowhere. Version and rows are of one moment, so everything up to the version is whole.

Positions: the version is the commit position, the sequence is 1. Two rows may have one position; no row has
it twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import BEFORE, COMMITTED_AT, EventBatch
from replication_assets.core.lost_changes import changes_lost, changes_not_kept
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import shape_of
from replication_assets.errors import DecodeError, SlotLost, SourceNotReady
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.lease import Lease
from replication_assets.sources.sqlserver.load import read_clock, typed_columns
from replication_assets.sources.sqlserver.reflection import catalog_columns, find_relation
from replication_assets.sources.sqlserver.sessions import Session, Sessions, connected
from replication_assets.sources.sqlserver.statements import server, tracking
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.tracking.setup import current_version, lost_tables
from replication_assets.sources.sqlserver.types import texts

POLL_SECONDS = 0.5
_VERSION, _OPERATION, _AT, _PRESENT = range(tracking.FIXED_COLUMNS)

Tables = Sequence[tuple[TableId, TableSchema]]


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
    """The stream after version `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another capture reads it.
        SlotLost: cleanup passed `after`, a table was truncated, or the books begin later.
        SourceNotReady: a table is not tracked.
    """
    with ExitStack() as stack:
        lease = Lease(sessions, source)
        stack.callback(lease.close)
        session = stack.enter_context(connected(sessions, statement_seconds=0))
        session.run(server.SNAPSHOT)
        stream = TrackedChanges(
            sessions, session, lease, Books(source), dict(tables), epoch, after, upto, stop
        )
        stream.begin()
        yield stream


class TrackedChanges:
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

    def begin(self) -> None:
        """What can be wrong before anything is read; see `open_changes`."""
        self._check_reach_back()
        left_out = ledger.left_out(self._session, self._books, self._schemas)
        if left_out:
            raise changes_not_kept(
                f"the changes of {', '.join(left_out)} are not tracked for this capture",
                self._session.where,
            )

    def __iter__(self) -> Iterator[ChangeChunk]:
        quiet = time.monotonic()
        while not self._stop():
            if self._upto is not None and self._upto <= self._at:
                return
            version = current_version(self._session)
            if version > self._at:
                yield from self._look()
                quiet = time.monotonic()
                continue
            self._lease.keep()
            if time.monotonic() - quiet >= 1.0:
                quiet = time.monotonic()
                yield ChangeChunk((), (), (), self._at, None)
            time.sleep(POLL_SECONDS)

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. Cleanup goes by its own clock; noted here for `status`."""
        self._lease.keep()
        with connected(self._sessions) as session:
            session.run(self._books.acknowledge(commit))

    # --- one look -----------------------------------------------------------------------------

    def _look(self) -> Iterator[ChangeChunk]:
        """Chunks up to the version that a snapshot stands at; the last one tells that all was delivered.
        It may be beyond `upto`: what a row was at `upto` is not known any more."""
        session, last = self._session, None
        session.run(server.BEGIN)
        version = current_version(session)
        self._check_reach_back()
        for table in list(self._schemas):
            if find_relation(session, table) is None:
                continue
            change = self._altered(table)
            if change is not None:
                yield ChangeChunk((), (), (change,), None, None)
            for batch in self._events(table, version):
                at = pc.max(batch.rows.column(COMMITTED_AT)).as_py()
                last = at if last is None else max(last, at)
                yield ChangeChunk((batch,), (), (), None, None)
                if self._stop():
                    session.run(server.ROLLBACK)
                    return
        session.run(server.COMMIT)
        self._at = version
        yield ChangeChunk((), (), (), version, last)

    def _events(self, table: TableId, version: int) -> Iterator[EventBatch]:
        schema = self._schemas[table]
        query = tracking.changes(table, schema.columns, schema.key, after=self._at, upto=version)
        now = self._clock()
        for batch in self._session.batches(query):
            if batch.num_rows:
                try:
                    yield EventBatch(table, schema, net_events(batch, schema, self._epoch, now))
                except DecodeError as error:
                    raise DecodeError(error.what, where=str(table), fix=error.fix) from None

    def _clock(self) -> int:
        return int(read_clock(self._session).timestamp() * 1_000_000)

    def _altered(self, table: TableId) -> tuple[TableId, TableSchema, SchemaChanged] | None:
        """Columns that differ from those of the stream by now; rows are read with the new ones."""
        known = self._schemas[table]
        shape = shape_of(0, str(table), known)
        catalog = catalog_columns(self._session, table)
        change = ledger.follows(self._session, table, shape, catalog, known.key)
        if change is None:
            return None
        columns = tuple(each.column() for each in catalog if each.replicated)
        if not set(known.key) <= {column.name for column in columns}:
            raise SourceNotReady(
                "a key column is not in the table any more",
                where=str(table),
                fix="set the capture up again, with the key that the table has now",
            )
        schema = replace(known, columns=columns)
        self._schemas[table] = schema
        at = Position(self._epoch, self._at + 1)
        told = SchemaChanged(at, change.reload, change.reason, change.added, change.dropped)
        return table, schema, told

    def _check_reach_back(self) -> None:
        """Each table is asked for: cleanup, TRUNCATE TABLE and switching off are matters of single tables."""
        state = ledger.read_state(self._session, self._books)
        if state is None or state.began is None:
            raise self._lost("the books of the capture are gone", [])
        if self._at < state.began:
            raise self._lost("the capture was set up after the last durable change", [])
        rows = ledger.read_captured(self._session, self._books)
        cut = lost_tables(self._session, rows, self._at)
        if cut:
            raise self._lost("changes were cleaned up, or tracking began anew (as TRUNCATE TABLE does)", cut)
        if current_version(self._session) < self._at:
            raise self._lost("versions end before the last durable change: the database was restored", [])

    def _lost(self, what: str, tables: Sequence[str]) -> SlotLost:
        of = f" (of {', '.join(tables)})" if tables else ""
        return changes_lost(f"{what}{of}: everything after version {self._at} is lost", self._session.where)


def net_events(batch: pa.RecordBatch, schema: TableSchema, epoch: int, now: int) -> pa.RecordBatch:
    """Events of net changes; `now` in microseconds stands for a commit time that is cleaned up.

    A deleted row is its key alone. What a row was before is not known: `_before` is null.

    Raises:
        DecodeError: an operation is not known, or a changed row is not in the snapshot.
    """
    operations = batch.column(_OPERATION).cast(pa.string())
    letters = pc.utf8_trim_whitespace(operations)
    deleted = pc.equal(letters, "D").to_numpy(zero_copy_only=False)
    present = batch.column(_PRESENT).cast(pa.int64()).to_numpy(zero_copy_only=False) != 0
    if (~deleted & ~present).any():
        raise DecodeError("a changed row is not in the snapshot that tells of it")
    given = batch.columns[tracking.FIXED_COLUMNS :]
    typed, odd = typed_columns(schema.columns, given)
    keyed = set(schema.key)
    nothing = [pa.nulls(batch.num_rows, column.arrow) for column in schema.columns]
    old = [
        value if c.name in keyed else none
        for c, value, none in zip(schema.columns, typed, nothing, strict=True)
    ]
    printed = tuple(texts(c, value, o) for c, value, o in zip(schema.columns, typed, odd, strict=True))
    image = Image(tuple(typed), tuple(odd), printed)
    # An update's old image is its new one, so that nothing counts as changed and no key as moved.
    before = [pc.if_else(pa.array(deleted), gone, value) for gone, value in zip(old, typed, strict=True)]
    times = pc.fill_null(batch.column(_AT).cast(pa.timestamp("us")).cast(pa.int64()), now)
    versions = batch.column(_VERSION).cast(pa.int64()).to_numpy(zero_copy_only=False)
    rows = ChangeRows(
        operations=letters,
        commits=versions,
        sequences=np.ones(batch.num_rows, dtype=np.int64),
        committed_at=times.to_numpy(zero_copy_only=False),
        transactions=None,
        old=Image(tuple(before), tuple(odd), printed),
        new=image,
    )
    found = row_events(rows, schema, epoch)
    at = found.schema.get_field_index(BEFORE)
    return found.set_column(at, found.schema.field(at), pa.nulls(found.num_rows, pa.string()))
