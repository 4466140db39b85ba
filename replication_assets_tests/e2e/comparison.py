"""Source, store and projection compared row by row, whole tables at a time, without digests.

What validation says is held against this: it shares no code with it but the fold. Rows are
compared as multisets of whole rows, which works with and without keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill, engine, figures, quoted
from replication_assets.errors import StoreError
from replication_assets.flows.compare import baseline_at
from replication_assets.flows.prepare import ReplicatedTable, current_epoch
from replication_assets.flows.read import fold_range, ranges_of, read_table
from replication_assets.ports import ChangeSource, EventStore, LoadSlice, ProjectionTarget


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of two sides as of `position`; `missing` are not on the second, `extra` only there."""

    table: TableId
    position: Position
    rows: int
    compared_rows: int
    missing: int
    extra: int

    @property
    def mismatches(self) -> int:
        return self.missing + self.extra


def compare_with_source(
    source: ChangeSource,
    store: EventStore,
    table: ReplicatedTable,
    *,
    catch_up: Callable[[Position], None] | None = None,
    spill: Spill = Spill(),
) -> Comparison:
    """The fold against the source, both as of the moment the source is read.

    `catch_up` is called with that moment once the source's rows are held, and returns when
    capture has reached it: the source may go on being written to meanwhile.

    Raises:
        StoreError: capture has not reached that moment yet.
    """
    whole = IdRange("all", 0, None, None)
    request = LoadSlice(table.id, table.schema, None, whole, table.event_dates)
    with engine(spill) as connection:
        with source.load(request) as stream:
            position = Position(current_epoch(source, store), stream.commit)
            _fill(connection, "expected", stream, table.schema)
        if table.captured and catch_up is not None:
            catch_up(position)
        mark = store.ledger(source.name).last()
        # Rows read at a position hold what committed before it, so one short of it is enough.
        if table.captured and (
            mark is None or (mark.epoch, mark.commit + 1) < (position.epoch, position.commit)
        ):
            raise StoreError(
                f"capture has not reached {position} yet",
                where=str(table.id),
                fix="capture, then compare again",
            )
        _fill(connection, "actual", read_table(store, table.id, as_of=position), table.schema)
        return _compare(connection, table.id, table.schema, position)


def compare_projection(
    store: EventStore, target: ProjectionTarget, table: TableId, *, spill: Spill = Spill()
) -> Comparison:
    """The target against the fold, range by range as of the target's own checkpoints."""
    snapshot = store.log(table).snapshot()
    schema = snapshot.schema
    reached = Position(0, 0)
    with engine(spill) as connection:
        _fill(connection, "expected", (), schema)
        for id_range in ranges_of(snapshot):
            checkpoint = target.checkpoint(id_range.key)
            if checkpoint is None:
                raise StoreError(
                    "it was never projected", where=f"{table} range {id_range.key}", fix="project it"
                )
            reached = max(reached, checkpoint.position)
            rows = fold_range(
                snapshot,
                table,
                id_range,
                as_of=checkpoint.position.end_of_commit(),
                baseline=baseline_at(snapshot.controls(), id_range, checkpoint, str(table)),
            )
            _append(connection, "expected", rows, schema)
        _fill(connection, "actual", target.read(), schema)
        return _compare(connection, table, schema, reached)


def _content(schema: TableSchema) -> pa.Schema:
    return pa.schema([*schema.arrow_schema(), pa.field(OVERFLOW, pa.string())])


def _fill(
    connection: duckdb.DuckDBPyConnection, name: str, batches: Iterable[pa.RecordBatch], schema: TableSchema
) -> None:
    empty = _content(schema).empty_table()
    connection.register("shape", empty)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM shape")
    _append(connection, name, batches, schema)


def _append(
    connection: duckdb.DuckDBPyConnection, name: str, batches: Iterable[pa.RecordBatch], schema: TableSchema
) -> None:
    columns = _content(schema).names
    for batch in batches:
        connection.register("batch", pa.Table.from_batches([batch]).select(columns))
        connection.execute(f"INSERT INTO {name} SELECT * FROM batch")


def _compare(
    connection: duckdb.DuckDBPyConnection, table: TableId, schema: TableSchema, position: Position
) -> Comparison:
    columns = ", ".join(quoted(name) for name in _content(schema).names)

    def count(query: str) -> int:
        return int(figures(connection, f"SELECT count(*) FROM ({query})")[0])

    missing = count(f"SELECT {columns} FROM expected EXCEPT ALL SELECT {columns} FROM actual")
    extra = count(f"SELECT {columns} FROM actual EXCEPT ALL SELECT {columns} FROM expected")
    rows, compared = count("SELECT 1 FROM expected"), count("SELECT 1 FROM actual")
    return Comparison(table, position, rows, compared, missing, extra)
