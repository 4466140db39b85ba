"""Reads messages off the wire and cuts them into pieces that are decoded as a whole.

The loop does nothing but collect messages and look at their first bytes. A piece is handed on
when it is full, when the wire falls silent between two transactions, or when it grows old; so
an idle source has a latency of milliseconds and a busy one is read in large pieces.

Positions. A transaction's commit position is where its commit record begins. A keepalive tells
how far the server has decoded: every transaction whose commit record begins before that byte
was sent, so the stream is whole through the byte before it.
"""

from __future__ import annotations

import datetime as dt
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from replication_assets.sources.postgres.pgoutput import (
    BEGIN,
    COMMIT,
    HEADER,
    POSTGRES_EPOCH_MICROS,
    RELATION,
    SPARE,
)
from replication_assets.sources.postgres.walsender import KEEPALIVE, WAL_DATA, WalSender

IDLE_SECONDS = 0.5
"""At most this long without a piece, empty if need be."""

_MESSAGE_COST = 64
"""Bytes that a message takes beside its own, in the arrays that decode it."""
_SILENT_SECONDS = 0.002
_OLD_SECONDS = 0.25
_ASK_SECONDS = 0.05
"""How often the server is asked where it is while a target is waited for."""
_STATUS_SECONDS = 5.0
_PAGE = 8192
_PAGE_HEADER = 40
"""Sizes of a WAL page and its longest header (access/xlog_internal.h)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole XLogData messages back to back, `ends` being where each one ends, and `SPARE`.

    `through` and `committed_at` are as in `ports.ChangeChunk`.
    """

    data: bytearray
    ends: list[int]
    through: int | None
    committed_at: dt.datetime | None


class Reader:
    """The stream from commit position `start` on; `ended` once all through `upto` was read."""

    def __init__(
        self,
        sender: WalSender,
        *,
        start: int,
        upto: int | None,
        log_end: Callable[[], int],
        piece_bytes: int,
    ) -> None:
        self._sender, self._start, self._upto = sender, start, upto
        self._log_end, self._piece_bytes = log_end, piece_bytes
        self.ended = upto is not None and upto < start
        self.through = start - 1
        self._inside = self._skipping = False
        self._committed_at: dt.datetime | None = None
        self._data, self._ends = bytearray(), list[int]()
        self._taken: Iterator[memoryview] = iter(())
        self._stopped = False
        self._first_at = 0.0
        self._status_at = time.monotonic() - IDLE_SECONDS

    def read(self) -> Piece:
        """The next piece; without messages after `IDLE_SECONDS` without any.

        Raises:
            SourceUnavailable: the connection or the server ended.
        """
        self._data, self._ends, self._committed_at = bytearray(), [], None
        self._first_at = time.monotonic()
        self._collect(self._first_at + IDLE_SECONDS)
        if time.monotonic() - self._status_at > _STATUS_SECONDS:
            self._send_status(ask=False)
        self._data += SPARE
        return Piece(self._data, self._ends, None if self._inside else self.through, self._committed_at)

    def acknowledge(self, commit: int) -> None:
        """Tell the server that everything through `commit` is durable."""
        self._sender.acknowledged = max(self._sender.acknowledged, commit + 1)
        self._send_status(ask=False)

    def stop(self) -> None:
        """End a `read` of another thread soon; what it returns is whole, and nothing is read after."""
        self._stopped = True
        self._sender.wake()

    def _collect(self, until: float) -> None:
        while not self.ended and not self._stopped:
            if self._add(self._taken):
                return
            messages = self._sender.take()
            self._taken = iter(messages)
            if not messages and not self._sender.wait(0) and not self._may_wait(until):
                return

    def _add(self, messages: Iterator[memoryview]) -> bool:
        """Add messages to the piece; False if it wants more of them."""
        data, ends = self._data, self._ends
        for message in messages:
            if message[0] != WAL_DATA:
                self._keepalive(message)
                if self.ended:
                    return True
                continue
            kind = message[HEADER]
            if kind == BEGIN and self._begin(message):
                return True
            if self._skipping and kind != RELATION:
                self._skipping = kind != COMMIT
                continue
            data += message
            ends.append(len(data))
            if kind == COMMIT and self._commit(message):
                return True
            if len(data) + _MESSAGE_COST * len(ends) >= self._piece_bytes:
                return True
        return False

    def _may_wait(self, until: float) -> bool:
        """The wire is silent: wait for more, or say that the piece is to be handed on."""
        now = time.monotonic()
        if self._ends and not self._inside:
            return self._sender.wait(_SILENT_SECONDS)
        if now >= until:
            return False
        asked = _ASK_SECONDS if self._upto is not None else IDLE_SECONDS
        if now - self._status_at >= asked:
            self._send_status(ask=True)
        self._sender.wait(min(until - now, asked))
        return True

    def _begin(self, message: memoryview) -> bool:
        """Whether the transaction is past the end and not to be read."""
        (commit,) = struct.unpack_from(">q", message, HEADER + 1)
        if self._upto is not None and commit > self._upto:
            self.through, self.ended = max(self.through, self._upto), True
            return True
        # Relation messages of a skipped transaction are kept: the server sends them once.
        self._skipping = commit < self._start
        self._inside = not self._skipping
        if not self._ends:
            self._first_at = time.monotonic()
        return False

    def _commit(self, message: memoryview) -> bool:
        """Whether the piece is to be handed on."""
        commit, _, clock = struct.unpack_from(">qqq", message, HEADER + 2)
        self.through, self._inside = commit, False
        micros = clock + POSTGRES_EPOCH_MICROS
        self._committed_at = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=micros)
        self.ended = self._upto is not None and commit >= self._upto
        return self.ended or time.monotonic() - self._first_at >= _OLD_SECONDS

    def _keepalive(self, message: memoryview) -> None:
        if message[0] != KEEPALIVE:
            return
        decoded, _, wanted = struct.unpack_from(">qqB", message, 1)
        if wanted:
            self._send_status(ask=False)
        if self._inside or self._skipping:
            return
        self.through = max(self.through, decoded - 1)
        if self._upto is not None:
            self.ended = decoded > self._upto or self._nothing_up_to(self._upto, decoded)

    def _nothing_up_to(self, upto: int, decoded: int) -> bool:
        """Whether the log ends at `upto`: no commit record can begin there that was there when
        `upto` was chosen. At a page boundary the end may be told with the page's header."""
        header = _PAGE_HEADER if decoded % _PAGE == 0 else 0
        return decoded <= upto <= decoded + header and self._log_end() <= upto

    def _send_status(self, *, ask: bool) -> None:
        self._status_at = time.monotonic()
        self._sender.send_status(ask=ask)
