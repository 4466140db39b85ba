"""What stands in the way of trigger capture, found before anything is created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.sources.postgres.quoting import identifier, relation
from replication_assets.sources.postgres.reflection import Relation, find_relation
from replication_assets.sources.postgres.triggers.shapes import unlike_partitions
from replication_assets.sources.postgres.triggers.sql import MARK, LogNames

Session = psycopg.Connection[Any]


def setup_problems(
    session: Session, names: LogNames, tables: Sequence[tuple[TableId, TableSchema]]
) -> list[str]:
    """Everything that keeps capture from being set up; empty when it can be."""
    problems = _schema_problems(session, names)
    for table, _ in tables:
        found = find_relation(session, table)
        if found is None:
            problems.append(f"there is no table {relation(table)}")
        elif found.persistence != "p" and found.kind in "rp":
            problems.append(
                f"{relation(table)} is not logged: a crash empties it, and no trigger tells."
                f" Run: ALTER TABLE {relation(table)} SET LOGGED"
            )
        elif found.can_be_captured:
            problems += _table_problems(session, names, table, found)
    return problems


def _schema_problems(session: Session, names: LogNames) -> list[str]:
    row = session.execute(
        "SELECT current_user::text, current_database()::text,"
        " has_database_privilege(current_database(), 'CREATE'), n.oid IS NOT NULL,"
        " pg_catalog.obj_description(n.oid, 'pg_namespace'), pg_has_role(n.nspowner, 'USAGE')"
        " FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = %s",
        (names.schema,),
    ).fetchone()
    assert row is not None
    user, database, create, exists, comment, owned = row
    if exists and comment != MARK:
        return [f"schema {names.quoted} was made by somebody else. Fix: name the source differently"]
    if exists and not owned:
        return [f"schema {names.quoted} belongs to another role. Fix: connect as its owner"]
    if not exists and not create:
        grant = f"GRANT CREATE ON DATABASE {identifier(database)} TO {identifier(user)}"
        return [f"the role may not create the schema of the change log. Run: {grant}"]
    return []


def _table_problems(session: Session, names: LogNames, table: TableId, found: Relation) -> list[str]:
    row = session.execute(
        "SELECT CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN pg_get_userbyid(c.relowner)::text END,"
        " (SELECT min(t.tgname) FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal"
        "  AND (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))"
        '  AND t.tgname COLLATE "C" < %s COLLATE "C" AND t.tgtype::int & 67 = 1)'
        " FROM pg_catalog.pg_class c WHERE c.oid = %s",
        (names.trigger, found.oid),
    ).fetchone()
    assert row is not None
    owner, earlier = row
    problems = []
    for leaf in unlike_partitions(session, found.oid) if found.kind == "p" else ():
        problems.append(unlike(table, leaf))
    if owner is not None:
        problems.append(
            f"only its owner can have triggers of {relation(table)} fire always."
            f" Run: GRANT {identifier(owner)} TO the role"
        )
    if earlier is not None:
        problems.append(
            f"trigger {identifier(earlier)} of {relation(table)} fires before ours, by its name: what it"
            f" updates would be told in the wrong order. Run: ALTER TRIGGER {identifier(earlier)} ON"
            f" {relation(table)} RENAME TO another name"
        )
    return problems


def unlike(table: TableId, leaf: str) -> str:
    """What is wrong with a partition, and what to do."""
    return (
        f"partition {leaf} of {relation(table)} has its columns in another order, or is no logged table:"
        " what triggers print of its rows could not be read. Fix: capture='log', or make the partition anew"
        " with CREATE TABLE ... PARTITION OF"
    )
