"""Digests of id ranges at one place of the binlog.

The server cannot print the bits of a float, and its own text of other values is not the canonical one
of `core.digests`: rows are read as a load reads them and digested here, in memory that does not grow with
the table. Equal to the digest of what loads store by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from replication_assets.core.digests import digest_of
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.ports import RangeDigests
from replication_assets.sources.mysql.connection import MySqlConnection, Session, quoted
from replication_assets.sources.mysql.load import read_clock, select
from replication_assets.sources.mysql.predicates import range_conditions
from replication_assets.sources.mysql.reflection import table_columns
from replication_assets.sources.mysql.result_rows import ResultRows
from replication_assets.sources.mysql.select_list import loaded_batch, loaded_schema
from replication_assets.sources.mysql.snapshot import Snapshots, consistent_snapshot


def read_digests(
    connection: MySqlConnection,
    table: TableId,
    schema: TableSchema,
    range_column: str | None,
    id_ranges: Sequence[IdRange],
    wait: float,
    snapshots: Snapshots = consistent_snapshot,
) -> RangeDigests:
    """See `ports.ChangeSource.digests`. Raises as a load does."""
    with snapshots(connection, table, wait) as snapshot:
        columns = table_columns(snapshot.session, table)
        taken_at = read_clock(snapshot.session)
        compared = TableSchema(common_columns(schema, columns))
        digests = {}
        with engine(Spill()) as duck:
            for id_range in id_ranges:
                cut = [] if range_column is None else range_conditions(schema.column(range_column), id_range)
                query = select(compared, quoted(table.schema, table.name), " AND ".join(cut) or "TRUE")
                batches = _rows(snapshot.session, query, compared)
                digests[id_range.key] = digest_of(duck, batches, loaded_schema(compared))
    return RangeDigests(snapshot.commit, taken_at, columns, compared.names, digests)


def _rows(session: Session, query: str, schema: TableSchema) -> Iterator[pa.RecordBatch]:
    stored = loaded_schema(schema)
    for printed in ResultRows(session, query, len(schema.columns)):
        yield loaded_batch(schema, stored, printed)


def common_columns(schema: TableSchema, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns of `schema`, in its order, that are still there and stored as the same type."""
    now = {column.name: column for column in columns}
    return tuple(now[c.name] for c in schema.columns if c.name in now and now[c.name].arrow == c.arrow)
