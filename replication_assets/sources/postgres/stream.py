"""The change stream of a PostgreSQL database: reads the slot, and decodes it chunk by chunk.

Memory is bounded by three pieces of `chunk_bytes` (one is decoded, one waits, one is read)
whatever the size of a transaction: the server spills large ones, and a chunk may end inside one.

`after` is the last durable commit; transactions at or before it are not delivered. What is
acknowledged is reported to the server as `commit + 1`, so a slot that stands further than that
was moved by someone else. One exception: a slot that stands at `after` exactly was created
there, nothing was ever delivered there, and a transaction that commits there is delivered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import psycopg

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.lost_changes import changes_not_kept
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SlotLost, SourceError
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.decoding import Decoded, Decoder
from replication_assets.sources.postgres.lsn import format_lsn, parse_lsn
from replication_assets.sources.postgres.publication import CaptureNames, unpublished
from replication_assets.sources.postgres.read_ahead import ReadAhead
from replication_assets.sources.postgres.reading import Piece, Reader
from replication_assets.sources.postgres.relations import Relations, SchemaChange
from replication_assets.sources.postgres.slot import find_slot
from replication_assets.sources.postgres.walsender import WalSender

CHUNK_BYTES = 8 * 2**20
"""Larger pieces decode no faster and take more memory (measured: 4 to 16 MiB)."""
CATALOG_SECONDS = 5.0
"""How often the catalog is asked for what the stream does not tell."""


@contextmanager
def open_changes(
    connection: PostgresConnection,
    names: CaptureNames,
    tables: Sequence[tuple[TableId, TableSchema]],
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[ChangeStream]:
    """The stream after commit position `after`; see `ports.ChangeSource.changes`.

    Iteration ends when every transaction with a commit position of `upto` or less was
    delivered; none later is. A chunk holds at most `chunk_bytes` of messages and one more
    message. On exit the slot is free again.

    Raises:
        SlotBusy: another session reads the slot.
        SlotLost: the slot is missing or invalidated, or changes after `after` were consumed.
        SourceNotReady: a table is not published.
    """
    if not 0 < chunk_bytes <= 2**29:
        raise ValueError("chunk_bytes must be between 1 and 512 MiB")
    with ExitStack() as stack:
        session = Session(connection)
        stack.callback(session.close)
        confirmed_at(session, names.slot, after)
        sender = WalSender(connection, names.slot)
        stack.callback(_hang_up, sender)
        sender.start(names.publications, after)
        # The slot is ours now, and asked again: nobody can have moved it since.
        start = after if confirmed_at(session, names.slot, after) == after else after + 1
        check_published(session, names, tables)
        relations = Relations(session.get, tables, names.publications, connection.where)
        reader = Reader(sender, start=start, upto=upto, log_end=session.log_end, piece_bytes=chunk_bytes)
        decoder = Decoder(relations, epoch, connection.where)
        published = partial(check_published, session, names, tables)
        ahead = stack.enter_context(ReadAhead(reader))
        yield PostgresChanges(session, ahead, decoder, relations, published, epoch, stop)


class Session:
    """A session for catalog questions of any thread, opened when needed and again if it was lost."""

    def __init__(self, connection: PostgresConnection) -> None:
        self.where = connection.where
        self._connection = connection
        self._open: psycopg.Connection[Any] | None = None
        self._opening = threading.Lock()

    def get(self) -> psycopg.Connection[Any]:
        with self._opening:
            if self._open is None or self._open.closed:
                self._open = connect(self._connection)
            return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def log_end(self, *, inserted: bool = False) -> int:
        """Where the flushed log ends (what a walsender can read), or the log as inserted."""
        function = "pg_current_wal_insert_lsn" if inserted else "pg_current_wal_flush_lsn"
        with source_errors(self.where):
            row = self.get().execute(
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                f" ELSE {function}() END::text"
            )
            found = row.fetchone()
        assert found is not None
        return parse_lsn(found[0])


def confirmed_at(session: Session, name: str, after: int) -> int:
    """Where the slot stands; everything after `after` can still be read from it.

    Raises:
        SlotLost: it cannot.
    """
    with source_errors(session.where):
        slot = find_slot(session.get(), name)
    if slot is None:
        problem = f"replication slot {name} does not exist"
    elif slot.is_lost:
        problem = f"replication slot {name} is lost: {slot.reason}"
    elif (confirmed := parse_lsn(slot.confirmed)) <= after + 1:
        return confirmed
    else:
        problem = (
            f"replication slot {name} stands at {slot.confirmed}, past the last durable commit"
            f" {format_lsn(after)}: it was created anew, or someone else consumed it"
        )
    raise SlotLost(
        problem,
        where=session.where,
        fix="recover the source, which makes a new slot, and load every id range again",
    )


def check_published(
    session: Session, names: CaptureNames, tables: Sequence[tuple[TableId, TableSchema]]
) -> None:
    """Nothing in the stream tells what a publication leaves out, and servers from 18 on pass over
    one that is gone, and with it every change.

    Raises:
        SourceNotReady: naming the tables that exist and are not published as setup left them.
    """
    with source_errors(session.where):
        left_out = unpublished(session.get(), names, tables)
    if left_out:
        listed = ", ".join(f"{table.schema}.{table.name}" for table in left_out)
        raise changes_not_kept(
            f"publications {names.publication} and {names.append_publication} do not publish {listed},"
            " or did not all the time",
            session.where,
        )


def _hang_up(sender: WalSender) -> None:
    sender.close()
    try:
        sender.release()
    except SourceError:
        # The server cannot be asked: it ended, and its walsender with it. The error that the
        # reader met tells so.
        return


class PostgresChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        session: Session,
        reader: ReadAhead,
        decoder: Decoder,
        relations: Relations,
        check_published: Callable[[], None],
        epoch: int,
        stop: Callable[[], bool],
    ) -> None:
        self._session, self._reader, self._decoder = session, reader, decoder
        self._relations, self._check_published = relations, check_published
        self._epoch, self._stop = epoch, stop
        self._seen_at = time.monotonic()
        self._waiting: list[SchemaChange] = []

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`."""
        self._reader.acknowledge(commit)

    def __iter__(self) -> Iterator[ChangeChunk]:
        while not self._reader.ended and not self._stop():
            yield self._chunk(self._reader.read())
            self._watch_catalog()

    def _chunk(self, piece: Piece) -> ChangeChunk:
        decoded = self._decoder.decode(piece.data, piece.ends) if piece.ends else Decoded()
        changes = [*self._due(piece.through), *decoded.schema_changes]
        return ChangeChunk(
            tuple(decoded.batches),
            tuple(decoded.truncated),
            tuple(changes),
            piece.through,
            piece.committed_at,
        )

    def _watch_catalog(self) -> None:
        """Note partitions that came or went, and tables that left their publication.

        The catalog is ahead of the stream. A change of partitions is told when the stream reaches
        the place where the log ended as the catalog was read: after the change itself, and
        after everything that was delivered so far.
        """
        now = time.monotonic()
        if now - self._seen_at < CATALOG_SECONDS:
            return
        self._seen_at = now
        self._check_published()
        found = self._relations.partitions()
        if found:
            at = Position(self._epoch, self._session.log_end(inserted=True))
            for table, changes in found:
                event = SchemaChanged(at, True, changes.reason)
                self._waiting.append((table, self._relations.schema(table), event))

    def _due(self, through: int | None) -> list[SchemaChange]:
        reached = [c for c in self._waiting if through is not None and c[2].position.commit <= through]
        self._waiting = [c for c in self._waiting if c not in reached]
        return [(table, self._relations.schema(table), event) for table, _, event in reached]
