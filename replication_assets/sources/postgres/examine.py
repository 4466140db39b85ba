"""A look at a source before anything is done to it: what setup lacks. Reads catalogs only."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.preflight import setup_problems
from replication_assets.sources.postgres.publication import CaptureNames
from replication_assets.sources.postgres.reflection import find_relation
from replication_assets.sources.postgres.slot import find_slot


def missing(
    connection: PostgresConnection, names: CaptureNames, tables: Sequence[tuple[TableId, TableSchema]]
) -> tuple[str, ...]:
    """See `ports.ChangeSource.missing`. A slot that is lost is a matter of status, not of setup."""
    with connect(connection) as session, source_errors(connection.where):
        found = [(table, schema, find_relation(session, table)) for table, schema in tables]
        slot = find_slot(session, names.slot)
        return tuple(setup_problems(session, names.slot, slot, found, names.publications))
