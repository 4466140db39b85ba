"""LogMiner of one session: stretches of SCNs to rows.

Files are named anew for each stretch where they changed: an online file that was filled is written again from
its start, under its old name. So after a stretch it is asked whether the files are still what they were, and
nothing of a stretch counts as told before (`Miner.mine`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from replication_assets.core.schema import TableId
from replication_assets.errors import SlotLost, SourceUnavailable
from replication_assets.sources.oracle.logminer.log_files import (
    LogFile,
    covering,
    read_files,
    read_threads,
)
from replication_assets.sources.oracle.logminer.log_rows import MISSING_SCN, LogRow, whole_rows
from replication_assets.sources.oracle.sessions import Session
from replication_assets.sources.oracle.statements import log

_FRAME_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Mined:
    """What is looked for: tables, the numbers of their objects, and the container that they are in where
    the whole container database is mined. `names_files`: LogMiner is to be told which files to read."""

    tables: tuple[TableId, ...]
    objects: tuple[int, ...]
    container: str | None = None
    names_files: bool = True


class Miner:
    """One LogMiner, in a session of its own, which ends with it. One stretch at a time."""

    def __init__(self, session: Session, mined: Mined) -> None:
        self._session, self._mined = session, mined
        self._added: tuple[LogFile, ...] = ()

    def check(self, first: int) -> None:
        """Raises SlotLost if the log does not reach back to an SCN."""
        self._files(first, first)

    def is_there(self, first: int, last: int) -> bool:
        """Whether the log has a stretch of SCNs, of each thread."""
        try:
            self._files(first, last)
        except SlotLost:
            return False
        return True

    def earliest(self) -> int:
        """The smallest SCN from which on each thread's log is there."""
        starts: dict[int, int] = {}
        for file in read_files(self._session, 0, 2**62):
            known = starts.get(file.thread)
            starts[file.thread] = file.first if known is None else min(known, file.first)
        return max(starts.values(), default=0)

    def mine(self, first: int, last: int, xid: str | None = None) -> Iterator[LogRow]:
        """Rows from SCN `first` through `last`, of one transaction where `xid` is given.

        Raises:
            SlotLost: a file is missing, or holds a gap.
            SourceUnavailable: a file was overwritten while it was read: nothing of the stretch counts.
        """
        files = self._files(first, last)
        self._add(files)
        self._session.run(log.START, {"first": first, "last": last})
        statement, binds = self._statement(first, last, xid)
        for row in whole_rows(self._session.frames(statement, binds, _FRAME_ROWS)):
            if row.code == MISSING_SCN:
                raise SlotLost(
                    f"the redo log has a gap at SCN {row.scn}",
                    where=self._session.where,
                    fix="restore the archived logs, or recover the source and load every id range again",
                )
            yield row
        self._still_there(files, first, last)

    def _files(self, first: int, last: int) -> tuple[LogFile, ...]:
        files = read_files(self._session, first, last)
        threads = read_threads(self._session)
        return tuple(covering(files, threads, first, last, self._session.where))

    def _add(self, files: tuple[LogFile, ...]) -> None:
        if not self._mined.names_files:
            return
        if {_identity(file) for file in files} == {_identity(file) for file in self._added}:
            return
        self._added = files
        for number, file in enumerate(files):
            statement = log.ADD_FILE if number else log.ADD_FIRST_FILE
            self._session.run(statement, {"name": file.name})

    def _statement(self, first: int, last: int, xid: str | None) -> tuple[str, Mapping[str, object]]:
        mined = self._mined
        statement = log.contents(
            len(mined.tables), mined.objects, container=mined.container is not None, xid=xid is not None
        )
        binds: dict[str, object] = {"first": first, "last": last}
        for number, table in enumerate(mined.tables):
            binds |= {f"o{number}": table.schema, f"n{number}": table.name}
        if mined.container is not None:
            binds["container"] = mined.container
        if xid is not None:
            binds["xid"] = xid
        return statement, binds

    def _still_there(self, files: Sequence[LogFile], first: int, last: int) -> None:
        """An online file that was archived meanwhile is there under both names until it is written again."""
        online = {(file.name, file.thread, file.sequence) for file in files if not file.archived}
        if not online:
            return
        rows = self._session.rows(log.LOG_FILES, {"first": first, "last": last})
        now = {(str(row[0]), int(row[1]), int(row[2])) for row in rows if row[5] == "online"}
        if not online <= now:
            raise SourceUnavailable(
                "a file of the redo log was overwritten while it was read",
                where=self._session.where,
                fix="run the capture again: it reads the archived copy",
            )


def _identity(file: LogFile) -> tuple[str, int, int]:
    return file.name, file.thread, file.sequence
