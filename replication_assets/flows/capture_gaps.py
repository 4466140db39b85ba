"""Tables that captures left out for a while: told as a gap, so that their loads are done again.

A capture moves its place past every change, also of tables that it was not given. Where a table comes
back, what was logged meanwhile is in no event. A source that publishes chosen tables tells so in `setup`;
of any other only what earlier captures were given can tell, which the event store keeps.

The list is written after the first mark of a capture, not before: a mark that another capture forestalls
leaves the list as it was. A capture that dies between the two tells of a gap that is none, which costs
a load and no row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from replication_assets.core.controls import Controls, SchemaChanged, live_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.flows.control_events import tell
from replication_assets.ports import CapturedTables, CaptureMark, EventStore

REASON = "the table was not captured for a while"


def tell_gaps(store: EventStore, source: str, mark: CaptureMark, tables: Iterable[TableId]) -> None:
    """Demand a reload of each table that captures up to `mark` were not given. Idempotent."""
    last = store.capture_lists(source).last()
    if last is None:
        return
    is_new_epoch = last.epoch != mark.epoch
    kept = frozenset[TableId]() if is_new_epoch else last.tables
    through = Position(mark.epoch, mark.commit).end_of_commit()
    for table in sorted(set(tables) - kept):
        log = store.log(table)
        if not log.exists():
            continue
        snapshot = log.snapshot()
        controls = snapshot.controls()
        if _has_gap(controls, through, is_new_epoch=is_new_epoch):
            schema = live_schema(snapshot.schema, controls.schema_changes)
            tell(log, schema, SchemaChanged(through, True, REASON))


def _has_gap(controls: Controls, through: Position, *, is_new_epoch: bool) -> bool:
    """Whether rows were loaded that changes up to `through` are missing of, and nothing says so yet.

    Of a new epoch nothing is captured yet, so its own loads miss nothing. Loads of older ones do, unless
    the recovery that began it told so, which it does of the tables that were declared then.
    """
    reloads = [change.position for change in controls.schema_changes if change.reload]
    loads = [load.position for load in controls.loads]
    if is_new_epoch:
        told = any(position.epoch == through.epoch for position in reloads)
        return not told and any(position.epoch < through.epoch for position in loads)
    told = any(position >= through for position in reloads)
    return not told and any(position <= through for position in loads)


def record_list(store: EventStore, source: str, epoch: int, tables: Iterable[TableId]) -> None:
    """Call after a mark of a capture of exactly these tables is recorded."""
    store.capture_lists(source).record(CapturedTables(epoch, frozenset(tables)), dt.datetime.now(dt.UTC))
