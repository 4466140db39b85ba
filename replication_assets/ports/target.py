"""The port of a projection target."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import ID_RANGE
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableSchema
from replication_assets.errors import TargetError


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


Refuse: TypeAlias = Callable[[Sequence[Refusal]], None]
"""Told of refused rows before the checkpoint passes them. Durable when it returns; what it
raises stops the write, with the checkpoint where it was."""


def refuse_loudly(refusals: Sequence[Refusal]) -> None:
    """Refuse nothing quietly: the first refusal ends the write."""
    if refusals:
        first = refusals[0]
        column = f" column {first.column}" if first.column is not None else ""
        raise TargetError(
            f"{len(refusals)} rows are refused, the first by {first.reason}:{column} {first.detail}",
            fix="declare what happens to refused rows, or mend the source",
        )


@dataclass(frozen=True, slots=True)
class TargetNeeds:
    """What a target wants to be told beyond net changes.

    `whole_rows`: values that the source did not send are filled in from the log, so that
    `_unchanged` is always null. `former_rows`: `RangeChanges.former` is filled.
    """

    whole_rows: bool = False
    former_rows: bool = False


DELETED = "_deleted"


def view_schema(image: pa.Schema) -> pa.Schema:
    """Columns of a view's rows: those of the image, the id range that wrote the row, and whether
    the row is deleted as of an event after the checkpoint."""
    return pa.schema([*image, pa.field(ID_RANGE, pa.string()), pa.field(DELETED, pa.bool_())])


class TargetView(Protocol):
    """What a target holds, with what it says of it."""

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        """As last recorded, whether or not the rows are still what it speaks of."""
        ...

    def read(self, id_ranges: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of `view_schema` of the image, of some ranges or all.

        A target with versions reads the one that `checkpoint` speaks of. Another may hold rows
        of events after the checkpoint, which their position tells; a row deleted after it is
        then still there, with `_deleted` true. Rows that no range of ours wrote have a null
        `_id_range`.
        """
        ...


class ProjectionTarget(Protocol):
    """A store kept equal to the fold of a table. Ranges are independent of each other."""

    @property
    def needs(self) -> TargetNeeds: ...

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
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        """Make the range hold exactly `rows` (`core.fold.row_schema`), with its checkpoint,
        in one step for readers where the target can. Repeatable."""
        ...

    def apply(
        self,
        id_range: str,
        schema: TableSchema,
        changes: RangeChanges,
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        """Bring the range from its checkpoint to `position`. Older rows never replace newer
        ones. Repeatable."""
        ...

    def figures(self) -> Mapping[str, float]:
        """What writing cost since this was asked last, by name (`requests_retried`); empty where
        there is nothing to tell."""
        ...

    def identity(self, schema: TableSchema) -> tuple[str, ...]:
        """Columns of the image that tell its rows apart; empty where only their content does."""
        ...

    def image(self, schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """What the target holds for these rows (`core.fold.row_schema`): the columns of
        `identity`, further ones to be compared, and the position columns last.

        Values have one spelling each, so that equal rows are equal byte for byte. Rows that
        the target refuses as a whole are left out. There is a batch for each that is given, also
        for one without rows.
        """
        ...

    def identities(self, schema: TableSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Columns of `identity` for each of these rows (`core.fold.row_schema`), in their order;
        null in a row that has none. Rows that are refused for other reasons have theirs."""
        ...

    def view(self, schema: TableSchema) -> TargetView: ...

    def repair(
        self,
        id_range: str,
        schema: TableSchema,
        rows: pa.Table,
        gone: pa.Table,
        checkpoint: RangeCheckpoint,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> None:
        """Make single rows what they were at `checkpoint`, which must be the range's own.

        `rows` (`core.fold.row_schema`) are written even where the target already has their
        position; `gone` holds the columns of `identity` of rows that must not be there. What
        was written for events after the checkpoint stays. The checkpoint does not move.

        Raises:
            CommitConflict: the range has moved on; read it and compare again.
            TargetError: rows cannot be told apart; replace the range.
        """
        ...

    def reset(self, schema: TableSchema) -> None:
        """Empty the target and give it the columns of `schema`: for a column that changed its
        type, after which every range must be replaced."""
        ...

    def tidy(self, older_than: dt.timedelta) -> Iterator[str]:
        """Delete what was replaced longer ago than that, and put back what a killed run left
        changed; says what was done."""
        ...

    def read(self) -> Iterable[pa.RecordBatch]:
        """Everything the target holds at one moment: of one that holds rows, at least the table's
        columns and `_overflow`; of one that maps them, what its `view` shows."""
        ...
