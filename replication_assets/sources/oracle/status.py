"""Which log a database writes, how far it reaches, and who reads it.

The log has no place of ours in it: what was captured is known to the event store alone, and the database (or
RMAN) deletes archived files when it likes. So `confirmed` and what follows from it are not told, and a place
that is gone is found when the stream is opened after it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from replication_assets.errors import SlotBusy, SourceNotReady, SourceUnavailable
from replication_assets.ports import SourceIdentity, SourceStatus
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.snapshot import read_clock
from replication_assets.sources.oracle.statements import catalog, log

_END_ATTEMPTS = 100
ROOT = "CDB$ROOT"
"""The container that holds the others, and writes the log of all of them."""


@dataclass(frozen=True, slots=True)
class Database:
    """A row of `V$DATABASE`."""

    dbid: int
    resetlogs: int
    scn: int
    archives: bool
    supplemental: bool
    all_columns: bool
    container: bool
    open_mode: str
    force_logging: bool


def read_database(session: Session) -> Database:
    """Raises SourceNotReady if the account may not read it."""
    row = one_row(session, catalog.DATABASE)
    if row is None:
        raise SourceUnavailable("the database did not say which one it is", where=session.where)
    dbid, resetlogs, scn, mode, minimal, _, every, container, opened, forced = row
    return Database(
        int(dbid),
        int(resetlogs),
        int(scn),
        mode == "ARCHIVELOG",
        minimal in ("YES", "IMPLICIT"),
        every == "YES",
        container == "YES",
        str(opened),
        forced == "YES",
    )


def identify(session: Session) -> SourceIdentity:
    """DBID, and the SCN of the last RESETLOGS: a database that was opened so after a recovery may give the
    same SCNs to other changes."""
    found = read_database(session)
    return SourceIdentity(str(found.dbid), found.resetlogs)


def read_status(session: Session, log_session: Session, lock: int) -> SourceStatus:
    """See `ports.SourceStatus`. `state` is `available`, or `missing` where the log is not archived."""
    found = read_database(session)
    row = one_row(log_session, log.RETAINED)
    return SourceStatus(
        head=found.scn,
        confirmed=None,
        lag_bytes=None,
        retained_bytes=int(row[0]) if row is not None else 0,
        headroom_bytes=None,
        active=capture_reader(log_session, lock) is not None,
        state="available" if found.archives else "missing",
        read_at=read_clock(session),
    )


def capture_lock(name: str) -> int:
    """The number of the user lock (DBMS_LOCK) that a capture of this source holds while it reads."""
    digest = hashlib.blake2b(f"replication_assets/{name}".encode(), digest_size=4).digest()
    # Numbers from 1,073,741,824 on are the server's own to give.
    return int.from_bytes(digest, "big") & (1 << 30) - 1


def capture_reader(session: Session, lock: int) -> tuple[int, int, int] | None:
    """Instance, session and serial number of who holds the lock; None if no capture runs."""
    row = one_row(session, log.READER, {"lock_id": lock})
    return None if row is None else (int(row[0]), int(row[1]), int(row[2]))


def shown(reader: tuple[int, int, int]) -> str:
    instance, sid, serial = reader
    return f"session {sid},{serial},@{instance}"


def end_capture(session: Session, lock: int, *, force: bool) -> None:
    """Raises SlotBusy if a capture runs; with `force` it is ended instead."""
    reader = capture_reader(session, lock)
    if reader is None:
        return
    ending = log.kill(*reader)
    if not force:
        raise SlotBusy(
            f"{shown(reader)} reads the redo log for this capture",
            where=session.where,
            fix="stop the capture first, or force it",
        )
    try:
        session.run(ending)
    except SourceNotReady:
        raise SlotBusy(
            f"{shown(reader)} cannot be ended by this account",
            where=session.where,
            fix=f"stop the capture, or let an administrator run: {ending}",
        ) from None
    for _ in range(_END_ATTEMPTS):
        if capture_reader(session, lock) is None:
            return
    raise SlotBusy(f"{shown(reader)} does not end", where=session.where, fix=ending)
