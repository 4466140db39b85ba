"""The change stream of a MySQL or MariaDB server: reads the binary log, and decodes it chunk by chunk.

Memory is bounded by a few pieces of `chunk_bytes`, whatever the size of a transaction: a chunk may end
inside one.

`after` is the last durable commit position, the byte before the place where the log is read on. The
server knows nothing of it: what it purges is its own decision, and a place that is gone is `SlotLost`.

One capture of a source at a time: it holds a named lock of the server in a session of its own, and ends
when that session does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SlotBusy, SourceUnavailable
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.decoding import Decoder
from replication_assets.sources.mysql.binlog.pieces import Piece
from replication_assets.sources.mysql.binlog.reading import Reader
from replication_assets.sources.mysql.binlog.replica import open_replica, place_of
from replication_assets.sources.mysql.binlog.shapes import Shapes
from replication_assets.sources.mysql.connection import MySqlConnection, Session, connect, leave, literal
from replication_assets.sources.mysql.preflight import stream_problems
from replication_assets.sources.mysql.reflection import not_ready
from replication_assets.sources.mysql.status import capture_lock, capture_reader, require_binlog

CHUNK_BYTES = 4 * 2**20
LOCK_SECONDS = 2.0
"""How often the session that holds the lock is asked for a sign of life."""
_RELEASE_SECONDS = 2
"""How long a capture that just ended may take to be noticed."""


@contextmanager
def open_changes(
    connection: MySqlConnection,
    name: str,
    server_id: int,
    tables: Sequence[tuple[TableId, TableSchema]],
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[ChangeStream]:
    """The stream after commit position `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another session reads the stream of this source.
        SlotLost: the log no longer reaches back to `after`.
        SourceNotReady: a setting under which changes are lost.
    """
    if not 0 < chunk_bytes <= 2**28:
        raise ValueError("chunk_bytes must be between 1 and 256 MiB")
    with ExitStack() as stack:
        holder = Holder(connection, name)
        stack.callback(holder.close)
        holder.check_settings()
        place = place_of(holder.session(), after + 1)
        replica = open_replica(connection, server_id, place)
        stack.callback(replica.close)
        charsets = Charsets(holder.query)
        shapes = Shapes(holder.session, tables, charsets, folds_case=holder.folds_case())
        reader = Reader(
            replica.packets,
            start=place,
            upto=upto,
            log_end=holder.log_end,
            is_ours=shapes.is_ours,
            decode=charsets.statement,
            has_checksums=replica.has_checksums,
            is_mariadb=replica.session.is_mariadb,
            piece_bytes=chunk_bytes,
            where=connection.where,
        )
        yield BinlogChanges(reader, Decoder(shapes, charsets, epoch), holder, stop)


class Holder:
    """The session that holds the capture's lock, and that the catalog is asked through."""

    def __init__(self, connection: MySqlConnection, name: str) -> None:
        self._where, self._lock = connection.where, capture_lock(name)
        self._session = connect(connection)
        self._seen = time.monotonic()
        try:
            self._take()
        except BaseException:
            leave(self._session)
            raise

    def session(self) -> Session:
        return self._session

    def query(self, statement: str) -> Sequence[Sequence[object]]:
        return self._session.rows(statement)

    def log_end(self) -> int:
        return require_binlog(self._session).commit

    def folds_case(self) -> bool:
        row = self._session.row("SELECT @@global.lower_case_table_names")
        return row is not None and int(row[0]) != 0

    def check_settings(self) -> None:
        """Settings may have changed since setup, and rows that were logged under others are no rows."""
        problems = stream_problems(self._session)
        if problems:
            raise not_ready(problems, self._where)

    def keep(self) -> None:
        """Notice soon that the lock is gone with its session.

        Raises:
            SourceUnavailable: it is.
        """
        if time.monotonic() - self._seen < LOCK_SECONDS:
            return
        self._seen = time.monotonic()
        row = self._session.row(f"SELECT IS_USED_LOCK({literal(self._lock)}) = CONNECTION_ID()")
        if row is None or row[0] != 1:
            raise SourceUnavailable(
                "the lock of this capture is gone: another one may read the stream",
                where=self._where,
                fix="run the capture again",
            )

    def close(self) -> None:
        leave(self._session)

    def _take(self) -> None:
        row = self._session.row(f"SELECT GET_LOCK({literal(self._lock)}, {_RELEASE_SECONDS})")
        if row is None or row[0] != 1:
            reader = capture_reader(self._session, self._lock)
            raise SlotBusy(
                f"connection {reader} reads the binlog for this source",
                where=self._where,
                fix="wait for the other capture, or stop it",
            )


class BinlogChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(self, reader: Reader, decoder: Decoder, holder: Holder, stop: Callable[[], bool]) -> None:
        self._reader, self._decoder, self._holder, self._stop = reader, decoder, holder, stop

    def acknowledge(self, commit: int) -> None:  # noqa: ARG002  # the server is not told
        """See `ports.ChangeStream`. The server keeps its log by its own rules; only that we are still the
        one who reads it is asked."""
        self._holder.keep()

    def __iter__(self) -> Iterator[ChangeChunk]:
        while not self._reader.ended and not self._stop():
            yield self._chunk(self._reader.read())
            self._holder.keep()

    def _chunk(self, piece: Piece) -> ChangeChunk:
        decoded = self._decoder.decode(piece)
        return ChangeChunk(
            tuple(decoded.batches),
            tuple(decoded.truncated),
            tuple(decoded.schema_changes),
            piece.through,
            piece.committed_at,
        )
