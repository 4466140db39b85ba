"""The change stream of a database file: reads the log, decodes it, and trims it.

A look reads the newest id in a transaction of its own. It is where a transaction ended, since there
is one writer at a time; everything up to it is delivered, and only the last chunk tells `through`.
Rows up to there never change, so they are read in short transactions that hold up nobody.

Each look compares the file's schema version. When it changed, tables and triggers are compared
within a write transaction, and triggers that do not fit any more are exchanged.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

from replication_assets.core.lost_changes import change_log_lost, require_triggers
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import NOISE
from replication_assets.errors import LoadBlocked
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.sqlite import change_log
from replication_assets.sources.sqlite.connection import (
    SqliteDatabase,
    open_session,
    reading,
    sqlite_errors,
    writing,
)
from replication_assets.sources.sqlite.decoding import Decoder
from replication_assets.sources.sqlite.lease import Lease
from replication_assets.sources.sqlite.quoting import identifier
from replication_assets.sources.sqlite.reflection import find_relation
from replication_assets.sources.sqlite.rows import BATCH_BYTES, batches_of_rows
from replication_assets.sources.sqlite.triggers import LogNames

POLL_SECONDS = 0.05
"""How long a change waits to be seen by an idle stream."""
TRIMMED = 5_000
"""Changes that are deleted in one write transaction, so that writers never wait for long."""
_TRIM_WAIT = 1.0

Tables = Sequence[tuple[TableId, TableSchema]]


@contextmanager
def open_changes(
    database: SqliteDatabase,
    names: LogNames,
    tables: Tables,
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
    chunk_bytes: int = BATCH_BYTES,
) -> Iterator[ChangeStream]:
    """The stream after `after`, which is a change id that was acknowledged or delivered; see
    `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another capture reads the log.
        SlotLost: the log does not hold `after`: it was made anew, emptied, or restored.
        SourceNotReady: a table is not captured.
    """
    with ExitStack() as stack:
        stack.enter_context(Lease(database, names).held())
        session = stack.enter_context(closing(open_session(database)))
        with sqlite_errors(database.where), reading(session):
            state = _state_with(session, database, names, after)
            _require_captured(session, database, names, tables)
        decoder = Decoder(session, names, tables, epoch, database.where)
        yield SqliteChanges(database, session, names, decoder, state, tables, after, upto, stop, chunk_bytes)


def _state_with(
    session: sqlite3.Connection, database: SqliteDatabase, names: LogNames, after: int
) -> change_log.LogState:
    """The log's state. Raises SlotLost unless it holds the change `after`."""
    state = change_log.read_state(session, names)
    if state is None:
        raise change_log_lost(f"there is no change log {names.log}", database.where)
    row = session.execute(f"SELECT 1 FROM main.{identifier(names.log)} WHERE id = ?", (after,)).fetchone()
    if row is None:
        raise change_log_lost(
            f"the change log does not hold {after}, the last durable change: it is another log",
            database.where,
        )
    return state


def _require_captured(
    session: sqlite3.Connection, database: SqliteDatabase, names: LogNames, tables: Tables
) -> None:
    kept = change_log.kept_tables(session, names)
    left_out = [t.name for t, _ in tables if t.name not in kept and find_relation(session, t) is not None]
    require_triggers(left_out, database.where)


class SqliteChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        database: SqliteDatabase,
        session: sqlite3.Connection,
        names: LogNames,
        decoder: Decoder,
        state: change_log.LogState,
        tables: Tables,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
        chunk_bytes: int,
    ) -> None:
        self._database, self._session, self._names = database, session, names
        self._decoder, self._tables = decoder, tables
        self._token, self._seen, self._at = state.token, state.seen, after
        self._upto, self._stop, self._chunk_bytes = upto, stop, chunk_bytes
        self._version: int | None = None

    def __iter__(self) -> Iterator[ChangeChunk]:
        told = time.monotonic()
        while not self._stop():
            with sqlite_errors(self._database.where):
                reach = self._look()
            if reach > self._at:
                yield from self._read(reach)
                told = time.monotonic()
                continue
            if self._upto is not None and self._upto <= self._at | NOISE:
                return
            if time.monotonic() - told >= 1.0:
                told = time.monotonic()
                yield ChangeChunk((), (), (), self._at, None)
            time.sleep(POLL_SECONDS)

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. The change `commit` itself stays, so that the next stream knows the
        log again. Where writers leave no time for it, a later call does it."""
        with suppress(LoadBlocked), sqlite_errors(self._database.where):
            self._trim(commit)

    # --- reading ---------------------------------------------------------------------------

    def _look(self) -> int:
        """How far the log can be read whole, not beyond `upto`."""
        with reading(self._session):
            found = change_log.read_state(self._session, self._names)
            if found is None or found.token != self._token:
                raise change_log_lost("the change log was removed while it was read", self._database.where)
            (version,) = self._session.execute("PRAGMA main.schema_version").fetchone()
            newest = change_log.newest(self._session, self._names)
            fits = version == self._version or self._all_fit()
        if not fits:
            self._exchange_triggers()
            return self._look()
        if newest is None or newest < self._at:
            raise change_log_lost("the change log was emptied while it was read", self._database.where)
        self._version, self._seen = version, newest
        return newest if self._upto is None else min(newest, max(self._at, self._below(self._upto)))

    def _below(self, upto: int) -> int:
        (found,) = self._session.execute(
            f"SELECT max(id) FROM main.{identifier(self._names.log)} WHERE id <= ?", (upto,)
        ).fetchone()
        return int(found or 0)

    def _all_fit(self) -> bool:
        kept = change_log.kept_tables(self._session, self._names)
        return all(
            change_log.fits(self._session, self._names, table, schema, kept[table.name])
            for table, schema in self._tables
            if table.name in kept
        )

    def _exchange_triggers(self) -> None:
        """What tells of it is delivered with what came before, also to who wants no more than that."""
        with writing(self._session):
            kept = change_log.kept_tables(self._session, self._names)
            for table, schema in self._tables:
                if table.name in kept:
                    change_log.follow(self._session, self._names, table, kept[table.name], schema, self._seen)
            told = change_log.newest(self._session, self._names)
        if self._upto is not None and told is not None:
            self._upto = max(self._upto, told)

    def _read(self, reach: int) -> Iterator[ChangeChunk]:
        """Chunks of `(at, reach]`; the last one tells that all of it was delivered."""
        while self._at < reach and not self._stop():
            with sqlite_errors(self._database.where):
                rows = self._piece(reach)
                chunk = self._decoder.decode(rows, through=reach)
            self._at = rows[-1][0]
            yield chunk

    def _piece(self, reach: int) -> list[tuple[Any, ...]]:
        columns = self._decoder.log_columns()
        query = (
            f"SELECT {columns} FROM main.{identifier(self._names.log)} WHERE id > ? AND id <= ? ORDER BY id"
        )
        with reading(self._session):
            found = batches_of_rows(self._session, query, (self._at, reach), self._chunk_bytes)
            with closing(found):
                rows = next(found, None)
        if rows is None:
            raise change_log_lost(
                "changes were removed from the log before they were read", self._database.where
            )
        return rows

    # --- trimming --------------------------------------------------------------------------

    def _trim(self, commit: int) -> None:
        log, state = f"main.{identifier(self._names.log)}", f"main.{identifier(self._names.state)}"
        with closing(open_session(self._database, busy_seconds=_TRIM_WAIT)) as session:
            with writing(session):
                session.execute(
                    f"UPDATE {state} SET acknowledged = ?, seen = max(seen, ?)", (commit, self._seen)
                )
            trimmed = TRIMMED
            while trimmed == TRIMMED:
                with writing(session):
                    trimmed = session.execute(
                        f"DELETE FROM {log} WHERE id IN (SELECT id FROM {log} WHERE id < ? LIMIT {TRIMMED})",
                        (commit,),
                    ).rowcount
