"""In what order changes are read, so that what was read is never added to; and where a load meets that.

Every run draws a `rowversion`, a number of the database that only rises, while the rows it changed are
locked. The server tells the least one that a transaction drew which has not ended (`MIN_ACTIVE_ROWVERSION`);
one less is the *mark*.

1. The position of a transaction is the greatest number that it drew, its runs have their own as sequence.
2. A transaction with a number up to the mark has ended: none that is open or yet to begin has one. So no
   transaction will come to stand at or before the mark, and a snapshot that begins after the mark was asked
   for shows all that do, with all of their runs.
3. One that has ended may have drawn numbers on both sides of the mark, while an older one is open. It stands
   behind the mark, and is left for later as a whole.
4. Of two transactions that changed one row, the later one drew its number for that after the earlier one
   had ended, and drawn all of its own: it stands behind it. What else the order of positions is not the order
   of commits in, nobody can tell from the rows.

So positions are in the log itself, and whoever reads again finds the same. The price is that a transaction
that is open holds up what came after it, of this log or of any table with a `rowversion`.

A transaction has the number that the server gives it. Those begin anew when the server starts, so each run
also tells when that was.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.ports import SourceStatus
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.load import read_clock
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements.triggers import MIN_ACTIVE, ChangeLog

IMAGE_BYTES = 128
"""What one row image counts for in `SourceStatus.lag_bytes`."""


def read_mark(session: Session) -> int:
    """Up to where every transaction has ended."""
    ((least,),) = session.rows(MIN_ACTIVE)
    return int(least) - 1


@dataclass(frozen=True, slots=True)
class TriggerHandOff:
    """Right behind the mark, asked for before the snapshot begins: every transaction up to it is in the rows.
    It is a lower bound. What ended between, or drew its last number behind the mark, is in the rows as well,
    and comes again in the stream, at its own later position: the fold is exact once the stream has passed the
    moment of the load, and not before."""

    def before(self, session: Session) -> int | None:
        return read_mark(session) + 1

    def within(self, session: Session) -> int:
        raise AssertionError(f"{session.where}: the position is known before the snapshot")


def read_status(session: Session, log: ChangeLog, *, active: bool) -> SourceStatus:
    """See `ports.SourceStatus`. `state` is `reserved`; `lost` where the database's numbers end before what
    was acknowledged, `missing` without a log."""
    now = read_clock(session)
    state = ledger.read_state(session, log.books)
    if state is None or state.began is None:
        return SourceStatus(0, None, None, None, None, active, "missing", now)
    mark = read_mark(session)
    ((waiting,),) = session.rows(log.waiting(state.acknowledged))
    ((kept,),) = session.rows(log.space())
    return SourceStatus(
        max(mark, state.acknowledged),
        state.acknowledged,
        int(waiting) * IMAGE_BYTES,
        None if kept is None else int(kept),
        None,
        active,
        "lost" if mark < state.acknowledged else "reserved",
        now,
    )
