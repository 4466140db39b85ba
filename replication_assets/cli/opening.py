"""Tables as their logs say, for commands that load or capture."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.declarations import Table
from replication_assets.errors import SourceNotReady
from replication_assets.flows.prepare import ReplicatedTable, open_table
from replication_assets.ports import ChangeSource, EventStore


def opened(source: ChangeSource, store: EventStore, tables: Sequence[Table]) -> list[ReplicatedTable]:
    """Raises SourceNotReady for tables that were never set up, with the command that does."""
    new = [str(table.id) for table in tables if not store.log(table.id).exists()]
    if new:
        raise SourceNotReady(
            f"{', '.join(new)} {'was' if len(new) == 1 else 'were'} never set up",
            where=source.name,
            fix=f"replication-assets setup {source.name}",
        )
    return [open_table(source, store, table) for table in tables]
