"""The replication slot as the server describes it. Catalog columns differ by version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg


@dataclass(frozen=True, slots=True)
class Slot:
    """A row of pg_replication_slots; positions as text, `reason` why it was invalidated."""

    name: str
    plugin: str | None
    kind: str
    database: str | None
    temporary: bool
    active_pid: int | None
    restart: str | None
    confirmed: str
    wal_status: str | None
    safe_wal_size: int | None
    reason: str | None

    @property
    def is_lost(self) -> bool:
        return self.wal_status == "lost" or self.reason is not None


def find_slot(session: psycopg.Connection[Any], name: str) -> Slot | None:
    """The slot of that name, of whichever database; None if there is none."""
    # Through jsonb, because `invalidation_reason` came with 17 and `conflicting` with 16.
    row = session.execute(
        "SELECT slot_name::text, plugin::text, slot_type, database::text, temporary, active_pid,"
        " restart_lsn::text, coalesce(confirmed_flush_lsn, '0/0')::text, wal_status, safe_wal_size,"
        " coalesce(to_jsonb(s) ->> 'invalidation_reason',"
        "  CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflict' END,"
        "  CASE WHEN wal_status = 'lost' THEN 'wal_removed' END)"
        " FROM pg_catalog.pg_replication_slots s WHERE slot_name = %s",
        (name,),
    ).fetchone()
    return None if row is None else Slot(*row)
