"""Which triggers stand on a table and its partitions, and what partitions did that they did not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from replication_assets.sources.postgres import schema_watch
from replication_assets.sources.postgres.quoting import identifier
from replication_assets.sources.postgres.triggers import sql
from replication_assets.sources.postgres.triggers.shapes import RowShape
from replication_assets.sources.postgres.triggers.sql import LogNames

Session = psycopg.Connection[Any]


def is_standing(session: Session, names: LogNames, shape: RowShape) -> bool:
    """Whether a shape's triggers are there and fire always, on the partitions that are left too."""
    arguments = f"{shape.number}\\000" + ("" if shape.leaves is None else f"{sql.OF_PARTITIONS}\\000")
    # Partitions that are gone took their triggers with them.
    leaves = [oid for oid, _ in shape.leaves or ()]
    row = session.execute(
        "SELECT count(*) = 2 * (1 + (SELECT count(*) FROM pg_catalog.pg_partition_tree(%s::oid)"
        "   WHERE isleaf AND relid = ANY (%s::oid[])))"
        " FROM pg_catalog.pg_trigger WHERE tgname IN (%s, %s)"
        " AND (tgrelid = %s OR tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%s::oid)"
        "   WHERE isleaf AND relid = ANY (%s::oid[])))"
        " AND tgenabled = 'A' AND encode(tgargs, 'escape') = %s",
        (
            shape.relation,
            leaves,
            names.trigger,
            names.truncate_trigger,
            shape.relation,
            shape.relation,
            leaves,
            arguments,
        ),
    ).fetchone()
    return row is not None and bool(row[0])


def partition_reasons(session: Session, relation: int, before: RowShape, now: RowShape) -> list[str]:
    """Why rows of partitions came or went untold."""
    if before.leaves is None or now.leaves is None or before.relation != relation:
        return []
    changes = schema_watch.partition_changes(session, relation, dict(before.leaves))
    found = [changes.reason] if changes.reason else []
    known = dict(before.leaves)
    for oid, name in now.leaves:
        # One that was made has its oid as the number of its file, until a TRUNCATE or a rewrite.
        row = session.execute("SELECT pg_catalog.pg_relation_filenode(%s::oid) <> %s", (oid, oid)).fetchone()
        if oid not in known and row is not None and row[0]:
            found.append(f"partition {name} may have been truncated before it got its triggers")
    return found


def drop_triggers(session: Session, names: LogNames, shape: RowShape) -> None:
    """Of a table that is captured no more, whatever it is called by now, and of its partitions."""
    drop_triggers_of(session, names, [shape.relation])
    drop_triggers_of(session, names, [oid for oid, _ in shape.leaves or ()])


def drop_triggers_of(session: Session, names: LogNames, relations: Sequence[int]) -> None:
    """Triggers that stand on the relations themselves: the row triggers of partitions go with their
    table's."""
    rows = session.execute(
        "SELECT format('%%I.%%I', n.nspname, c.relname), t.tgname FROM pg_catalog.pg_trigger t"
        " JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = ANY (%s::oid[]) AND t.tgname IN (%s, %s) AND t.tgparentid = 0",
        (list(relations), names.trigger, names.truncate_trigger),
    ).fetchall()
    for table, trigger in rows:
        session.execute(f"DROP TRIGGER {identifier(trigger)} ON {table}".encode())
