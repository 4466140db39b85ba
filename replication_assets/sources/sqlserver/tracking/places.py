"""Where a load meets Change Tracking, and where capture stands in it."""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.ports import SourceStatus
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.load import read_clock
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import tracking
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.tracking.setup import current_version, lost_tables

CHANGE_BYTES = 128
"""What one version counts for in `SourceStatus.lag_bytes`."""


@dataclass(frozen=True, slots=True)
class TrackingHandOff:
    """The current version, asked within the snapshot before and after it looks at data: exact where the two
    are the same. A load stands right after that version."""

    def before(self, session: Session) -> int | None:  # noqa: ARG002
        return None

    def within(self, session: Session) -> int:
        return current_version(session) + 1


def read_status(session: Session, books: Books, *, active: bool) -> SourceStatus:
    """See `ports.SourceStatus`. `state` is `reserved`, `lost` where cleanup passed what was acknowledged or
    tracking began anew, `missing` without books."""
    now = read_clock(session)
    state = ledger.read_state(session, books)
    if state is None or state.began is None:
        return SourceStatus(0, None, None, None, None, active, "missing", now)
    head = max(current_version(session), state.acknowledged)
    lost = lost_tables(session, ledger.read_captured(session, books), state.acknowledged)
    ((kept,),) = session.rows(tracking.SPACE)
    return SourceStatus(
        head,
        state.acknowledged,
        (head - state.acknowledged) * CHANGE_BYTES,
        None if kept is None else int(kept),
        None,
        active,
        "lost" if lost else "reserved",
        now,
    )
