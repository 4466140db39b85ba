"""Which log a server writes, how far it reaches, and who reads it.

A binlog has no place of ours in it: what was captured is known to the event store alone. So `confirmed` and
what follows from it are told only to who says how far that is (`retention`).
"""

from __future__ import annotations

import hashlib

from replication_assets.errors import SlotBusy, SourceUnavailable
from replication_assets.ports import SourceIdentity, SourceStatus
from replication_assets.sources.mysql.connection import Session, literal
from replication_assets.sources.mysql.load import read_clock
from replication_assets.sources.mysql.log_places import LogPlace
from replication_assets.sources.mysql.snapshot import log_head, no_binlog

_END_ATTEMPTS = 100


def identify(session: Session) -> SourceIdentity:
    """MySQL's `server_uuid`; MariaDB's `server_uid` and `server_id`, of which the first depends on the
    machine. A server that was restored elsewhere, or another replica, is another one. Which log it writes
    is told by its files (`retention.timeline`)."""
    settings = {
        str(name): str(value)
        for name, value in session.rows(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
            " ('server_uuid', 'server_uid', 'server_id', 'hostname')"
        )
    }
    if "server_uuid" in settings:
        return SourceIdentity(settings["server_uuid"], 0)
    machine = settings.get("server_uid") or settings.get("hostname")
    if not machine:
        raise SourceUnavailable("the server did not say which one it is", where=session.where)
    return SourceIdentity(f"{machine}/{settings['server_id']}", 0)


def read_status(session: Session, lock: str) -> SourceStatus:
    """See `ports.SourceStatus`. `state` is `available`, or `missing` where there is no binlog."""
    head = log_head(session)
    files = session.rows("SHOW BINARY LOGS") if head is not None else ()
    return SourceStatus(
        # A transaction may begin at the end of the log: what is there reaches to the byte before.
        head=LogPlace.of(*head).commit - 1 if head is not None else 0,
        confirmed=None,
        lag_bytes=None,
        retained_bytes=sum(int(row[1]) for row in files),
        headroom_bytes=None,
        active=capture_reader(session, lock) is not None,
        state="available" if head is not None else "missing",
        read_at=read_clock(session),
    )


def capture_lock(name: str) -> str:
    """The server's named lock that a capture of this source holds while it reads the stream."""
    return f"replication_assets/{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"


def capture_reader(session: Session, lock: str) -> int | None:
    """The connection that holds the lock; None if no capture runs."""
    row = session.row(f"SELECT IS_USED_LOCK({literal(lock)})")
    return None if row is None or row[0] is None else int(row[0])


def end_capture(session: Session, lock: str, *, force: bool) -> None:
    """Raises SlotBusy if a capture runs; with `force` it is ended instead."""
    reader = capture_reader(session, lock)
    if reader is None:
        return
    if not force:
        raise SlotBusy(
            f"connection {reader} reads the binlog for this capture",
            where=session.where,
            fix="stop the capture first, or force it",
        )
    session.rows(f"KILL {reader}")
    for _ in range(_END_ATTEMPTS):
        if capture_reader(session, lock) is None:
            return
        session.rows("DO SLEEP(0.05)")
    raise SlotBusy(f"connection {reader} does not end", where=session.where, fix=f"KILL {reader}")


def replica_id(name: str, where: str) -> int:
    """A `server_id` for our replica connection: in the upper half, where people rarely choose one, and
    the same for a source each time. Two that are the same throw each other out."""
    digest = hashlib.blake2b(f"{where}/{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") | 1 << 31


def require_binlog(session: Session) -> LogPlace:
    """Where the binlog ends. Raises SourceNotReady if there is none."""
    head = log_head(session)
    if head is None:
        raise no_binlog(session.where)
    return LogPlace.of(*head)
