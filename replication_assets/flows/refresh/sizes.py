"""How many rows a refresh is about to copy, before any of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.flows.refresh.as_of import expected_rows
from replication_assets.flows.refresh.changes import Following
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.tables import StoredTable


@dataclass(frozen=True)
class Sizes:
    """Expected rows by table; `lines` say where they come from, for people."""

    rows: Mapping[TableId, int] = field(hash=False)
    lines: tuple[str, ...] = ()


def sizes(
    refreshing: Refreshing,  # noqa: ARG001
    tables: Sequence[StoredTable],
    as_of: Mapping[TableId, Position],
    follow: Following,
) -> Sizes:
    """Of changes: how many events there are. Of a full copy: the rows of its tables, or of its subset."""
    if follow.how == "changes":
        return Sizes(follow.events)
    return Sizes({table.id: expected_rows(table, as_of[table.id]) for table in tables})
