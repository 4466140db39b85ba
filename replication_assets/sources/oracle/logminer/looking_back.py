"""Where reading begins, so that transactions which were open at a position are read whole.

A capture resumes after the last commit that is durable, or begins at the SCN of its setup. Transactions
that were open there began earlier. Those that are still open are known to the database, with the SCN that
they began at (`GV$TRANSACTION`): reading begins there. Those that ended meanwhile show as a commit without
a beginning: each is then read on its own, from further and further back, until its beginning is found.
Nothing but the log itself has to be kept for this; if the log does not reach back to the beginning, changes
are lost, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from replication_assets.errors import SlotLost
from replication_assets.sources.oracle.logminer.log_rows import LogRow
from replication_assets.sources.oracle.logminer.transactions import Committed, Transaction, one_transaction
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import log

Mine = Callable[[int, int, str | None], Iterator[LogRow]]

_FIRST_STEP = 50_000
"""SCNs to go back at first; each further step is four times as long."""


def first_scn(session: Session, after: int) -> int:
    """The SCN to read from, so that transactions that are open now are whole."""
    row = one_row(session, log.OLDEST_TRANSACTION)
    oldest = int(row[0]) if row is not None and row[0] is not None else after + 1
    return min(oldest, after + 1)


def whole_transaction(
    commit: Committed, mine: Mine, begun: int, earliest: Callable[[], int], where: str
) -> Transaction:
    """A transaction whose beginning lies before SCN `begun`, read on its own.

    Raises:
        SlotLost: the log does not reach back to its beginning.
    """
    bottom, step = earliest(), _FIRST_STEP
    first = begun
    while first > bottom:
        first = max(bottom, begun - step)
        found = one_transaction(mine(first, commit.scn, commit.xid), commit.xid)
        if found is not None:
            return found
        step *= 4
    raise SlotLost(
        f"transaction {commit.xid}, committed at SCN {commit.scn}, began before SCN {bottom}, where the redo"
        " log begins: what it changed is not known",
        where=where,
        fix="restore older archived logs and run the capture again, or recover the source (a new epoch) and"
        " load every id range again",
    )
