"""What a capture left on the server, looked for by name: the proof that a teardown was whole."""

from __future__ import annotations

from typing import Any

import psycopg

from replication_assets.sources.postgres.publication import CaptureNames

_SLOTS = """
SELECT s.slot_name::text, s.temporary, s.active_pid, a.application_name, s.wal_status,
       pg_size_pretty(pg_wal_lsn_diff(
         CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
         s.restart_lsn))
FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = %s OR (s.slot_name LIKE 'ra\\_load\\_%%' AND s.database = current_database())
ORDER BY 1
"""
# The second kind lives as long as a load takes its snapshot.

_PUBLICATIONS = "SELECT pubname::text FROM pg_catalog.pg_publication WHERE pubname = ANY(%s) ORDER BY 1"


def remains(session: psycopg.Connection[Any], names: CaptureNames) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    found = []
    for slot, temporary, pid, application, status, kept in session.execute(_SLOTS, (names.slot,)).fetchall():
        reader = f", read by pid {pid} ({application or 'application not named'})" if pid is not None else ""
        kind = "slot of a running load" if temporary else "replication slot"
        found.append(f"{kind} {slot} ({status or 'no log reserved'}, keeps {kept or 'nothing'}){reader}")
    for (publication,) in session.execute(_PUBLICATIONS, (list(names.publications),)).fetchall():
        found.append(f"publication {publication}")
    return tuple(found)
