"""Deleting what is durable elsewhere, without holding anybody up.

Deleted is what stands before the first run of any transaction that is still to be read: those have all ended,
so no row is waited for. Shapes that nobody writes any more go when the one behind them was read into.
"""

from __future__ import annotations

from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver.books import Captured
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import server
from replication_assets.sources.sqlserver.statements.triggers import ChangeLog

TRIMMED = 2_000
"""Rows that are deleted in one transaction."""


def trim(session: Session, log: ChangeLog, commit: int) -> None:
    """Forget what stands at or before `commit`."""
    session.run(log.books.acknowledge(commit))
    rows = ledger.read_captured(session, log.books)
    gone = retired(rows, commit)
    for row in gone:
        session.run(log.drop_images(row.number))
        session.run(log.books.forget(row.number))
    # What is not committed yet is not seen, and not waited for.
    session.run(server.SNAPSHOT)
    ((first,),) = session.rows(log.first_kept(commit))
    before = commit + 1 if first is None else min(int(first), commit + 1)
    for row in rows:
        if row not in gone:
            _delete(session, log.trim_images(row.number, before, TRIMMED))
    _delete(session, log.trim_runs(before, TRIMMED))


def retired(rows: list[Captured], commit: int) -> list[Captured]:
    """Shapes of which everything stands at or before `commit`: a later one of the table begins there."""
    begins: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.began is not None and row.began <= commit:
            begins[row.schema, row.name] = row.number
    return [row for row in rows if row.number < begins.get((row.schema, row.name), 0)]


def _delete(session: Session, statement: str) -> None:
    found = TRIMMED
    while found == TRIMMED:
        ((found,),) = session.rows(statement)
