"""Where a load meets the change tables, and where capture stands in them."""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.ports import SourceStatus
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.cdc.reach import read_reach
from replication_assets.sources.sqlserver.cdc.setup import instances, lost_tables
from replication_assets.sources.sqlserver.load import read_clock
from replication_assets.sources.sqlserver.preflight import read_settings
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import cdc
from replication_assets.sources.sqlserver.statements.books import Books


@dataclass(frozen=True, slots=True)
class CdcHandOff:
    """The newest LSN that change tables hold, asked before the snapshot: everything below it is in the
    rows. It is a lower bound. What was committed between it and the snapshot is in the rows as well, and
    comes again in the stream, at its own later position: the fold is exact once the stream has passed
    the moment of the load, and not before."""

    def before(self, session: Session) -> int | None:
        if not read_settings(session).cdc:
            # Views are loaded of a database that nothing is captured from.
            return 0
        return read_reach(session).newest or 0

    def within(self, session: Session) -> int:
        raise AssertionError(f"{session.where}: the position is known before the snapshot")


def read_status(session: Session, books: Books, *, active: bool) -> SourceStatus:
    """See `ports.SourceStatus`. `state` is `reserved`; `stopped` where the capture job stands still,
    `lost` where cleanup passed what was acknowledged, `missing` without books. Distances are of positions
    in the log, whose blocks count 512 bytes; across a file of the log they are not told."""
    now = read_clock(session)
    state = ledger.read_state(session, books)
    if state is None or state.began is None:
        return SourceStatus(0, None, None, None, None, active, "missing", now)
    if not instances(session):
        return SourceStatus(state.acknowledged, state.acknowledged, 0, None, None, active, "lost", now)
    reach = read_reach(session)
    head = max(reach.whole or 0, state.acknowledged)
    same_file = head >> 32 == state.acknowledged >> 32
    ((kept,),) = session.rows(cdc.CHANGE_TABLE_BYTES)
    lost = lost_tables(session, ledger.read_captured(session, books), state.acknowledged)
    word = "lost" if lost else "stopped" if reach.stands_still else "reserved"
    return SourceStatus(
        head,
        state.acknowledged,
        (head - state.acknowledged) * 512 if same_file else None,
        None if kept is None else int(kept),
        None,
        active,
        word,
        now,
    )
