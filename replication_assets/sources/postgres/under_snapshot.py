"""What has to be looked at before rows are read under an imported snapshot.

A snapshot shows rows as they were and the catalog as it is now. A column that was added and a
table that was rewritten after it would pass unseen: whoever reads compares, and begins again.
"""

from __future__ import annotations

from typing import Any

from replication_assets.core.schema import Column, TableId
from replication_assets.errors import SourceNotReady
from replication_assets.sources.postgres.connection import PostgresConnection, connect
from replication_assets.sources.postgres.quoting import literal, relation
from replication_assets.sources.postgres.reflection import replicated_columns


def columns_at(connection: PostgresConnection, snapshot: str, table: TableId) -> tuple[Column, ...]:
    with connect(connection) as session, session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        session.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}".encode())
        return replicated_columns(session, table)


def holds_what_the_snapshot_shows(cursor: Any, table: TableId, rows: str) -> bool:
    """Lock the table for reading, and compare its files now with those of the snapshot: one
    that is older than a rewrite of the table sees no rows."""
    cursor.execute(f"SELECT 1 FROM {rows} LIMIT 0")
    cursor.fetchall()
    cursor.execute(
        "SELECT coalesce(bool_and(c.relfilenode = pg_catalog.pg_relation_filenode(c.oid)), true)"
        " FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') AND c.oid IN ("
        f"SELECT relid FROM pg_catalog.pg_partition_tree({literal(relation(table))}::pg_catalog.regclass)"
        f" UNION SELECT {literal(relation(table))}::pg_catalog.regclass)"
    )
    return bool(cursor.fetchone()[0])


def relkind(cursor: Any, table: TableId) -> str:
    cursor.execute(
        "SELECT c.relkind::pg_catalog.text FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE n.nspname = {literal(table.schema)} AND c.relname = {literal(table.name)}"
    )
    row = cursor.fetchone()
    if row is None:
        raise SourceNotReady(f"there is no table or view {relation(table)}", where=str(table))
    return str(row[0])
