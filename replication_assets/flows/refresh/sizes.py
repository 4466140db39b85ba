"""How many rows a refresh is about to copy, held against the limit before any of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.positions import Position
from replication_assets.core.refresh.size_plan import SizePlan
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill
from replication_assets.flows.refresh.as_of import expected_rows
from replication_assets.flows.refresh.changes import Following
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.subset import choose_rows
from replication_assets.flows.refresh.tables import StoredTable


@dataclass(frozen=True)
class Sizes:
    """Expected rows by table; `text` is for people."""

    rows: Mapping[TableId, int] = field(hash=False)
    text: str = ""


def sizes(
    refreshing: Refreshing,
    tables: Sequence[StoredTable],
    as_of: Mapping[TableId, Position],
    follow: Following,
    keys: KeyRing,
    spill: Spill,
) -> Sizes:
    """Of changes: how many events there are. Of a full copy: the rows of its tables, or of its subset.

    Raises:
        RefreshError: more than `max_rows`.
    """
    if follow.how == "changes":
        return Sizes(follow.events)
    if refreshing.refresh.subset is not None:
        found = choose_rows(refreshing, tables, as_of, keys, spill).sizes
    else:
        found = SizePlan.whole(
            {str(table.id): expected_rows(table, as_of[table.id], spill) for table in tables}
        )
    found.refuse(refreshing.refresh.max_rows)
    chosen = {size.table: size.chosen for size in found.tables}
    return Sizes({table.id: chosen[str(table.id)] for table in tables}, found.text())
