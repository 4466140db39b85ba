"""Project: keep one range of a target equal to the fold of the same range of the store.

Forward from the target's own checkpoint where that is right and cheaper, from nothing where
it is not: a new load, a TRUNCATE, an emptied target, or more changes than a rebuild costs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.changes import Past, range_changes
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine
from replication_assets.errors import CommitConflict
from replication_assets.failpoints import reach
from replication_assets.flows.read import fold_range, history_reader
from replication_assets.flows.refusals import Attempt, Handling
from replication_assets.ports import (
    LogSnapshot,
    ProjectionTarget,
    RangeCheckpoint,
    Refuse,
    refuse_loudly,
)

MOST_CHANGES = 250_000
"""Beyond this many events a range is folded anew: streamed, where changes are held in memory."""


@dataclass(frozen=True, slots=True)
class ProjectReceipt:
    """What was done to one range: `unchanged`, `applied` changes, or `replaced` whole. `figures`
    are the target's own."""

    id_range: IdRange
    how: Literal["unchanged", "applied", "replaced"]
    position: Position
    rows: int
    changed: int
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class _Work:
    """One range to bring up to `end`."""

    snapshot: LogSnapshot
    table: TableId
    target: ProjectionTarget
    id_range: IdRange
    baseline: Baseline
    end: Position
    spill: Spill
    attempt: Attempt | None

    @property
    def refuse(self) -> Refuse:
        return self.attempt if self.attempt is not None else refuse_loudly


def project_range(
    snapshot: LogSnapshot,
    table: TableId,
    target: ProjectionTarget,
    id_range: IdRange,
    *,
    rebuild: bool = False,
    spill: Spill = Spill(),
    handling: Handling | None = None,
) -> ProjectReceipt:
    """Bring one range of the target up to the snapshot; with `rebuild`, from nothing.

    `handling` says what becomes of rows that the target refuses; without it the first one
    ends the run.

    Raises:
        NotLoaded, NeedsReload: the range's rows cannot be known from the store.
        CommitConflict: another projection of the same range came first, and not as far as this
            snapshot reaches, or a rebuild was asked for.
        TableSuspended: rows were refused before, and nobody resumed the table yet.
        TargetError: a row is refused, and the policy is to stop.
    """
    started = time.monotonic()
    if handling is not None:
        handling.require_running()
    baseline = baseline_of(snapshot.controls(), id_range, where=str(table))
    end = _reached(snapshot, baseline)
    attempt = handling.attempt(id_range.key) if handling is not None else None
    work = _Work(snapshot, table, target, id_range, baseline, end, spill, attempt)
    try:
        return replace(_bring_up(work, rebuild, started), figures=target.figures())
    except CommitConflict:
        # A range that a capture keeps current inline is moved several times a second: whoever
        # did so from a snapshot as new as ours did our work.
        have = None if rebuild else target.checkpoint(id_range.key)
        if have is None or have.baseline != baseline.fingerprint or have.position < end:
            raise
        return _receipt(id_range, "unchanged", have, 0, started)


def _bring_up(work: _Work, rebuild: bool, started: float) -> ProjectReceipt:
    target, id_range, baseline = work.target, work.id_range, work.baseline
    have = None if rebuild else target.checkpoint(id_range.key)
    reach("project.begun")
    if have is not None and have.baseline == baseline.fingerprint:
        if have.position >= work.end:
            return _receipt(id_range, "unchanged", have, 0, started)
        applied = _apply(work, have.position)
        if applied is not None:
            return _receipt(id_range, "applied", applied[0], applied[1], started)
    rows = fold_range(work.snapshot, work.table, id_range, baseline=baseline, spill=work.spill)
    schema = work.snapshot.schema
    done = target.replace(id_range.key, schema, rows, baseline.fingerprint, work.end, refuse=work.refuse)
    if work.attempt is not None:
        work.attempt.replaced(done.position)
    return _receipt(id_range, "replaced", done, done.rows, started)


def _reached(snapshot: LogSnapshot, baseline: Baseline) -> Position:
    """How far the snapshot knows the range: captured, or at least loaded."""
    loaded = baseline.oldest
    return max(snapshot.captured, loaded) if snapshot.captured is not None else loaded


def _apply(work: _Work, start: Position) -> tuple[RangeCheckpoint, int] | None:
    snapshot, key, schema = work.snapshot, work.id_range.key, work.snapshot.schema
    with engine(work.spill) as connection:
        changes = range_changes(
            connection,
            snapshot.events(key, after=start),
            schema,
            work.baseline,
            start=start,
            end=work.end,
            most=MOST_CHANGES,
            where=f"{work.table} range {key}",
            past=_past(work, start),
        )
    if changes is None:
        return None
    done = work.target.apply(key, schema, changes, work.baseline.fingerprint, work.end, refuse=work.refuse)
    if work.attempt is not None:
        work.attempt.applied(schema, changes)
    return done, changes.upserts.num_rows + changes.deletes.num_rows


def _past(work: _Work, start: Position) -> Past | None:
    needs, snapshot = work.target.needs, work.snapshot
    # What did not change decides too whether a row passes a filter.
    whole_rows = needs.whole_rows or bool(work.baseline.where)
    if not whole_rows and not needs.former_rows:
        return None
    since = work.attempt.refused_since(start) if work.attempt is not None and needs.former_rows else None
    return Past(
        snapshot.events(work.id_range.key),
        history_reader(snapshot),
        whole_rows,
        needs.former_rows,
        since,
    )


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
