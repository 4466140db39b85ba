"""Which log a server writes, and how far behind a capture is."""

from __future__ import annotations

from replication_assets.errors import SourceUnavailable
from replication_assets.ports import SourceIdentity, SourceStatus
from replication_assets.sources.postgres.connection import (
    PostgresConnection,
    connect,
    connect_replication,
    run_command,
    source_errors,
)
from replication_assets.sources.postgres.lsn import parse_lsn
from replication_assets.sources.postgres.slot import find_slot


def identify(connection: PostgresConnection) -> SourceIdentity:
    """System identifier and timeline. From IDENTIFY_SYSTEM: the catalog functions tell a new
    timeline only after the first checkpoint on it."""
    session = connect_replication(connection)
    try:
        result = run_command(session, "IDENTIFY_SYSTEM", connection)
        system_id, timeline = result.get_value(0, 0), result.get_value(0, 1)
    finally:
        session.finish()
    if system_id is None or timeline is None:
        raise SourceUnavailable("the server did not say which system it is", where=connection.where)
    return SourceIdentity(system_id.decode(), int(timeline))


def read_status(connection: PostgresConnection, slot_name: str) -> SourceStatus:
    """See `ports.SourceStatus`.

    `head` is what was written to the log: a commit without `synchronous_commit` may be
    visible up to `3 * wal_writer_delay` before it counts.
    """
    with connect(connection) as session, source_errors(connection.where):
        row = session.execute(
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
            " ELSE pg_current_wal_lsn() END::text, clock_timestamp()"
        ).fetchone()
        slot = find_slot(session, slot_name)
    assert row is not None
    head, read_at = parse_lsn(row[0]), row[1]
    if slot is None:
        return SourceStatus(head, None, None, None, None, False, "missing", read_at)
    confirmed = parse_lsn(slot.confirmed)
    return SourceStatus(
        head=head,
        confirmed=confirmed,
        lag_bytes=max(0, head - confirmed),
        retained_bytes=None if slot.restart is None else max(0, head - parse_lsn(slot.restart)),
        headroom_bytes=slot.safe_wal_size,
        active=slot.active_pid is not None,
        state="lost" if slot.is_lost else slot.wal_status or "unknown",
        read_at=read_at,
    )
