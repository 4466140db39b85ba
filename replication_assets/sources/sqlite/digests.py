"""Digests of id ranges, from the rows that loads of the same ranges would read.

SQLite runs in this process, so there is no row to keep off a network: the digests are made by the
same code as those of the other side, from one read transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import duckdb
import pyarrow as pa

from replication_assets.core.digests import digest_of
from replication_assets.core.events import OVERFLOW
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import Column, TableId, TableSchema, field_of
from replication_assets.ports import RangeDigests
from replication_assets.sources.sqlite.connection import SqliteDatabase, open_session, reading, sqlite_errors
from replication_assets.sources.sqlite.load import position_and_columns, range_conditions, rows_of
from replication_assets.sources.sqlite.triggers import LogNames


def read_digests(
    database: SqliteDatabase,
    names: LogNames,
    table: TableId,
    schema: TableSchema,
    range_column: str | None,
    id_ranges: Sequence[IdRange],
) -> RangeDigests:
    """See `ports.ChangeSource.digests`. Raises as a load does."""
    where = str(table)
    with closing(open_session(database)) as session, sqlite_errors(where), reading(session):
        commit, columns = position_and_columns(session, names, table)
        taken_at = dt.datetime.now(dt.UTC)
        compared = _common_columns(schema, columns)
        chosen = replace(schema, columns=compared, key=())
        wanted = pa.schema([*(field_of(column) for column in compared), pa.field(OVERFLOW, pa.string())])
        with duckdb.connect() as engine:
            digests = {
                each.key: digest_of(engine, rows_of(session, table, chosen, condition), wanted)
                for each, condition in zip(
                    id_ranges, range_conditions(schema, range_column, id_ranges), strict=True
                )
            }
    return RangeDigests(commit, taken_at, columns, tuple(column.name for column in compared), digests)


def _common_columns(schema: TableSchema, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns of `schema`, in its order, that are still there and stored as the same type."""
    now = {column.name: column for column in columns}
    return tuple(now[c.name] for c in schema.columns if c.name in now and now[c.name].arrow == c.arrow)
