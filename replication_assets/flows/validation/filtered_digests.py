"""Digests of a filtered table's ranges at its source, made of the rows that a load reads.

What a server digests it would have to filter exactly as the fold is filtered. A load may read more rows
than pass, and they are filtered here, so the rows that pass cross the wire; all ranges are read as of one
position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from replication_assets.core.digests import NOTHING, Digest, digests_by
from replication_assets.core.events import OVERFLOW
from replication_assets.core.id_ranges import IdRange, IdRanges
from replication_assets.core.schema import TableSchema, field_of
from replication_assets.core.sql import Spill, engine
from replication_assets.core.table_filters import RowFilter, require_fit
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.ports import ChangeSource, LoadSlice, RangeDigests

_RANGE = "~range"


def filtered_digests(
    source: ChangeSource, table: ReplicatedTable, ranges: Sequence[IdRange], spill: Spill
) -> RangeDigests:
    """As `ChangeSource.digests`, of the rows that pass the table's filter.

    Raises:
        CatalogError: the filter does not fit the columns that the table has now.
    """
    where = tuple(table.declared.where)
    reflected = source.reflect(table.id, key=table.schema.key, append_only=table.schema.append_only)
    now = {column.name: column for column in reflected.columns}
    columns = tuple(
        now[each.name]
        for each in table.schema.columns
        if each.name in now and now[each.name].arrow == each.arrow
    )
    schema = TableSchema(columns)
    require_fit(where, schema, str(table.id))
    chosen = ranges[0] if len(ranges) == 1 else IdRange("all", 0, None, None)
    request = LoadSlice(table.id, schema, table.id_ranges.column, chosen, table.event_dates, None, where)
    kept = pa.schema([*(field_of(each) for each in columns), pa.field(OVERFLOW, pa.string())])
    row_filter = RowFilter(where, str(table.id))
    with source.load(request) as stream, engine(spill) as connection:
        rows = (_placed(row_filter.kept(batch), table.id_ranges, ranges) for batch in stream)
        found = digests_by(connection, rows, kept, _RANGE)
        digests: dict[str, Digest] = {each.key: found.get(each.key, NOTHING) for each in ranges}
        return RangeDigests(stream.commit, stream.taken_at, stream.columns, tuple(schema.names), digests)


def _placed(batch: pa.RecordBatch, id_ranges: IdRanges, ranges: Sequence[IdRange]) -> pa.RecordBatch:
    """With the range of each row. The last one of a table is open above: it has the keys that are greater
    than any that was known."""
    keys = id_ranges.assign_rows(batch)
    last = ranges[-1] if ranges else None
    if last is not None and last.hi is None:
        known = pa.array([each.key for each in _below(id_ranges, last)], pa.string())
        beyond = pa.compute.invert(pa.compute.is_in(keys, value_set=known))
        keys = pa.compute.if_else(beyond, last.key, keys)
    return batch.append_column(pa.field(_RANGE, pa.string()), keys)


def _below(id_ranges: IdRanges, last: IdRange) -> Iterator[IdRange]:
    return (id_ranges.at(index) for index in range(last.index))
