"""Digests of id ranges as of one SCN.

The server's own text of values is not the canonical one of `core.digests`: rows are read as a load reads them
and digested here, in memory that does not grow with the table. Equal to the digest of what loads store by
construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from replication_assets.core.digests import digest_of
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.ports import RangeDigests
from replication_assets.sources.oracle.extent import check_order
from replication_assets.sources.oracle.load import read_rows
from replication_assets.sources.oracle.predicates import Conditions, range_conditions
from replication_assets.sources.oracle.reflection import table_columns
from replication_assets.sources.oracle.select_list import loaded_batch, loaded_schema
from replication_assets.sources.oracle.sessions import Server, connected
from replication_assets.sources.oracle.snapshot import current_scn, read_clock


def read_digests(
    server: Server,
    table: TableId,
    schema: TableSchema,
    range_column: str | None,
    id_ranges: Sequence[IdRange],
) -> RangeDigests:
    """See `ports.ChangeSource.digests`. Raises as a load does."""
    with connected(server, statement_seconds=0) as session:
        columns = table_columns(session, table)
        scn = current_scn(session)
        taken_at = read_clock(session)
        compared = TableSchema(common_columns(schema, columns))
        if range_column is not None:
            check_order(session, table, schema.column(range_column))
        digests = {}
        with engine(Spill()) as duck:
            for id_range in id_ranges:
                cut = Conditions()
                if range_column is not None:
                    cut = range_conditions(schema.column(range_column), id_range)
                frames = read_rows(session, table, compared, cut, scn)
                digests[id_range.key] = digest_of(duck, _rows(frames, compared), loaded_schema(compared))
    return RangeDigests(scn + 1, taken_at, columns, compared.names, digests)


def _rows(frames: Iterator[pa.RecordBatch], schema: TableSchema) -> Iterator[pa.RecordBatch]:
    stored = loaded_schema(schema)
    for frame in frames:
        yield loaded_batch(schema, stored, frame)


def common_columns(schema: TableSchema, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns of `schema`, in its order, that are still there and stored as the same type."""
    now = {column.name: column for column in columns}
    return tuple(now[c.name] for c in schema.columns if c.name in now and now[c.name].arrow == c.arrow)
