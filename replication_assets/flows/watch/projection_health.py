"""How one table of a projection fares: what it has not applied yet, and since when that waits."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow.compute as pc
import pyarrow.dataset as ds

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.events import COMMIT_POSITION, COMMITTED_AT, EPOCH, SEQUENCE
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.declarations import Projection
from replication_assets.errors import NeedsReload, NotLoaded, ReplicationError
from replication_assets.flows.read import ranges_of
from replication_assets.flows.watch.readings import Readings
from replication_assets.flows.watch.seen_checkpoints import SeenCheckpoints
from replication_assets.flows.watch.table_health import TableHealth
from replication_assets.ports import EventStore, LogSnapshot, ProjectionTarget, RangeCheckpoint


@dataclass(frozen=True, slots=True)
class ProjectionHealth:
    """`freshness_seconds` is how far the rows are behind the source: since the oldest event that
    `waiting` counts was committed, at least as far as the event store is; None while some range
    was never loaded. `filled` ranges hold rows that their checkpoint speaks of; a range that is
    loaded but not filled waits whole."""

    projection: str
    table: TableId
    sla_seconds: float
    freshness_seconds: float | None = None
    waiting: int = 0
    waiting_since: dt.datetime | None = None
    ranges: int = 0
    filled: int = 0
    rows: int = 0
    rows_per_second: float | None = None
    dead_letters: int = 0
    suspended: str | None = None
    error: str | None = None
    reached: Position | None = None
    """The checkpoint of the range that is furthest behind, as last read; None if one was never
    filled."""


@dataclass(frozen=True, slots=True)
class _Range:
    """`known` is false for one without load and without rows: nothing can be said of it."""

    known: bool
    stored: int
    reached: Position | None = None
    filled: bool = False
    rows: int = 0
    waiting: int = 0
    since: dt.datetime | None = None


def read_projection(
    store: EventStore,
    target: Callable[[], ProjectionTarget],
    projection: Projection,
    table: TableHealth,
    default_sla: float,
    readings: Readings,
    seen: SeenCheckpoints,
    now: dt.datetime,
) -> ProjectionHealth:
    """Read the checkpoints of one table; an error becomes the answer."""
    sla = projection.freshness_seconds if projection.freshness_seconds is not None else default_sla
    if not table.exists or table.error is not None:
        return ProjectionHealth(projection.name, table.table, sla, error=table.error)
    try:
        snapshot = store.log(table.table).snapshot()
        ranges = _Reader(snapshot, target, projection.name, table.table, seen).read()
        letters, suspended = open_letters(store, projection.name, table.table)
    except ReplicationError as error:
        return ProjectionHealth(projection.name, table.table, sla, error=str(error))
    waiting = sum(each.waiting for each in ranges)
    since = min((each.since for each in ranges if each.since is not None), default=None)
    applied = max(0, sum(each.stored for each in ranges if each.known) - waiting)
    known = table.loaded and all(each.known for each in ranges)
    name = f"applied/{projection.name}/{table.table}"
    return ProjectionHealth(
        projection.name,
        table.table,
        sla,
        freshness(table, since, now) if known else None,
        waiting,
        since,
        len(ranges),
        sum(each.filled for each in ranges),
        sum(each.rows for each in ranges),
        readings.note_last(name, now.timestamp(), applied),
        letters,
        suspended,
        reached=_furthest_behind(ranges),
    )


def _furthest_behind(ranges: Sequence[_Range]) -> Position | None:
    reached = [each.reached for each in ranges]
    known = [position for position in reached if position is not None]
    return min(known) if known and len(known) == len(reached) else None


def freshness(table: TableHealth, since: dt.datetime | None, now: dt.datetime) -> float | None:
    behind = max(0.0, (now - since).total_seconds()) if since is not None else None
    known = [each for each in (behind, table.lag_seconds) if each is not None]
    return max(known, default=None)


def open_letters(store: EventStore, projection: str, table: TableId) -> tuple[int, str | None]:
    letters = store.dead_letters(projection, table)
    suspension = letters.suspended()
    return letters.count(), suspension.reason if suspension is not None else None


class _Reader:
    """The ranges of one table in one projection."""

    def __init__(
        self,
        snapshot: LogSnapshot,
        target: Callable[[], ProjectionTarget],
        projection: str,
        table: TableId,
        seen: SeenCheckpoints,
    ) -> None:
        self._snapshot, self._controls, self._captured = snapshot, snapshot.controls(), snapshot.captured
        self._open = target
        self._projection, self._table, self._seen = projection, table, seen

    @cached_property
    def _target(self) -> ProjectionTarget:
        return self._open()

    def read(self) -> list[_Range]:
        stored: Counter[str] = Counter()
        for cell in self._snapshot.counts():
            stored[cell.id_range] += cell.rows
        return [self._range(id_range, stored[id_range.key]) for id_range in ranges_of(self._snapshot)]

    def _range(self, id_range: IdRange, stored: int) -> _Range:
        baseline = self._baseline(id_range)
        key = (self._projection, self._table, id_range.key)
        before = self._seen.recent(key)
        if before is not None:
            found = self._judged(id_range, baseline, before, stored)
            if found.filled and not found.waiting:
                return found
        if self._seen.is_spent:
            return _Range(False, stored)
        checkpoint = self._target.checkpoint(id_range.key)
        self._seen.keep(key, checkpoint)
        return self._judged(id_range, baseline, checkpoint, stored)

    def _baseline(self, id_range: IdRange) -> Baseline | None:
        try:
            return baseline_of(self._controls, id_range, where=str(self._table))
        except (NotLoaded, NeedsReload):
            return None

    def _judged(
        self, id_range: IdRange, baseline: Baseline | None, checkpoint: RangeCheckpoint | None, stored: int
    ) -> _Range:
        if checkpoint is None:
            if baseline is None:
                return _Range(False, stored)
            waiting, since = events_after(self._snapshot, id_range, before_load(baseline.oldest))
            return _Range(True, stored, None, False, 0, waiting, since)
        # Without a baseline the rows are those of before, and what came since waits for a load.
        filled = baseline is None or checkpoint.baseline == baseline.fingerprint
        start = checkpoint.position if filled or baseline is None else before_load(baseline.oldest)
        if filled and baseline is not None and checkpoint.position >= self._end(baseline):
            waiting, since = 0, None
        else:
            waiting, since = events_after(self._snapshot, id_range, start)
        return _Range(True, stored, checkpoint.position, filled, checkpoint.rows, waiting, since)

    def _end(self, baseline: Baseline) -> Position:
        return max(self._captured or baseline.oldest, baseline.oldest)


def before_load(position: Position) -> Position:
    """Just before the rows of a load, which carry sequence 0."""
    commit = max(0, position.commit - 1)
    return Position(position.epoch, commit).end_of_commit()


def events_after(snapshot: LogSnapshot, id_range: IdRange, after: Position) -> tuple[int, dt.datetime | None]:
    """How many, and the commit time of the oldest. Streamed: a long backlog is not held."""
    epoch, commit, sequence = ds.field(EPOCH), ds.field(COMMIT_POSITION), ds.field(SEQUENCE)
    newer = (epoch > after.epoch) | (
        (epoch == after.epoch)
        & ((commit > after.commit) | ((commit == after.commit) & (sequence > after.sequence)))
    )
    events = snapshot.events(id_range.key, after=after)
    count, oldest = 0, None
    for batch in events.to_batches(columns=[COMMITTED_AT], filter=newer):
        if batch.num_rows:
            count += batch.num_rows
            first: dt.datetime | None = pc.min(batch[COMMITTED_AT]).as_py()
            oldest = first if oldest is None else min(oldest, first or oldest)
    return count, oldest
