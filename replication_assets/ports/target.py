"""The port of a projection target."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from replication_assets.core.changes import RangeChanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema


@dataclass(frozen=True, slots=True)
class RangeCheckpoint:
    """How far one range of a projection has followed its table's log.

    `baseline` identifies the loads and truncates that the rows start from: another baseline
    means the range must be replaced. `position` is the last event applied; `rows` how many
    rows the range holds.
    """

    baseline: int
    position: Position
    rows: int


class ProjectionTarget(Protocol):
    """A store kept equal to the fold of a table. Ranges are independent of each other."""

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        """None if the range was never filled, or what the target holds is not what the
        checkpoint speaks of (emptied, dropped, edited): then it must be replaced."""
        ...

    def replace(
        self,
        id_range: str,
        schema: TableSchema,
        rows: Iterable[pa.RecordBatch],
        baseline: int,
        position: Position,
    ) -> RangeCheckpoint:
        """Make the range hold exactly `rows` (`core.fold.row_schema`), with its checkpoint,
        in one step for readers. Repeatable."""
        ...

    def apply(
        self, id_range: str, schema: TableSchema, changes: RangeChanges, baseline: int, position: Position
    ) -> RangeCheckpoint:
        """Bring the range from its checkpoint to `position`. Older rows never replace newer
        ones. Repeatable."""
        ...

    def reset(self, schema: TableSchema) -> None:
        """Empty the target and give it the columns of `schema`: for a column that changed its
        type, after which every range must be replaced."""
        ...

    def vacuum(self, older_than: dt.timedelta) -> int:
        """Delete what was replaced longer ago than that, if anything is kept; returns how much."""
        ...

    def read(self) -> Iterable[pa.RecordBatch]:
        """Everything the target holds at one moment, with at least the table's columns and
        `_overflow`."""
        ...
