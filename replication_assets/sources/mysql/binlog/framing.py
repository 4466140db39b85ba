"""Where transactions begin and end in the binary log, and what stands between rows.

Positions. A transaction's commit position is the place of its first event: GTID, or BEGIN where
there is none. The stream is whole through the byte before the next event to come, because a
transaction that begins there is yet to be read.

A server that dies while it writes a transaction to its log leaves a part of one at the end of the
file, and begins another file. Such a transaction never was: it is forgotten if nothing of it was
handed on, and refused otherwise.

Refused, where rows of ours are concerned: transactions that XA PREPARE ended (their rows are logged
before anybody knows whether they commit), rows that were logged and then rolled back, and rows that
were logged as a statement.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import events as ev
from replication_assets.sources.mysql.binlog.compressed import inflate, payload_events
from replication_assets.sources.mysql.binlog.pieces import FIELDS, Piece, Statement, Transaction
from replication_assets.sources.mysql.binlog.statements import Kind, emptied_whole, kind_of, verb_of
from replication_assets.sources.mysql.log_places import LogPlace

_RELOAD = "recover the source, and load every id range again"
_GTIDS = frozenset({ev.GTID, ev.ANONYMOUS_GTID, ev.GTID_TAGGED, ev.MARIADB_GTID})
_LOG_POS = 13

_int32 = struct.Struct("<I")


class Framing:
    """The state of the log where it is read. `tables` are the table ids that were described, `rows`
    the row events of ours in the open transaction, `payload` what is left of a compressed one."""

    def __init__(
        self,
        start: LogPlace,
        has_checksums: bool,
        is_ours: Callable[[str, str], bool],
        decode: ev.Decode,
        where: str,
    ) -> None:
        self.tables: dict[bytes, int] = {}
        self.payload: Iterator[memoryview] | None = None
        self.has_checksums = has_checksums
        self.rows = 0
        self.through = start.commit - 1
        self._is_ours, self._decode, self._where = is_ours, decode, where
        self._file, self._at, self._payload_at = start, start.offset, 0
        self._open: Transaction | None = None
        self._begun = False
        self._handed_on = False
        self._piece = Piece()
        self._mark = (0, 0, 0)

    @property
    def is_inside(self) -> bool:
        return self._open is not None

    def begin_piece(self, piece: Piece) -> None:
        self._piece = piece
        self._mark = (0, 0, 0)
        if self._open is not None:
            piece.transactions.append(self._open)

    def end_piece(self) -> None:
        if self._open is None:
            self._piece.through = self.through
        else:
            self._handed_on = self._handed_on or self.rows > 0

    def advance(self, event: memoryview, in_payload: bool) -> int:
        """Note where the event ends: in its file, or among the events of a payload."""
        if in_payload:
            self._payload_at += len(event)
            return self._payload_at
        at: int = _int32.unpack_from(event, _LOG_POS)[0]
        if at < self._at:
            raise DecodeError(
                "a transaction goes beyond 4 GiB of its file, where positions begin anew",
                where=self._where,
                fix=f"split it into smaller ones; then {_RELOAD}",
            )
        self._at = at
        return at

    def take(self, event: memoryview, kind: int, *, in_payload: bool) -> None:
        """An event that is neither rows nor their map."""
        header, body = ev.Header.parse(event), event[ev.HEADER :]
        if kind in (ev.FORMAT_DESCRIPTION, ev.ROTATE):
            self._next_file(header, body)
        elif kind == ev.HEARTBEAT:
            self._at = max(self._at, header.log_pos)
        elif kind == ev.HEARTBEAT_V2:
            return
        elif kind in ev.WITHOUT_ROWS:
            # Some are made up for the connection, and have no place.
            if header.log_pos or in_payload:
                self.advance(event, in_payload)
        elif kind in _GTIDS:
            self._begin(header.log_pos - header.size, ev.parse_begin(kind, header.timestamp, body))
            self.advance(event, in_payload)
        else:
            log_pos = self.advance(event, in_payload)
            self._inside(header, kind, body, log_pos)
        if self._open is None:
            self.through = max(self.through, (self._file.number << 32 | self._at) - 1)

    def _inside(self, header: ev.Header, kind: int, body: memoryview, log_pos: int) -> None:
        if kind == ev.XID:
            self._end()
        elif kind in (ev.QUERY, ev.QUERY_COMPRESSED):
            query = ev.parse_query(body, inflate if kind == ev.QUERY_COMPRESSED else None, self._decode)
            self._query(header, query, log_pos)
        elif kind == ev.XA_PREPARE:
            if self.rows and not body[0]:
                raise self._undecided("XA PREPARE ended a transaction that may yet be rolled back")
            self._end()
        elif kind == ev.TRANSACTION_PAYLOAD:
            self.payload, self._payload_at = payload_events(bytes(body)), 0
        elif kind == ev.STOP:
            self._abandon()
        else:
            raise ev.refused(kind, self._where)

    # --- files -----------------------------------------------------------------------------

    def _next_file(self, header: ev.Header, body: memoryview) -> None:
        if header.type == ev.FORMAT_DESCRIPTION:
            found = ev.Format.parse(body, self._where)
            self.has_checksums = found.has_checksums
            self.tables.clear()
            if not header.flags & ev.ARTIFICIAL and header.log_pos:
                if found.created:
                    self._abandon()
                self._at = max(self._at, header.log_pos)
            return
        name, position = ev.parse_rotate(body)
        place = LogPlace.of(name, position)
        if place.number > self._file.number:
            self._abandon()
            self._file, self._at = place, place.offset
        elif place.number < self._file.number:
            raise DecodeError(f"the server went back to {name}", where=self._where, fix=_RELOAD)

    def _abandon(self) -> None:
        """The server died before the end of the open transaction reached its log."""
        if self._open is None:
            return
        if self._handed_on:
            raise DecodeError(
                "the server died while it logged a transaction, and a part of it was read",
                where=self._where,
                fix=_RELOAD,
            )
        index, data, statements = self._mark
        del self._piece.index[index * FIELDS :]
        del self._piece.data[data:]
        del self._piece.statements[statements:]
        self._open, self.payload, self.rows = None, None, 0

    # --- transactions ----------------------------------------------------------------------

    def _begin(self, at: int, begin: ev.Begin) -> None:
        if self._open is not None:
            raise DecodeError("a transaction begins inside of another", where=self._where, fix=_RELOAD)
        if at != self._at:
            raise DecodeError("the log is not where it was thought to be", where=self._where, fix=_RELOAD)
        commit = self._file.number << 32 | at
        self._open = Transaction(commit, begin.committed_at, begin.number)
        self._begun = begin.is_transaction
        self._handed_on, self.rows = False, 0
        piece = self._piece
        self._mark = (piece.events, len(piece.data), len(piece.statements))
        piece.transactions.append(self._open)

    def _end(self) -> None:
        if self._open is None:
            raise DecodeError("a transaction ends that never began", where=self._where, fix=_RELOAD)
        self._piece.committed_at = self._open.time
        self._open, self.rows, self._handed_on = None, 0, False

    def _query(self, header: ev.Header, query: ev.Query, log_pos: int) -> None:
        kind = kind_of(query)
        if self._open is None:
            self._begin(log_pos - header.size, ev.Begin(None, header.timestamp * 1_000_000))
        if kind in (Kind.BEGIN, Kind.XA_START):
            self._begun = True
        elif kind is Kind.COMMIT:
            self._end()
        elif kind in (Kind.ROLLBACK, Kind.ROLLBACK_TO):
            if self.rows:
                raise self._undecided("rows were logged and then rolled back, in part or whole")
            if kind is Kind.ROLLBACK:
                self._end()
        else:
            self._statement(kind, query, log_pos)
            if not self._begun:
                self._end()

    def _statement(self, kind: Kind, query: ev.Query, log_pos: int) -> None:
        if kind is Kind.DEFINITION:
            assert self._open is not None
            self._piece.statements.append(Statement(query, self._open, log_pos, self._piece.events))
        elif kind is Kind.ROWS and not self._empties_another(query):
            raise DecodeError(
                f"a statement ({verb_of(query)}) was logged as text: which rows it changed cannot be known",
                where=self._where,
                fix=f"SET GLOBAL binlog_format = 'ROW', also for sessions that set their own; then {_RELOAD}",
            )

    def _empties_another(self, query: ev.Query) -> bool:
        named = emptied_whole(query)
        return named is not None and not self._is_ours(named.schema, named.name)

    def _undecided(self, what: str) -> DecodeError:
        return DecodeError(f"{what}, and it has rows of captured tables", where=self._where, fix=_RELOAD)
