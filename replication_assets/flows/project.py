"""Project: keep one range of a target equal to the fold of the same range of the store.

Forward from the target's own checkpoint where that is right and cheaper, from nothing where
it is not: a new load, a TRUNCATE, an emptied target, or more changes than a rebuild costs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.changes import range_changes
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine
from replication_assets.errors import CommitConflict
from replication_assets.flows.read import fold_range
from replication_assets.ports import LogSnapshot, ProjectionTarget, RangeCheckpoint

MOST_CHANGES = 250_000
"""Beyond this many events a range is folded anew: streamed, where changes are held in memory."""


@dataclass(frozen=True, slots=True)
class ProjectReceipt:
    """What was done to one range: `unchanged`, `applied` changes, or `replaced` whole."""

    id_range: IdRange
    how: Literal["unchanged", "applied", "replaced"]
    position: Position
    rows: int
    changed: int
    seconds: float


def project_range(
    snapshot: LogSnapshot,
    table: TableId,
    target: ProjectionTarget,
    id_range: IdRange,
    *,
    rebuild: bool = False,
    spill: Spill = Spill(),
) -> ProjectReceipt:
    """Bring one range of the target up to the snapshot; with `rebuild`, from nothing.

    Raises:
        NotLoaded, NeedsReload: the range's rows cannot be known from the store.
        CommitConflict: another projection of the same range came first, and not as far as this
            snapshot reaches, or a rebuild was asked for.
    """
    started = time.monotonic()
    baseline = baseline_of(snapshot.controls(), id_range, where=str(table))
    end = _reached(snapshot, baseline)
    try:
        return _bring_up(snapshot, table, target, id_range, baseline, end, rebuild, spill, started)
    except CommitConflict:
        # A range that a capture keeps current inline is moved several times a second: whoever
        # did so from a snapshot as new as ours did our work.
        have = None if rebuild else target.checkpoint(id_range.key)
        if have is None or have.baseline != baseline.fingerprint or have.position < end:
            raise
        return _receipt(id_range, "unchanged", have, 0, started)


def _bring_up(
    snapshot: LogSnapshot,
    table: TableId,
    target: ProjectionTarget,
    id_range: IdRange,
    baseline: Baseline,
    end: Position,
    rebuild: bool,
    spill: Spill,
    started: float,
) -> ProjectReceipt:
    have = None if rebuild else target.checkpoint(id_range.key)
    if have is not None and have.baseline == baseline.fingerprint:
        if have.position >= end:
            return _receipt(id_range, "unchanged", have, 0, started)
        applied = _apply(snapshot, table, target, id_range, baseline, have.position, end, spill)
        if applied is not None:
            return _receipt(id_range, "applied", applied[0], applied[1], started)
    rows = fold_range(snapshot, table, id_range, baseline=baseline, spill=spill)
    done = target.replace(id_range.key, snapshot.schema, rows, baseline.fingerprint, end)
    return _receipt(id_range, "replaced", done, done.rows, started)


def _reached(snapshot: LogSnapshot, baseline: Baseline) -> Position:
    """How far the snapshot knows the range: captured, or at least loaded."""
    loaded = baseline.oldest
    return max(snapshot.captured, loaded) if snapshot.captured is not None else loaded


def _apply(
    snapshot: LogSnapshot,
    table: TableId,
    target: ProjectionTarget,
    id_range: IdRange,
    baseline: Baseline,
    start: Position,
    end: Position,
    spill: Spill,
) -> tuple[RangeCheckpoint, int] | None:
    with engine(spill) as connection:
        changes = range_changes(
            connection,
            snapshot.events(id_range.key, after=start),
            snapshot.schema,
            baseline,
            start=start,
            end=end,
            most=MOST_CHANGES,
            where=f"{table} range {id_range.key}",
        )
    if changes is None:
        return None
    done = target.apply(id_range.key, snapshot.schema, changes, baseline.fingerprint, end)
    return done, changes.upserts.num_rows + changes.deletes.num_rows


def _receipt(
    id_range: IdRange,
    how: Literal["unchanged", "applied", "replaced"],
    checkpoint: RangeCheckpoint,
    changed: int,
    started: float,
) -> ProjectReceipt:
    return ProjectReceipt(
        id_range, how, checkpoint.position, checkpoint.rows, changed, time.monotonic() - started
    )
