"""Which files of the redo log hold a stretch of SCNs, and whether one is missing.

Each redo thread (instance of a cluster) writes a log of its own, whose files follow one another by sequence
number. A stretch can be mined if, of each thread, there is a file for each part of it; a thread that was
enabled later begins with its first file. A file that is gone takes its changes with it: they are lost, and
said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.errors import SlotLost
from replication_assets.sources.oracle.sessions import Row, Session
from replication_assets.sources.oracle.statements import log


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file with the changes from `first` (inclusive) to `after` (exclusive) of a thread."""

    name: str
    thread: int
    sequence: int
    first: int
    after: int
    archived: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """A redo thread. `last_redo` is how far its log was told to be on disk, `enabled_at` where it began."""

    number: int
    is_open: bool
    last_redo: int
    enabled_at: int


def read_threads(session: Session) -> tuple[Thread, ...]:
    return tuple(
        Thread(int(number), state == "OPEN", int(last or 0), int(enabled or 0))
        for number, state, _, last, enabled in session.rows(log.THREADS)
    )


def read_files(session: Session, first: int, last: int) -> list[LogFile]:
    """Files that hold changes from `first` to `last`, once each: the archived copy where there are two."""
    found: dict[tuple[int, int], LogFile] = {}
    for row in session.rows(log.LOG_FILES, {"first": first, "last": last}):
        file = _file(row)
        known = found.get((file.thread, file.sequence))
        if known is None or (file.archived and not known.archived):
            found[(file.thread, file.sequence)] = file
    return sorted(found.values(), key=lambda file: (file.thread, file.sequence))


def _file(row: Row) -> LogFile:
    name, thread, sequence, first, after, kind = row
    return LogFile(str(name), int(thread), int(sequence), int(first), int(after), kind == "archived")


def covering(
    files: Sequence[LogFile], threads: Sequence[Thread], first: int, last: int, where: str
) -> list[LogFile]:
    """Those of the files that hold changes from `first` to `last`.

    Raises:
        SlotLost: some of these changes are in no file.
    """
    chosen = [file for file in files if file.after > first and file.first <= last]
    for thread in threads:
        mine = [file for file in chosen if file.thread == thread.number]
        begin = max(first, thread.enabled_at)
        # A thread that is closed wrote nothing behind its last change.
        end = last if thread.is_open else min(last, thread.last_redo)
        if begin > end:
            continue
        for file in sorted(mine, key=lambda each: each.sequence):
            if file.first > begin and begin <= end:
                raise _lost(thread, begin, file.first, where)
            begin = max(begin, file.after)
        if begin <= end:
            raise _lost(thread, begin, end + 1, where)
    if not chosen:
        raise SlotLost("no file of the redo log reaches there", where=where, fix=_FIX)
    return chosen


_FIX = (
    "restore the archived logs from the backup (RMAN: RESTORE ARCHIVELOG FROM SCN ...) and run the capture"
    " again, or recover the source (a new epoch) and load every id range again"
)


def _lost(thread: Thread, begin: int, end: int, where: str) -> SlotLost:
    return SlotLost(
        f"changes of thread {thread.number} from SCN {begin} to {end - 1} are in no file of the redo log",
        where=where,
        fix=_FIX,
    )
