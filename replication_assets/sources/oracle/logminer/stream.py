"""The change stream of an Oracle database: mines its redo log stretch by stretch, commit by commit.

`after` is the last durable commit SCN. The server knows nothing of it: what is deleted of the archived log
is its own decision, and a place that is gone is `SlotLost`.

How far the log may be read: a commit has its SCN before its redo is on disk, so the newest SCN says nothing
of what a file holds. Before each stretch a transaction without a change is committed, whose acknowledgement
means that all redo of its instance from before is on disk; of other instances, what the database says was
written counts. Nothing else is ever written.

One capture of a source at a time: it holds a user lock of the database in its own session, and ends with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from replication_assets.core.lost_changes import changes_lost
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.errors import SourceUnavailable
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.oracle.large_objects import large_object_problems
from replication_assets.sources.oracle.lease import Lease
from replication_assets.sources.oracle.logminer.decoding import CHUNK_BYTES, Decoder, Look
from replication_assets.sources.oracle.logminer.log_files import read_threads
from replication_assets.sources.oracle.logminer.looking_back import first_scn, whole_transaction
from replication_assets.sources.oracle.logminer.mining import Mined, Miner
from replication_assets.sources.oracle.logminer.rereading import events_of
from replication_assets.sources.oracle.logminer.transactions import Assembler, Committed, Transaction
from replication_assets.sources.oracle.preflight import stream_problems
from replication_assets.sources.oracle.reflection import (
    catalog_columns,
    names_of,
    table_columns,
)
from replication_assets.sources.oracle.schema_watch import filled_columns
from replication_assets.sources.oracle.sessions import Server, Session, connected, one_row
from replication_assets.sources.oracle.snapshot import current_scn
from replication_assets.sources.oracle.statements import catalog, log
from replication_assets.sources.oracle.status import ROOT, read_database
from replication_assets.sources.oracle.types import is_large

IDLE_SECONDS = 0.5
_LONG_SECONDS = 2.0
LEAST_SCNS, MOST_SCNS = 1_000, 4_000_000
_ROWS_WANTED = 50_000
"""Of a stretch: as many rows as are read again at most, should the files change under it."""


@contextmanager
def open_changes(
    server: Server,
    name: str,
    tables: Sequence[tuple[TableId, TableSchema]],
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[ChangeStream]:
    """The stream after commit SCN `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another session reads the stream of this source.
        SlotLost: the log no longer reaches back to `after`, or to what was open there.
        SourceNotReady: a setting under which changes are lost.
    """
    with ExitStack() as stack:
        session = stack.enter_context(connected(server))
        holder = stack.enter_context(connected(server, log=True))
        lease = Lease(holder, name)
        problems = stream_problems(session)
        if problems:
            raise not_ready(problems, server.where)
        mined, objects = _mined(session, holder, [table for table, _ in tables])
        log_session = stack.enter_context(connected(server, statement_seconds=0, log=True))
        back_session = stack.enter_context(connected(server, statement_seconds=0, log=True))
        rows_session = stack.enter_context(connected(server, statement_seconds=0))
        decoder = _decoder(session, rows_session, tables, objects, epoch, chunk_bytes)
        assembler = Assembler(has_large_objects=decoder.has_large_objects)
        stack.callback(assembler.close)
        yield LogMinerChanges(
            _Database(session, lease),
            Miner(log_session, mined),
            Miner(back_session, mined),
            assembler,
            decoder,
            after=after,
            upto=upto,
            stop=stop,
        )


def _decoder(
    session: Session,
    rows_session: Session,
    tables: Sequence[tuple[TableId, TableSchema]],
    objects: dict[int, TableId],
    epoch: int,
    chunk_bytes: int,
) -> Decoder:
    """Raises SourceNotReady for a table whose large objects cannot be captured."""
    for table, schema in tables:
        _check_large_objects(session, table, schema)
    row = one_row(session, catalog.UTC_OFFSET)
    return Decoder(
        tables,
        objects,
        _look_through(session),
        partial(events_of, rows_session),
        partial(_check_large_objects, session),
        epoch,
        int(row[0]) if row else 0,
        chunk_bytes,
    )


def _look_through(session: Session) -> Look:
    def look(table: TableId) -> tuple[Sequence[Column], frozenset[str]]:
        return table_columns(session, table), filled_columns(catalog_columns(session, table))

    return look


def _check_large_objects(session: Session, table: TableId, schema: TableSchema) -> None:
    """Raises SourceNotReady for a table whose large objects cannot be captured."""
    if not any(is_large(column) for column in schema.columns):
        return
    problems = large_object_problems(session, read_database(session), table, schema)
    if problems:
        raise not_ready(problems, str(table))


def _mined(
    session: Session, log_session: Session, tables: Sequence[TableId]
) -> tuple[Mined, dict[int, TableId]]:
    objects = {
        int(number): table for table in tables for (number,) in session.rows(catalog.OBJECTS, names_of(table))
    }
    here, there = one_row(session, catalog.WHO), one_row(log_session, catalog.WHO)
    if here is None or there is None:
        raise SourceUnavailable("the database did not say which container it is", where=session.where)
    container = str(here[1]) if here[1] != there[1] else None
    # A pluggable database mines its own redo, of files that it knows without being told.
    names_files = not read_database(session).container or there[1] == ROOT
    return Mined(tuple(tables), tuple(sorted(objects)), container, names_files), objects


class _Database:
    """What the stream asks of the database between stretches."""

    def __init__(self, session: Session, lease: Lease) -> None:
        self.session, self.lease = session, lease

    @property
    def where(self) -> str:
        return self.session.where

    def readable(self) -> int:
        """The greatest SCN whose redo, and that of all before, is in the files of the log."""
        newest = current_scn(self.session)
        self.session.run(log.FENCE)
        threads = [thread for thread in read_threads(self.lease.session) if thread.is_open]
        if len(threads) < 2:
            return newest
        row = one_row(self.session, log.THIS_INSTANCE)
        ours = int(row[0]) if row is not None else 0
        # Redo at the SCN of the last block may go on in the next one.
        written = [thread.last_redo - 1 for thread in threads if thread.number != ours]
        return min([newest, *written])


class LogMinerChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        database: _Database,
        miner: Miner,
        back_miner: Miner,
        assembler: Assembler,
        decoder: Decoder,
        *,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._database, self._miner, self._back = database, miner, back_miner
        self._assembler, self._decoder = assembler, decoder
        self._after, self._upto, self._stop = after, upto, stop
        self._scns = min(LEAST_SCNS * 64, MOST_SCNS)
        newest = current_scn(database.session)
        if after > newest:
            raise changes_lost(
                f"capture stands at SCN {after}, the database at {newest}: it is not the one that was read",
                database.where,
            )
        miner.check(min(after + 1, newest))
        self._begun = first_scn(database.session, after, miner.is_there)
        self._next = self._begun

    def acknowledge(self, commit: int) -> None:  # noqa: ARG002  # the server is not told
        """See `ports.ChangeStream`. The server keeps its log by its own rules; only that we are still the
        one who reads it is asked."""
        self._database.lease.keep()

    def __iter__(self) -> Iterator[ChangeChunk]:
        while not self._is_over() and not self._stop():
            readable = self._database.readable()
            end = readable if self._upto is None else min(readable, self._upto)
            last = min(self._next + self._scns - 1, end)
            if last < self._next:
                yield self._idle()
                continue
            rows, begun = 0, time.monotonic()
            for chunk in self._stretch(self._next, last):
                rows += sum(batch.rows.num_rows for batch in chunk.batches)
                yield chunk
            self._resize(rows, time.monotonic() - begun)
            self._next = last + 1
            if not rows and last == end and self._upto is None:
                self._rest()
            self._database.lease.keep()

    def _is_over(self) -> bool:
        return self._upto is not None and max(self._after, self._next - 1) >= self._upto

    def _idle(self) -> ChangeChunk:
        self._rest()
        self._database.lease.keep()
        return ChangeChunk((), (), (), None, None)

    def _rest(self) -> None:
        until = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < until and not self._stop():
            time.sleep(0.05)

    def _stretch(self, first: int, last: int) -> Iterator[ChangeChunk]:
        """What committed from SCN `first` to `last`. Only its last chunk says how far the stream is whole:
        then it is known that no file changed while it was read."""
        for group in self._assembler.committed(self._miner.mine(first, last)):
            wanted = [each for each in group if each.scn > self._after]
            for each in group:
                if each.scn <= self._after and each.whole is not None:
                    each.whole.close()
            yield from self._decoder.decode([(each, self._whole(each)) for each in wanted])
        yield self._decoder.flush(last if last > self._after else None)

    def _whole(self, commit: Committed) -> Transaction:
        if commit.whole is not None:
            return commit.whole
        return whole_transaction(
            commit,
            self._back.mine,
            self._begun,
            self._back.earliest,
            self._database.where,
            self._decoder.has_large_objects,
        )

    def _resize(self, rows: int, seconds: float) -> None:
        """Longer stretches where little happens: each costs a start of LogMiner. Shorter ones where it takes
        long, so that the stream can be stopped."""
        if rows > _ROWS_WANTED or seconds > _LONG_SECONDS:
            self._scns = max(LEAST_SCNS, self._scns // 2)
        elif rows < _ROWS_WANTED // 4 and seconds < _LONG_SECONDS / 4:
            self._scns = min(MOST_SCNS, self._scns * 2)
