"""Range plans: how loads of a table will read, asked of the source before any of them runs.

Advice, never a reason to stop: what cannot be examined is told as a reason, and the load goes on. One range
stands for all: the second, which has both bounds (the first also holds NULL, the last is open above).
"""

from __future__ import annotations

from replication_assets.core.id_ranges import ByBounds, IdRange, IdRanges, plan_id_ranges
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import CatalogError, ReplicationError
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.ports import ChangeSource
from replication_assets.table_fit import TableFit

VIEW = "it has no change stream: it is loaded, and its changes are not captured"
VIEW_FIX = "declare the tables beneath it and capture those, or load it again on a schedule"
"""Of a view, or of another relation whose changes the source does not tell."""


def plan_of_loads(source: ChangeSource, table: ReplicatedTable) -> RangePlan | None:
    """The plan of a prepared table; None if it is one range, which is read whole by intent."""
    return _plan(source, table.id, table.schema, table.id_ranges)


def plan_of_declared(
    source: ChangeSource, table: TableId, schema: TableSchema, fit: TableFit
) -> RangePlan | None:
    """The plan of a table that was never prepared: of ranges as they would be cut without rows."""
    if fit.range_column is None or fit.kind is None:
        return None
    try:
        ranges = plan_id_ranges(fit.spec, fit.kind, fit.range_column, None, None, where=str(table))
    except CatalogError:
        # Text is cut at quantiles of the rows: any bounds show how ranges are read.
        ranges = plan_id_ranges(ByBounds(["h", "i"]), fit.kind, fit.range_column, None, None)
    return _plan(source, table, schema, ranges)


def _plan(source: ChangeSource, table: TableId, schema: TableSchema, ranges: IdRanges) -> RangePlan | None:
    if ranges.column is None or ranges.size < 2:
        return None
    second: IdRange = ranges.at(1)
    try:
        return source.range_plan(table, schema, ranges.column, second)
    except ReplicationError as error:
        return RangePlan((), None, f"the plan could not be examined: {error.what}", ())
