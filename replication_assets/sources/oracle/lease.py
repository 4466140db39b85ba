"""One capture of a source at a time: it holds a user lock of the database in a session of its own, which ends
with the session, and asks now and then whether it is still there."""

from __future__ import annotations

import time

from replication_assets.errors import SlotBusy, SourceUnavailable
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import log
from replication_assets.sources.oracle.status import capture_lock, capture_reader, shown

LOCK_SECONDS = 2.0
"""How often the session that holds the lock is asked for a sign of life."""

_LOCK_TAKEN = (0, 4)


class Lease:
    """The lock of a source, taken. Raises SlotBusy if another session has it."""

    def __init__(self, session: Session, name: str) -> None:
        self.session, self._lock = session, capture_lock(name)
        if session.number(log.TAKE_LOCK, "taken", {"lock_id": self._lock}) not in _LOCK_TAKEN:
            reader = capture_reader(session, self._lock)
            raise SlotBusy(
                f"{shown(reader) if reader else 'another session'} reads the changes of this source",
                where=session.where,
                fix="wait for the other capture, or stop it",
            )
        self._seen = time.monotonic()

    def keep(self) -> None:
        """Notice soon that the lock is gone with its session. Raises SourceUnavailable if it is."""
        if time.monotonic() - self._seen < LOCK_SECONDS:
            return
        self._seen = time.monotonic()
        row = one_row(self.session, log.OURS, {"lock_id": self._lock})
        if row is None or not int(row[0]):
            raise SourceUnavailable(
                "the lock of this capture is gone: another one may read the stream",
                where=self.session.where,
                fix="run the capture again",
            )
