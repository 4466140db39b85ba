"""Which loads an id range starts from: the first half of a fold.

A range's rows are those of its newest complete load and the changes after it. Older loads
stay in the log for audit and cost nothing here. A load of some dates only replaces those
dates; a TRUNCATE is as good as a load that found nothing. Where the source changed in a way
that its log does not carry, only a newer load tells the truth, and until it exists the range
is refused rather than served wrong.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from replication_assets.core.controls import Controls, RangeReplaced, SchemaChanged
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.errors import NeedsReload, NotLoaded


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a range starts from.

    `load` is the newest load of all dates, None after a later TRUNCATE or where only some
    dates were loaded. `floor` is the position from which changes count for dates that have
    no load of their own; None means that such dates are not known at all. `dated` holds
    newer loads of single dates.
    """

    load: RangeReplaced | None
    floor: Position | None
    dated: Mapping[dt.date | None, RangeReplaced] = field(default_factory=dict)
    where: str = ""
    """The filter that rows of the fold pass (`core.table_filters.filter_text`)."""

    @property
    def oldest(self) -> Position:
        """Changes at or before this position count for no row of the range."""
        positions = [load.position for load in self.dated.values()]
        return self.floor if self.floor is not None else min(positions)

    @property
    def newest(self) -> Position:
        """The rows are known at least as of this position."""
        positions = [load.position for load in self.dated.values()]
        return max([*positions, *([self.floor] if self.floor is not None else [])])

    @property
    def fingerprint(self) -> int:
        """63 bits that differ whenever the starting point differs; a projection built on
        another one must be replaced, not brought forward."""
        parts = [self.load.load_id if self.load else "", str(self.floor)]
        parts += [f"{date}={load.load_id}" for date, load in sorted(self.dated.items(), key=str)]
        parts += [f"where={self.where}"] if self.where else []
        digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1


def baseline_of(
    controls: Controls, id_range: IdRange, *, where: str, as_of: Position | None = None
) -> Baseline:
    """The starting point of one range, as of a position (default: the newest).

    Raises:
        NotLoaded: no complete load covers the range.
        NeedsReload: the source changed unseen after the newest load, or that was of rows that pass
            another filter than the one that holds now.
    """
    where = f"{where} range {id_range.key}"
    loads = [x for x in controls.loads if x.covers(id_range) and _by(x.position, as_of)]
    truncates = [t.position for t in controls.truncates if _by(t.position, as_of)]
    whole = max((x for x in loads if x.dates is None), key=_order, default=None)
    emptied = max(truncates, default=None)
    if emptied is not None and (whole is None or whole.position < emptied):
        whole = None
    floor = whole.position if whole is not None else emptied
    dated: dict[dt.date | None, RangeReplaced] = {}
    for load in sorted(loads, key=_order):
        if load.dates is not None and (floor is None or load.position > floor):
            dated.update(dict.fromkeys(load.dates, load))
    if floor is None and not dated:
        raise NotLoaded(
            "no complete load covers it", where=where, fix="materialize this id range of the event store"
        )
    _refuse_stale(controls.schema_changes, floor, dated, as_of, where)
    _, filtered = controls.filtered
    _refuse_filtered([*([whole] if whole is not None else []), *dated.values()], filtered, where)
    return Baseline(whole, floor, dated, filtered)


def is_covered(controls: Controls, id_range: IdRange) -> bool:
    """Whether any load or TRUNCATE speaks of the range: its rows are known, or were once."""
    return bool(controls.truncates) or any(load.covers(id_range) for load in controls.loads)


def _order(load: RangeReplaced) -> tuple[Position, str]:
    # Two loads can share a position; ids sort by the time at which loads began.
    return (load.position, load.load_id)


def _by(position: Position, as_of: Position | None) -> bool:
    return as_of is None or position <= as_of


def _refuse_stale(
    changes: tuple[SchemaChanged, ...],
    floor: Position | None,
    dated: Mapping[dt.date | None, RangeReplaced],
    as_of: Position | None,
    where: str,
) -> None:
    starts = [load.position for load in dated.values()] + ([floor] if floor is not None else [])
    for change in changes:
        if change.reload and _by(change.position, as_of) and min(starts) < change.position:
            raise NeedsReload(
                f"{change.reason} at {change.position}, after its newest load",
                where=where,
                fix="materialize this id range of the event store again",
            )


def _refuse_filtered(loads: Iterable[RangeReplaced], filtered: str, where: str) -> None:
    """A load by another filter may lack rows that pass now; one of all rows lacks none."""
    if any(load.where not in ("", filtered) for load in loads):
        raise NeedsReload(
            "its newest load was of rows that pass another filter",
            where=where,
            fix="materialize this id range of the event store again",
        )
