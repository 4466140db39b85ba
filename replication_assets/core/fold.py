"""Events to rows: the greatest position of each key wins, partial images are completed.

The fold of a range is a pure function of its events: it does not depend on the order in
which they were written, and folding what was folded changes nothing. Work is done by DuckDB
with a memory limit and spill, on the few columns that decide which events win; the rows of these
are then fetched by their numbers. That takes half the processor time of joining the winners with the
rows, and less than a window over whole rows does (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from replication_assets.core.baseline import Baseline
from replication_assets.core.events import (
    BEFORE,
    COMMIT_POSITION,
    COMMITTED_AT,
    EPOCH,
    EVENT_DATE,
    LOAD_ID,
    OP,
    OVERFLOW,
    POSITION,
    SEQUENCE,
    UNCHANGED,
)
from replication_assets.core.numbered import NUMBER, NumberedRows, Numbers
from replication_assets.core.partials import HistoryOf, complete
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import figures, literal, position_of, quoted, same_key, stream
from replication_assets.core.table_filters import RowFilter, filter_of
from replication_assets.core.winners import AT, counted_events, find_last, order_of_last, superseded

ROW_ENVELOPE = pa.schema(
    [
        pa.field(EPOCH, pa.int32()),
        pa.field(COMMIT_POSITION, pa.int64()),
        pa.field(SEQUENCE, pa.int64()),
        pa.field(COMMITTED_AT, pa.timestamp("us", tz="UTC")),
        pa.field(OVERFLOW, pa.string()),
    ]
)
"""Columns that follow the table's own in a folded row: the event that made the row what it is."""

NET = '"~net"'
"""How often a row is there."""

PARTIAL_MARKS = pa.schema([pa.field(UNCHANGED, pa.list_(pa.string())), pa.field(BEFORE, pa.string())])


def row_schema(schema: TableSchema) -> pa.Schema:
    """A folded row: the table's columns, then `ROW_ENVELOPE`."""
    return pa.schema([*schema.arrow_schema(), *ROW_ENVELOPE])


def fold_rows(
    connection: duckdb.DuckDBPyConnection,
    events: ds.Dataset,
    schema: TableSchema,
    baseline: Baseline,
    *,
    history_of: HistoryOf,
    where: str,
    as_of: Position | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows of a range as of a position (default: all that is stored), in no particular order. Of a
    filtered table those that pass; `schema` has the columns that it is filtered by.

    Raises:
        NeedsReload: a value that the source did not send is in no stored event.
        SchemaConflict: nobody can tell whether a row passes.
    """
    row_filter = RowFilter(filter_of(baseline.where), where)
    for batch in _folded(connection, events, schema, baseline, history_of, where, as_of):
        kept = row_filter.kept(batch)
        if kept.num_rows:
            yield kept


def _folded(
    connection: duckdb.DuckDBPyConnection,
    events: ds.Dataset,
    schema: TableSchema,
    baseline: Baseline,
    history_of: HistoryOf,
    where: str,
    as_of: Position | None,
) -> Iterator[pa.RecordBatch]:
    rows = NumberedRows(events, _pieces_that_count(baseline, as_of), where)
    counted = counted_events(baseline, as_of)
    if schema.key:
        _choose_winners(connection, rows, schema, baseline, counted)
    elif not _choose_unless_deleted(connection, rows, baseline, counted):
        connection.register("event", events)
        query = net_multiset(schema, f"event e WHERE {counted} AND NOT {superseded(baseline)}", copies=NET)
        yield from stream(connection, query, row_schema(schema))
        return
    yield from _whole_rows(connection, rows, row_schema(schema))
    connection.register("event", events)
    partial = pa.schema([*row_schema(schema), *PARTIAL_MARKS])
    for batch in complete(connection, schema, partial, history_of, where=where):
        yield batch.select(row_schema(schema).names)


def _pieces_that_count(baseline: Baseline, as_of: Position | None) -> pc.Expression:
    """True of every event that the fold needs, in scalar comparisons that bounds of files and row
    groups can rule out."""
    epoch, commit = pc.field(EPOCH), pc.field(COMMIT_POSITION)
    low = baseline.oldest
    wanted = (epoch > low.epoch) | ((epoch == low.epoch) & (commit >= low.commit))
    if as_of is None:
        return wanted
    high = max(as_of, baseline.newest)
    return wanted & ((epoch < high.epoch) | ((epoch == high.epoch) & (commit <= high.commit)))


def _choose_winners(
    connection: duckdb.DuckDBPyConnection,
    rows: NumberedRows,
    schema: TableSchema,
    baseline: Baseline,
    counted: str,
) -> None:
    """Leave in table `chosen` the number of the last event of each key that has a row."""
    connection.register("event", rows.reader([EPOCH]))
    order = order_of_last(connection)
    one_load = baseline.load if not baseline.dated else None
    if one_load is not None:
        # Every change that counts is newer than the one load, whose rows differ in their keys: only
        # keys that changed since are held, and not all of the range.
        counted = f"e.{OP} <> 'R' AND {counted}"
    connection.register("event", rows.reader([*schema.key, OP, *POSITION, LOAD_ID, EVENT_DATE]))
    find_last(connection, schema, baseline, counted, order)
    chosen = f"SELECT {AT} AS number FROM winner WHERE {AT} >= 0"
    if one_load is not None:
        connection.register("event", rows.reader([*schema.key, OP, LOAD_ID]))
        loaded = f"e.{OP} = 'R' AND e.{LOAD_ID} = {literal(one_load.load_id)}"
        same = same_key(schema.key, "e", "w")
        chosen += (
            f" UNION ALL SELECT e.{quoted(NUMBER)} FROM event e ANTI JOIN winner w ON {same} WHERE {loaded}"
        )
    # Joins keep the keys that they are written with on their right, and let events stream by: an
    # optimizer that knows nothing of the size of a log may hold all of its rows instead.
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    _keep_chosen(connection, chosen)
    connection.execute("RESET disabled_optimizers")
    connection.execute("DROP TABLE winner")


def _choose_unless_deleted(
    connection: duckdb.DuckDBPyConnection, rows: NumberedRows, baseline: Baseline, counted: str
) -> bool:
    """Leave the numbers of all events in table `chosen`; False if one of them is a delete. Without a
    key every equal row counts, and what never saw a delete is streamed as it is."""
    columns = [OP, *POSITION, LOAD_ID, EVENT_DATE]
    alive = f"{counted} AND NOT {superseded(baseline)}"
    connection.register("event", rows.reader(columns))
    number = f"CASE WHEN e.{OP} = 'D' THEN -1 ELSE e.{quoted(NUMBER)} END"
    _keep_chosen(connection, f"SELECT {number} AS number FROM event e WHERE {alive}")
    return figures(connection, "SELECT count(*) FROM chosen WHERE number < 0") == (0,)


def _keep_chosen(connection: duckdb.DuckDBPyConnection, numbers: str) -> None:
    # Sorted, so that the numbers of a piece stand together and the rest of them is skipped.
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT number FROM ({numbers}) ORDER BY number"
    )


def _whole_rows(
    connection: duckdb.DuckDBPyConnection, rows: NumberedRows, wanted: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The chosen rows; those that lack values go to table `partial` instead."""
    marked = pa.schema([*wanted, *PARTIAL_MARKS])
    connection.register("given", marked.empty_table())
    connection.execute("CREATE OR REPLACE TEMP TABLE partial AS SELECT * FROM given")

    def numbers(first: int, end: int) -> Numbers:
        within = f"SELECT number FROM chosen WHERE number >= {first} AND number < {end}"
        found: Numbers = connection.sql(within).fetchnumpy()["number"]
        return found

    for batch in rows.fetch(numbers, marked.names):
        unchanged = batch.column(marked.get_field_index(UNCHANGED))
        if unchanged.null_count < len(unchanged):
            connection.register("given", pa.Table.from_batches([batch.filter(unchanged.is_valid())]))
            connection.execute("INSERT INTO partial SELECT * FROM given")
            batch = batch.filter(unchanged.is_null())
        if batch.num_rows:
            yield pa.RecordBatch.from_arrays(batch.columns[: len(wanted)], schema=wanted)


def net_multiset(schema: TableSchema, source: str, *, copies: str) -> str:
    """SQL: equal rows of `source` counted as `NET` (a delete counts -1), each `copies` times
    (none where that is not positive), with the newest position among them."""
    content = [quoted(name) for name in (*schema.names, OVERFLOW)]
    listed = ", ".join(f"e.{name}" for name in content)
    counted = (
        f"SELECT {listed}, sum(CASE WHEN e.{OP} = 'D' THEN -1 ELSE 1 END)::BIGINT AS {NET}, "
        f"max({position_of()}) AS {AT}, max(e.{COMMITTED_AT}) AS {COMMITTED_AT} "
        f"FROM {source} GROUP BY {listed}"
    )
    columns = ", ".join(quoted(name) for name in schema.names)
    copied = f'SELECT *, unnest(range({copies})) AS "~copy" FROM ({counted}) WHERE {copies} > 0'
    return (
        f"SELECT {columns}, {AT}.e AS {EPOCH}, {AT}.c AS {COMMIT_POSITION}, {AT}.s AS {SEQUENCE}, "
        f"{COMMITTED_AT}, {OVERFLOW} FROM ({copied})"
    )
