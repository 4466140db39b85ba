"""Deleting what is durable elsewhere, some rows at a time, without holding anybody up: rows that a fence
shows are written by nobody any more."""

from __future__ import annotations

from replication_assets.errors import LoadBlocked
from replication_assets.sources.oracle.sessions import Binds, Session
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.triggers.fences import has_fence, log_tables
from replication_assets.sources.oracle.triggers.shapes import read_shapes


def trim(session: Session, names: LogNames, commit: int) -> None:
    """Delete what the fence `commit` shows, and fences before it; the fence itself stays."""
    if not has_fence(session, names, commit):
        return
    fence: Binds = {"fence": commit}
    session.run(trigger_log.acknowledge(names), fence)
    session.run(trigger_log.COMMIT)
    for table in log_tables(session, names):
        _all(session, trigger_log.trim(names, table), fence)
    # Last: a change that nothing shows any more would be shown again.
    _all(session, trigger_log.trim_shown(names), fence)
    _all(session, trigger_log.trim_fences(names), fence)


def _all(session: Session, statement: str, fence: Binds) -> None:
    while session.number(statement, "gone", fence):
        pass


def drop_retired(session: Session, names: LogNames) -> None:
    """Drop tables of the log that no trigger writes any more and that hold nothing. A transaction that wrote
    there and is open keeps its table: a later call drops it."""
    for number, kept in read_shapes(session, names).items():
        if not kept.live and not _holds(session, names, number):
            _drop(session, names, number)


def _drop(session: Session, names: LogNames, number: int) -> None:
    # No fence is made meanwhile that would look into a table that goes.
    session.rows(trigger_log.lock_state(names))
    try:
        session.run(sql.lock_changes(names, number))
    except LoadBlocked:
        session.run(trigger_log.ROLLBACK)
        return
    if _holds(session, names, number):
        session.run(trigger_log.ROLLBACK)
        return
    session.run(trigger_log.forget_shape(names), {"shape": number})
    session.run(trigger_log.COMMIT)
    session.run(sql.drop("TABLE", names.changes(number)))


def _holds(session: Session, names: LogNames, number: int) -> bool:
    changes = session.rows(trigger_log.is_empty(names.changes(number)))
    marks = session.rows(trigger_log.has_marks(names), {"shape": number})
    return bool(int(changes[0][0]) or int(marks[0][0]))
