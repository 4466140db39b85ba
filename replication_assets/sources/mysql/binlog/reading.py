"""Reads events off the wire and cuts them into pieces that are decoded as a whole.

The loop collects rows of our tables; `framing` keeps track of transactions. A piece is handed on
when it is full, when the wire falls silent between two transactions, or when it grows old; so an
idle source has a latency of milliseconds and a busy one is read in large pieces.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from zlib import crc32

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import events as ev
from replication_assets.sources.mysql.binlog.framing import Framing
from replication_assets.sources.mysql.binlog.packets import Packets
from replication_assets.sources.mysql.binlog.pieces import FIELDS, SPARE, Piece
from replication_assets.sources.mysql.binlog.row_header import RowHeader
from replication_assets.sources.mysql.binlog.table_map import TableMap, names_of, parse_table_map
from replication_assets.sources.mysql.log_places import LogPlace

IDLE_SECONDS = 0.5
"""At most this long without a piece, empty if need be."""

_SILENT_SECONDS = 0.002
_OLD_SECONDS = 0.25
_EVENT_COST = 96
"""Bytes that an event takes beside its own, in the arrays that decode it."""
_KNOWN_MAPS = 10_000
_NOT_OURS = -1
_DUMMY_TABLE = b"\xff\xff\xff\x00\x00\x00"
"""Table id of a rows event without rows, which only ends a statement."""

_int32 = struct.Struct("<I")
_packed = struct.Struct(f"={FIELDS}q").pack
"""A line of `Piece.index`."""


class Reader:
    """The log from `start` on; `ended` once every transaction through `upto` was read."""

    def __init__(
        self,
        packets: Packets,
        *,
        start: LogPlace,
        upto: int | None,
        log_end: Callable[[], int],
        is_ours: Callable[[str, str], bool],
        decode: ev.Decode,
        has_checksums: bool,
        is_mariadb: bool,
        piece_bytes: int,
        where: str,
    ) -> None:
        self._packets, self._upto, self._is_ours = packets, upto, is_ours
        self._is_mariadb, self._log_end = is_mariadb, log_end
        self._piece_bytes, self._where = piece_bytes, where
        self._framing = Framing(start, has_checksums, is_ours, decode, where)
        self._piece = Piece()
        self._maps: dict[bytes, int] = {}
        self._by_shape: dict[bytes, int] = {}
        self._shapes: list[tuple[TableMap, RowHeader]] = []
        self._numbers: dict[int, int] = {}
        self._taken = packets.take()
        self._first_at = 0.0
        self.ended = upto is not None and self._framing.through >= upto

    def read(self) -> Piece:
        """The next piece; without events after `IDLE_SECONDS` without any.

        Raises:
            SourceUnavailable: the connection or the server ended.
            SlotLost: the log cannot be read on.
            DecodeError: it holds what is not understood.
        """
        piece = self._piece = Piece()
        self._numbers = {}
        self._framing.begin_piece(piece)
        self._first_at = time.monotonic()
        self._collect(self._first_at + IDLE_SECONDS)
        piece.data += SPARE
        self._framing.end_piece()
        return piece

    def _collect(self, until: float) -> None:
        framing = self._framing
        while not self.ended:
            if framing.payload is not None:
                if self._add(framing.payload, in_payload=True):
                    return
                framing.payload = None
            if self._add(self._taken, in_payload=False):
                return
            if self._in_payload():
                continue
            if self._ends_here():
                self.ended = True
                return
            if not self._packets.wait(self._patience(until)) and self._is_over(until):
                return
            self._taken = self._packets.take()

    def _ends_here(self) -> bool:
        """Whether the log ends where a transaction at `upto` would begin: it cannot have been there
        when `upto` was chosen."""
        framing = self._framing
        if framing.is_inside or framing.through + 1 != self._upto:
            return False
        return self._log_end() <= self._upto

    def _in_payload(self) -> bool:
        return self._framing.payload is not None

    def _patience(self, until: float) -> float:
        """Seconds to wait for more."""
        return _SILENT_SECONDS if self._has_whole() else until - time.monotonic()

    def _is_over(self, until: float) -> bool:
        return self._has_whole() or time.monotonic() >= until

    def _has_whole(self) -> bool:
        held = bool(self._piece.index) or bool(self._piece.statements)
        return held and not self._framing.is_inside

    def _add(self, events: Iterator[memoryview], *, in_payload: bool) -> bool:
        """Add events to the piece; False if it wants more of them."""
        piece, framing, tables = self._piece, self._framing, self._framing.tables
        data, index, numbers = piece.data, piece.index, self._numbers
        checked, kinds, int32 = framing.has_checksums and not in_payload, ev.ROWS, _int32.unpack_from
        room = self._piece_bytes - _EVENT_COST * piece.events
        for event in events:
            kind = event[4]
            if checked and kind != ev.FORMAT_DESCRIPTION:
                size = len(event) - 4
                (told,) = int32(event, size)
                event = event[:size]
                if crc32(event) != told:
                    raise self._broken(f"the checksum of an event of type {kind} is wrong")
            rows = kinds.get(kind)
            if rows is None and kind != ev.TABLE_MAP:
                if self._frame(event, kind, in_payload):
                    return True
                if framing.payload is not None and not in_payload:
                    return False
                # A file says anew whether its events have checksums.
                checked = framing.has_checksums and not in_payload
                continue
            log_pos = framing.advance(event, in_payload)
            if rows is None:
                described = bytes(event[19:])
                shape = self._maps.get(described)
                tables[described[:6]] = self._map(described) if shape is None else shape
                continue
            shape = self._shape(event)
            if shape == _NOT_OURS:
                continue
            number = numbers.get(shape)
            if number is None:
                number = numbers[shape] = len(piece.shapes)
                piece.shapes.append(self._shapes[shape][0])
            start = len(data)
            data += self._shapes[shape][1].images(event, rows)
            end = len(data)
            framing.rows += 1
            index.frombytes(_packed(start, end, rows[0], number, len(piece.transactions) - 1, log_pos))
            room -= _EVENT_COST
            if end >= room:
                return True
        return False

    def _frame(self, event: memoryview, kind: int, in_payload: bool) -> bool:
        """An event of another kind; whether the piece is to be handed on."""
        framing = self._framing
        framing.take(event, kind, in_payload=in_payload)
        if framing.is_inside:
            return False
        self.ended = self._upto is not None and framing.through >= self._upto
        held = self._has_whole()
        return self.ended or (held and time.monotonic() - self._first_at >= _OLD_SECONDS)

    def _shape(self, event: memoryview) -> int:
        table = bytes(event[19:25])
        shape = self._framing.tables.get(table)
        if shape is None:
            if table == _DUMMY_TABLE:
                return _NOT_OURS
            raise self._broken("rows of a table that was not described")
        if shape != _NOT_OURS and not self._framing.is_inside:
            raise self._broken("rows outside of any transaction")
        return shape

    def _map(self, described: bytes) -> int:
        """Number of the table's shape, `_NOT_OURS` for other tables, whatever columns they have. A table
        that is described alike under another id has the shape that it had."""
        if len(self._maps) >= _KNOWN_MAPS:
            self._maps.clear()
        body, number = described[6:], _NOT_OURS
        if self._is_ours(*names_of(body)):
            found = self._by_shape.get(body)
            number = len(self._shapes) if found is None else found
            if found is None:
                table = parse_table_map(body, is_mariadb=self._is_mariadb)
                self._shapes.append((table, RowHeader(table)))
                self._by_shape[body] = number
        self._maps[described] = number
        return number

    def _broken(self, what: str) -> DecodeError:
        return DecodeError(what, where=self._where, fix="nothing was advanced: run the capture again")
