"""Checkpoints that were read before, so that a look at many id ranges stays short.

A target is asked for the checkpoint of one range at a time, which costs some ten milliseconds
each. A checkpoint only moves forward: if the log holds nothing newer than the one that was read
last, nothing waits, whatever the target has done since. So only ranges with newer events are
asked again, and each range now and then, since a target may have been emptied.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from replication_assets.core.schema import TableId
from replication_assets.ports import RangeCheckpoint

AGAIN_SECONDS = 600.0
"""An emptied target is noticed within this time, where its table is idle."""

BUDGET_SECONDS = 25.0
"""For all reads of one look: Dagster gives a sensor a minute."""

RangeKey = tuple[str, TableId, str]
"""Projection, table, id range."""


@dataclass
class SeenCheckpoints:
    """Belongs to one process. Lost, it is made again; it is never wrong."""

    kept: dict[RangeKey, tuple[RangeCheckpoint, float]] = field(default_factory=dict)
    deadline: float = float("inf")

    def begin(self) -> None:
        """A new look, with its budget."""
        self.deadline = time.monotonic() + BUDGET_SECONDS

    @property
    def is_spent(self) -> bool:
        return time.monotonic() > self.deadline

    def recent(self, key: RangeKey) -> RangeCheckpoint | None:
        """The one last read, if that is not long ago or there is no time to read it again."""
        checkpoint, at = self.kept.get(key, (None, 0.0))
        return checkpoint if self.is_spent or time.monotonic() - at < AGAIN_SECONDS else None

    def keep(self, key: RangeKey, checkpoint: RangeCheckpoint | None) -> None:
        if checkpoint is None:
            self.kept.pop(key, None)
        else:
            self.kept[key] = (checkpoint, time.monotonic())
