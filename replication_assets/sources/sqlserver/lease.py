"""At most one capture reads a source: a session of its own holds a lock of the server, which ends with it."""

from __future__ import annotations

import hashlib
import time

from replication_assets.errors import SlotBusy, SourceUnavailable
from replication_assets.sources.sqlserver.sessions import Session, Sessions
from replication_assets.sources.sqlserver.statements import server

LOOK_SECONDS = 2.0
"""How often the session that holds the lock is asked for a sign of life."""
_END_ATTEMPTS = 100
_END_SECONDS = 0.05


def lock_name(source: str) -> str:
    """32 letters, which is what the server shows of a lock's name."""
    return f"ra/{hashlib.blake2b(source.encode(), digest_size=14).hexdigest()}"


class Lease:
    """Taken when it is made. Raises SlotBusy if another capture has it."""

    def __init__(self, sessions: Sessions, source: str) -> None:
        self._name, self.session = lock_name(source), sessions.connect()
        self._seen = time.monotonic()
        try:
            ((taken,),) = self.session.rows(server.lock(self._name))
            if int(taken) < 0:
                raise SlotBusy(
                    "another session captures this source",
                    where=self.session.where,
                    fix="wait for the other capture, or stop it",
                )
        except BaseException:
            self.session.close()
            raise

    def keep(self) -> None:
        """Notice soon that the lock is gone with its session. Raises SourceUnavailable if it is."""
        if time.monotonic() - self._seen < LOOK_SECONDS:
            return
        self._seen = time.monotonic()
        ((mode,),) = self.session.rows(server.lock_is_ours(self._name))
        if str(mode) != "Exclusive":
            raise SourceUnavailable(
                "the lock of this capture is gone: another one may read the stream",
                where=self.session.where,
                fix="run the capture again",
            )

    def close(self) -> None:
        self.session.close()


def is_held(session: Session, source: str) -> bool:
    ((free,),) = session.rows(server.lock_is_free(lock_name(source)))
    return int(free) == 0


def holder(session: Session, source: str) -> int | None:
    rows = session.rows(server.lock_holder(lock_name(source)))
    return int(rows[0][0]) if rows else None


def end_capture(session: Session, source: str, *, force: bool) -> None:
    """Raises SlotBusy if a capture runs; with `force` its session is ended instead."""
    if not is_held(session, source):
        return
    number = holder(session, source) if force else None
    if number is None:
        raise SlotBusy(
            "a capture of this source runs",
            where=session.where,
            fix="stop the capture first, or force it (which needs VIEW DATABASE STATE and KILL)",
        )
    session.run(server.kill(number))
    for _ in range(_END_ATTEMPTS):
        if not is_held(session, source):
            return
        time.sleep(_END_SECONDS)
    raise SlotBusy(f"session {number} does not end", where=session.where, fix=server.kill(number))
