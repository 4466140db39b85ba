"""Deleting what is durable elsewhere, without holding anybody up.

Rows are found by a consistent read, which locks nothing, and deleted one by one of their primary key: a
range would have its gap locked against the session that writes there next, and would wait for a row that is
not committed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from replication_assets.errors import LoadBlocked
from replication_assets.sources.mysql.connection import LOCK_SECONDS, MySqlConnection, Session, connected
from replication_assets.sources.mysql.triggers.fences import Fence, fence_lock, log_shapes, read_fence
from replication_assets.sources.mysql.triggers.sql import LogNames

TRIMMED = 5_000
"""Rows that are deleted in one transaction."""
_WAIT_SECONDS = 1


def trim(connection: MySqlConnection, names: LogNames, commit: int) -> None:
    """Delete what the fence `commit` shows, and fences before it; the fence itself stays."""
    with connected(connection, statement_seconds=0) as session:
        fence = read_fence(session, names, commit)
        if fence is None:
            return
        session.rows("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        session.rows(
            f"SET SESSION lock_wait_timeout = {_WAIT_SECONDS}, innodb_lock_wait_timeout = {_WAIT_SECONDS}"
        )
        session.rows(f"UPDATE {names.state} SET acknowledged = {commit} WHERE acknowledged < {commit}")
        for shape in log_shapes(session, names):
            _delete(session, names.changes(shape), fence.shows())
        _delete(session, names.marks, f"id <> {commit} AND {_passed(fence)}")


def _passed(fence: Fence) -> str:
    """Marks that the fence shows, and fences made while others were: those it does not show are older."""
    return f"({fence.shows()} OR (op = 'A' AND id < {fence.id}))"


def _delete(session: Session, table: str, condition: str) -> None:
    found = TRIMMED
    while found == TRIMMED:
        rows = session.rows(f"SELECT conn, id FROM {table} WHERE {condition} LIMIT {TRIMMED}")
        found = len(rows)
        by_session: dict[int, list[int]] = defaultdict(list)
        for conn, number in rows:
            by_session[int(conn)].append(int(number))
        for conn, numbers in by_session.items():
            listed = ", ".join(map(str, numbers))
            session.rows(f"DELETE FROM {table} WHERE conn = {conn} AND id IN ({listed})")


def drop_retired(session: Session, names: LogNames) -> None:
    """Drop tables of the log that nobody writes and that hold nothing, where nobody reads them now."""
    retired = session.rows(f"SELECT shape FROM {names.shapes} WHERE NOT live")
    if not retired:
        return
    session.rows(f"SET SESSION lock_wait_timeout = {_WAIT_SECONDS}")
    with suppress(LoadBlocked), fence_lock(session, names):
        _drop_empty(session, names, [int(number) for (number,) in retired])
    session.rows(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")


def _drop_empty(session: Session, names: LogNames, retired: Sequence[int]) -> None:
    for number in retired:
        table = names.changes(number)
        session.rows(f"LOCK TABLES {table} WRITE, {names.marks} READ, {names.shapes} WRITE")
        row = session.row(
            f"SELECT EXISTS (SELECT 1 FROM {table})"
            f" OR EXISTS (SELECT 1 FROM {names.marks} WHERE shape = {number})"
        )
        if row is not None and not row[0]:
            session.rows(f"DELETE FROM {names.shapes} WHERE shape = {number}")
            session.rows(f"DROP TABLE {table}")
        session.rows("UNLOCK TABLES")
