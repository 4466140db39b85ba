"""A plan for people."""

from __future__ import annotations

from collections import Counter

from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.flows.refresh.refreshing import Refreshing


def explain(refreshing: Refreshing, plan: RefreshPlan) -> str:
    """Tables in the order of loading, rows, positions, what is not carried, warnings, and what the
    policy does by rule. No value of any row."""
    known = [table.rows for table in plan.tables if table.rows is not None]
    how = "a full copy" if plan.how == "full" else "changes since the published copy"
    policy = refreshing.policy
    head = f"Refresh {plan.refresh} into {plan.environment}: {how} of {len(plan.tables)} tables"
    lines = [
        f"{head}, about {sum(known):,} rows",
        f"Policy {policy.name} version {policy.version} ({plan.policy}), key {plan.key_id}",
        f"Plan {plan.id}",
        "",
        *(f"  {number}. {_table(refreshing, table)}" for number, table in enumerate(plan.tables, 1)),
    ]
    if plan.sizes:
        lines += ["", *(f"  {line}" for line in plan.sizes.splitlines())]
    for title, listed in (("Not carried:", plan.not_carried), ("Warnings:", plan.warnings)):
        if listed:
            lines += ["", title, *(f"  - {each}" for each in listed)]
    return "\n".join(lines)


def _table(refreshing: Refreshing, table: CopiedTable) -> str:
    rows = f"{table.rows:,} rows" if table.rows is not None else "rows unknown"
    since = f"changes after {table.since} up to" if table.since is not None else "as of"
    policy = refreshing.policy.table(str(table.table))
    rules = Counter(type(column.mask).__name__ for column in policy.columns.values()) if policy else {}
    listed = ", ".join(f"{count} {name}" for name, count in sorted(rules.items()))
    ranges = "1 range" if len(table.ranges) == 1 else f"{len(table.ranges)} ranges"
    return f"{table.table}: {rows} {since} {table.as_of}, {ranges}; columns: {listed}"
