"""The port of the event store: logs of tables, and the ledger of each source."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.core.controls import Controls
from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.ports.cutover import CutoverLog
from replication_assets.ports.dead_letters import DeadLetters
from replication_assets.ports.offsets import OffsetJournal
from replication_assets.ports.refresh import Audit, Staging, Structures
from replication_assets.ports.source import SourceIdentity
from replication_assets.ports.validation import FindingLists, KnownDigests


@dataclass(frozen=True, slots=True)
class CellCount:
    """Rows written to one event-store partition."""

    id_range: str
    event_date: dt.date | None
    rows: int


class LogSnapshot(Protocol):
    """One version of a table's log; reads of it never see a later commit."""

    @property
    def version(self) -> int: ...
    @property
    def schema(self) -> TableSchema: ...
    @property
    def id_ranges(self) -> IdRanges: ...
    @property
    def event_dates(self) -> EventDates: ...
    @property
    def captured(self) -> Position | None:
        """Every change of the table up to here is in this version; None before any capture."""
        ...

    def controls(self) -> Controls: ...

    def range_keys(self) -> tuple[str, ...]:
        """Id ranges that hold events, ascending."""
        ...

    def counts(self) -> tuple[CellCount, ...]:
        """Rows of each event-store partition, control events apart. Compaction keeps them."""
        ...

    def events(self, id_range: str, *, after: Position | None = None) -> ds.Dataset:
        """Events of one range as an Arrow dataset with `stored_schema`, files pruned by
        `after` where given (it may still return older rows: filter)."""
        ...


class LogWriter(Protocol):
    """Writes of one commit, invisible until `commit`. Bounded memory; one thread."""

    @property
    def captured(self) -> Position | None:
        """The table's capture checkpoint as it was when the writer opened, on which a commit
        with `captured` stands. Changes at or before it are in the log already."""
        ...

    def write(self, rows: pa.Table) -> None:
        """Add rows of `stored_schema`; they are split by partition here."""
        ...

    def commit(self, *, captured: Position | None = None) -> tuple[CellCount, ...]:
        """Make everything written visible at once.

        With `captured`, the commit also moves the table's capture checkpoint, and raises
        CommitConflict if that checkpoint is no longer where it was when the writer opened.
        Without, it is retried until it stands. Returns the cells written.
        """
        ...

    def abort(self) -> None:
        """Forget what was written and delete its files. Idempotent; safe after `commit`."""
        ...


class EventLog(Protocol):
    """The append-only events of one source table."""

    @property
    def table(self) -> TableId: ...

    @property
    def chapter(self) -> int: ...

    @property
    def begins(self) -> Position | None:
        """Where this chapter began; None for the first. Changes before it that fit an earlier
        chapter belong there, also when they are told again after a crash."""
        ...

    def exists(self) -> bool: ...

    def ensure(self, schema: TableSchema, id_ranges: IdRanges, event_dates: EventDates) -> None:
        """Create the log, or add the columns it lacks.

        Id ranges and dates are fixed at creation: differing ones are refused (StoreError).
        A column whose stored type changed raises SchemaConflict; history is never rewritten.
        """
        ...

    def snapshot(self) -> LogSnapshot: ...

    def writer(self) -> LogWriter: ...

    def compact(self) -> int:
        """Rewrite small files into large ones; returns files removed. Safe beside anything,
        itself included; the multiset of rows is verified before the commit."""
        ...

    def vacuum(self, older_than: dt.timedelta) -> int:
        """Delete files that no version of the last `older_than` needs; returns how many. No
        reader or writer may run for longer than that."""
        ...


@dataclass(frozen=True, slots=True)
class CaptureMark:
    """A line of a source's ledger: capture is durable up to `commit`, in every table."""

    epoch: int
    commit: int
    identity: SourceIdentity
    committed_at: dt.datetime | None
    """Source's commit time at `commit`; None where no transaction was seen yet."""
    recorded_at: dt.datetime


class Ledger(Protocol):
    """How far a source is captured, durable before the source may forget anything."""

    def last(self) -> CaptureMark | None: ...

    def record(self, mark: CaptureMark) -> None:
        """Raises CommitConflict if another capture recorded a mark since `last` was read."""
        ...

    def position_at(self, time: dt.datetime) -> Position | None:
        """The greatest position recorded whose commit time is at or before `time`."""
        ...


@dataclass(frozen=True, slots=True)
class CapturedTables:
    """What a capture of this epoch was given: every change of these tables, and of no other."""

    epoch: int
    tables: frozenset[TableId]


class CaptureLists(Protocol):
    """Which tables a source's captures kept, each time that changed."""

    def last(self) -> CapturedTables | None: ...

    def record(self, tables: CapturedTables, at: dt.datetime) -> None:
        """Nothing is written where they are the last. Raises CommitConflict if another capture recorded
        a list meanwhile."""
        ...


class EventStore(Protocol):
    """Logs by table. A log goes on in a new chapter when a column changes to a type that its
    stored column cannot hold: what was stored stays as it was, and what comes is stored as it
    is. Loads do not carry over, so ranges are loaded again."""

    def log(self, table: TableId, chapter: int | None = None) -> EventLog:
        """The newest chapter, or the one with this number, from 1."""
        ...

    def chapters(self, table: TableId) -> int:
        """How many chapters the table's log has; 1 for one that does not exist yet."""
        ...

    def begin_chapter(self, table: TableId, schema: TableSchema, ended: int, at: Position) -> EventLog:
        """The chapter after `ended`, made to begin `at` a position with the ranges, dates and
        capture checkpoint of `ended`, unless somebody made it in the meantime. It has the
        columns of `schema`, or SchemaConflict is raised."""
        ...

    def ledger(self, source: str) -> Ledger: ...

    def capture_lists(self, source: str) -> CaptureLists: ...

    def offsets(self, source: str) -> OffsetJournal:
        """Which offsets belong to which commit position, of a source that reads topics."""
        ...

    def try_writing(self) -> None:
        """Write something small where the store is, or will be, and delete it.

        Raises:
            StoreError: that is not possible.
        """
        ...

    def dead_letters(self, projection: str, table: TableId) -> DeadLetters:
        """What a projection refused of a table; made when the first one is kept."""
        ...

    def cutover_log(self, name: str) -> CutoverLog:
        """What was done of a cutover; made when its first fact is recorded."""
        ...

    def known_digests(self, table: TableId) -> KnownDigests:
        """Digests of the table that earlier validations computed."""
        ...

    def finding_lists(self, table: TableId) -> FindingLists:
        """Where validations of the table list what they found."""
        ...

    def structures(self, table: TableId) -> Structures:
        """What the source table was made like, each time that was seen to change."""
        ...

    def staging(self, refresh: str) -> Staging:
        """Sealed batches of the refresh that is under way."""
        ...

    def audit(self, environment: str) -> Audit:
        """What was done to an environment, hash-chained."""
        ...
