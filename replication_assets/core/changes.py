"""The net effect of some consecutive events on one range, for a target that has the rest."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.core.baseline import Baseline
from replication_assets.core.events import BEFORE, OP, UNCHANGED
from replication_assets.core.fold import (
    PARTIAL_MARKS,
    find_winners,
    net_multiset,
    order_value,
    row_schema,
    superseded,
)
from replication_assets.core.partials import complete
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import figures, newer, quoted, same_key, stream


@dataclass(frozen=True, slots=True)
class RangeChanges:
    """Net effect of some consecutive events on one range.

    `upserts` are whole rows with `fold.row_schema` and a last column `_unchanged` (null in
    most rows): columns that it names keep the target's value. `deletes` holds rows of the
    same schema, of which only the key and the position count; for a table without key both
    hold whole rows, and each delete removes one equal row. `insert_only`: no row of the
    target needs to be looked at, upserts can be appended. `former`, where a target asks for
    it, holds every other row that the touched keys had from the start of the window on: the
    one before it, and those that came and went within.
    """

    upserts: pa.Table
    deletes: pa.Table
    insert_only: bool
    former: pa.Table | None = None


def range_changes(
    connection: duckdb.DuckDBPyConnection,
    events: ds.Dataset,
    schema: TableSchema,
    baseline: Baseline,
    *,
    start: Position,
    end: Position,
    most: int,
    where: str,
) -> RangeChanges | None:
    """Net changes of the events in `(start, end]`.

    None when bringing the target forward would not be right or not be cheaper than folding
    the range anew: more than `most` events, or a row that moved here from another key and
    left a value behind there.
    """
    connection.register("stored", events)
    window = f"e.{OP} IN ('I', 'U', 'D') AND {newer(start)} AND NOT {newer(end)}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE event AS SELECT * FROM stored e WHERE {window} LIMIT {most + 1}"
    )
    moved = f"count(*) FILTER (WHERE {UNCHANGED} IS NOT NULL AND {BEFORE} IS NOT NULL)"
    inserted = f"count(*) FILTER (WHERE {OP} = 'I')"
    count, moves, inserts = figures(connection, f"SELECT count(*), {moved}, {inserted} FROM event")
    if count > most or moves:
        return None
    insert_only = count == inserts
    if not schema.key:
        return _multiset_changes(connection, schema, baseline, insert_only)
    return _keyed_changes(connection, schema, baseline, insert_only, where)


def _upsert_schema(schema: TableSchema) -> pa.Schema:
    return pa.schema([*row_schema(schema), PARTIAL_MARKS.field(UNCHANGED)])


def _keyed_changes(
    connection: duckdb.DuckDBPyConnection,
    schema: TableSchema,
    baseline: Baseline,
    insert_only: bool,
    where: str,
) -> RangeChanges:
    order = order_value(connection)
    find_winners(connection, schema, "TRUE", order)
    wanted = pa.schema([*row_schema(schema), *PARTIAL_MARKS])
    columns = ", ".join(f"e.{quoted(name)}" for name in wanted.names)
    last = (
        f"SELECT {columns} FROM event e JOIN winner w ON {same_key(schema.key, 'e', 'w')} AND {order} = w.p "
        f"WHERE e.{OP} "
    )
    # A key-only delete has no date to hold against a load; the target compares positions.
    written = f"{last} <> 'D' AND NOT {superseded(baseline)} AND e.{UNCHANGED} IS"
    rows = pa.Table.from_batches(stream(connection, f"{written} NULL", wanted), wanted)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE partial AS {written} NOT NULL")
    completed = pa.Table.from_batches(complete(connection, schema, wanted, None, where=where), wanted)
    deletes = pa.Table.from_batches(stream(connection, f"{last} = 'D'", wanted), wanted)
    upserts = pa.concat_tables([rows, completed]).select(_upsert_schema(schema).names)
    return RangeChanges(upserts, deletes.select(row_schema(schema).names), insert_only)


def _multiset_changes(
    connection: duckdb.DuckDBPyConnection, schema: TableSchema, baseline: Baseline, insert_only: bool
) -> RangeChanges:
    source = f"event e WHERE NOT {superseded(baseline)}"
    wanted = row_schema(schema)
    added = pa.Table.from_batches(
        stream(connection, net_multiset(schema, source, copies="n"), wanted), wanted
    )
    removed = pa.Table.from_batches(
        stream(connection, net_multiset(schema, source, copies="-n"), wanted), wanted
    )
    unchanged = PARTIAL_MARKS.field(UNCHANGED)
    return RangeChanges(
        added.append_column(unchanged, pa.nulls(added.num_rows, unchanged.type)), removed, insert_only
    )
