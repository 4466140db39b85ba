"""What COPY sends, in pieces of many rows.

The server sends a message for each row. The driver's own iteration sets out anew for each of them, which
costs more than all that is done with the rows; here the messages that have arrived are taken at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait


def copied_out(connection: psycopg.Connection[Any], sql: str, most: int) -> Iterator[bytes]:
    """Whole rows, in pieces that end with the row that reaches `most` bytes."""
    pgconn = connection.pgconn
    # Whoever stops in the middle leaves the block with an error, by which it cancels the COPY.
    with connection.cursor() as cursor, cursor.copy(sql.encode()):
        ended = False
        while not ended:
            rows: list[bytes] = []
            size = 0
            while size < most and not ended:
                count, row = pgconn.get_copy_data(1)
                if count > 0:
                    rows.append(bytes(row))
                    size += count
                elif count == 0:
                    connection.wait(_more(pgconn))
                else:
                    _require_success(pgconn)
                    ended = True
            if rows:
                yield b"".join(rows)


def _more(pgconn: PGconn) -> PQGen[None]:
    while not (yield Wait.R):
        continue
    pgconn.consume_input()


def _require_success(pgconn: PGconn) -> None:
    """Raises the error that ended the COPY. Takes all results: the connection is idle then."""
    results = []
    while (result := pgconn.get_result()) is not None:
        results.append(result)
    for result in results:
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
