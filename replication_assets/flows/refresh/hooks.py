"""Hooks: what a team wants done to a copy before it is published.

They run on the shadow schema, after it was found to be what the guard certified and before everything
else is proven of it. They run once: a run that died among them begins anew, with another copy.
"""

from __future__ import annotations

from collections import Counter

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.declarations.refreshes import SqlHook
from replication_assets.errors import RefreshError, ReplicationError
from replication_assets.flows.refresh.functions import import_function
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.ports.environment import RefreshHookCall


def run_hooks(refreshing: Refreshing, plan: RefreshPlan) -> None:
    """All hooks, in the order they are declared.

    Raises:
        RefreshError: one failed, or they left more than other rows. The copy is not published.
    """
    declared = refreshing.refresh.hooks
    if not declared:
        return
    # Before the first: whoever finds this line without a passed verification knows that rows may
    # have been changed by hooks in part.
    refreshing.note(plan.id, "hooks", {"hooks": len(declared)})
    before = _texts(refreshing, plan)
    for number, hook in enumerate(declared, 1):
        if isinstance(hook, SqlHook):
            refreshing.target.run_hook(plan, hook.statement)
        else:
            _call(refreshing, plan, hook.function, number)
    _require_unchanged(refreshing, before, _texts(refreshing, plan))


def _texts(refreshing: Refreshing, plan: RefreshPlan) -> Counter[str]:
    """Names of tables and columns, defaults, indexes and all else around the rows of the copy."""
    return Counter(refreshing.target.texts(plan))


def _require_unchanged(refreshing: Refreshing, before: Counter[str], after: Counter[str]) -> None:
    """Proofs read the columns that were staged: what a column or table beside them holds, they would not
    see. Texts are not told, as they may hold anything."""
    if before != after:
        added, gone = (after - before).total(), (before - after).total()
        raise RefreshError(
            f"hooks changed more than rows: {added} names or definitions are new, {gone} are gone",
            where=refreshing.where,
            fix="let them change rows only, and drop what they make for it; the copy was not published",
        )


def _call(refreshing: Refreshing, plan: RefreshPlan, path: str, number: int) -> None:
    where = f"{refreshing.where}, hook {number} ({path})"
    function = import_function(path, where)
    call = RefreshHookCall(
        plan.refresh, plan.environment, lambda statement: refreshing.target.run_hook(plan, statement)
    )
    try:
        function(call)
        return
    except ReplicationError:
        raise
    except Exception as error:  # noqa: BLE001  # told below, outside of the handler: no context
        kind = type(error).__name__
    raise RefreshError(f"it raised {kind}", where=where, fix="the copy was not published; mend the hook")


def hooks_began(refreshing: Refreshing, plan_id: str) -> bool:
    """Whether hooks were started on the copy of a plan."""
    lines = refreshing.audit.back_to(plan_id, "plan")
    return any(line.refresh_id == plan_id and line.what == "hooks" for line in lines)
