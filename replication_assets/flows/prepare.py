"""Prepare: from what is declared to what can be loaded and captured.

Reflects the declared tables, pins their id ranges, creates their logs, and has the source
set up its publication and slot, in the order that makes the first load safe: the slot must
keep changes before any row is read. Idempotent; a second run finds everything in place.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.catalog import Table
from replication_assets.core.assemble import schema_changed
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import ByCount, IdRange, IdRanges, kind_of, plan_id_ranges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import CatalogError, SlotLost, SourceNotReady
from replication_assets.ports import CaptureMark, ChangeSource, EventLog, EventStore, SchemaDifference


@dataclass(frozen=True, slots=True)
class ReplicatedTable:
    """A declared table with everything pinned. `captured` is False for views: load only."""

    id: TableId
    declared: Table
    schema: TableSchema
    id_ranges: IdRanges
    event_dates: EventDates
    captured: bool

    def loads(self, high: int | str | None) -> tuple[IdRange, ...]:
        """Ranges to load so that the whole table is: the last one is open above, and covers
        the ranges that keys will grow into."""
        known = self.id_ranges.known(high)
        return (*known[:-1], known[-1].open_above())


def prepare(source: ChangeSource, store: EventStore, tables: Sequence[Table]) -> tuple[ReplicatedTable, ...]:
    """Make the source and the store ready for the declared tables of one source.

    Raises:
        SourceNotReady: with everything that is missing, each with the statement that adds it.
        SlotLost: the slot that earlier captures stood on is gone; see `recover`.
    """
    schemas = _reflect_all(source, tables)
    captured = [(table.id, schema) for table, schema in schemas if source.is_captured(table.id)]
    ledger = store.ledger(source.name)
    mark = ledger.last()
    if mark is not None and captured and source.status().state == "missing":
        raise SlotLost(
            "the replication slot is gone, and with it every change since the last capture",
            where=source.name,
            fix=f"run `recover` for {source.name} and load every id range again",
        )
    start = source.setup(captured) if captured else 0
    if mark is None:
        ledger.record(CaptureMark(1, start, source.identify(), None, dt.datetime.now(dt.UTC)))
    return tuple(_open(source, store, table, schema) for table, schema in schemas)


def recover(source: ChangeSource, store: EventStore, tables: Sequence[Table]) -> Position:
    """Start a new epoch after the slot was lost: a new slot, and every range to be loaded again.

    Nothing in the store is edited: each log gets an `S` event that makes its older loads
    unusable for rows from here on. Returns the position at which the new epoch starts.
    """
    schemas = _reflect_all(source, tables)
    ledger = store.ledger(source.name)
    last = ledger.last()
    start = source.setup([(table.id, schema) for table, schema in schemas if source.is_captured(table.id)])
    position = Position(last.epoch + 1 if last else 1, start)
    now = dt.datetime.now(dt.UTC)
    for table, schema in schemas:
        log = store.log(table.id)
        if log.exists():
            gap = SchemaChanged(position, True, "changes were lost with the replication slot")
            writer = log.writer()
            writer.write(schema_changed(gap, schema, now))
            writer.commit()
    ledger.record(CaptureMark(position.epoch, start, source.identify(), None, now))
    return position


def open_table(source: ChangeSource, store: EventStore, table: Table) -> ReplicatedTable:
    """A table that `prepare` has seen, from its log alone.

    Raises:
        SourceNotReady: it was never prepared.
    """
    log = store.log(table.id)
    if not log.exists():
        raise SourceNotReady("it was never prepared", where=str(table.id), fix=f"prepare source {source.name} first")
    snapshot = log.snapshot()
    return ReplicatedTable(
        table.id, table, snapshot.schema, snapshot.id_ranges, snapshot.event_dates, source.is_captured(table.id)
    )


def current_epoch(source: ChangeSource, store: EventStore) -> int:
    """The epoch that positions read now belong to.

    Raises:
        SourceNotReady: never prepared.
        SlotLost: this is not the server that was captured before.
    """
    mark = store.ledger(source.name).last()
    if mark is None:
        raise SourceNotReady("no capture was ever set up", where=source.name, fix="prepare the source first")
    identity = source.identify()
    if identity.system_id != mark.identity.system_id:
        raise SlotLost(
            f"the server is another one (system {identity.system_id}, captured was {mark.identity.system_id})",
            where=source.name,
            fix=f"run `recover` for {source.name} and load every id range again",
        )
    return mark.epoch


def follow_schema(
    source: ChangeSource, log: EventLog, table: ReplicatedTable
) -> tuple[TableSchema, SchemaDifference | None]:
    """The table's columns as they are now, added to its log where new; and what changed since
    the log last saw them (None: nothing)."""
    current = source.reflect(table.id, key=table.schema.key, append_only=table.schema.append_only)
    known = log.snapshot().schema
    difference = source.difference(table.id, known, current)
    if difference is not None:
        log.ensure(current, table.id_ranges, table.event_dates)
    return current, difference


def _reflect_all(source: ChangeSource, tables: Sequence[Table]) -> list[tuple[Table, TableSchema]]:
    found: list[tuple[Table, TableSchema]] = []
    problems: list[str] = []
    for table in tables:
        try:
            found.append((table, source.reflect(table.id, key=table.key, append_only=table.append_only)))
        except SourceNotReady as error:
            problems.append(str(error))
    if problems:
        raise SourceNotReady("\n".join(problems), where=source.name)
    return found


def _open(source: ChangeSource, store: EventStore, table: Table, schema: TableSchema) -> ReplicatedTable:
    log = store.log(table.id)
    if log.exists():
        return open_table(source, store, table)
    id_ranges = _pin_ranges(source, table, schema)
    event_dates = table.event_date.pinned()
    event_dates.check(schema, str(table.id))
    log.ensure(schema, id_ranges, event_dates)
    return ReplicatedTable(table.id, table, schema, id_ranges, event_dates, source.is_captured(table.id))


def _pin_ranges(source: ChangeSource, table: Table, schema: TableSchema) -> IdRanges:
    spec = table.id_ranges
    column = table.range_column or (schema.key[0] if schema.key else None)
    if column is None:
        if spec == ByCount(1):
            return IdRanges.whole()
        raise CatalogError(
            ["a table without key has no leading key column. Fix: range_column='...', or id_ranges=ByCount(1)"],
            where=str(table.id),
        )
    try:
        stored = schema.column(column)
    except KeyError:
        raise CatalogError([f"range column {column!r} is not in the table"], where=str(table.id)) from None
    kind = kind_of(stored.arrow, stored.source_type)
    bounds = source.bounds(table.id, column)
    cuts = source.quantiles(table.id, column, spec.count) if isinstance(spec, ByCount) and kind == "text" else ()
    return plan_id_ranges(spec, kind, column, bounds.low, bounds.high, cuts, where=str(table.id))


