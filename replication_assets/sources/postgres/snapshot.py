"""An exported snapshot and the exact log position that it stands at.

A position read beside a snapshot is wrong under ordinary load: a commit writes its log
record first and becomes visible later, so the position may already be past a commit that
the snapshot does not show. Creating a logical slot is the one operation of the server that
pairs the two: it waits until every transaction that was running has ended, and then
exports a snapshot that holds exactly the commits before its consistent point.

The slot is temporary and lives only until the snapshot is imported elsewhere. Waiting for
a transaction that never ends is bounded, and ends with the names of those that block.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import psycopg
from psycopg.pq.abc import PGconn

from replication_assets.errors import LoadBlocked, SourceUnavailable
from replication_assets.sources.postgres.connection import (
    PostgresConnection,
    check_result,
    connect,
    connect_replication,
    result_until,
    source_errors,
)
from replication_assets.sources.postgres.lsn import parse_lsn
from replication_assets.sources.postgres.quoting import identifier, literal

_CANCEL_SECONDS = 5.0

Snapshots: TypeAlias = Callable[[PostgresConnection, float], AbstractContextManager["Snapshot"]]
"""A way to pair a snapshot with a position, within so many seconds: `exported_snapshot`, where changes
come from the log."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`name` can be imported while the block that made it runs. Every commit below `commit`
    is visible in it, none at or above."""

    name: str
    commit: int


@contextmanager
def exported_snapshot(connection: PostgresConnection, wait: float) -> Iterator[Snapshot]:
    """Export a snapshot, waiting at most `wait` seconds for running transactions.

    Raises:
        LoadBlocked: some did not end; the message names them.
    """
    slot = f"ra_load_{uuid.uuid4().hex[:16]}"
    session = connect_replication(connection)
    try:
        options = "TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"
        point, name = _create_slot(session, connection, slot, options, wait)
        yield Snapshot(name, parse_lsn(point))
    finally:
        session.finish()


def create_slot(connection: PostgresConnection, slot: str, wait: float) -> int:
    """Create the lasting slot of a capture; returns its consistent point. Same errors."""
    session = connect_replication(connection)
    try:
        point, _ = _create_slot(session, connection, slot, "LOGICAL pgoutput (SNAPSHOT 'nothing')", wait)
        return parse_lsn(point)
    finally:
        session.finish()


def _create_slot(
    session: PGconn, connection: PostgresConnection, slot: str, options: str, wait: float
) -> tuple[str, str]:
    """Consistent point and snapshot name of a new slot."""
    try:
        with source_errors(connection.where):
            session.send_query(f"CREATE_REPLICATION_SLOT {identifier(slot)} {options}".encode())
            result = result_until(session, time.monotonic() + wait, None)
        if result is None and session.is_busy():
            raise _blocked(connection, session.backend_pid, wait)
    except BaseException:
        # A walsender that waits for a transaction does not notice that its client has gone:
        # without a cancel it would keep the slot, and the log, for as long as it waits.
        _cancel(session)
        raise
    if result is None:
        raise SourceUnavailable(
            "the connection was lost while a snapshot was created", where=connection.where
        )
    check_result(result, connection.where)
    _, point, name, _ = ((result.get_value(0, field) or b"").decode() for field in range(4))
    return point, name


def _cancel(session: PGconn) -> None:
    deadline = time.monotonic() + _CANCEL_SECONDS
    try:
        # psycopg's own, and not `pq`'s: that one waits for ever on a network that is silent.
        request = session.cancel_conn()
        request.start()
        psycopg.waiting.wait_conn(psycopg.generators.cancel(request), interval=0.1, timeout=_CANCEL_SECONDS)
        result_until(session, deadline, None)
    except psycopg.Error:
        # The server is gone, and the wait with it: what led here is the error to tell.
        return


_BLOCKERS = """
SELECT l.pid, a.application_name, a.state, a.wait_event,
       extract(epoch FROM clock_timestamp() - a.xact_start)::bigint
FROM (SELECT DISTINCT pid FROM pg_catalog.pg_locks
      WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted AND pid IS NOT NULL) AS l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.pid NOT IN (pg_catalog.pg_backend_pid(), %s) ORDER BY a.xact_start LIMIT 10
"""
# Readable by every role; pg_stat_activity shows another role's transaction id only to monitors.

_PREPARED = """
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::bigint
FROM pg_catalog.pg_prepared_xacts ORDER BY prepared LIMIT 10
"""


def _blocked(connection: PostgresConnection, waiting_pid: int, wait: float) -> LoadBlocked:
    with connect(connection) as session:
        running = session.execute(_BLOCKERS, (waiting_pid,)).fetchall()
        prepared = session.execute(_PREPARED).fetchall()
    named = [
        f"pid {pid} (application {application or 'unknown'}, {state or 'state not visible'}"
        f"{f', waits for {event}' if event else ''}, open for {age if age is not None else '?'} s)"
        for pid, application, state, event, age in running
    ] + [f"prepared transaction {gid!r} (prepared {age} s ago)" for gid, age in prepared]
    endings = [f"SELECT pg_terminate_backend({row[0]})" for row in running]
    endings += [f"ROLLBACK PREPARED {literal(row[0])}" for row in prepared]
    return LoadBlocked(
        f"a snapshot waited {wait:g} s for write transactions that do not end:"
        f" {'; '.join(named) or 'none left'}",
        where=connection.where,
        fix=f"let them end, or end them ({'; '.join(endings) or 'they ended meanwhile'}), then load again",
    )
