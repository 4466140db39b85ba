"""The change stream of a database with triggers: round by round, each up to a mark (`positions`).

A round asks for the mark, and then begins a snapshot: what stands up to the mark is in it, whole. Tables are
told one after the other, shape by shape. Where much waits, a round goes up to some transaction ahead of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

from replication_assets.core.lost_changes import changes_lost, require_triggers
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import LoadBlocked, SlotLost
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.lease import Lease
from replication_assets.sources.sqlserver.reflection import find_relation
from replication_assets.sources.sqlserver.sessions import Session, Sessions, connected
from replication_assets.sources.sqlserver.statements import server
from replication_assets.sources.sqlserver.statements import triggers as statements
from replication_assets.sources.sqlserver.statements.triggers import ChangeLog
from replication_assets.sources.sqlserver.triggers import setup
from replication_assets.sources.sqlserver.triggers.decoding import Decoder
from replication_assets.sources.sqlserver.triggers.positions import read_mark
from replication_assets.sources.sqlserver.triggers.trimming import retired, trim

POLL_SECONDS = 0.2
SHAPE_SECONDS = 10.0
"""How often tables are held against what their triggers write."""
ROUND_TRANSACTIONS = 20_000
"""How many transactions a round takes at the most: `through` is told at its end."""

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
    """The stream after position `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another capture reads it.
        SlotLost: the log begins later, was trimmed further, or is gone.
        SourceNotReady: a table is not captured.
    """
    with ExitStack() as stack:
        lease = Lease(sessions, source)
        stack.callback(lease.close)
        session = stack.enter_context(connected(sessions, statement_seconds=0))
        session.run(server.SNAPSHOT)
        stream = TriggerChanges(sessions, session, lease, ChangeLog(source), tables, epoch, after, upto, stop)
        stream.begin()
        yield stream


class TriggerChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        sessions: Sessions,
        session: Session,
        lease: Lease,
        log: ChangeLog,
        tables: Tables,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._sessions, self._session, self._lease, self._log = sessions, session, lease, log
        self._tables, self._decoder, self._at = tables, Decoder(tables, epoch), after
        self._upto, self._stop = upto, stop
        self._looked: float | None = None
        self._flushes = False

    def begin(self) -> None:
        """What can be wrong before anything is read; see `open_changes`."""
        self._check_reach_back(read_mark(self._session))
        tables = [table for table, _ in self._tables]
        require_triggers(ledger.left_out(self._session, self._log.books, tables), self._session.where)
        ((durability,),) = self._session.rows(statements.DURABILITY)
        self._flushes = int(durability) != 0

    def __iter__(self) -> Iterator[ChangeChunk]:
        quiet = time.monotonic()
        while not self._stop():
            if self._upto is not None and self._upto <= self._at:
                return
            self._lease.keep()
            self._look_at_tables()
            mark = read_mark(self._session)
            if mark != self._at:
                self._check_reach_back(mark)
                yield from self._round(mark)
                quiet = time.monotonic()
                continue
            if time.monotonic() - quiet >= 1.0:
                quiet = time.monotonic()
                yield ChangeChunk((), (), (), self._at, None)
            time.sleep(POLL_SECONDS)

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. Where a table is held by somebody, a later call trims."""
        self._lease.keep()
        with suppress(LoadBlocked), connected(self._sessions, statement_seconds=0) as session:
            trim(session, self._log, commit)

    # --- one round ----------------------------------------------------------------------------

    def _round(self, mark: int) -> Iterator[ChangeChunk]:
        """Chunks up to a position not behind the mark; the last one tells that all was delivered."""
        session = self._session
        held = ChangeChunk((), (), (), None, None)
        if self._flushes:
            # Commits that are visible and not on disk would be undone by a crash.
            session.run(statements.FLUSH)
        session.run(server.BEGIN)
        rows = ledger.read_captured(session, self._log.books)
        ((found, reached),) = session.rows(self._log.window(self._at, mark, ROUND_TRANSACTIONS))
        reach = mark if int(found) < ROUND_TRANSACTIONS else int(reached)
        for row in self._to_read(rows, reach):
            with closing(self._of_shape(row, reach, rows=int(found))) as chunks:
                for chunk in chunks:
                    if held.batches or held.schema_changes:
                        yield replace(held, committed_at=None)
                    times = filter(None, (held.committed_at, chunk.committed_at))
                    held = replace(chunk, committed_at=max(times, default=None))
                    if self._stop():
                        # The transaction ends with its session: the answer may not be read to its end.
                        return
        session.run(server.COMMIT)
        self._at = reach
        yield replace(held, through=reach)

    def _to_read(self, rows: list[Captured], reach: int) -> list[Captured]:
        """Shapes that were written after what was read, and begin up to where the round reaches."""
        gone = {row.number for row in retired(rows, self._at)}
        return [
            row
            for row in rows
            if row.number not in gone
            and self._decoder.is_ours(row)
            and row.began is not None
            and row.began <= reach
        ]

    def _of_shape(self, row: Captured, reach: int, *, rows: int) -> Generator[ChangeChunk, None, None]:
        if row.began is not None and row.began > self._at:
            told = self._decoder.shaped(row)
            if told:
                yield ChangeChunk((), (), tuple(told), None, None)
        if not rows:
            return
        columns = ledger.columns_of(row.shape)
        query = self._log.changes(row.number, columns, row.shape.key, after=self._at, upto=reach)
        decoded = self._decoder.decode(row, row.shape.key, self._session.batches(query))
        for batch, changes, at in decoded:
            yield ChangeChunk((batch,), (), tuple(changes), None, at)

    def _look_at_tables(self) -> None:
        """Exchange triggers that do not fit their table; one that is busy is looked at again later."""
        if self._looked is not None and time.monotonic() - self._looked < SHAPE_SECONDS:
            return
        self._looked = time.monotonic()
        for table, schema in self._tables:
            live = setup.live_shape(self._session, self._log, table)
            if live is None or find_relation(self._session, table) is None:
                continue
            if not setup.fits(self._session, self._log, live, table, schema):
                with suppress(LoadBlocked), connected(self._sessions, statement_seconds=0) as session:
                    session.run(statements.LOCK_TIMEOUT)
                    setup.follow(session, self._log, table, schema)

    def _check_reach_back(self, mark: int) -> None:
        state = ledger.read_state(self._session, self._log.books)
        if state is None or state.began is None:
            raise self._lost("the change log is gone")
        if self._at < state.acknowledged:
            raise self._lost("the change log was made, or trimmed, after the last durable change")
        if mark < self._at:
            raise self._lost("the database's numbers end before the last durable change: it was restored")

    def _lost(self, what: str) -> SlotLost:
        return changes_lost(f"{what}: everything after {self._at} is lost", self._session.where)
