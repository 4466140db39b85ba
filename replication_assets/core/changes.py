"""The net effect of some consecutive events on one range, for a target that has the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from replication_assets.core.baseline import Baseline
from replication_assets.core.events import BEFORE, OP, UNCHANGED
from replication_assets.core.fold import NET, PARTIAL_MARKS, net_multiset, row_schema
from replication_assets.core.partials import HistoryOf, complete
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import figures, newer, quoted, same_key, stream
from replication_assets.core.table_filters import RowFilter, filter_of
from replication_assets.core.winners import (
    AT,
    counted_events,
    find_winners,
    order_value,
    superseded,
    winning_rows,
)


@dataclass(frozen=True, slots=True)
class RangeChanges:
    """Net effect of some consecutive events on one range.

    `upserts` are whole rows with `fold.row_schema` and a last column `_unchanged` (null in
    most rows): columns that it names keep the target's value. `deletes` holds rows of the
    same schema, of which only the key and the position count; for a table without key both
    hold whole rows, and each delete removes one equal row. `insert_only`: no row of the
    target needs to be looked at, upserts can be appended. `former`, where a target asks for
    it, holds every other row that the touched keys had from the start of the window on: the
    one before it, and those that came and went within. It is empty for a table without key,
    whose deletes say it all.
    """

    upserts: pa.Table
    deletes: pa.Table
    insert_only: bool
    former: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """All events of the range, for a target that wants more than net changes.

    Read are those of the keys in question alone: of every touched key for `former_rows`, and
    of rows that came without some of their values for `whole_rows`. With `since`, former rows go
    back to there: the target refused rows since then, and holds older ones in their place.
    """

    events: ds.Dataset
    history_of: HistoryOf
    whole_rows: bool = False
    former_rows: bool = False
    since: Position | None = None


@dataclass(frozen=True, slots=True)
class _Window:
    """What the steps below share: a connection with the window's events in table `event`."""

    connection: duckdb.DuckDBPyConnection
    schema: TableSchema
    baseline: Baseline
    start: Position
    end: Position
    where: str


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
    past: Past | None = None,
) -> RangeChanges | None:
    """Net changes of the events in `(start, end]`.

    None when bringing the target forward would not be right or not be cheaper than folding
    the range anew: more than `most` events, or a row that moved here from another key and
    left a value behind there, unless whole rows are asked for. Of a filtered table whole rows must be
    asked for: a row that does not pass (any more) is a delete.

    Raises:
        NeedsReload: a value of a whole or former row is in no stored event.
        SchemaConflict: nobody can tell whether a row passes.
    """
    if baseline.where and (past is None or not past.whole_rows):
        raise ValueError(f"{where}: changes of a filtered table are told by whole rows")
    connection.register("stored", events)
    window = f"e.{OP} IN ('I', 'U', 'D') AND {newer(start)} AND NOT {newer(end)}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE event AS SELECT * FROM stored e WHERE {window} LIMIT {most + 1}"
    )
    moved = f"count(*) FILTER (WHERE {UNCHANGED} IS NOT NULL AND {BEFORE} IS NOT NULL)"
    inserted = f"count(*) FILTER (WHERE {OP} = 'I')"
    count, moves, inserts = figures(connection, f"SELECT count(*), {moved}, {inserted} FROM event")
    if count > most or (moves and (past is None or not past.whole_rows)):
        return None
    found = _Window(connection, schema, baseline, start, end, where)
    if not schema.key:
        changes = _multiset_changes(found, count == inserts)
        former = row_schema(schema).empty_table() if past is not None and past.former_rows else None
        return _passing(found, replace(changes, former=former))
    return _passing(found, _keyed_changes(found, count == inserts, past))


def _passing(window: _Window, changes: RangeChanges) -> RangeChanges:
    """As the filter of the table has them. A row that does not pass may have passed before, unless it
    was inserted. Without a key, deletes are whole rows and say themselves which were there."""
    if not window.baseline.where:
        return changes
    row_filter, keyed = RowFilter(filter_of(window.baseline.where), window.where), bool(window.schema.key)
    passes = row_filter.passes(changes.upserts)
    deletes, former = changes.deletes, changes.former
    if not keyed:
        deletes = deletes.filter(row_filter.passes(deletes))
    elif not changes.insert_only:
        out = changes.upserts.filter(pc.invert(passes)).select(deletes.schema.names)
        deletes = pa.concat_tables([deletes, out.cast(deletes.schema)])
    if former is not None:
        former = former.filter(row_filter.passes(former))
    return RangeChanges(changes.upserts.filter(passes), deletes, changes.insert_only, former)


def _upsert_schema(schema: TableSchema) -> pa.Schema:
    return pa.schema([*row_schema(schema), PARTIAL_MARKS.field(UNCHANGED)])


def _keyed_changes(window: _Window, insert_only: bool, past: Past | None) -> RangeChanges:
    connection, schema, wide = window.connection, window.schema, _wide(window.schema)
    order = order_value(connection)
    find_winners(connection, schema, "TRUE", order)
    columns = ", ".join(f"e.{quoted(name)}" for name in wide.names)
    last = (
        f"SELECT {columns} FROM event e JOIN winner w ON {same_key(schema.key, 'e', 'w')} "
        f"AND {order} = w.{AT} WHERE e.{OP} "
    )
    # A key-only delete has no date to hold against a load; the target compares positions.
    written = f"{last} <> 'D' AND NOT {superseded(window.baseline)} AND e.{UNCHANGED} IS"
    rows = pa.Table.from_batches(stream(connection, f"{written} NULL", wide), wide)
    deletes = pa.Table.from_batches(stream(connection, f"{last} = 'D'", wide), wide)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE partial AS {written} NOT NULL")
    # A key that is inserted had no row before, and its one insert is its only image.
    former_rows = past is not None and past.former_rows and not insert_only
    completed, former = _completed_and_former(window, past, former_rows)
    upserts = pa.concat_tables([rows, completed]).select(_upsert_schema(schema).names)
    return RangeChanges(upserts, deletes.select(row_schema(schema).names), insert_only, former)


def _wide(schema: TableSchema) -> pa.Schema:
    return pa.schema([*row_schema(schema), *PARTIAL_MARKS])


def _completed_and_former(
    window: _Window, past: Past | None, former_rows: bool
) -> tuple[pa.Table, pa.Table | None]:
    """The rows of table `partial`, whole if that is asked for; and the former rows, or none of
    them where there is nothing to look for."""
    history_of = past.history_of if past is not None and past.whole_rows else None
    if past is not None and former_rows:
        _read_history(window, past.events, "event")
    elif past is not None and history_of is not None and _any_row(window, "partial"):
        _read_history(window, past.events, "partial")
    wide = _wide(window.schema)
    completed = complete(window.connection, window.schema, wide, history_of, where=window.where)
    rows = pa.Table.from_batches(completed, wide)
    if past is None or not past.former_rows:
        return rows, None
    found = wide.empty_table()
    if former_rows:
        since = min(window.start, past.since or window.start)
        found = _former_rows(replace(window, start=since), past.history_of)
    return rows, found.select(row_schema(window.schema).names)


def _any_row(window: _Window, table: str) -> bool:
    return bool(figures(window.connection, f"SELECT count(*) FROM {table}")[0])


def _read_history(window: _Window, events: ds.Dataset, touched: str) -> None:
    """Put all events of the keys in table `touched`, up to the window's end, into `event`.

    Integer keys are bounded first: files that came in the order of keys are then skipped.
    """
    connection, key = window.connection, window.schema.key
    connection.register("past", events)
    names = ", ".join(quoted(name) for name in key)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT {names} FROM {touched}")
    bounded = "TRUE"
    first = quoted(key[0])
    if pa.types.is_integer(window.schema.column(key[0]).arrow):
        low, high = figures(connection, f"SELECT min({first}), max({first}) FROM touched")
        bounded = f"e.{first} BETWEEN {low} AND {high}" if low is not None else bounded
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE history AS SELECT e.* FROM past e SEMI JOIN touched t "
        f"ON {same_key(key, 'e', 't')} WHERE e.{OP} IN ('R', 'I', 'U', 'D') "
        f"AND (e.{OP} = 'R' OR NOT {newer(window.end)}) AND {bounded}"
    )
    connection.execute("DROP TABLE event")
    connection.execute("ALTER TABLE history RENAME TO event")


def _former_rows(window: _Window, history_of: HistoryOf) -> pa.Table:
    """From the history in `event`: the rows that held at the window's start, and the images
    within it, but for the rows that hold at its end."""
    connection, schema, baseline, wide = (
        window.connection,
        window.schema,
        window.baseline,
        _wide(window.schema),
    )
    order = order_value(connection)
    find_winners(connection, schema, counted_events(baseline, window.end), order)
    connection.execute("CREATE OR REPLACE TEMP TABLE final AS SELECT * FROM winner")
    find_winners(connection, schema, counted_events(baseline, window.start), order)
    columns = ", ".join(f"e.{quoted(name)}" for name in wide.names)
    final = f"final f ON {same_key(schema.key, 'e', 'f')} AND {order}"
    before = f"SELECT e.* FROM ({winning_rows(schema, baseline, order, wide)}) e ANTI JOIN {final} = f.{AT}"
    within = (
        f"SELECT {columns} FROM event e JOIN {final} < f.{AT} WHERE e.{OP} IN ('I', 'U') "
        f"AND {newer(window.start)} AND NOT {superseded(baseline)}"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE former AS {before} UNION ALL {within}")
    chosen = f"FROM former e WHERE e.{UNCHANGED} IS"
    rows = list(stream(connection, f"SELECT * {chosen} NULL", wide))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE partial AS SELECT * {chosen} NOT NULL")
    rows += complete(connection, schema, wide, history_of, where=window.where)
    return pa.Table.from_batches(rows, wide)


def _multiset_changes(window: _Window, insert_only: bool) -> RangeChanges:
    connection, schema = window.connection, window.schema
    source = f"event e WHERE NOT {superseded(window.baseline)}"
    wanted = row_schema(schema)
    added = pa.Table.from_batches(
        stream(connection, net_multiset(schema, source, copies=NET), wanted), wanted
    )
    removed = pa.Table.from_batches(
        stream(connection, net_multiset(schema, source, copies=f"-{NET}"), wanted), wanted
    )
    unchanged = PARTIAL_MARKS.field(UNCHANGED)
    return RangeChanges(
        added.append_column(unchanged, pa.nulls(added.num_rows, unchanged.type)), removed, insert_only
    )
