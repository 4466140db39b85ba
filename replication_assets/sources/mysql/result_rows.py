"""Rows of a query as the server printed them, a whole buffer of packets at a time.

The text protocol sends a row as one packet: four bytes of header (length, sequence number), then each
value with its length before it, 0xFB for NULL ("Text Resultset", MySQL's documentation of its client
protocol, page "Packets" for the header). Packets have to be found one after the other, which is the one
loop over rows here; values are found side by side, one column after the other, and copied out of the
buffer by Arrow. Rows of seven columns and 400 bytes cost the client 1.0 µs of CPU each, with their
types, where connectorx takes 4.

The buffer holds some megabytes, or one row where that is larger. The server is never read ahead of
the caller: it waits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pymysql.constants import COMMAND

from replication_assets.errors import DecodeError, SourceUnavailable
from replication_assets.sources.mysql.connection import Session, server_error, source_errors
from replication_assets.sources.mysql.silence import await_bytes

SILENCE_SECONDS = 30.0
"""Without a byte, until the server is asked what it does; twice that until we give up."""

BUFFER_BYTES = 4 << 20
"""Where a batch ends; a single row may exceed it."""

_HEADER = 4
_LONGEST = 0xFFFFFF
"""A packet of this length goes on in the next one."""
_NULL, _TWO, _THREE, _EIGHT = 0xFB, 0xFC, 0xFD, 0xFE
_ERROR, _END = 0xFF, 0xFE
_END_BYTES = 9
"""An end packet is shorter; a row that begins with this byte is longer than 16 MiB."""
_MOST_BYTES = 2**31 - 1
"""Arrow's offsets have 32 bits. No server sends a row of more than 1 GiB."""

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class ResultRows:
    """The answer to one query, read once. The session is of no other use until it ends."""

    def __init__(self, session: Session, query: str, columns: int) -> None:
        """Send the query and wait for the description of its answer.

        Raises:
            SourceError: the server refused it.
        """
        self._session, self._columns = session, columns
        with source_errors(session.where):
            session._execute_command(COMMAND.COM_QUERY, query.encode())
            await_bytes(session, SILENCE_SECONDS)
            found = session._read_packet().read_length_encoded_integer()
            if found != columns:
                raise DecodeError(f"an answer has {found} columns instead of {columns}", where=session.where)
            for _ in range(columns + 1):
                session._read_packet()
        self._buffer = bytearray(BUFFER_BYTES)
        self._filled = 0
        self._ahead = True
        self._sequence = session._next_seq_id

    def __iter__(self) -> Iterator[list[pa.BinaryArray]]:
        """One array per column and buffer.

        Raises:
            SourceError: the server stopped with an error, or the connection was lost.
            DecodeError: the answer does not follow the protocol.
        """
        while True:
            starts, end = self._packets()
            last = starts[-1]
            mark = self._buffer[last + _HEADER]
            ended = mark == _END and end - last < _HEADER + _END_BYTES
            if mark == _ERROR:
                raise self._error(last, end)
            rows = np.array(starts[:-1] if ended else starts, np.int64)
            if len(rows):
                yield from self._printed(rows, last if ended else end)
            if ended:
                return
            self._keep(end)

    def _packets(self) -> tuple[list[int], int]:
        """Where the whole packets of a full buffer begin, at least one, and where the last one ends.
        The answer ends with a packet of its own, which can only be the last."""
        starts: list[int] = []
        at, header = 0, struct.Struct("<I").unpack_from
        while True:
            buffer, filled = self._buffer, self._filled
            while at + _HEADER <= filled:
                (word,) = header(buffer, at)
                after = at + _HEADER + (word & _LONGEST)
                if after > filled:
                    break
                starts.append(at)
                at = after
            if starts and (self._ends(starts[-1], at) or filled == len(buffer)):
                # What goes on in the next packet is one row with it.
                whole = self._whole(starts, at)
                if whole:
                    return starts[:whole], starts[whole] if whole < len(starts) else at
            self._read_more()

    def _ends(self, start: int, end: int) -> bool:
        mark = self._buffer[start + _HEADER] if end > start + _HEADER else 0
        return mark == _ERROR or (mark == _END and end - start < _HEADER + _END_BYTES)

    def _whole(self, starts: list[int], end: int) -> int:
        """How many of the packets, from the first on, make whole rows."""
        count = len(starts)
        ends = [*starts[1:], end]
        while count and ends[count - 1] - starts[count - 1] == _HEADER + _LONGEST:
            count -= 1
        return count

    def _read_more(self) -> None:
        if self._filled == len(self._buffer):
            if self._filled == _MOST_BYTES:
                raise DecodeError("a row is longer than 2 GiB", where=self._session.where)
            more = min(self._filled, _MOST_BYTES - self._filled)
            self._buffer = self._buffer + bytes(more)
        with source_errors(self._session.where):
            got = self._received(memoryview(self._buffer)[self._filled :])
        if not got:
            raise SourceUnavailable("the rows stopped before their end", where=self._session.where)
        self._filled += got

    def _received(self, room: memoryview) -> int:
        """One read of the socket. What the driver read ahead while the answer began comes first."""
        stream = self._session._rfile
        if not self._ahead:
            await_bytes(self._session, SILENCE_SECONDS)
            found: int = stream.raw.readinto(room)
            return found
        self._ahead = False
        begun = stream.read1(len(room))
        room[: len(begun)] = begun
        return len(begun)

    def _keep(self, end: int) -> None:
        """Move what is not yet read to the front, of a buffer of the usual size again."""
        rest = self._buffer[end : self._filled]
        if len(self._buffer) > BUFFER_BYTES and len(rest) <= BUFFER_BYTES:
            self._buffer = bytearray(BUFFER_BYTES)
        self._buffer[: len(rest)] = rest
        self._filled = len(rest)

    def _printed(self, starts: Ints, end: int) -> Iterator[list[pa.BinaryArray]]:
        data: Bytes = np.frombuffer(self._buffer, np.uint8)
        lengths = np.diff(starts, append=end) - _HEADER
        expected = (self._sequence + np.arange(len(starts))) % 256
        if np.any(data[starts + 3] != expected):
            raise DecodeError("packets are missing from an answer", where=self._session.where)
        self._sequence = (self._sequence + len(starts)) % 256
        if not np.any(lengths == _LONGEST):
            yield columns_of(data, starts + _HEADER, starts + _HEADER + lengths, self._columns)
            return
        for first, last in _joined(lengths == _LONGEST):
            parts = [data[starts[i] + _HEADER :][: lengths[i]] for i in range(first, last)]
            row = np.concatenate(parts)
            yield columns_of(row, np.array([0]), np.array([len(row)]), self._columns)

    def _error(self, start: int, end: int) -> Exception:
        packet = self._buffer[start + _HEADER : end]
        (number,) = struct.unpack_from("<H", packet, 1)
        # A `#` and five characters of SQLSTATE come before the text.
        return server_error(number, packet[9:].decode(errors="replace"), self._session.where)


def _joined(goes_on: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Runs of packets that are one row each: `[first, after the last)`."""
    first = 0
    for place, more in enumerate(goes_on.tolist()):
        if not more:
            yield first, place + 1
            first = place + 1


def columns_of(data: Bytes, cursor: Ints, ends: Ints, columns: int) -> list[pa.BinaryArray]:
    """The values of rows that lie at `[cursor, end)` each, ascending.

    Raises:
        DecodeError: a row is longer or shorter than its values.
    """
    found = []
    for _ in range(columns):
        missing, start, cursor = _values(data, cursor, ends)
        found.append(_copied(data, start, cursor, missing))
    if np.any(cursor != ends):
        raise DecodeError("a row is longer than its values")
    return found


def _values(data: Bytes, cursor: Ints, ends: Ints) -> tuple[npt.NDArray[np.bool_] | None, Ints, Ints]:
    """Of the next value of each row: whether it is NULL (None: nowhere), and its bytes."""
    if np.any(cursor >= ends):
        raise DecodeError("a row is shorter than its values")
    first = data[cursor]
    if first.max() < _NULL:
        start = cursor + 1
        after = start + first
        missing = None
    else:
        length, width = first.astype(np.int64), np.ones(len(first), np.int64)
        missing = first == _NULL
        length[missing] = 0
        for mark, size in ((_TWO, 2), (_THREE, 3), (_EIGHT, 8)):
            chosen = np.flatnonzero(first == mark)
            if len(chosen):
                length[chosen] = _number(data, cursor[chosen] + 1, size)
                width[chosen] = 1 + size
        start = cursor + width
        after = start + length
    if np.any((after > ends) | (after < start)):
        raise DecodeError("a value is longer than its row")
    return missing, start, after


def _number(data: Bytes, at: Ints, size: int) -> Ints:
    """Little-endian numbers of so many bytes."""
    if at[-1] + size > len(data):
        raise DecodeError("a row is shorter than its values")
    found = np.zeros(len(at), np.int64)
    for place in range(size):
        found |= data[at + place].astype(np.int64) << (8 * place)
    return found


def _copied(data: Bytes, start: Ints, end: Ints, missing: npt.NDArray[np.bool_] | None) -> pa.BinaryArray:
    """The buffer itself serves as the data of an Arrow array: values lie between offsets start, end,
    start, end ... and every second one is ours."""
    offsets = np.empty(2 * len(start), np.int32)
    offsets[0::2], offsets[1::2] = start, end
    whole = pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    return whole.take(pa.array(np.arange(0, len(offsets), 2), mask=missing))
