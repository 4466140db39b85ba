"""The port that a source database is read through: loads, and its change stream."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pyarrow as pa

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.dates import EventDates
from replication_assets.core.digests import Digest
from replication_assets.core.events import EventBatch
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.positions import Position
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.row_filters import Where
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import TableStructure


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Which log this is. A change of either part starts a new epoch."""

    system_id: str
    timeline: int


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What the source says of its log and of our place in it, at `read_at`.

    `head` is the newest position of the log; `confirmed` what this capture acknowledged.
    `lag_bytes` is the distance between them, `retained_bytes` what the source keeps for us,
    `headroom_bytes` how much more it would keep before it gives our place up (None: no
    limit), `expires_at` from when on it may for the age of our place (None: not for that).
    `state` is the engine's own word (`reserved`, `extended`, `lost`, `missing`).
    """

    head: int
    confirmed: int | None
    lag_bytes: int | None
    retained_bytes: int | None
    headroom_bytes: int | None
    active: bool
    state: str
    read_at: dt.datetime
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class CaptureSetup:
    """`start` is the commit position from which changes are kept. `added` names tables whose
    changes were not kept before: what was stored of them earlier has a gap."""

    start: int
    added: tuple[TableId, ...]


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """Smallest and greatest non-null value of a column, and a row estimate; None when empty."""

    low: Key | None
    high: Key | None
    rows: int


@dataclass(frozen=True, slots=True)
class Writer:
    """A transaction that may have written to tables and has not ended.

    `session` names it in the source's own words (`pid 4711`, `prepared transaction 'x'`), `ending`
    is the statement that ends it. `seconds` is its age, None where the source does not tell.
    """

    session: str
    user: str
    application: str
    state: str
    seconds: float | None
    tables: tuple[TableId, ...]
    ending: str


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """How a table's columns changed. `reload`: existing rows changed too, which the change
    stream does not tell."""

    reload: bool
    reason: str
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def at(self, position: Position) -> SchemaChanged:
        """The control event of this change."""
        return SchemaChanged(position, self.reload, self.reason, self.added, self.dropped)


@dataclass(frozen=True, slots=True)
class PartitionTree:
    """Leaf partitions of a table, by the source's number; and why rows came or went with
    partitions since an earlier look (empty if none did)."""

    leaves: tuple[tuple[int, str], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class LoadSlice:
    """Which rows to read: keys of `id_range` (by its `column`), of `dates` where given.

    `dates` are buckets of `EventDates` (None stands for rows without a usable date).
    """

    table: TableId
    schema: TableSchema
    range_column: str | None
    id_range: IdRange
    event_dates: EventDates
    dates: tuple[dt.date | None, ...] | None = None
    where: tuple[Where, ...] = ()
    """Rows that no filter lets pass need not be read. A source reads too many rather than one too few:
    whoever asked for them filters what arrives (`core.table_filters`)."""


class LoadStream(Protocol):
    """One consistent read. `commit` and `taken_at` are known before the first batch."""

    @property
    def commit(self) -> int:
        """Every change with a smaller commit position is in the rows, none with an equal or
        greater one is: the hand-off to capture is exact."""
        ...

    @property
    def taken_at(self) -> dt.datetime: ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the table had at `commit`, whichever were asked for."""
        ...

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of the table's columns and `_overflow`, some megabytes each."""
        ...


@dataclass(frozen=True, slots=True)
class RangeDigests:
    """Digests of id ranges at one position; `commit` and `columns` are as in `LoadStream`.

    `compared` names the columns that the digests are made of, in their order, with `_overflow`
    after them: those that were asked for and that the table still has as they were.
    """

    commit: int
    taken_at: dt.datetime
    columns: tuple[Column, ...]
    compared: tuple[str, ...]
    digests: Mapping[str, Digest]


@dataclass(frozen=True, slots=True)
class ChangeChunk:
    """A piece of the change stream: some events, and how far it reaches.

    `through` is the commit position up to which the stream was delivered whole, set only
    when the chunk ends between transactions; None in the middle of one. A chunk without
    events and with a `through` tells that the log moved on for others.
    `committed_at` is the commit time of the last transaction that ended in the chunk.
    Chunks are bounded in bytes, transactions are not.
    """

    batches: tuple[EventBatch, ...]
    truncated: tuple[tuple[TableId, Position, dt.datetime, int], ...]
    """Table, position, commit time, transaction id of each TRUNCATE."""
    schema_changes: tuple[tuple[TableId, TableSchema, SchemaChanged], ...]
    """Table, its schema from here on, and what changed. Precede the batches that have it."""
    through: int | None
    committed_at: dt.datetime | None


class ChangeStream(Protocol):
    """An open, exclusive read of the change stream."""

    def __iter__(self) -> Iterator[ChangeChunk]:
        """Chunks in log order, ending when `upto` is passed or `stop()` says so.

        Yields an empty chunk at least every second while idle, so that callers can flush,
        acknowledge and stop.
        """
        ...

    def acknowledge(self, commit: int) -> None:
        """Let the source forget the log up to `commit`. Call only when all of it is durable."""
        ...


class ChangeSource(Protocol):
    """A database that is loaded and captured. Never written to, but for what `setup` owns."""

    @property
    def name(self) -> str: ...

    def identify(self) -> SourceIdentity: ...

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        """The table's columns as they are now.

        Raises SourceNotReady listing everything that stands in the way (missing table,
        grants, replica identity that does not carry the key), with statements that mend it.
        """
        ...

    def is_captured(self, table: TableId) -> bool:
        """False for what has no change stream: views are loaded, never captured."""
        ...

    def structure(self, table: TableId) -> TableStructure:
        """What a copy of the table must have besides rows: types, keys, indexes, defaults. Reads the
        source's catalog only.

        Raises:
            SourceNotReady: there is no such table.
            LoadBlocked: the table is being altered; it is soon told, and not waited for.
        """
        ...

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        """What changed from one reflection of a table to a later one; None for nothing."""
        ...

    def partition_tree(
        self, table: TableId, known: tuple[tuple[int, str], ...] | None
    ) -> PartitionTree | None:
        """The table's partitions now, held against `known` ones; None if it has none by nature."""
        ...

    def bounds(self, table: TableId, column: str) -> KeyBounds: ...

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        """`parts - 1` ascending values that cut the table into about equal parts."""
        ...

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        """Create or bring up to date what capture needs; idempotent. Must come before the
        first load. What it calls added is not captured before `confirm_setup`."""
        ...

    def confirm_setup(self) -> None:
        """The store was told of the gaps in what `setup` added. A setup whose process died before
        is seen by the next one, which calls the same tables added."""
        ...

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        """What would keep `setup` from succeeding, each with the statement that adds it; empty
        if nothing would. Changes nothing."""
        ...

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        """How the statement that `load` runs for `id_range` of `column` would be read: its plan, asked of
        the engine and not run. Rows are not read, nothing is created, no statistics are gathered.

        What holds fewer than `core.range_plans.SMALL_ROWS` rows is not called scanned: reading it whole
        is cheap, and planners choose to. Nor is what an index serves and the planner reads whole all the
        same, because a range is most of it. A plan that cannot be made sense of is no reason to stop a
        load: it says so in `reason`.

        Raises:
            SourceNotReady: there is no such table, or the column cannot cut ranges.
        """
        ...

    def teardown(self, *, force: bool = False) -> None:
        """Remove everything that `setup` made. Idempotent, leaves nothing behind.

        Raises SlotBusy if a capture reads the stream; with `force` it is ended first.
        """
        ...

    def remains(self) -> tuple[str, ...]:
        """What `setup` made and is still there, and who reads it; empty after `teardown`."""
        ...

    def status(self) -> SourceStatus: ...

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        """Transactions that may have written to one of the tables and can still commit, oldest
        first. Readers, loads, captures and upkeep of the source itself are none."""
        ...

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:
        """Statements that keep applications from writing to the tables, with comments: for people
        to choose from. Never executed here."""
        ...

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]: ...

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        """Digests of the rows that loads of these ranges would read (`core.digests`), by key of
        the range, in one scan that sends no row. Raises as a load does."""
        ...

    def changes(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        *,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> AbstractContextManager[ChangeStream]:
        """Open the stream after commit position `after`, for events stamped with `epoch`.

        Raises SlotBusy if another capture reads it, SlotLost if the log no longer reaches
        back to `after`.
        """
        ...


@runtime_checkable
class PassiveSource(Protocol):
    """A source with a log that it keeps for nobody, such as a binlog: it knows no place of ours, so how far
    we are is told to it."""

    def status_after(self, commit: int) -> SourceStatus:
        """`ChangeSource.status`, with everything that follows from a capture that is durable up to `commit`.
        `state` is `lost` where the log no longer reaches back that far."""
        ...

    def log_begun_anew(self, known: SourceIdentity) -> str | None:
        """Why the log is another one than `identify` told of then, in words, though the server is the same:
        places in it mean something else. None if it goes on, or if what it began with is gone."""
        ...
