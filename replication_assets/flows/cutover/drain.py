"""Drain: captures and projections brought up to a position, and what was written after one.

Other runs do the same work: a capture that holds the change stream, automation that projects.
Whoever comes first does it; here it only has to be done in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pyarrow.dataset as ds

from replication_assets.core.baseline import baseline_of
from replication_assets.core.controls import Controls
from replication_assets.core.events import ALL_RANGES, COMMIT_POSITION, EPOCH, OP, Operation
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import CommitConflict, NeedsReload, NotLoaded, ReplicationError, SlotBusy
from replication_assets.flows.capture import FlushPolicy, capture
from replication_assets.flows.cutover.handover import Handover
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import handling_of
from replication_assets.ports import CaptureMark, LogSnapshot, ProjectionTarget

PAUSE_SECONDS = 0.2
_CHANGES = [Operation.INSERT, Operation.UPDATE, Operation.DELETE, Operation.TRUNCATE]


def is_captured(mark: CaptureMark | None, upto: Position) -> bool:
    """Whether everything that was committed before `upto` is durable in the event store."""
    # A head names the first byte after the last record, so one short of it is enough.
    return mark is not None and (mark.epoch, mark.commit + 1) >= (upto.epoch, upto.commit)


def catch_up(handover: Handover, source: str, upto: Position, seconds: float) -> bool:
    """Capture up to a position, or wait while another capture does; False if time ran out."""
    deadline = time.monotonic() + seconds
    ledger = handover.store.ledger(source)
    while not is_captured(ledger.last(), upto):
        late = _late(deadline)
        if late():
            return False
        try:
            capture(
                handover.source(source),
                handover.store,
                handover.open(source),
                upto=upto.commit,
                stop=late,
                policy=FlushPolicy(seconds=1, idle_seconds=1),
                on_flush=handover.on_flush,
            )
        except (SlotBusy, CommitConflict):
            time.sleep(PAUSE_SECONDS)
    return True


def _late(deadline: float) -> Callable[[], bool]:
    return lambda: time.monotonic() > deadline


def changes_since(
    handover: Handover, source: str, first: Position, last: Position | None = None
) -> dict[TableId, int]:
    """Changes of the cutover's tables that were committed at `first` or later and, with `last`,
    before it; tables without any are left out. As far as they are captured."""
    found = {table: _changes(handover, table, first, last) for table in handover.tables_of(source)}
    return {table: count for table, count in found.items() if count}


def _changes(handover: Handover, table: TableId, first: Position, last: Position | None) -> int:
    epoch, commit = ds.field(EPOCH), ds.field(COMMIT_POSITION)
    wanted = (epoch > first.epoch) | ((epoch == first.epoch) & (commit >= first.commit))
    if last is not None:
        wanted &= (epoch < last.epoch) | ((epoch == last.epoch) & (commit < last.commit))
    wanted &= ds.field(OP).isin([str(operation) for operation in _CHANGES])
    before = Position(first.epoch, max(0, first.commit - 1)).end_of_commit()
    count = 0
    for chapter in range(1, handover.store.chapters(table) + 1):
        log = handover.store.log(table, chapter)
        if log.exists():
            snapshot = log.snapshot()
            for key in {*snapshot.range_keys(), ALL_RANGES}:
                count += snapshot.events(key, after=before).count_rows(filter=wanted)
    return count


def project_tables(handover: Handover, seconds: float) -> Mapping[str, str]:
    """Bring every id range of the projection up to its log; the ranges that are behind
    nevertheless, each with the reason."""
    deadline = time.monotonic() + seconds
    behind: dict[str, str] = {}
    for table in handover.tables:
        name = f"{table.id}"
        letters = handover.store.dead_letters(handover.projection.name, table.id)
        if letters.suspended() is not None:
            behind[name] = "the table is suspended"
            continue
        try:
            _project_table(handover, table.id, deadline, behind)
        except ReplicationError as error:
            behind[name] = str(error)
    return behind


def _project_table(handover: Handover, table: TableId, deadline: float, behind: dict[str, str]) -> None:
    snapshot = handover.store.log(table).snapshot()
    target = handover.target(table)
    handling = handling_of(handover.store, handover.projection, table)
    for id_range in ranges_of(snapshot):
        name = f"{table} {id_range.key}"
        while True:
            try:
                project_range(snapshot, table, target, id_range, handling=handling)
            except CommitConflict:
                # Another run moves the same range; what it leaves is looked at again.
                if time.monotonic() < deadline:
                    time.sleep(PAUSE_SECONDS)
                    continue
            except (NotLoaded, NeedsReload) as error:
                behind[name] = error.what
                break
            if reason := why_behind(snapshot, snapshot.controls(), target, table, id_range):
                behind[name] = reason
            break


def why_behind(
    snapshot: LogSnapshot, controls: Controls, target: ProjectionTarget, table: TableId, id_range: IdRange
) -> str:
    """Why a range of the target does not hold all that the snapshot knows of it; empty if it does."""
    try:
        baseline = baseline_of(controls, id_range, where=str(table))
    except (NotLoaded, NeedsReload) as error:
        return error.what
    have = target.checkpoint(id_range.key)
    if have is None:
        return "never projected"
    if have.baseline != baseline.fingerprint:
        return "it was loaded again since it was projected"
    end = max(snapshot.captured or baseline.oldest, baseline.oldest)
    return "" if have.position >= end else f"projected up to {have.position}, known up to {end}"
