"""Where a load stands: an SCN, read before the rows are read as of it.

Every transaction with a commit SCN up to it is in the rows, and none with a greater one is: `AS OF SCN` is
exact, takes no lock and is the same for each session that asks. So the load's commit position is that SCN and
one. Transactions that were in progress then commit later, and capture reads them from where they began
(`logminer.looking_back`).
"""

from __future__ import annotations

import datetime as dt

from replication_assets.errors import SourceUnavailable
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import catalog


def current_scn(session: Session) -> int:
    """The newest SCN: every transaction that is committed by now is at or below it."""
    row = one_row(session, catalog.CURRENT_SCN)
    if row is None or row[0] is None:
        raise SourceUnavailable("the database told no SCN", where=session.where)
    return int(row[0])


def read_clock(session: Session) -> dt.datetime:
    """The server's time."""
    row = one_row(session, catalog.CLOCK)
    if row is None or not isinstance(row[0], dt.datetime):
        raise SourceUnavailable("the database did not tell its time", where=session.where)
    return row[0].replace(tzinfo=dt.UTC)
