"""What a load of a table yields, for tests to look at."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.ports import LoadSlice
from replication_assets.sources.mysql import MySqlSource

WHOLE = IdRange("r000000", 0, None, None)
COMMIT_DATES = EventDates(None, "day", dt.date(2020, 1, 1))


def whole(table: TableId, schema: TableSchema) -> LoadSlice:
    return LoadSlice(table, schema, None, WHOLE, COMMIT_DATES)


def loaded(source: MySqlSource, table: TableId) -> pa.Table:
    """All rows, and the columns that the store would have."""
    schema = source.reflect(table)
    with source.load(whole(table, schema)) as load:
        batches = list(load)
    return pa.Table.from_batches(batches) if batches else pa.table({})


def values(source: MySqlSource, table: TableId, column: str) -> list[Any]:
    return list(loaded(source, table).column(column).to_pylist())
