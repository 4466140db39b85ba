"""Fences: the order of changes in a log that transactions write as they like.

A transaction that drew its change ids first may commit last, so ids say nothing of what is visible. An SCN
does: `AS OF SCN` shows what committed up to it, and nothing else. It can be asked for as long as undo is
kept, which is not for ever. So what an SCN shows is written down when it is the newest one: a fence.

Making one takes the lock of the state's row, then the newest SCN `s`, and notes `s` for every change of the
log that is visible `AS OF SCN s` and that no fence has shown; all of it is committed at once. Then:

1. Fences are made one after another, and each takes its SCN after the one before was committed: they have the
   order of their SCNs.
2. A change's position is the first fence that shows it; within it, changes are ordered by their ids. A
   transaction becomes visible as a whole, and stands at one position.
3. What becomes visible later is shown by a later fence, whatever its ids are: nothing is skipped, and nobody
   waits for a transaction that is open.
4. A load reads its rows `AS OF SCN s` of a fence of its own: in them is every change that fences up to `s`
   show, and no other.

ORA_ROWSCN would not do: it is documented as no less than the SCN of the commit and possibly greater, may
change between two reads, and is not supported with flashback queries. VERSIONS BETWEEN would need undo for as
long as a capture stands still.

A fence is committed with WRITE IMMEDIATE WAIT before anything of it is delivered: redo of this instance that
came before it is on disk then, the commits that it shows among it.
"""

from __future__ import annotations

from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle.sessions import Server, Session, connected, one_row
from replication_assets.sources.oracle.snapshot import current_scn
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.triggers.shapes import read_shapes


def log_tables(session: Session, names: LogNames) -> tuple[str, ...]:
    """Tables of the log that hold changes and marks."""
    return (names.marks, *(names.changes(number) for number in read_shapes(session, names)))


def make_fence(session: Session, names: LogNames) -> int:
    """A new fence: its SCN. What fails here ends with the session, and nothing of it is kept.

    Raises:
        SourceNotReady: there is no change log.
        LoadBlocked: other fences were made all the time.
    """
    if one_row(session, trigger_log.lock_state(names)) is None:
        raise no_log(session)
    scn = current_scn(session)
    for table in log_tables(session, names):
        session.run(trigger_log.show(names, table), {"scn": scn})
    session.run(trigger_log.add_fence(names), {"scn": scn})
    session.run(trigger_log.COMMIT)
    return scn


def load_scn(server: Server, names: LogNames) -> int:
    """Where a load reads its rows: a fence of its own."""
    with connected(server) as session:
        if not has_log(session, names):
            raise no_log(session)
        return make_fence(session, names)


def has_log(session: Session, names: LogNames) -> bool:
    row = one_row(session, sql.EXISTS, {"name": names.state})
    return (
        row is not None and bool(int(row[0])) and one_row(session, trigger_log.read_state(names)) is not None
    )


def no_log(session: Session) -> SourceNotReady:
    return SourceNotReady("there is no change log", where=session.where, fix="set the source up first")


def has_fence(session: Session, names: LogNames, fence: int) -> bool:
    row = one_row(session, trigger_log.has_fence(names), {"fence": fence})
    return row is not None and bool(int(row[0]))


def fences_after(session: Session, names: LogNames, fence: int) -> tuple[int, ...]:
    return tuple(int(scn) for (scn,) in session.rows(trigger_log.fences_after(names), {"fence": fence}))


def is_news(session: Session, names: LogNames) -> bool:
    """Whether a change is in no fence yet."""
    return any(
        session.rows(trigger_log.is_unshown(names, table))[0][0] for table in log_tables(session, names)
    )
