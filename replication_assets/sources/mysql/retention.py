"""How much of a binlog is still to be captured, when the server purges it, and whether it is still the same.

A server deletes files by their age, by the size of all, or by hand, whoever still reads them. What will be
deleted next can be told; that it was deleted is found as well. `RESET MASTER`, and a server that was
restored from a copy, begin a log anew whose places were used before: a file's time of birth tells them apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from replication_assets.errors import SlotLost
from replication_assets.ports import SourceIdentity, SourceStatus
from replication_assets.sources.mysql.binlog.replica import log_birth
from replication_assets.sources.mysql.connection import MySqlConnection, Session
from replication_assets.sources.mysql.log_places import LogPlace
from replication_assets.sources.mysql.status import read_status

_SETTINGS = (
    "binlog_expire_logs_seconds",
    "expire_logs_days",
    "binlog_expire_logs_auto_purge",
    "max_binlog_total_size",
    "binlog_space_limit",
)
_BIRTH_BITS = 32


def log_files(session: Session) -> tuple[LogPlace, ...]:
    """The files that are there, oldest first, each by its end; none without a binlog."""
    if session.row("SELECT @@global.log_bin") == (0,):
        return ()
    return tuple(LogPlace.of(str(row[0]), int(row[1])) for row in session.rows("SHOW BINARY LOGS"))


def status_after(connection: MySqlConnection, session: Session, lock: str, commit: int) -> SourceStatus:
    """See `ports.PassiveSource`."""
    found = read_status(session, lock)
    files = log_files(session)
    if not files:
        return found
    place = LogPlace.at(commit + 1, files[-1].base)
    if not files[0].number <= place.number <= files[-1].number:
        return _with(found, commit, None, None, None, "lost")
    behind = [file for file in files if file.number >= place.number]
    lag = max(0, sum(file.offset for file in behind) - place.offset)
    settings = _settings(session)
    expires = None
    if (seconds := kept_seconds(settings)) and len(behind) > 1:
        # A file is as old as the last that was written to it, which is when the next one began.
        written = dt.datetime.fromtimestamp(log_birth(connection, behind[1]), dt.UTC)
        expires = written + dt.timedelta(seconds=seconds)
    return _with(found, commit, lag, headroom(settings, files, place), expires, found.state)


def _with(
    found: SourceStatus,
    commit: int,
    lag: int | None,
    headroom: int | None,
    expires: dt.datetime | None,
    state: str,
) -> SourceStatus:
    return SourceStatus(found.head, commit, lag, lag, headroom, found.active, state, found.read_at, expires)


def _settings(session: Session) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    rows = session.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    return {str(name): str(value) for name, value in rows}


def kept_seconds(settings: Mapping[str, str]) -> float:
    """How long the server keeps a file that is no longer written to; 0: for ever."""
    if settings.get("binlog_expire_logs_auto_purge", "ON").upper() not in ("ON", "1"):
        return 0.0
    seconds = float(settings.get("binlog_expire_logs_seconds", "0") or 0)
    return seconds or 86400 * float(settings.get("expire_logs_days", "0") or 0)


def headroom(settings: Mapping[str, str], files: Sequence[LogPlace], place: LogPlace) -> int | None:
    """Bytes that may be written before the size of all files costs the one of our place. MariaDB 11.4 and
    Percona Server can limit it; the file that is written is never deleted."""
    limit = int(settings.get("max_binlog_total_size") or settings.get("binlog_space_limit") or 0)
    if not limit or place.number == files[-1].number:
        return None
    before = sum(file.offset for file in files if file.number < place.number)
    return max(0, limit - sum(file.offset for file in files) + before)


# --- which log it is ---------------------------------------------------------------------


def timeline(connection: MySqlConnection, files: Sequence[LogPlace]) -> int:
    """`file number << 32 | seconds of its birth` of the file that is written; 0 without a binlog."""
    if not files:
        return 0
    head = files[-1]
    return head.number << _BIRTH_BITS | log_birth(connection, head)


def begun_anew(connection: MySqlConnection, session: Session, known: SourceIdentity) -> str | None:
    """See `ports.PassiveSource`. The file that was written then is still there as it was, or was purged."""
    files = log_files(session)
    number, birth = known.timeline >> _BIRTH_BITS, known.timeline & (1 << _BIRTH_BITS) - 1
    if not known.timeline or not files or number < files[0].number:
        return None
    if number > files[-1].number:
        return f"the binlog reached file {number} and now ends in {files[-1].file}"
    file = next((each for each in files if each.number == number), None)
    if file is None:
        return f"binlog file {number} is missing between those that are there"
    try:
        found = log_birth(connection, file)
    except SlotLost:
        # It was purged between two questions, which the stream finds if it matters.
        return None
    if found == birth:
        return None
    was, now = (dt.datetime.fromtimestamp(each, dt.UTC).isoformat() for each in (birth, found))
    which = f"{file.file} was begun at {now}, the one that was captured at {was}"
    return f"{which} (RESET MASTER, or a restored server)"
