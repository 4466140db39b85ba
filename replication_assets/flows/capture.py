"""Capture: drain a source's change stream into the event store, exactly once.

The order of writes is the promise. A flush commits every table's events together with that
table's capture checkpoint, then the ledger's mark for the whole source, and only then lets
the source forget. A crash between any two of these is mended by the next run: it starts from
the ledger's mark and each table drops what its own checkpoint says it already has.

Micro-batch and continuous capture are this one loop: the first stops at the position that
was newest when it began, the second when it is told to.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.assemble import place, schema_changed, truncated
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import COMMIT_POSITION, EPOCH
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import CommitConflict, SlotLost, SourceError, SourceNotReady
from replication_assets.failpoints import reach
from replication_assets.flows.capture_gaps import record_list, tell_gaps
from replication_assets.flows.partition_trees import note_partitions
from replication_assets.flows.prepare import ReplicatedTable, last_mark, log_for, record_structure
from replication_assets.flows.range_plans import VIEW, VIEW_FIX
from replication_assets.ports import (
    CaptureMark,
    CellCount,
    ChangeChunk,
    ChangeSource,
    ChangeStream,
    EventLog,
    EventStore,
    Ledger,
    LogWriter,
    SourceIdentity,
)


@dataclass(frozen=True, slots=True)
class FlushReceipt:
    """One flush: durable up to `position`; what was written, by table and partition."""

    position: Position
    committed_at: dt.datetime | None
    flushed_at: dt.datetime
    tables: Mapping[TableId, tuple[CellCount, ...]]

    @property
    def rows(self) -> int:
        return sum(cell.rows for cells in self.tables.values() for cell in cells)

    @property
    def lag_seconds(self) -> float | None:
        """From the source's commit to its durability here; None if nothing was committed."""
        return (self.flushed_at - self.committed_at).total_seconds() if self.committed_at else None


@dataclass(frozen=True, slots=True)
class CaptureReceipt:
    """What a whole run captured."""

    started_at: Position
    position: Position
    rows: int
    flushes: int
    seconds: float
    tables: tuple[TableId, ...]


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When pending events are made durable: after `seconds`, or `bytes` of Arrow memory.

    `idle_seconds` is how often an idle source's progress is recorded, so that its log can be
    recycled although nothing of ours changes.
    """

    seconds: float = 5.0
    bytes: int = 256 * 2**20
    idle_seconds: float = 10.0


OnFlush = Callable[[FlushReceipt], None]


def capture(
    source: ChangeSource,
    store: EventStore,
    tables: Sequence[ReplicatedTable],
    *,
    upto: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    policy: FlushPolicy = FlushPolicy(),
    on_flush: OnFlush | None = None,
) -> CaptureReceipt:
    """Capture from the last mark until `upto` (a commit position) is durable, or `stop()`. Views are
    passed over.

    Raises:
        SourceNotReady: none of the tables has a change stream.
        SlotBusy: another capture of this source runs.
        SlotLost: changes are gone; see `flows.prepare.recover`.
        CommitConflict: another capture overtook this one; nothing was written twice.
    """
    started, ledger = time.monotonic(), store.ledger(source.name)
    mark = last_mark(source, ledger)
    epoch = mark.epoch
    captured = _captured(source, tables)
    tell_gaps(store, source.name, mark, [table.id for table in captured])
    drain = _Drain(source, store, ledger, captured, epoch, mark, policy, on_flush)
    watched = [(table.id, table.schema) for table in captured]
    for table in captured:
        note_partitions(source, drain.logs[table.id], table, epoch)
    _record_structures(source, store, [table.id for table in captured])
    try:
        with source.changes(watched, epoch=epoch, after=mark.commit, upto=upto, stop=stop) as stream:
            for chunk in stream:
                drain.take(chunk, stream)
            drain.finish(stream)
        for table in captured:
            told = drain.reloads.get(table.id, set())
            note_partitions(source, drain.logs[table.id], table, epoch, told=told)
    except SlotLost as error:
        _refuse_overtaken(store.ledger(source.name), mark, error)
        raise
    finally:
        drain.abort()
    return CaptureReceipt(
        Position(epoch, mark.commit),
        Position(epoch, drain.durable),
        drain.rows,
        drain.flushes,
        time.monotonic() - started,
        tuple(sorted(drain.touched)),
    )


def _captured(source: ChangeSource, tables: Sequence[ReplicatedTable]) -> list[ReplicatedTable]:
    captured = [table for table in tables if table.captured]
    if tables and not captured:
        names = ", ".join(str(table.id) for table in tables)
        raise SourceNotReady(
            f"there is nothing to capture: of {names}, {VIEW}", where=source.name, fix=VIEW_FIX
        )
    return captured


def _record_structures(source: ChangeSource, store: EventStore, tables: Iterable[TableId]) -> None:
    for table in tables:
        # It may have been dropped since its events were read, which are to be captured all the same.
        with suppress(SourceError):
            record_structure(source, store, table)


def _refuse_overtaken(ledger: Ledger, mark: CaptureMark, error: SlotLost) -> None:
    """A slot that stands further than our mark is not lost if another capture moved both."""
    now = ledger.last()
    if now is not None and now != mark:
        raise CommitConflict(
            "another capture moved on while this one started",
            where=f"ledger at epoch {now.epoch}, commit {now.commit}",
            fix="start it again: it goes on from there",
        ) from error


@dataclass
class _Drain:
    """The state between flushes: open writers, and how far the stream was read whole."""

    source: ChangeSource
    store: EventStore
    ledger: Ledger
    """The one that `mark` was read from: it refuses a mark beside another capture's."""
    tables: Sequence[ReplicatedTable]
    epoch: int
    mark: CaptureMark
    policy: FlushPolicy
    on_flush: OnFlush | None

    logs: dict[TableId, EventLog] = field(default_factory=dict)
    writers: dict[TableId, LogWriter] = field(default_factory=dict)
    ended: list[tuple[TableId, LogWriter]] = field(default_factory=list)
    """Writers of chapters that a change of type ended since the last flush."""
    schemas: dict[TableId, TableSchema] = field(default_factory=dict)
    pending_bytes: int = 0
    boundary: int | None = None
    committed_at: dt.datetime | None = None
    durable: int = 0
    rows: int = 0
    flushes: int = 0
    touched: set[TableId] = field(default_factory=set)
    reloads: dict[TableId, set[str]] = field(default_factory=dict)
    """Why tables need a reload, in the change stream's own words."""
    altered: set[TableId] = field(default_factory=set)
    """Tables whose columns changed since the last flush."""
    flushed: float = field(default_factory=time.monotonic)
    identity: SourceIdentity | None = None

    def __post_init__(self) -> None:
        self.durable = self.mark.commit
        self.by_id = {table.id: table for table in self.tables}
        self.logs = {table.id: self.store.log(table.id) for table in self.tables}
        self.schemas = {table.id: table.schema for table in self.tables}
        self.committed_at = self.mark.committed_at

    def take(self, chunk: ChangeChunk, stream: ChangeStream) -> None:
        """Write a chunk's events, and flush when it is time to."""
        reach("capture.read")
        if chunk.through is None and self.boundary is not None and self.writers:
            # A long transaction begins: what came before it need not wait for its end.
            self.flush(stream)
        changes = list(chunk.schema_changes)
        for batch in chunk.batches:
            # A chunk can hold rows from before a change and after it.
            while batch.schema != self.schemas[batch.table] and any(c[0] == batch.table for c in changes):
                self._follow(*changes.pop(next(i for i, c in enumerate(changes) if c[0] == batch.table)))
            replicated = self.by_id[batch.table]
            rows = pa.Table.from_batches([batch.rows])
            self._write(batch.table, place(rows, replicated.id_ranges, replicated.event_dates))
        for change in changes:
            self._follow(*change)
        for table, position, at, transaction_id in chunk.truncated:
            self._write(table, truncated(position, self.schemas[table], at, transaction_id))
        self.committed_at = chunk.committed_at or self.committed_at
        self.boundary = chunk.through
        reach("capture.written")
        if chunk.through is not None and self._due():
            self.flush(stream)

    def _due(self) -> bool:
        waited = time.monotonic() - self.flushed
        if self.writers:
            return waited >= self.policy.seconds or self.pending_bytes >= self.policy.bytes
        return waited >= self.policy.idle_seconds and (self.boundary or 0) > self.durable

    def _follow(self, table: TableId, schema: TableSchema, change: SchemaChanged) -> None:
        if change.reload:
            self.reloads.setdefault(table, set()).update(change.reason.split("; "))
        self.altered.add(table)
        log = log_for(self.store, self.by_id[table], schema, change.position)
        self.schemas[table] = schema
        if log.chapter != self.logs[table].chapter:
            self.logs[table] = log
            if table in self.writers:
                self.ended.append((table, self.writers.pop(table)))
        self._write(table, schema_changed(change, schema, self.committed_at or dt.datetime.now(dt.UTC)))

    def _write(self, table: TableId, rows: pa.Table) -> None:
        if table not in self.writers:
            self.writers[table] = self.logs[table].writer()
        writer = self.writers[table]
        # Asked of the writer, not remembered: a capture that lost its slot to this one may have
        # committed since, and this writer's own commit stands on what it found at its opening.
        rows = _not_yet_stored(rows, writer.captured)
        if rows.num_rows:
            writer.write(rows)
            self.pending_bytes += rows.nbytes

    def flush(self, stream: ChangeStream) -> None:
        """Make everything up to the boundary durable, then let the source forget it."""
        if self.boundary is None or (self.boundary <= self.durable and not self.writers):
            return
        position = Position(self.epoch, self.boundary)
        cells: dict[TableId, tuple[CellCount, ...]] = {}
        for table, writer in (*self.ended, *self.writers.items()):
            if writer.captured is None or writer.captured < position:
                cells[table] = (*cells.get(table, ()), *writer.commit(captured=position))
            else:
                writer.abort()
            reach("capture.table_committed")
        self.ended, self.writers = [], {}
        reach("capture.tables_committed")
        now = dt.datetime.now(dt.UTC)
        first, self.identity = self.identity is None, self.identity or self.source.identify()
        self.ledger.record(CaptureMark(self.epoch, self.boundary, self.identity, self.committed_at, now))
        if first:
            record_list(self.store, self.source.name, self.epoch, self.by_id)
        reach("capture.recorded")
        stream.acknowledge(self.boundary)
        reach("capture.acknowledged")
        _record_structures(self.source, self.store, sorted(self.altered))
        self.altered.clear()
        self._count(FlushReceipt(position, self.committed_at, now, cells))

    def _count(self, receipt: FlushReceipt) -> None:
        self.durable = receipt.position.commit
        self.rows += receipt.rows
        self.flushes += 1
        self.touched |= receipt.tables.keys()
        self.pending_bytes = 0
        self.flushed = time.monotonic()
        if self.on_flush is not None:
            self.on_flush(receipt)

    def finish(self, stream: ChangeStream) -> None:
        """The stream ended: flush what ends between transactions, forget the rest."""
        if self.boundary is not None:
            self.flush(stream)

    def abort(self) -> None:
        for _, writer in (*self.ended, *self.writers.items()):
            writer.abort()
        self.ended, self.writers = [], {}


def _not_yet_stored(rows: pa.Table, have: Position | None) -> pa.Table:
    """Events after the table's own checkpoint: a run that died between two tables' commits
    left some of them ahead of the ledger."""
    if have is None:
        return rows
    newer = pc.or_(
        pc.greater(rows.column(EPOCH), have.epoch),
        pc.and_(
            pc.equal(rows.column(EPOCH), have.epoch), pc.greater(rows.column(COMMIT_POSITION), have.commit)
        ),
    )
    return rows.filter(newer)
