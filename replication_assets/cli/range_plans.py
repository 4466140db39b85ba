"""What commands say of how a table will be read, before they read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replication_assets.flows.prepare import ReplicatedTable
    from replication_assets.ports import ChangeSource


def tell_plan(source: ChangeSource, table: ReplicatedTable) -> None:
    """Says that ranges are read by scans, with what mends it, and that a view is not captured."""
    from replication_assets.cli.output import say
    from replication_assets.flows.range_plans import VIEW, VIEW_FIX, plan_of_loads

    if not table.captured:
        say(f"{table.id}: {VIEW}. {VIEW_FIX[0].upper()}{VIEW_FIX[1:]}", "yellow")
    plan = plan_of_loads(source, table)
    if plan is not None and plan.scanned:
        say(f"{table.id}: {plan}. Fix: {plan.fix}", "yellow")
