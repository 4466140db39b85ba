"""The wire to a walsender: start of the stream, messages, status replies, and its end.

Owns the replication connection and its protocol (PostgreSQL documentation, "Streaming
Replication Protocol"); knows nothing of what the messages say. Positions that it reports back
are the ones acknowledged, never more: the server may forget everything before them.
"""

from __future__ import annotations

import os
import selectors
import struct
import threading
import time
from collections.abc import Sequence

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn

from replication_assets.errors import SourceError, SourceUnavailable
from replication_assets.sources.postgres.connection import (
    PostgresConnection,
    check_result,
    connect,
    connect_replication,
    run_command,
    source_errors,
)
from replication_assets.sources.postgres.lsn import format_lsn
from replication_assets.sources.postgres.pgoutput import POSTGRES_EPOCH_MICROS
from replication_assets.sources.postgres.quoting import identifier, literal
from replication_assets.sources.postgres.silence import Silence
from replication_assets.sources.postgres.slot import find_slot

WAL_DATA, KEEPALIVE = ord("w"), ord("k")

_MESSAGES_AT_ONCE = 128
"""Each is two objects to Python's garbage collector, which runs when there are 700 new ones, and
then took longer than the reading."""
_READS_AT_ONCE = 4
"""libpq reads 16 KiB and doubles its buffer when it is read into again: a busy stream comes in
hundreds of KiB and not in a system call for every dozen rows, which cost 1 µs a row."""

_SERVER_PATIENCE = "10min"
"""`wal_sender_timeout` of our session: nothing is read while a caller makes a chunk durable.
A peer that vanished is noticed by TCP keep-alives much sooner."""

_FAREWELL_SECONDS = 1.0
_RELEASE_SECONDS = 5.0


class WalSender:
    """One replication connection in streaming mode.

    One thread may take and wait while another sends status replies.
    """

    def __init__(self, connection: PostgresConnection, slot: str) -> None:
        self._connection = connection
        self._slot = slot
        self._pg: PGconn = connect_replication(connection)
        self._pid = self._pg.backend_pid
        self._silence = Silence(connection, self._pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pg.socket, selectors.EVENT_READ)
        self._woken, self._wake = os.pipe()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._using = threading.RLock()
        self._over = False
        self.acknowledged = 0
        """First byte of the log that the server must keep; 0 is the slot's own place."""

    def start(self, publications: Sequence[str], at: int) -> None:
        """Stream transactions whose commit record is at `at` or later.

        Raises:
            SlotBusy: another session reads the slot.
            SlotLost: there is no such slot, or its log is gone.
        """
        self._run(f"SET wal_sender_timeout = {literal(_SERVER_PATIENCE)}")
        names = ", ".join(identifier(name) for name in publications)
        self._run(
            f"START_REPLICATION SLOT {identifier(self._slot)} LOGICAL {format_lsn(at)}"
            f" (proto_version '1', publication_names {literal(names)})"
        )
        self._pg.nonblocking = 1

    def _run(self, command: str) -> None:
        run_command(self._pg, command, self._connection)

    # --- messages ------------------------------------------------------------------------

    def take(self) -> list[memoryview]:
        """The next messages of which all is here, without waiting for the network; none if there
        is none.

        Raises:
            SourceUnavailable: the connection or the server ended.
        """
        messages: list[memoryview] = []
        try:
            with self._using:
                while not self._over and len(messages) < _MESSAGES_AT_ONCE:
                    size, message = self._pg.get_copy_data(1)
                    if size == 0:
                        break
                    if size < 0:
                        self._over = True
                    else:
                        messages.append(message)
                if self._over and not messages:
                    raise self._end()
        except psycopg.OperationalError as error:
            raise self._unavailable(str(error)) from None
        return messages

    def wait(self, seconds: float) -> bool:
        """Wait for bytes and read them; False if none came. Signals and `wake` interrupt it.

        Raises:
            SourceUnavailable: the connection was lost, or carries nothing any more.
        """
        ready = self._selector.select(seconds)
        if any(key.fd == self._woken for key, _ in ready):
            os.read(self._woken, 1)
            return False
        if not ready:
            self._silence.check()
            return False
        self._silence.heard()
        try:
            with self._using:
                for _ in range(_READS_AT_ONCE):
                    self._pg.consume_input()
        except psycopg.OperationalError as error:
            raise self._unavailable(str(error)) from None
        return True

    def wake(self) -> None:
        """End a wait, of this moment or the next one, in whatever thread it is."""
        os.write(self._wake, b"\0")

    def _end(self) -> SourceError:
        """Why the server ended the stream."""
        result = self._pg.get_result()
        if result is not None:
            check_result(result, self._connection.where)
        return self._unavailable(self._pg.get_error_message() or "the server ended the stream")

    def _unavailable(self, message: str) -> SourceUnavailable:
        lines = message.strip().splitlines() or ["the connection was lost"]
        return SourceUnavailable(
            lines[0], where=self._connection.where, fix="run the capture again: it resumes where it was"
        )

    def send_status(self, *, ask: bool = False) -> None:
        """Report what was acknowledged; with `ask`, have the server say how far it is."""
        clock = time.time_ns() // 1000 - POSTGRES_EPOCH_MICROS
        place = self.acknowledged
        self._put(struct.pack(">cQQQqB", b"r", place, place, place, clock, ask))

    def _put(self, message: bytes) -> None:
        try:
            with self._using:
                while self._pg.put_copy_data(message) == 0:
                    self._flush()
                self._flush()
        except psycopg.OperationalError as error:
            raise self._unavailable(str(error)) from None

    def _flush(self) -> None:
        # A server that is busy sending does not read: take its bytes in, or both wait for ever.
        while self._pg.flush() == 1:
            self.wait(0.05)

    # --- end -----------------------------------------------------------------------------

    def close(self) -> None:
        """End the stream in good order, so that the last status is surely read, and hang up."""
        try:
            if self._pg.status == pq.ConnStatus.OK and self._pg.nonblocking:
                self.send_status()
                self._pg.put_copy_end()
                self._flush()
                self._drain(time.monotonic() + _FAREWELL_SECONDS)
        except (psycopg.OperationalError, SourceError):
            # The position is not lost with the status: the next session starts from the ledger.
            return
        finally:
            self._selector.close()
            os.close(self._woken)
            os.close(self._wake)
            self._pg.finish()

    def _drain(self, deadline: float) -> None:
        """Read until the server ends the stream too. Inside a large transaction it does not."""
        while time.monotonic() < deadline:
            size, _ = self._pg.get_copy_data(1)
            if size < 0:
                return
            if size == 0:
                self.wait(0.1)

    def release(self) -> None:
        """Wait until the server noticed that we are gone; end its backend if it does not."""
        deadline = time.monotonic() + _RELEASE_SECONDS
        with connect(self._connection) as session, source_errors(self._connection.where):
            while (slot := find_slot(session, self._slot)) is not None and slot.active_pid == self._pid:
                if time.monotonic() > deadline:
                    session.execute("SELECT pg_terminate_backend(%s)", (self._pid,))
                    return
                time.sleep(0.01)
