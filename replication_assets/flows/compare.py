"""Where two sides stand that are to be compared: the source, and a range of a projection."""

from __future__ import annotations

from contextlib import suppress

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.controls import Controls
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.errors import NeedsReload, NotLoaded
from replication_assets.flows.prepare import current_epoch
from replication_assets.ports import ChangeSource, EventStore, RangeCheckpoint


def source_position(source: ChangeSource, store: EventStore) -> Position:
    """The newest position of the source: what a capture must reach to hold everything
    that was committed before this call."""
    return Position(current_epoch(source, store), source.status().head)


def baseline_at(
    controls: Controls, id_range: IdRange, checkpoint: RangeCheckpoint, where: str
) -> Baseline | None:
    """What the target's rows start from. A load of single dates may be ahead of the changes,
    and so of the checkpoint's position; newer loads may have come since."""
    places = [checkpoint.position, *(load.position for load in reversed(controls.loads))]
    for place in places:
        with suppress(NotLoaded, NeedsReload):
            found = baseline_of(controls, id_range, where=where, as_of=place.end_of_commit())
            if found.fingerprint == checkpoint.baseline:
                return found
    return None
