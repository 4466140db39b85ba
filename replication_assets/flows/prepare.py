"""Prepare: from what is declared to what can be loaded and captured.

Reflects the declared tables, pins their id ranges, creates their logs, and has the source
set up what keeps changes (a slot, or triggers), in the order that makes the first load safe: changes
must be kept before any row is read. Idempotent; a second run finds everything in place.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from replication_assets.catalog import Table
from replication_assets.core.controls import SchemaChanged, live_schema
from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import ByCount, IdRange, IdRanges, plan_id_ranges
from replication_assets.core.plan import plan_granularity
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_filters import require_fit
from replication_assets.errors import LoadBlocked, SchemaConflict, SlotLost, SourceNotReady
from replication_assets.flows.capture_gaps import tell_gaps
from replication_assets.flows.control_events import tell
from replication_assets.flows.filtered_tables import note_filter, require_noted
from replication_assets.ports import (
    CaptureMark,
    CaptureSetup,
    ChangeSource,
    EventLog,
    EventStore,
    Ledger,
    PassiveSource,
    SchemaDifference,
)
from replication_assets.table_fit import TableFit, fit_table


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
        SlotLost: what earlier captures stood on is gone; see `recover`.
    """
    schemas = _reflect_all(source, tables)
    captured = [(table.id, schema) for table, schema in schemas if source.is_captured(table.id)]
    ledger = store.ledger(source.name)
    mark = ledger.last()
    if mark is not None and captured and source.status().state == "missing":
        raise SlotLost(
            "the slot or change log is gone, and with it every change since the last capture",
            where=source.name,
            fix=f"run `recover` for {source.name} and load every id range again",
        )
    setup = source.setup(captured) if captured else CaptureSetup(0, ())
    if mark is None:
        mark = CaptureMark(1, setup.start, source.identify(), None, dt.datetime.now(dt.UTC))
        ledger.record(mark)
    for table, schema in schemas:
        if table.id in setup.added and store.log(table.id).exists():
            reason = "the table was not captured for a while"
            _demand_reload(store, table.id, schema, Position(mark.epoch, source.status().head), reason)
    tell_gaps(store, source.name, mark, [table for table, _ in captured])
    if captured:
        source.confirm_setup()
    for table, _ in schemas:
        record_structure(source, store, table.id)
    epoch = mark.epoch
    return tuple(_open(source, store, table, schema, epoch) for table, schema in schemas)


def recover(source: ChangeSource, store: EventStore, tables: Sequence[Table]) -> Position:
    """Start a new epoch after changes were lost: a new slot or change log, and every range to be loaded.

    Nothing in the store is edited: each log gets an `S` event that makes its older loads
    unusable for rows from here on. Returns the position at which the new epoch starts.

    Raises:
        SlotBusy: a capture still reads the slot, so it is not lost.
    """
    schemas = _reflect_all(source, tables)
    ledger = store.ledger(source.name)
    last = ledger.last()
    # An invalidated slot is still there, and one that was made anew stands where it should not.
    source.teardown()
    setup = source.setup([(table.id, schema) for table, schema in schemas if source.is_captured(table.id)])
    position = Position(last.epoch + 1 if last else 1, setup.start)
    for table, schema in schemas:
        if store.log(table.id).exists():
            _demand_reload(store, table.id, schema, position, "changes were lost with the slot or change log")
    ledger.record(CaptureMark(position.epoch, setup.start, source.identify(), None, dt.datetime.now(dt.UTC)))
    source.confirm_setup()
    return position


def _demand_reload(
    store: EventStore, table: TableId, schema: TableSchema, position: Position, reason: str
) -> None:
    """An `S` event: loads older than `position` no longer tell the truth."""
    tell(store.log(table), schema, SchemaChanged(position, True, reason))


def record_structure(source: ChangeSource, store: EventStore, table: TableId) -> bool:
    """Keep what the table is made like beside its events, if that changed; whether it did. Copies of
    the table are made from it, so that a refresh asks the source nothing.

    While the table is being altered nothing is recorded: the next load or capture looks again.
    """
    try:
        structure = source.structure(table)
    except LoadBlocked:
        return False
    return store.structures(table).record(structure, dt.datetime.now(dt.UTC))


def open_table(source: ChangeSource, store: EventStore, table: Table) -> ReplicatedTable:
    """A table that `prepare` has seen, from its log alone.

    Raises:
        SourceNotReady: it was never prepared, or its row filter was declared otherwise since.
    """
    log = store.log(table.id)
    if not log.exists():
        raise SourceNotReady(
            "it was never prepared", where=str(table.id), fix=f"prepare source {source.name} first"
        )
    snapshot = log.snapshot()
    controls = snapshot.controls()
    require_noted(controls, table)
    return ReplicatedTable(
        table.id,
        table,
        live_schema(snapshot.schema, controls.schema_changes),
        snapshot.id_ranges,
        snapshot.event_dates,
        source.is_captured(table.id),
    )


def current_epoch(source: ChangeSource, store: EventStore) -> int:
    """The epoch that positions read now belong to. Raises as `last_mark` does."""
    return last_mark(source, store.ledger(source.name)).epoch


def last_mark(source: ChangeSource, ledger: Ledger) -> CaptureMark:
    """How far the source is captured.

    Raises:
        SourceNotReady: never prepared.
        SlotLost: this is not the server that was captured before, or its log was begun anew.
    """
    mark = ledger.last()
    if mark is None:
        raise SourceNotReady("no capture was ever set up", where=source.name, fix="prepare the source first")
    identity = source.identify()
    if identity.system_id != mark.identity.system_id:
        raise SlotLost(
            f"this is server {identity.system_id}; captured before was {mark.identity.system_id}",
            where=source.name,
            fix=f"run `recover` for {source.name} and load every id range again",
        )
    begun_anew = source.log_begun_anew(mark.identity) if isinstance(source, PassiveSource) else None
    if begun_anew is not None:
        raise SlotLost(
            f"{begun_anew}: changes after the last capture are lost, and positions begin anew",
            where=source.name,
            fix=f"run `recover` for {source.name} and load every id range again",
        )
    return mark


def follow_schema(
    source: ChangeSource, store: EventStore, table: ReplicatedTable, epoch: int
) -> tuple[EventLog, TableSchema, SchemaDifference | None]:
    """The table's columns as they are now, the log that holds them, and what changed since the
    log last saw them (None: nothing)."""
    log = store.log(table.id)
    current = source.reflect(table.id, key=table.schema.key, append_only=table.schema.append_only)
    snapshot = log.snapshot()
    known = live_schema(snapshot.schema, snapshot.controls().schema_changes)
    difference = source.difference(table.id, known, current)
    if difference is not None:
        log = log_for(store, table, current, Position(epoch, source.status().head))
    return log, current, difference


def log_for(store: EventStore, table: ReplicatedTable, schema: TableSchema, at: Position) -> EventLog:
    """The log for rows with the columns of `schema` from position `at` on.

    It is the chapter that the position is in, with columns added to it where they fit. A load
    may have begun a chapter ahead of capture, so the ones after it are tried next; if the
    columns fit none, a new chapter begins.
    """
    newest = number = store.chapters(table.id)
    while (begins := store.log(table.id, number).begins) is not None and begins > at:
        number -= 1
    for chapter in range(number, newest + 1):
        log = store.log(table.id, chapter)
        with suppress(SchemaConflict):
            log.ensure(schema, table.id_ranges, table.event_dates)
            return log
    log = store.begin_chapter(table.id, schema, newest, at)
    note_filter(log, table.declared, schema, lambda: at)
    return log


def _reflect_all(source: ChangeSource, tables: Sequence[Table]) -> list[tuple[Table, TableSchema]]:
    found: list[tuple[Table, TableSchema]] = []
    problems: dict[str, SourceNotReady] = {}
    for table in tables:
        try:
            schema = source.reflect(table.id, key=table.key, append_only=table.append_only)
            require_fit(table.where, schema, str(table.id))
            found.append((table, schema))
        except SourceNotReady as error:
            problems[str(error)] = error
    if len(problems) == 1:
        # Of one table, or of the server, which says the same of every table.
        raise next(iter(problems.values()))
    if problems:
        raise SourceNotReady("\n".join(problems), where=source.name)
    return found


def _open(
    source: ChangeSource, store: EventStore, table: Table, schema: TableSchema, epoch: int
) -> ReplicatedTable:
    def here() -> Position:
        return Position(epoch, source.status().head)

    log = store.log(table.id)
    if log.exists():
        note_filter(log, table, schema, here)
        return open_table(source, store, table)
    fit = fit_table(table, schema)
    id_ranges = _pin_ranges(source, table, fit)
    log.ensure(schema, id_ranges, fit.event_dates)
    note_filter(log, table, schema, here)
    return ReplicatedTable(table.id, table, schema, id_ranges, fit.event_dates, source.is_captured(table.id))


def _pin_ranges(source: ChangeSource, table: Table, fit: TableFit) -> IdRanges:
    if fit.range_column is None or fit.kind is None:
        return IdRanges.whole()
    column, spec = fit.range_column, fit.spec
    bounds = source.bounds(table.id, column)
    by_rows = isinstance(spec, ByCount) and fit.kind == "text"
    cuts = source.quantiles(table.id, column, spec.count) if isinstance(spec, ByCount) and by_rows else ()
    pinned = plan_id_ranges(spec, fit.kind, column, bounds.low, bounds.high, cuts, where=str(table.id))
    today = dt.datetime.now(dt.UTC).date()
    plan = plan_granularity(
        pinned,
        fit.event_dates,
        high=bounds.high,
        rows=bounds.rows,
        first=fit.event_dates.first_bucket,
        last=today,
    )
    plan.require(str(table.id))
    return pinned
