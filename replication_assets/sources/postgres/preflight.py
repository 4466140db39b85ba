"""What stands in the way of capture, found before anything is created.

Each problem names the statement that mends it; all are reported at once, so that one
conversation with the database's owner is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.sources.postgres.quoting import identifier, relation
from replication_assets.sources.postgres.reflection import Relation
from replication_assets.sources.postgres.slot import Slot

Found = Sequence[tuple[TableId, TableSchema, Relation | None]]


def setup_problems(
    session: psycopg.Connection[Any],
    slot_name: str,
    slot: Slot | None,
    tables: Found,
    publications: Sequence[str],
) -> list[str]:
    """Everything that keeps capture from being set up; empty when it can be."""
    return [
        *_server_problems(session, slot),
        *_role_problems(session, publications),
        *_slot_problems(session, slot_name, slot),
        *_publication_problems(session, publications),
        *_table_problems(session, tables),
    ]


def _server_problems(session: psycopg.Connection[Any], slot: Slot | None) -> list[str]:
    level, slots, senders = (
        _setting(session, name) for name in ("wal_level", "max_replication_slots", "max_wal_senders")
    )
    problems = []
    if level != "logical":
        problems.append(
            f"wal_level is {level}. Run: ALTER SYSTEM SET wal_level = 'logical', then restart the server"
        )
    used = _count(session, "SELECT count(*) FROM pg_catalog.pg_replication_slots")
    if slot is None and used + 1 >= int(slots):
        # One for the capture, and one for the snapshot of a load.
        problems.append(
            f"{used} of {slots} replication slots are taken and two are needed."
            f" Run: ALTER SYSTEM SET max_replication_slots = {used + 4}, then restart the server"
        )
    busy = _count(session, "SELECT count(*) FROM pg_catalog.pg_stat_replication")
    if slot is None and busy + 1 >= int(senders):
        problems.append(
            f"{busy} of {senders} WAL senders are taken and two are needed."
            f" Run: ALTER SYSTEM SET max_wal_senders = {busy + 4}, then restart the server"
        )
    return problems


def _role_problems(session: psycopg.Connection[Any], publications: Sequence[str]) -> list[str]:
    row = session.execute(
        "SELECT current_user::text, rolreplication OR rolsuper"
        " OR EXISTS (SELECT FROM pg_catalog.pg_roles m WHERE m.rolname = 'rds_replication'"
        "  AND pg_has_role(r.oid, m.oid, 'MEMBER')),"
        " has_database_privilege(current_database(), 'CREATE'), current_database()::text,"
        " (SELECT count(*) FROM pg_catalog.pg_publication WHERE pubname = ANY(%s))"
        " FROM pg_catalog.pg_roles r WHERE rolname = current_user",
        (list(publications),),
    ).fetchone()
    assert row is not None
    user, replication, create, database, existing = row
    problems = []
    if not replication:
        problems.append(
            f"the role may not replicate. Run: ALTER ROLE {identifier(user)} REPLICATION"
            " (on Amazon RDS and Aurora: GRANT rds_replication TO it)"
        )
    if not create and existing < len(publications):
        problems.append(
            "the role may not create publications."
            f" Run: GRANT CREATE ON DATABASE {identifier(database)} TO {identifier(user)}"
        )
    return problems


def _slot_problems(session: psycopg.Connection[Any], name: str, slot: Slot | None) -> list[str]:
    if slot is None:
        return []
    database = _setting_of(session, "SELECT current_database()::text")
    facts = []
    if slot.kind != "logical" or slot.plugin != "pgoutput":
        facts.append(f"is a {slot.kind} slot of plugin {slot.plugin}")
    if slot.kind == "logical" and slot.database != database:
        facts.append(f"belongs to database {slot.database}")
    if slot.temporary:
        facts.append("is temporary")
    return [f"slot {name} exists and {fact}: choose another slot name" for fact in facts]


def _publication_problems(session: psycopg.Connection[Any], publications: Sequence[str]) -> list[str]:
    rows = session.execute(
        "SELECT p.pubname, p.puballtables,"
        " pg_has_role(p.pubowner, 'USAGE'), pg_get_userbyid(p.pubowner)::text"
        " FROM pg_catalog.pg_publication p WHERE p.pubname = ANY(%s)",
        (list(publications),),
    ).fetchall()
    problems = []
    for name, all_tables, owned, owner in rows:
        if all_tables:
            problems.append(f"publication {name} exists for all tables: choose another publication name")
        if not owned:
            problems.append(f"publication {name} belongs to {owner}: choose another publication name")
    return problems


def _table_problems(session: psycopg.Connection[Any], tables: Found) -> list[str]:
    problems = []
    for table, _, found in tables:
        if found is None:
            problems.append(f"there is no table {relation(table)}")
        elif found.persistence != "p":
            problems.append(
                f"{relation(table)} is not logged, so its changes cannot be captured."
                f" Run: ALTER TABLE {relation(table)} SET LOGGED"
            )
        elif found.can_be_captured:
            owner = _setting_of(
                session,
                "SELECT CASE WHEN NOT pg_has_role(relowner, 'USAGE')"
                " THEN pg_get_userbyid(relowner)::text END FROM pg_catalog.pg_class WHERE oid = %s",
                found.oid,
            )
            if owner is not None:
                problems.append(
                    f"only its owner can publish {relation(table)}. Run: GRANT {identifier(owner)} TO the"
                    " role, or publish it as that owner"
                )
    return problems


def _setting(session: psycopg.Connection[Any], name: str) -> str:
    return str(_setting_of(session, "SELECT current_setting(%s)", name))


def _count(session: psycopg.Connection[Any], query: str) -> int:
    return int(_setting_of(session, query))


def _setting_of(session: psycopg.Connection[Any], query: str, *parameters: object) -> Any:
    row = session.execute(query, parameters).fetchone()
    return None if row is None else row[0]
