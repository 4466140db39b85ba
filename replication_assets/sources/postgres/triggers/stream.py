"""The change stream of a database that triggers log: reads the log in its order, and trims it.

A round begins when there is something that the last one did not show. It takes one snapshot for the
catalog and the log, and leaves a fence (`positions`). If a table is not what its triggers write, they
are exchanged first, and the round begins again. Rows come through a cursor on the server: memory is
bounded whatever the size of a transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from replication_assets.core.lost_changes import change_log_lost, require_triggers
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SlotBusy
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.reflection import find_relation
from replication_assets.sources.postgres.triggers import change_log
from replication_assets.sources.postgres.triggers.decoding import Decoder
from replication_assets.sources.postgres.triggers.positions import (
    NOTHING_SHOWN,
    Fence,
    known_query,
    lease_holder,
    make_fence,
    news_query,
    read_query,
    take_lease,
    trim_query,
)
from replication_assets.sources.postgres.triggers.shapes import read_shapes
from replication_assets.sources.postgres.triggers.sql import LogNames

CHUNK_BYTES = 8 << 20
POLL_SECONDS = 0.05
"""How long a change waits to be seen by an idle stream."""
MOST_REST = 0.3
"""Seconds between two rounds at the most, while there is something to read."""
_FETCHED = 500
_ROW_BYTES = 100

Tables = Sequence[tuple[TableId, TableSchema]]
Session = psycopg.Connection[Any]


@contextmanager
def open_changes(
    connection: PostgresConnection,
    names: LogNames,
    tables: Tables,
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[ChangeStream]:
    """The stream after position `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another capture reads the log.
        SlotLost: the log does not hold `after`: it was made anew, emptied, or restored.
        SourceNotReady: a table is not captured.
    """
    where = connection.where
    with ExitStack() as stack, source_errors(where):
        sessions = [stack.enter_context(connect(connection, statement_timeout="0")) for _ in range(2)]
        session = sessions[0]
        log = change_log.log_oid(session, names)
        if log is None:
            raise change_log_lost(f"there is no change log {names.quoted}", where)
        if not take_lease(session, log):
            holder = lease_holder(session, log)
            raise SlotBusy(
                f"another capture reads the change log: pid {holder}",
                where=where,
                fix="stop the other capture of this source",
            )
        row = session.execute(known_query(names).encode(), {"commit": after}).fetchone()
        state = change_log.read_state(session, names)
        if row is None or state is None:
            raise change_log_lost(f"the change log does not hold {after}, the last durable position", where)
        _require_captured(session, names, tables, where)
        decoder = Decoder(sessions[1], names, tables, epoch, where)
        yield TriggerChanges(
            sessions, names, log, decoder, tables, where, after, upto, stop, state.seen, chunk_bytes
        )


def _require_captured(session: Session, names: LogNames, tables: Tables, where: str) -> None:
    kept = {shape.name for shape in read_shapes(session, names, live=True).values()}
    left_out = [
        table.name
        for table, _ in tables
        if (table.schema, table.name) not in kept and find_relation(session, table) is not None
    ]
    require_triggers(left_out, where)


class TriggerChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        sessions: Sequence[Session],
        names: LogNames,
        log: int,
        decoder: Decoder,
        tables: Tables,
        where: str,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
        seen: str,
        chunk_bytes: int,
    ) -> None:
        self._reading, self._asking = sessions
        self._names, self._log, self._decoder, self._tables = names, log, decoder, tables
        self._where, self._at, self._upto, self._stop = where, after, upto, stop
        self._seen, self._chunk_bytes = seen, chunk_bytes
        self._rests_until = 0.0
        self._fence: Fence | None = None
        """Of the last round: everything before it was delivered."""

    def __iter__(self) -> Iterator[ChangeChunk]:
        told = time.monotonic()
        while not self._stop():
            if self._is_news():
                began = time.monotonic()
                yield from self._round()
                told = time.monotonic()
                # While much is written, changes are read some at a time.
                self._rests_until = told + min(MOST_REST, 2 * (told - began))
            if self._upto is not None and self._fence is not None and self._upto <= self._fence.commit:
                return
            if time.monotonic() - told >= 1.0:
                told = time.monotonic()
                yield ChangeChunk((), (), (), self._at, None)

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. The row whose id is `commit` stays: by it the log is known again."""
        with source_errors(self._where), self._asking.transaction():
            self._asking.execute(
                f"UPDATE {self._names.state} SET acknowledged = %s, seen = %s".encode(),
                (commit, self._seen),
            )
            self._asking.execute(trim_query(self._names).encode(), {"commit": commit})

    # --- reading ---------------------------------------------------------------------------

    def _is_news(self) -> bool:
        """Asked at once after a round, and then the less often the longer the answer takes."""
        if self._fence is None:
            return True
        time.sleep(max(0.0, self._rests_until - time.monotonic()))
        began = time.monotonic()
        with source_errors(self._where):
            fence = self._fence
            row = self._asking.execute(
                news_query(self._names).encode(), (fence.id, fence.snapshot, fence.id)
            ).fetchone()
        found = row is not None and bool(row[0])
        if not found:
            time.sleep(max(POLL_SECONDS, 4 * (time.monotonic() - began)))
        return found

    def _round(self) -> Iterator[ChangeChunk]:
        """Everything before a new fence, once triggers and tables are found to fit each other."""
        with source_errors(self._where):
            while (fence := self._begin()) is None:
                self._reading.execute("ROLLBACK")
                self._exchange_triggers()
        reach = fence.id if self._upto is None else min(fence.id, self._upto)
        try:
            for chunk in self._chunks(reach):
                yield chunk
                if self._stop():
                    return
        finally:
            if not self._reading.closed:
                with source_errors(self._where):
                    self._reading.execute("ROLLBACK")
        self._fence, self._seen = fence, fence.snapshot
        if reach == fence.id:
            self._at = fence.id
            yield ChangeChunk((), (), (), self._at, None)

    def _begin(self) -> Fence | None:
        """The snapshot of a round, and its fence; None if a table is not what its triggers write."""
        session = self._reading
        fence = make_fence(self._asking, session, self._names, self._log)
        kept = {shape.name: shape for shape in read_shapes(session, self._names, live=True).values()}
        fit = all(
            change_log.fits(session, self._names, table, kept[table.schema, table.name])
            for table, _ in self._tables
            if (table.schema, table.name) in kept
        )
        return fence if fit else None

    def _exchange_triggers(self) -> None:
        """What tells of it is delivered with what came before, also to who wants no more than that."""
        kept = {shape.name: shape for shape in read_shapes(self._asking, self._names, live=True).values()}
        for table, schema in self._tables:
            shape = kept.get((table.schema, table.name))
            if shape is not None:
                change_log.follow(self._asking, self._names, table, shape, schema, self._seen)
        row = self._asking.execute(f"SELECT max(id) FROM {self._names.log}".encode()).fetchone()
        if self._upto is not None and row is not None and row[0] is not None:
            self._upto = max(self._upto, row[0])

    def _chunks(self, reach: int) -> Iterator[ChangeChunk]:
        rows: list[tuple[Any, ...]] = []
        size = 0
        with psycopg.ServerCursor(self._reading, "changes") as cursor:
            with source_errors(self._where):
                shown = self._fence.snapshot if self._fence is not None else NOTHING_SHOWN
                given = {"after": self._at, "reach": reach, "shown": shown}
                cursor.execute(read_query(self._names).encode(), given)
            while some := self._fetched(cursor):
                for row in some:
                    if size >= self._chunk_bytes:
                        ended = rows[-1][0] != row[0]
                        yield self._decoded(rows, ended=ended)
                        rows, size = [], 0
                    rows.append(row)
                    size += _ROW_BYTES + len(row[6] or "") + len(row[7] or "")
        if rows:
            yield self._decoded(rows, ended=True)

    def _fetched(self, cursor: psycopg.ServerCursor[Any]) -> list[tuple[Any, ...]]:
        with source_errors(self._where):
            return cursor.fetchmany(_FETCHED)

    def _decoded(self, rows: list[tuple[Any, ...]], *, ended: bool) -> ChangeChunk:
        chunk = self._decoder.decode(rows, through=rows[-1][0] if ended else None)
        if ended:
            self._at = rows[-1][0]
        return chunk
