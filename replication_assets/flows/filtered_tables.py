"""Tables that are declared with a row filter: what stands in the way, and what their logs say of it.

The log of a table notes by which filter its rows pass, from when the source is set up. Everything that is
folded from the log passes that filter, and a load by another one counts no longer. So a filter that is
declared otherwise later is refused until the source is set up again, and then each range until it is loaded
anew; a filter on a table that was loaded whole holds at once.

Loads read only rows that pass, where changes are told whole. Elsewhere they read all rows, and the fold
filters them.
"""

from __future__ import annotations

from collections.abc import Callable

from replication_assets.core.controls import Controls, SchemaChanged
from replication_assets.core.positions import Position
from replication_assets.core.row_filters import Where
from replication_assets.core.schema import TableSchema
from replication_assets.core.table_filters import filter_text, require_fit
from replication_assets.declarations import Table
from replication_assets.errors import SourceNotReady
from replication_assets.flows.control_events import tell
from replication_assets.ports import ChangeSource, EventLog, LeavesOutUnchanged

REASON = "rows pass another filter from here on"


def not_pushed(source: ChangeSource, table: Table, schema: TableSchema) -> tuple[str, ...]:
    """Why loads of a filtered table read all of its rows, each reason with its fix; empty if they need not.

    An event may lack what an update left alone. Where that is so, a row that comes into the filter can only
    be completed from a load that has read it before.

    Raises:
        CatalogError: the filters do not fit the columns.
    """
    if not table.where:
        return ()
    require_fit(table.where, schema, str(table.id))
    if isinstance(source, LeavesOutUnchanged) and source.is_captured(table.id):
        return source.left_out(table.id, schema)
    return ()


def pushed_where(source: ChangeSource, table: Table, schema: TableSchema) -> tuple[Where, ...]:
    """The filters that a load reads by; none if it must read all rows. Raises as `not_pushed`."""
    return () if not_pushed(source, table, schema) else tuple(table.where)


def filter_change(controls: Controls, table: Table, at: Position) -> SchemaChanged | None:
    """The `S` event that notes the declared filter; None if it is noted already."""
    number, noted = controls.filtered
    declared = filter_text(table.where)
    if declared == noted:
        return None
    return SchemaChanged(at, False, REASON, filtered=(number + 1, declared))


def note_filter(log: EventLog, table: Table, schema: TableSchema, at: Callable[[], Position]) -> None:
    """Have the log say by which filter its rows pass. Idempotent."""
    controls = log.snapshot().controls()
    if filter_text(table.where) == controls.filtered[1]:
        return
    change = filter_change(controls, table, at())
    assert change is not None
    tell(log, schema, change)


def require_noted(controls: Controls, table: Table) -> None:
    """Raises SourceNotReady if the filter was declared otherwise since the source was set up."""
    if controls.filtered[1] != filter_text(table.where):
        raise SourceNotReady(
            "its row filter is not the one that its log was set up with",
            where=str(table.id),
            fix=f"set source {table.id.source} up again, then load each range that another filter was for",
        )
