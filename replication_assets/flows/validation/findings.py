"""What a validation found: of each id range, of a whole table, and row by row in a list.

A list names rows by their identity as JSON, in the form of `Refusal.key`. Rows that nothing but
their content tells apart are listed with all of it: such a list stays where the events are, and
what is shown of it elsewhere is its length.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pyarrow as pa

from replication_assets.core.differences import FINDING, MISMATCHES, Found, Kind
from replication_assets.core.events import ID_RANGE, OVERFLOW
from replication_assets.core.items.rows import Rows
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId

State: TypeAlias = Literal["equal", "mended", "late", "accounted", "differs", "unknown"]
"""Of a range. `mended`: its digests differed, its rows do not any more. `late`: changes that it is
compared with have not arrived. `accounted`: all that differs is in flight or a dead letter.
`unknown`: what it should hold is not known; `reason` says why."""

SHOWN = 20
"""Rows of a list that are shown with its figures."""

LISTED = pa.schema([*FINDING, pa.field("key", pa.string())])


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding, in short. `key` is JSON; None where only the content would tell."""

    kind: str
    id_range: str
    key: str | None
    columns: tuple[str, ...]


@dataclass(slots=True)
class RowFindings:
    """Figures of a list while it is written, and its first rows."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """By range (empty: none of ours), then by kind."""
    shown: list[Shown] = field(default_factory=list)
    total: int = 0

    def listed(
        self, found: Iterable[Found], *, keyed: bool, documents: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `LISTED`, counted as they pass. With `documents`, a target's own keys are
        JSON already."""
        for each in found:
            own = documents and each.identities.num_columns == 1
            keys = each.identities.column(0).to_pylist() if own else _keys(each.identities)
            batch = pa.RecordBatch.from_arrays(
                [*each.findings.columns, pa.array(keys, pa.string())], schema=LISTED
            )
            self._count(batch, keyed=keyed)
            yield batch

    def _count(self, batch: pa.RecordBatch, *, keyed: bool) -> None:
        self.total += batch.num_rows
        grouped = pa.Table.from_batches([batch]).group_by(["id_range", "kind"]).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            of_range = self.counts.setdefault(row["id_range"], {})
            of_range[row["kind"]] = of_range.get(row["kind"], 0) + row["count_all"]
        room = SHOWN - len(self.shown)
        for row in batch.slice(0, max(0, room)).to_pylist():
            key = row["key"] if keyed else None
            self.shown.append(Shown(row["kind"], row["id_range"], key, tuple(row["columns"] or ())))


def _keys(identities: pa.RecordBatch) -> list[str]:
    rows = Rows(identities)
    names = [name for name in identities.schema.names if name not in (OVERFLOW, ID_RANGE)]
    texts = [rows.shown(name).to_pylist() for name in names]
    return [
        json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False, separators=(",", ":"))
        for values in zip(*texts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class RangeValidation:
    """One range: rows that should be there and that are there, and what is wrong with them.

    `rows` of `kinds` are counted by `core.differences.Kind`. The range with an empty key stands
    for rows that no range of ours wrote.
    """

    id_range: str
    state: State
    expected: int
    actual: int
    kinds: dict[str, int] = field(default_factory=dict)
    reason: str = ""

    def count(self, kind: Kind) -> int:
        return self.kinds.get(kind, 0)

    @property
    def mismatches(self) -> int:
        return sum(self.count(kind) for kind in MISMATCHES)


@dataclass(frozen=True, slots=True)
class Validation:
    """One table held against its source (`against` is "source") or a projection against the
    event store ("event store")."""

    table: TableId
    against: Literal["source", "event store"]
    ranges: tuple[RangeValidation, ...]
    position: Position | None
    """The newest position that was compared; None if nothing was."""
    seconds: float
    shown: tuple[Shown, ...] = ()
    """The first of all findings; the whole list is in `listed`."""
    total: int = 0
    listed: str | None = None
    """Where the list of all findings is; None if there are none."""
    notes: tuple[str, ...] = ()
    """What was left out of the comparison, and why."""

    def count(self, kind: Kind) -> int:
        return sum(each.count(kind) for each in self.ranges)

    @property
    def rows(self) -> int:
        """Rows that should be there."""
        return sum(each.expected for each in self.ranges)

    @property
    def mismatches(self) -> int:
        return sum(each.mismatches for each in self.ranges)

    @property
    def wrong(self) -> tuple[RangeValidation, ...]:
        """Ranges that are not what they should be, or cannot be said to be."""
        return tuple(each for each in self.ranges if each.state in ("differs", "unknown"))

    @property
    def late(self) -> tuple[RangeValidation, ...]:
        """Ranges whose changes had not arrived."""
        return tuple(each for each in self.ranges if each.state == "late")

    @property
    def waiting(self) -> tuple[RangeValidation, ...]:
        """Ranges that could not be compared, or not in full, though nothing is known to be wrong."""
        return tuple(each for each in self.ranges if each.state in ("late", "accounted"))

    @property
    def passed(self) -> bool:
        return not self.wrong

    def __str__(self) -> str:
        """One line, without any value."""
        figures = [f"{self.count(kind):,} {kind}" for kind in _KINDS if self.count(kind)]
        unknown = sum(each.state == "unknown" for each in self.ranges)
        late = sum(each.state == "late" for each in self.ranges)
        figures += [f"{unknown} ranges unknown"] * bool(unknown) + [f"{late} ranges late"] * bool(late)
        compared = f"{self.rows:,} rows in {len(self.ranges)} ranges"
        return f"{self.table} against {self.against}: {compared}, {', '.join(figures) or 'equal'}"


_KINDS: tuple[Kind, ...] = ("missing", "extra", "differing", "in-flight", "dead-lettered")
