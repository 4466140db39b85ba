"""How far the capture job has come, and whether it works at all.

The newest LSN that change tables hold says that everything before its block is there. Of the block itself
a second transaction may be missing: the job takes a number of transactions at a time. The block is whole
once a later one is there, or once the job has looked again and found nothing, which it tells
(`sys.dm_cdc_log_scan_sessions`): a block that was read is written to no more.

A job that stands still looks like a database that nobody writes to. It is told apart by the age of its
last look; it looks every five seconds unless it was set otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.errors import SourceNotReady
from replication_assets.sources.sqlserver.cdc.positions import commit_of
from replication_assets.sources.sqlserver.preflight import agent_is_stopped
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import cdc, server

STANDSTILL_SECONDS = 300
"""Beyond this the job is called stopped; a scan of a large transaction has no end time and counts as now."""


@dataclass(frozen=True, slots=True)
class Reach:
    """`whole` is the commit position that everything up to is there for; `newest` that of the newest
    change. None where nothing was ever captured. `age` of the last look is None where none is told, as
    after a start of the server; `stopped` says then that the agent does not run."""

    newest: int | None
    whole: int | None
    age: int | None
    stopped: bool = False

    @property
    def stands_still(self) -> bool:
        return self.stopped or (self.age is not None and self.age > STANDSTILL_SECONDS)


def read_reach(session: Session) -> Reach:
    ((lsn,),) = session.rows(cdc.MAX_LSN)
    scans = session.rows(cdc.LAST_SCAN)
    age = None if not scans else int(scans[0][2])
    stopped = age is None and agent_is_stopped(session)
    if lsn is None or not any(bytes(lsn)):
        return Reach(None, None, age, stopped)
    newest = commit_of(bytes(lsn))
    empty = bool(scans) and int(scans[0][0] or 0) > 0 and int(scans[0][1] or 0) == 0
    return Reach(newest, newest if empty else newest - 1, age, stopped)


def require_work(session: Session, reach: Reach) -> None:
    """Raises SourceNotReady if the capture job stands still: its changes are not lost, and not there."""
    if not reach.stands_still:
        return
    ((_, _, database, *_),) = session.rows(server.SETTINGS)
    since = "does not run" if reach.age is None else f"has not looked at the log for {reach.age} s"
    raise SourceNotReady(
        f"the capture job {since}: no change arrives, and the log grows",
        where=session.where,
        fix=f"start SQL Server Agent, then EXEC msdb.dbo.sp_start_job @job_name = N'cdc.{database}_capture'"
        " (sys.dm_cdc_errors says what ended it)",
    )
