"""Where reading begins, so that transactions which were open at a position are read whole.

A capture resumes after the last commit that is durable, or begins at the SCN of its setup. Transactions that
were open there began earlier. So some SCNs before the position are read again, and more of them for those
that are still open, which the database knows (`GV$TRANSACTION`), unless that is long ago. What is left shows
as a commit without a beginning: each is then read on its own, from further and further back, until its
beginning is found. Nothing but the log itself has to be kept for this; if the log does not reach back to the
beginning, changes are lost, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from replication_assets.errors import SlotLost
from replication_assets.sources.oracle.logminer.log_rows import LogRow
from replication_assets.sources.oracle.logminer.transactions import (
    Committed,
    HasLargeObjects,
    Transaction,
    one_transaction,
)
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import log

Mine = Callable[[int, int, str | None], Iterator[LogRow]]

_FIRST_STEP = 50_000
"""SCNs to go back at first; each further step is four times as long."""


NEAR_SCNS = 200_000
"""How far back reading begins for what is still open. One that has been open for longer is read when it
commits: reading all of the log since then at each start of a capture would cost more."""


OVERLAP_SCNS = 20_000
"""What is read again before the position: most transactions that were open there began in it."""


def first_scn(session: Session, after: int, is_there: Callable[[int, int], bool]) -> int:
    """The SCN to read from, so that transactions which were open at `after` are whole, unless they were open
    for long or began in a log that is gone. `is_there` says whether the log has a stretch of SCNs."""
    row = one_row(session, log.OLDEST_TRANSACTION)
    oldest = int(row[0]) if row is not None and row[0] is not None else after + 1
    wanted = max(1, after + 1 - OVERLAP_SCNS)
    if after - NEAR_SCNS < oldest < wanted:
        wanted = oldest
    return wanted if wanted <= after and is_there(wanted, after) else after + 1


def whole_transaction(
    commit: Committed,
    mine: Mine,
    begun: int,
    earliest: Callable[[], int],
    where: str,
    has_large_objects: HasLargeObjects,
) -> Transaction:
    """A transaction whose beginning lies before SCN `begun`, read on its own.

    Raises:
        SlotLost: the log does not reach back to its beginning.
    """
    bottom, step = earliest(), _FIRST_STEP
    first = begun
    while first > bottom:
        first = max(bottom, begun - step)
        found = one_transaction(mine(first, commit.scn, commit.xid), commit.xid, has_large_objects)
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
