"""`LOAD DATA LOCAL INFILE` from memory, and from nowhere else.

In this statement the server asks the client for a file by name, and a client that obeys sends
whichever file a hostile server names. The connection here opens no file: whatever is asked for, it
sends the bytes that it was given for this one statement, and without such bytes it sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
from pymysql.connections import Connection, MySQLResult
from pymysql.cursors import SSCursor

_PACKET = 1 << 20
"""Bytes of a packet: below every server's `max_allowed_packet` (16 MiB by default, at least 1 KiB)."""


class LoadingConnection(Connection):  # type: ignore[misc]
    """A connection that answers a request for a file with the bytes at hand."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._at_hand: memoryview | None = None
        super().__init__(*arguments, **settings)

    def load(self, statement: str, rows: memoryview) -> tuple[int, int]:
        """Run a `LOAD DATA LOCAL INFILE` with these bytes as the file: rows added, and warnings."""
        self._at_hand = rows
        try:
            with self.cursor() as cursor:
                added = int(cursor.execute(statement))
                result = self._result
                return added, int(result.warning_count) if result is not None else 0
        finally:
            self._at_hand = None

    def stream(self, statement: str, size: int) -> Iterator[list[str | None]]:
        """The only column of a query's rows, so many at a time, never all of them in memory. Left
        before its end, it leaves a closed connection: the rest of the rows is not waited for."""
        cursor = self.cursor(SSCursor)
        try:
            cursor.execute(statement)
            while rows := cursor.fetchmany(size):
                yield [row[0] for row in rows]
        except GeneratorExit:
            cursor._result = cursor.connection = None
            self._force_close()
            raise

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None
        result = _LoadingResult(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return int(result.affected_rows)

    def _send_at_hand(self) -> None:
        if self._at_hand is None:
            return
        size = min(self.max_allowed_packet - 1, _PACKET)
        for start in range(0, len(self._at_hand), size):
            self.write_packet(self._at_hand[start : start + size].tobytes())


class _LoadingResult(MySQLResult):  # type: ignore[misc]
    def _read_load_local_packet(self, first_packet: Any) -> None:
        del first_packet
        connection = self.connection
        try:
            connection._send_at_hand()
        finally:
            # An empty packet ends the file, an empty file included.
            connection.write_packet(b"")
            answer = connection._read_packet()
        if not answer.is_ok_packet():
            raise pymysql.err.OperationalError(2014, "")
        self._read_ok_packet(answer)
