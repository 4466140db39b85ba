"""An answer that stops coming: whether the server still works on it, or the way to us is gone.

A connection can stand and carry nothing: TCP finds a machine that vanished (`connection`), not a proxy that
takes bytes and passes none on. Nor is silence itself a fault, since a scan may take hours until its first
row. So whoever has waited long asks over a new connection what the server does with the statement. If it
waits for us while we wait for it, twice in a row, what it sent is lost; its session is then ended.
"""

from __future__ import annotations

import select
import ssl
from contextlib import suppress

from replication_assets.errors import SourceError, SourceUnavailable
from replication_assets.sources.mysql.connection import Session, connected

_WAITS_FOR_US = ("writing to net", "sending to client", "waiting for client")
"""States of a statement whose answer nobody takes: MariaDB's, MySQL's."""


def await_bytes(session: Session, seconds: float) -> None:
    """Returns when there is something to read; asks after every `seconds` without.

    Raises:
        SourceUnavailable: nothing will come any more.
    """
    waits = 0
    while not _is_readable(session, seconds):
        waits = waits + 1 if _waits_for_us(session) else 0
        if waits == 2:
            _end(session)
            raise SourceUnavailable(
                "an answer stopped coming while the server waits for us to take it",
                where=session.where,
                fix="see what stands between, and run it again",
            )


def _is_readable(session: Session, seconds: float) -> bool:
    sock = session._sock
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _waits_for_us(session: Session) -> bool:
    with connected(session.connection) as other:
        found = other.row(
            f"SELECT COMMAND, STATE FROM information_schema.PROCESSLIST WHERE ID = {int(session.thread_id())}"
        )
    if found is None:
        raise SourceUnavailable("the server ended the session", where=session.where, fix="run it again")
    command, state = (str(each or "").lower() for each in found)
    # An account sees its own sessions. One that sleeps has sent all of its answer.
    return command == "sleep" or state in _WAITS_FOR_US


def _end(session: Session) -> None:
    # It may be gone by itself.
    with suppress(SourceError), connected(session.connection) as other:
        other.rows(f"KILL {int(session.thread_id())}")
