"""Bodies of control events, and what they mean for a range.

`X` (a load is complete): which keys and dates it read, and how many rows it found.
`S` (schema changed): which columns, why, and whether rows changed that the log never told.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace

from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema


@dataclass(frozen=True, slots=True)
class RangeReplaced:
    """A complete load: keys in `[lo, hi)` (None is unbounded), all dates or only those listed.

    Open at the top (`hi is None`) it also covers ranges that did not exist when it ran: a
    range born later, as keys grow, needs no load of its own.
    """

    position: Position
    load_id: str
    lo: Key | None
    hi: Key | None
    rows: int
    dates: tuple[dt.date | None, ...] | None = None
    where: str = ""
    """The row filter (`core.table_filters.filter_text`) that it read by."""

    def covers(self, id_range: IdRange) -> bool:
        below = self.lo is None or (id_range.lo is not None and self.lo <= id_range.lo)  # type: ignore[operator]
        above = self.hi is None or (id_range.hi is not None and id_range.hi <= self.hi)  # type: ignore[operator]
        return below and above

    def body(self) -> str:
        dates = None if self.dates is None else [d.isoformat() if d else None for d in self.dates]
        parts = {"lo": self.lo, "hi": self.hi, "rows": self.rows, "dates": dates}
        return json.dumps({**parts, "where": self.where} if self.where else parts)

    @classmethod
    def from_body(cls, position: Position, load_id: str, body: str) -> RangeReplaced:
        raw = json.loads(body)
        dates = raw["dates"]
        parsed = None if dates is None else tuple(dt.date.fromisoformat(d) if d else None for d in dates)
        where = raw.get("where", "")
        return cls(position, load_id, raw["lo"], raw["hi"], raw["rows"], parsed, where)


@dataclass(frozen=True, slots=True)
class SchemaChanged:
    """Columns changed at `position`. With `reload`, loads older than it no longer tell the truth.

    The change stream says nothing of rows that an `ALTER TABLE` changed in place (a default
    for existing rows, a rename, another type), of an attached or detached partition, or of a
    gap in the log; only a load newer than `position` does. `leaves` are the leaf partitions
    by the source's own number, where the event notes them: the next capture compares. `filtered`
    notes by which filter rows pass from here on, with a number that grows: the greatest one holds.
    """

    position: Position
    reload: bool
    reason: str
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    leaves: tuple[tuple[int, str], ...] | None = None
    filtered: tuple[int, str] | None = None

    def body(self) -> str:
        parts = {
            "reload": self.reload,
            "reason": self.reason,
            "added": list(self.added),
            "dropped": list(self.dropped),
        }
        if self.leaves is not None:
            parts["leaves"] = [list(leaf) for leaf in self.leaves]
        if self.filtered is not None:
            parts["filtered"] = list(self.filtered)
        return json.dumps(parts)

    @classmethod
    def from_body(cls, position: Position, body: str) -> SchemaChanged:
        raw = json.loads(body)
        leaves = tuple((number, name) for number, name in raw["leaves"]) if "leaves" in raw else None
        filtered = (raw["filtered"][0], raw["filtered"][1]) if "filtered" in raw else None
        came, gone = tuple(raw["added"]), tuple(raw["dropped"])
        return cls(position, raw["reload"], raw["reason"], came, gone, leaves, filtered)


@dataclass(frozen=True, slots=True)
class Truncated:
    """The whole table was emptied at `position`."""

    position: Position


@dataclass(frozen=True, slots=True)
class Controls:
    """All control events of a table's log, in position order."""

    loads: tuple[RangeReplaced, ...] = ()
    truncates: tuple[Truncated, ...] = ()
    schema_changes: tuple[SchemaChanged, ...] = ()

    @property
    def filtered(self) -> tuple[int, str]:
        """The filter that rows pass now, with its number; (0, "") where none was ever noted."""
        return max((each.filtered for each in self.schema_changes if each.filtered), default=(0, ""))


def live_schema(stored: TableSchema, changes: tuple[SchemaChanged, ...]) -> TableSchema:
    """The columns that the source still has, of all that a log ever stored."""
    gone: set[str] = set()
    for change in sorted(changes, key=lambda change: change.position):
        gone = (gone | set(change.dropped)) - set(change.added)
    return replace(stored, columns=tuple(column for column in stored.columns if column.name not in gone))
