"""Who writes to tables: transactions that have not ended, and statements that stop them.

A transaction that wrote to a table holds `ROW EXCLUSIVE` or more on it until it commits, also
when it was prepared for a two-phase commit and its session is gone. Query texts are never
read: they hold cell values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from replication_assets.core.schema import TableId
from replication_assets.ports import Writer
from replication_assets.sources.postgres.quoting import identifier, literal

_WANTED = """
wanted AS (
  SELECT t.number, c.oid
  FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS t(schema, name, number)
  JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
), family AS (
  SELECT number, oid FROM wanted
  UNION SELECT w.number, p.relid FROM wanted w, pg_catalog.pg_partition_tree(w.oid) p
)
"""
"""The tables by their number in the request, and their partitions under the same number."""

# SHARE UPDATE EXCLUSIVE is what VACUUM and ANALYZE take, SHARE what CREATE INDEX does, and what
# somebody takes who holds writers off by LOCK TABLE: none of them changes a row. A lock that is
# waited for counts: its transaction writes as soon as it is let in.
_WRITERS = f"""
WITH {_WANTED}, lock AS MATERIALIZED (
  SELECT * FROM pg_catalog.pg_locks
), held AS (
  SELECT l.pid, l.virtualtransaction, bool_and(l.granted) AS granted, array_agg(DISTINCT f.number) AS tables
  FROM lock l JOIN family f ON l.relation = f.oid
  WHERE l.locktype = 'relation'
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
  GROUP BY l.pid, l.virtualtransaction
)
SELECT h.pid, x.gid, coalesce(a.usename, x.owner)::text, a.application_name,
       CASE WHEN NOT h.granted THEN 'waits for a lock' ELSE a.state END,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared))::float8,
       h.tables
FROM held h
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid
LEFT JOIN lock t
  ON h.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
  AND t.virtualtransaction = h.virtualtransaction
LEFT JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = t.transactionid
WHERE h.pid IS NULL OR a.usesysid IS NOT NULL
ORDER BY 6 DESC NULLS LAST, 1
"""
# A lock whose session ended between the two looks has no row of activity, and the workers of
# autovacuum have no user.

_GRANTEES = f"""
WITH {_WANTED}, granted AS (
  SELECT c.oid, g.grantee FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid,
         aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
  WHERE g.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
  UNION
  SELECT c.oid, g.grantee FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid
  JOIN pg_catalog.pg_attribute b ON b.attrelid = c.oid, aclexplode(b.attacl) g
  WHERE g.privilege_type IN ('INSERT', 'UPDATE')
)
SELECT format('%%I.%%I', n.nspname, c.relname),
       array_agg(DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC'
                          ELSE format('%%I', pg_get_userbyid(g.grantee)) END)
FROM granted g JOIN pg_catalog.pg_class c ON c.oid = g.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
GROUP BY 1 ORDER BY 1
"""


def writers(session: psycopg.Connection[Any], tables: Sequence[TableId]) -> tuple[Writer, ...]:
    """See `ports.ChangeSource.writers`. A role that is no monitor is not told ages and states."""
    found = []
    for pid, gid, user, application, state, seconds, numbers in session.execute(
        _WRITERS, _names(tables)
    ).fetchall():
        if pid is not None:
            name, ending = f"pid {pid}", f"SELECT pg_terminate_backend({pid});"
            state = state or "state not visible"
        else:
            name = f"prepared transaction {gid!r}" if gid is not None else "a prepared transaction"
            ending = f"ROLLBACK PREPARED {literal(gid)};" if gid is not None else "see pg_prepared_xacts"
            state = "prepared"
        written = tuple(tables[number - 1] for number in sorted(numbers))
        found.append(Writer(name, user or "not visible", application or "", state, seconds, written, ending))
    return tuple(found)


def stop_writes(session: psycopg.Connection[Any], tables: Sequence[TableId]) -> tuple[str, ...]:
    """See `ports.ChangeSource.stop_writes`."""
    by_roles: dict[tuple[str, ...], list[str]] = {}
    for table, roles in session.execute(_GRANTEES, _names(tables)).fetchall():
        by_roles.setdefault(tuple(roles), []).append(table)
    revoked = [
        f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON TABLE {', '.join(names)} FROM {', '.join(roles)};"
        for roles, names in by_roles.items()
    ]
    row = session.execute("SELECT current_database()::text").fetchone()
    assert row is not None
    database = identifier(row[0])
    end_sessions = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid();"
    )
    return (
        "-- Either for these tables (superusers and members of pg_write_all_data still write):",
        *revoked,
        "-- or for the whole database, for sessions that begin afterwards:",
        f"ALTER DATABASE {database} SET default_transaction_read_only = on;",
        end_sessions,
    )


def _names(tables: Sequence[TableId]) -> dict[str, list[str]]:
    return {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
