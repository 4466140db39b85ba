"""Which id ranges a table has, and which of them hold rows that can be served.

Ranges are those that the source's keys reach into now, and those that hold events. A load of the
last one reads all keys above it, and so covers the ranges that keys will grow into.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.baseline import baseline_of
from replication_assets.core.controls import Controls
from replication_assets.core.id_ranges import IdRange
from replication_assets.errors import NeedsReload, NotLoaded
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.flows.read import ranges_of
from replication_assets.ports import ChangeSource, EventStore


@dataclass(frozen=True, slots=True)
class Coverage:
    """All known ranges of a table, ascending, and why some have to be loaded, by their names."""

    known: tuple[IdRange, ...]
    lacking: dict[str, str]

    @property
    def loaded(self) -> int:
        return len(self.known) - len(self.lacking)

    def to_load(self, keys: tuple[str, ...] | None = None) -> tuple[IdRange, ...]:
        """Ranges to load: those named, or those that lack a load. The last known is open above."""
        last = self.known[-1].key
        wanted = self.lacking if keys is None else dict.fromkeys(keys)
        chosen = (id_range for id_range in self.known if id_range.key in wanted)
        return tuple(each.open_above() if each.key == last else each for each in chosen)


def coverage(source: ChangeSource, store: EventStore, table: ReplicatedTable) -> Coverage:
    """Asks the source for the greatest key, and the log for its loads."""
    column = table.id_ranges.column
    high = source.bounds(table.id, column).high if column is not None else None
    snapshot = store.log(table.id).snapshot()
    known = {each.index: each for each in (*table.id_ranges.known(high), *ranges_of(snapshot))}
    ascending = tuple(known[index] for index in sorted(known))
    controls = snapshot.controls()
    reasons = {each.key: _lacking(controls, each, str(table.id)) for each in ascending}
    return Coverage(ascending, {key: reason for key, reason in reasons.items() if reason})


def _lacking(controls: Controls, id_range: IdRange, where: str) -> str:
    try:
        baseline = baseline_of(controls, id_range, where=where)
    except NotLoaded:
        return "not loaded"
    except NeedsReload as error:
        return error.what
    return "" if baseline.floor is not None else "only some dates are loaded"
