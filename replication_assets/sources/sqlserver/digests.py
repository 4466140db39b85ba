"""Digests of id ranges, from the rows that loads of the same ranges would read.

The server's checksums are of its own forms of values, and it has none of the canonical one of
`core.digests`: rows are read as a load reads them and digested here, in memory that does not grow with
the table. Equal to the digest of what loads store by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.digests import digest_of
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.ports import RangeDigests
from replication_assets.sources.sqlserver.load import HandOff, loaded_schema, rows_of, snapshot
from replication_assets.sources.sqlserver.sessions import Sessions
from replication_assets.sources.sqlserver.statements.predicates import EVERY_ROW, range_conditions


def read_digests(
    sessions: Sessions,
    hand_off: HandOff,
    table: TableId,
    schema: TableSchema,
    range_column: str | None,
    id_ranges: Sequence[IdRange],
) -> RangeDigests:
    """See `ports.ChangeSource.digests`. Raises as a load does."""
    with snapshot(sessions, hand_off, table) as (session, commit, taken_at, columns):
        compared = TableSchema(common_columns(schema, columns))
        digests = {}
        with engine(Spill()) as duck:
            for id_range in id_ranges:
                cut = [] if range_column is None else range_conditions(schema.column(range_column), id_range)
                batches = rows_of(session, table, compared, " AND ".join(cut) or EVERY_ROW)
                digests[id_range.key] = digest_of(duck, batches, loaded_schema(compared))
    return RangeDigests(commit, taken_at, columns, compared.names, digests)


def common_columns(schema: TableSchema, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns of `schema`, in its order, that are still there and stored as the same type."""
    now = {column.name: column for column in columns}
    return tuple(now[c.name] for c in schema.columns if c.name in now and now[c.name].arrow == c.arrow)
