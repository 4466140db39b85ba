"""What may start a refresh, read from the store: newer loads of its tables, and changes to follow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replication_assets.core.baseline import baseline_of
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import NeedsReload, NotLoaded
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refresh.refreshing import Refreshing


@dataclass(frozen=True, slots=True)
class Loads:
    """Which loads the tables stand on: for each the oldest position of a range's newest load.
    `missing` tables have a range that was never loaded, or has to be loaded again."""

    positions: Mapping[str, str] = field(hash=False)
    missing: tuple[str, ...]

    @property
    def cursor(self) -> str:
        return json.dumps(self.positions, sort_keys=True)

    def unchanged_since(self, cursor: str | None) -> tuple[str, ...]:
        """Tables that stand on the loads of the cursor still. None: everything counts as new."""
        known = json.loads(cursor) if cursor else {}
        return tuple(table for table, position in self.positions.items() if known.get(table) == position)


def loads_of(refreshing: Refreshing, tables: Sequence[str] = ()) -> Loads:
    """The loads that some tables, by default all of the refresh, stand on."""
    chosen = [table.id for table in refreshing.tables if not tables or str(table.id) in tables]
    # A table that is not copied may be waited for too.
    chosen += [
        each.id
        for each in refreshing.adapters.catalog.tables
        if str(each.id) in tables and each.id not in chosen
    ]
    positions = {str(table): _loaded(refreshing, table) for table in chosen}
    found = {table: str(position) for table, position in positions.items() if position is not None}
    return Loads(found, tuple(table for table, position in positions.items() if position is None))


def _loaded(refreshing: Refreshing, table: TableId) -> Position | None:
    log = refreshing.store.log(table)
    if not log.exists():
        return None
    snapshot = log.snapshot()
    controls = snapshot.controls()
    try:
        baselines = [baseline_of(controls, each, where=str(table)) for each in ranges_of(snapshot)]
    except (NotLoaded, NeedsReload):
        return None
    loads = [each.load.position if each.load is not None else each.oldest for each in baselines]
    return min(loads, default=None)


def changes_waiting(refreshing: Refreshing) -> bool | None:
    """Whether the source is captured further than the published copy goes; None while nothing is
    published, by this refresh or one that it goes on from."""
    copy = refreshing.target.published()
    if copy is None:
        return None
    for table in copy.tables:
        mark = refreshing.store.ledger(table.table.source).last()
        if mark is not None and Position(mark.epoch, mark.commit).end_of_commit() > table.as_of:
            return True
    return False
