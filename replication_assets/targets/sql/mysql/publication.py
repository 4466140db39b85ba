"""Publication on a MySQL server: one RENAME TABLE for all tables and the record of it.

Statements that define tables commit by themselves, so the record cannot be written in a transaction
with them. It is written into a table of its own beforehand, and that table is renamed in the same
statement: whoever reads sees old tables and old record, or new ones and the new record. The server
takes its locks on all names before it renames the first, and undoes all of it if one fails. Foreign
keys go with their tables: old ones point at old tables, new ones at new tables.

What old tables are moved to is dropped afterwards; if the process dies before, the record that was
moved along tells the next call what is left to drop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.schema import TableId
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import PublishedCopy, TableCopy
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.mysql.connection import literal, quoted, run, transaction
from replication_assets.targets.sql.mysql.places import INCOMING, OUTGOING, Places
from replication_assets.targets.sql.mysql.readers import allow, forbid
from replication_assets.targets.sql.mysql.tables import CopyTables
from replication_assets.targets.sql.records import Made, Records, copy_from_json, copy_to_json

_RECORD = "published"


def publish_whole(
    connection: sa.Connection,
    records: Records,
    places: Places,
    plan: RefreshPlan,
    copy: PublishedCopy,
    collation: str,
) -> None:
    """Replace the published copy by the shadow of the plan."""
    before = records.published()
    old = before[1] if before is not None else Made()
    ids = [each.table for each in plan.tables]
    new = Made(
        tuple(sorted({places.live(each) for each in ids})),
        tuple((places.live(each), each.name) for each in ids),
    )
    _require_free(connection, old, new)
    for database in new.places:
        make_database(connection, database, collation)
    for database in {*old.places, *new.places}:
        drop_database(connection, database + OUTGOING)
        make_database(connection, database + OUTGOING, collation)
    for reader in records.readers():
        for database in new.places:
            allow(connection, reader, database)
    _write_record(connection, places, copy, new)
    renames = [(each, (each[0] + OUTGOING, each[1])) for each in old.tables]
    renames.append(((places.records, _RECORD), (places.records, _RECORD + OUTGOING)))
    renames += [((places.incoming(each), each.name), (places.live(each), each.name)) for each in ids]
    renames.append(((places.records, _RECORD + INCOMING), (places.records, _RECORD)))
    run(
        connection,
        "RENAME TABLE " + ", ".join(f"{quoted(*one)} TO {quoted(*other)}" for one, other in renames),
    )
    clear_outgoing(connection, records, places)


def publish_changes(
    connection: sa.Connection,
    records: Records,
    plan: RefreshPlan,
    copy: PublishedCopy,
    tables: CopyTables,
    copies: Sequence[TableCopy],
) -> None:
    """Merge the changes of the plan into the published tables, in one transaction with the record.

    Rows of changed keys are deleted and those that remain inserted anew: two rows that exchange a
    unique value would otherwise be in each other's way.
    """
    before = records.published()
    if before is None:
        raise RefreshError(
            "there is no copy that changes could be merged into",
            where=f"refresh {plan.refresh}",
            fix="publish a full copy first",
        )
    names = {
        each.structure.table: [n for n in each.schema.names if n in each.structure.names] for each in copies
    }
    run(connection, "SET SESSION foreign_key_checks = 0")
    with transaction(connection):
        for each in copies:
            _delete_changed(connection, tables, each.structure.table)
        for each in copies:
            table = each.structure.table
            listed = ", ".join(quoted(name) for name in names[table])
            run(
                connection,
                f"INSERT INTO {_named(tables.live(table))} ({listed})"
                f" SELECT {listed} FROM {_named(tables.shadow(table, 'upserts'))}",
            )
        records.write_published(copy, before[1])
    run(connection, "SET SESSION foreign_key_checks = 1")


def _delete_changed(connection: sa.Connection, tables: CopyTables, table: TableId) -> None:
    live = _named(tables.live(table))
    for shadow in (tables.shadow(table, "deletes"), tables.shadow(table, "upserts")):
        same = " AND ".join(
            f"{live}.{quoted(name)} = changed.{quoted(name)}" for name in ddl.merge_key(tables.copied[table])
        )
        run(connection, f"DELETE {live} FROM {live} JOIN {_named(shadow)} AS changed ON {same}")


def clear_outgoing(connection: sa.Connection, records: Records, places: Places) -> None:
    """Drop what the last publication replaced, whether or not the process that did it lives on."""
    outgoing = (places.records, _RECORD + OUTGOING)
    if not _is_table(connection, outgoing):
        return
    (row,) = run(connection, f"SELECT MAX(copy), MAX(made) FROM {quoted(*outgoing)}") or ((None, None),)
    published = records.published()
    kept = published[1].places if published is not None else ()
    # The old record of a first publication is empty.
    old = Made.from_json(str(row[1])) if row[1] is not None else Made()
    for database in {*old.places, *kept}:
        drop_database(connection, database + OUTGOING)
    readers = records.readers()
    for database in set(old.places) - set(kept):
        for reader in readers:
            forbid(connection, reader, database)
        drop_if_empty(connection, database)
    drop_table(connection, outgoing)


def drop_published(connection: sa.Connection, records: Records, places: Places) -> None:
    clear_outgoing(connection, records, places)
    found = records.published()
    if found is None:
        return
    for reader in records.readers():
        for database in found[1].places:
            forbid(connection, reader, database)
    for table in found[1].tables:
        drop_table(connection, table)
    for database in found[1].places:
        drop_if_empty(connection, database)


def _write_record(connection: sa.Connection, places: Places, copy: PublishedCopy, made: Made) -> None:
    incoming = (places.records, _RECORD + INCOMING)
    drop_table(connection, incoming)
    run(connection, f"CREATE TABLE {quoted(*incoming)} LIKE {quoted(places.records, _RECORD)}")
    text = copy_to_json(copy)
    assert copy_from_json(text) == copy
    with transaction(connection):
        values = f"1, {literal(text)}, {literal(made.to_json())}"
        run(connection, f"INSERT INTO {quoted(*incoming)} (one, copy, made) VALUES ({values})")


def _require_free(connection: sa.Connection, old: Made, new: Made) -> None:
    """Raises RefreshError if objects of somebody else stand in the way."""
    ours, databases = set(old.tables), sorted({*old.places, *new.places})
    if not databases:
        return
    within = ", ".join(literal(each) for each in databases)
    there = run(
        connection,
        f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({within})",
    )
    problems = [
        f"{db}.{name} is a table or view of somebody"
        for db, name in there
        if (db, name) in set(new.tables) - ours
    ]
    triggers = run(
        connection,
        "SELECT event_object_schema, event_object_table, trigger_name FROM information_schema.triggers"
        f" WHERE event_object_schema IN ({within})",
    )
    problems += [f"trigger {name} on {db}.{table}" for db, table, name in triggers if (db, table) in ours]
    keys = run(
        connection,
        "SELECT DISTINCT table_schema, table_name, referenced_table_schema, referenced_table_name"
        f" FROM information_schema.key_column_usage WHERE referenced_table_schema IN ({within})",
    )
    problems += [
        f"{db}.{table} has a foreign key to {parent_db}.{parent}"
        for db, table, parent_db, parent in keys
        if (parent_db, parent) in ours and (db, table) not in ours
    ]
    if problems:
        raise RefreshError(
            f"objects of somebody else depend on the published copy: {'; '.join(sorted(problems))}",
            fix="drop them, or have them made anew after each publication",
        )


def make_database(connection: sa.Connection, name: str, collation: str) -> None:
    run(
        connection,
        f"CREATE DATABASE IF NOT EXISTS {quoted(name)} CHARACTER SET utf8mb4 COLLATE {collation}",
    )


def drop_database(connection: sa.Connection, name: str) -> None:
    run(connection, "SET SESSION foreign_key_checks = 0")
    run(connection, f"DROP DATABASE IF EXISTS {quoted(name)}")
    run(connection, "SET SESSION foreign_key_checks = 1")


def drop_table(connection: sa.Connection, table: Iterable[str]) -> None:
    run(connection, "SET SESSION foreign_key_checks = 0")
    run(connection, f"DROP TABLE IF EXISTS {quoted(*table)}")
    run(connection, "SET SESSION foreign_key_checks = 1")


def drop_if_empty(connection: sa.Connection, database: str) -> None:
    """Somebody may have put a table beside ours."""
    rows = run(
        connection,
        f"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {literal(database)}",
    )
    if rows == ((0,),):
        drop_database(connection, database)


def _is_table(connection: sa.Connection, table: tuple[str, str]) -> bool:
    rows = run(
        connection,
        "SELECT COUNT(*) FROM information_schema.tables"
        f" WHERE table_schema = {literal(table[0])} AND table_name = {literal(table[1])}",
    )
    return rows != ((0,),)


def _named(table: sa.Table) -> str:
    return quoted(str(table.schema), table.name)
