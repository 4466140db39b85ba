"""What a step of a topic tells: events of a table in their order, and the rows of a load.

A pure function of the step and of the log, whichever version of it is read: the same step gives the same
messages in the same order, so that a publisher that died can be followed by another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.controls import Controls
from replication_assets.core.envelopes.produced import MOVED
from replication_assets.core.envelopes.producing import TableEvent
from replication_assets.core.envelopes.shaped import told_schema
from replication_assets.core.events import (
    ALL_RANGES,
    COMMIT_POSITION,
    COMMITTED_AT,
    EPOCH,
    ID_RANGE,
    OP,
    OVERFLOW,
    POSITION,
    SEQUENCE,
    TRANSACTION_ID,
    UNCHANGED,
    stored_schema,
)
from replication_assets.core.fold import row_schema
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.partials import complete
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill, engine, quoted, same_key, stream
from replication_assets.errors import NotLoaded
from replication_assets.flows.read import fold_range, history_reader
from replication_assets.ports import LogSnapshot
from replication_assets.ports.topics import Published, TopicStep

ROW_OPERATIONS = ("I", "U", "D")
LOAD_BATCH = 20_000


# --- changes -------------------------------------------------------------------------------


def waiting_positions(
    snapshot: LogSnapshot, ranges: Mapping[str, Published], start: Position, end: Position
) -> pa.Table:
    """Positions of the changes in `(start, end]` of these ranges, in their order."""
    parts = [
        snapshot.events(key, after=after).to_table(columns=list(POSITION), filter=_changes(after, end))
        for key, after in _starts(ranges, start)
    ]
    nothing = stored_schema(snapshot.schema).empty_table().select(list(POSITION))
    return pa.concat_tables([nothing, *parts]).sort_by([(name, "ascending") for name in POSITION])


def changes(
    snapshot: LogSnapshot,
    table: TableId,
    step: TopicStep,
    spill: Spill,
    wanted_of_deleted: Sequence[str] = (),
) -> pa.Table:
    """Events of a step of changes, whole and in their order, with `told_schema`. Deletes have the columns
    `wanted_of_deleted` as the row had them, as far as the log knows."""
    assert step.start is not None
    schema, wanted = snapshot.schema, stored_schema(snapshot.schema)
    parts = [wanted.empty_table()]
    for key, after in _starts(step.ranges, step.start):
        events = (
            snapshot.events(key, after=after).to_table(filter=_changes(after, step.end)).select(wanted.names)
        )
        whole = _completed(snapshot, table, key, events.cast(wanted), spill)
        parts.append(_deleted_completed(snapshot, table, key, whole, spill, wanted_of_deleted))
    rows = pa.concat_tables(parts)
    # Of two at one position the delete of the old key comes first.
    rank = pc.if_else(pc.equal(rows[OP], "D"), 0, 1)
    order = [(name, "ascending") for name in (*POSITION, "~rank")]
    rows = rows.append_column("~rank", rank).sort_by(order).drop_columns(["~rank"]).combine_chunks()
    return rows.append_column(pa.field(MOVED, pa.bool_()), _moved(rows)).select(told_schema(schema).names)


def _starts(ranges: Mapping[str, Published], start: Position) -> Iterator[tuple[str, Position]]:
    for key in sorted(ranges):
        floor = ranges[key].floor
        yield key, start if floor is None else max(start, floor)


def _changes(after: Position, end: Position) -> pc.Expression:
    return pc.field(OP).isin(list(ROW_OPERATIONS)) & _newer(after) & ~_newer(end)


def _newer(position: Position) -> pc.Expression:
    epoch, commit, sequence = pc.field(EPOCH), pc.field(COMMIT_POSITION), pc.field(SEQUENCE)
    within = (commit > position.commit) | ((commit == position.commit) & (sequence > position.sequence))
    return (epoch > position.epoch) | ((epoch == position.epoch) & within)


def _moved(rows: pa.Table) -> pa.Array:
    """Updates that stand behind a delete at their own position."""
    if not rows.num_rows:
        return pa.array([], pa.bool_())
    places = np.stack([rows[name].to_numpy().astype(np.int64) for name in POSITION])
    same = np.concatenate([[False], (places[:, 1:] == places[:, :-1]).all(axis=0)])
    deleted = pc.equal(rows[OP], "D").to_numpy().astype(bool)
    updated = pc.equal(rows[OP], "U").to_numpy().astype(bool)
    return pa.array(same & updated & np.concatenate([[False], deleted[:-1]]))


def _completed(snapshot: LogSnapshot, table: TableId, key: str, events: pa.Table, spill: Spill) -> pa.Table:
    """With the values that the source did not send, since they did not change, from earlier events."""
    partial = events[UNCHANGED].is_valid()
    if not pc.any(partial, min_count=0).as_py():
        return events
    schema, rows = snapshot.schema, events.schema
    same = same_key(schema.key, "e", "p")
    with engine(spill) as connection:
        connection.register("given", events.filter(partial))
        connection.execute("CREATE OR REPLACE TEMP TABLE partial AS SELECT * FROM given")
        connection.register("stored", snapshot.events(key))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE event AS SELECT e.* FROM stored e SEMI JOIN partial p ON {same}"
        )
        where = f"{table} range {key}"
        whole = list(complete(connection, schema, rows, history_reader(snapshot), where=where))
    return pa.concat_tables([events.filter(pc.invert(partial)), pa.Table.from_batches(whole, rows)])


def _deleted_completed(
    snapshot: LogSnapshot, table: TableId, key: str, events: pa.Table, spill: Spill, columns: Sequence[str]
) -> pa.Table:
    """With columns that deletes lack filled in from the event before. What that event lacks stays null: it
    came with a move from another key, and its value did not change then."""
    lacking = _lacking(events, columns)
    if not columns or not pc.any(lacking, min_count=0).as_py():
        return events
    schema, rows = snapshot.schema, events.schema
    unsent = pa.repeat(pa.scalar(list(columns), rows.field(UNCHANGED).type), events.num_rows)
    at = rows.get_field_index(UNCHANGED)
    asked = events.set_column(at, rows.field(at), unsent).filter(lacking)
    same, at_place = same_key(schema.key, "e", "p"), same_key((*schema.key, *POSITION), "e", "p")
    with engine(spill) as connection:
        connection.register("given", asked)
        connection.execute("CREATE OR REPLACE TEMP TABLE partial AS SELECT * FROM given")
        connection.register("stored", snapshot.events(key))
        of_rows = f"SELECT e.* FROM stored e SEMI JOIN partial p ON {same}"
        # Without the deletes themselves: they end the row whose values are asked for.
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE event AS SELECT e.* FROM ({of_rows}) e"
            f" ANTI JOIN partial p ON {at_place} AND e.{OP} = 'D'"
        )
        found = complete(connection, schema, rows, None, where=f"{table} range {key}")
        filled = pa.Table.from_batches(list(found), rows)
    filled = filled.set_column(at, rows.field(at), pa.nulls(filled.num_rows, rows.field(at).type))
    return pa.concat_tables([events.filter(pc.invert(lacking)), filled])


def _lacking(events: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Deletes without some of the columns: those that have odd values tell their whole row."""
    deleted = pc.and_(pc.equal(events[OP], "D"), pc.is_null(events[OVERFLOW]))
    some = pa.chunked_array([pa.repeat(False, events.num_rows)])
    for name in columns:
        some = pc.or_(some, pc.is_null(events[name]))
    return pc.and_(deleted, some)


def table_events(
    snapshot: LogSnapshot, controls: Controls, start: Position, end: Position
) -> list[TableEvent]:
    """Truncates and changes of columns in `(start, end]`."""
    at = _control_times(snapshot, start)
    found = []
    for each in controls.truncates:
        if start < each.position <= end:
            time, transaction = at.get(each.position, ("1970-01-01T00:00:00Z", None))
            found.append(TableEvent(each.position, time, None, transaction))
    for change in controls.schema_changes:
        if start < change.position <= end and (change.added or change.dropped):
            time, _ = at.get(change.position, ("1970-01-01T00:00:00Z", None))
            found.append(TableEvent(change.position, time, change))
    return found


def _control_times(snapshot: LogSnapshot, start: Position) -> dict[Position, tuple[str, int | None]]:
    columns = [*POSITION, COMMITTED_AT, TRANSACTION_ID]
    wanted = pc.field(OP).isin(["T", "S"]) & _newer(start)
    rows = snapshot.events(ALL_RANGES).to_table(columns=columns, filter=wanted).to_pylist()
    return {
        Position(row[EPOCH], row[COMMIT_POSITION], row[SEQUENCE]): (
            row[COMMITTED_AT].isoformat(timespec="microseconds").replace("+00:00", "Z"),
            row[TRANSACTION_ID],
        )
        for row in rows
    }


# --- loads ---------------------------------------------------------------------------------


def load_ids(baseline: Baseline) -> tuple[str, ...]:
    loads = [] if baseline.load is None else [baseline.load]
    return tuple(sorted({each.load_id for each in (*loads, *baseline.dated.values())}))


def loaded_from(controls: Controls, id_range: IdRange, where: str) -> Baseline:
    """The loads that a range's rows come from, truncates apart: those are told in their own place.

    Raises:
        NotLoaded: there is none, and no truncate.
        NeedsReload: the source changed unseen after them.
    """
    known = baseline_of(controls, id_range, where=where)
    try:
        return baseline_of(replace(controls, truncates=()), id_range, where=where)
    except NotLoaded:
        return known


def load(
    snapshot: LogSnapshot,
    table: TableId,
    step: TopicStep,
    spill: Spill,
    wanted_of_deleted: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Rows of a step that is a load, by their keys, and then the keys that are gone since the loads before
    it, with the columns `wanted_of_deleted`; with `told_schema`, some thousands at a time."""
    assert step.id_range is not None
    id_range, schema = snapshot.id_ranges.by_key(step.id_range), snapshot.schema
    given = step.ranges[step.id_range].loads
    rows = _fold(snapshot, table, id_range, given, step.end, spill, schema)
    yield from _sorted(rows, schema, step.id_range, "R", spill)
    if not step.former:
        return
    wanted = {*schema.key, *wanted_of_deleted}
    keys = replace(schema, columns=tuple(each for each in schema.columns if each.name in wanted))
    with engine(spill) as connection:
        for name, loads, at in (("was", step.former, step.reached), ("now", given, step.end)):
            found = _fold(snapshot, table, id_range, loads, at, spill, keys)
            connection.register("given", pa.RecordBatchReader.from_batches(row_schema(keys), found))
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given")
        gone = f"SELECT w.* FROM was w ANTI JOIN now n ON {same_key(schema.key, 'w', 'n')}"
        batches = list(stream(connection, gone, row_schema(keys)))
    yield from _sorted(iter(batches), schema, step.id_range, "D", spill)


def _fold(
    snapshot: LogSnapshot,
    table: TableId,
    id_range: IdRange,
    loads: Sequence[str],
    at: Position,
    spill: Spill,
    schema: TableSchema,
) -> Iterator[pa.RecordBatch]:
    """The range as of a position, by these loads and no other."""
    controls = snapshot.controls()
    chosen = Controls(
        tuple(each for each in controls.loads if each.load_id in loads),
        tuple(each for each in controls.truncates if each.position <= at),
        tuple(each for each in controls.schema_changes if each.filtered and not each.reload),
    )
    baseline = baseline_of(chosen, id_range, where=str(table))
    return fold_range(snapshot, table, id_range, as_of=at, baseline=baseline, spill=spill, schema=schema)


def _sorted(
    rows: Iterator[pa.RecordBatch], schema: TableSchema, id_range: str, op: str, spill: Spill
) -> Iterator[pa.Table]:
    first = next(rows, None)
    if first is None:
        return

    def all_rows() -> Iterator[pa.RecordBatch]:
        yield first
        yield from rows

    by_key = ", ".join(quoted(name) for name in schema.key)
    with engine(spill) as connection:
        connection.register("given", pa.RecordBatchReader.from_batches(first.schema, all_rows()))
        connection.execute(f"CREATE OR REPLACE TEMP TABLE sorted AS SELECT * FROM given ORDER BY {by_key}")
        for batch in stream(connection, f"SELECT * FROM sorted ORDER BY {by_key}", first.schema):
            for at in range(0, batch.num_rows, LOAD_BATCH):
                yield _as_events(batch.slice(at, LOAD_BATCH), schema, id_range, op)


def _as_events(rows: pa.RecordBatch, schema: TableSchema, id_range: str, op: str) -> pa.Table:
    wanted, count = told_schema(schema), rows.num_rows
    same = {OP: op, ID_RANGE: id_range, MOVED: False}
    columns = [
        pa.repeat(pa.scalar(same[field.name], field.type), count)
        if field.name in same
        else rows[field.name].cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(count, field.type)
        for field in wanted
    ]
    return pa.Table.from_arrays(columns, schema=wanted)
