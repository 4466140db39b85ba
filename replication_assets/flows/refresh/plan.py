"""Plan: what a refresh copies, as of when and in which order, decided before the first row is read.

Everything that can stop a refresh is looked for here: the database's marker, the key, the policy,
the structures, what is loaded, the sizes. A plan that is under way for the same declaration is taken up
again with its positions; anything else begins anew.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.refresh.carried_structure import left_behind
from replication_assets.core.refresh.load_order import load_order
from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.declarations.refreshes import OneTime
from replication_assets.errors import ReplicationError
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refresh.as_of import positions
from replication_assets.flows.refresh.changes import following
from replication_assets.flows.refresh.compiled import compiled, require_policy
from replication_assets.flows.refresh.explain import explain
from replication_assets.flows.refresh.hooks import hooks_began
from replication_assets.flows.refresh.proven import proven_tables
from replication_assets.flows.refresh.publication import note_late_publication
from replication_assets.flows.refresh.refreshing import Refreshing, require_marker
from replication_assets.flows.refresh.sizes import sizes
from replication_assets.flows.refresh.spilling import spilling
from replication_assets.flows.refresh.step import note_failure
from replication_assets.flows.refresh.tables import StoredTable, open_tables

__all__ = ["Preview", "explain", "plan_refresh", "preview_refresh"]


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan that is not begun. `resumed`: it is the one that a failed or killed run left under way."""

    plan: RefreshPlan
    resumed: bool


def plan_refresh(refreshing: Refreshing, *, run: str, fresh: bool = False) -> RefreshPlan:
    """The plan that is under way, or a new one; with `fresh`, always a new one. `run` names the run
    to whoever finds the environment held.

    Raises:
        RefreshInProgress: another run refreshes the environment.
        GuardError, SecretError: key, marker or environment are not what they should be.
        PolicyError: all problems of the policy with all tables.
        NotLoaded, NeedsReload: rows cannot be known from the store as of the position.
        RefreshError: anything else that stands in the way, with what to do.
    """
    keys = refreshing.keys()
    require_marker(refreshing.environment, refreshing.target, keys)
    with refreshing.held(run):
        try:
            note_late_publication(refreshing)
            tables = open_tables(refreshing)
            require_policy(refreshing, tables, keys)
            declared = _declared(refreshing, tables, keys)
            under_way = None if fresh else _under_way(refreshing, declared)
            return under_way or _begin(refreshing, _new_plan(refreshing, tables, keys, declared))
        except ReplicationError as error:
            note_failure(refreshing, "", "plan", error)
            raise


def preview_refresh(refreshing: Refreshing) -> Preview:
    """What a run would do now, decided as a run does and written nowhere. Nothing is held: a run of
    somebody else may come in between.

    Raises as `plan_refresh` does, but for RefreshInProgress.
    """
    keys = refreshing.keys()
    require_marker(refreshing.environment, refreshing.target, keys)
    tables = open_tables(refreshing)
    require_policy(refreshing, tables, keys)
    declared = _declared(refreshing, tables, keys)
    under_way = _under_way(refreshing, declared)
    plan = under_way or _new_plan(refreshing, tables, keys, declared)
    return Preview(plan, under_way is not None)


def _declared(refreshing: Refreshing, tables: Sequence[StoredTable], keys: KeyRing) -> str:
    """Fingerprint of all that a plan follows from; when it is started does not count."""
    parts = [
        repr(replace(refreshing.refresh, start=OneTime())),
        repr((refreshing.environment.name, refreshing.environment.allow)),
        refreshing.policy.fingerprint,
        keys.key_id,
        *(f"{table.id} {table.structure.fingerprint}" for table in tables),
    ]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _under_way(refreshing: Refreshing, declared: str) -> RefreshPlan | None:
    """What a failed or killed run left, if this one would do the same."""
    staged = refreshing.staging.plan()
    plan = RefreshPlan.from_json(staged) if staged is not None else None
    published = refreshing.target.published()
    if plan is None or plan.declared != declared or (published is not None and published.id == plan.id):
        return None
    if hooks_began(refreshing, plan.id) and proven_tables(refreshing, plan) is None:
        return None
    if plan.how == "changes":
        stands = {table.table: table.as_of for table in published.tables} if published is not None else {}
        if any(stands.get(table.table) != table.since for table in plan.tables):
            return None
    return plan


def _begin(refreshing: Refreshing, plan: RefreshPlan) -> RefreshPlan:
    refreshing.staging.begin(plan.to_json())
    refreshing.note(plan.id, "plan", _told(refreshing, plan))
    return plan


def _new_plan(
    refreshing: Refreshing, tables: Sequence[StoredTable], keys: KeyRing, declared: str
) -> RefreshPlan:
    as_of = positions(refreshing, tables)
    with spilling(refreshing.limits) as spill:
        follow = following(refreshing, tables, as_of, keys, spill)
        found = sizes(refreshing, tables, as_of, follow, keys, spill)
    not_carried = (
        *refreshing.target.not_carried([table.carried for table in tables]),
        *(line for table in tables for line in left_behind(table.structure, table.policy)),
    )
    warnings = [warning for table in tables for warning in compiled(refreshing, table, keys).warnings]
    by_id = {table.id: table for table in tables}
    ordered = [by_id[structure.table] for structure in load_order([table.structure for table in tables])]
    return RefreshPlan(
        uuid.uuid4().hex,
        refreshing.refresh.name,
        refreshing.environment.name,
        refreshing.policy.fingerprint,
        keys.key_id,
        follow.how,
        tuple(
            CopiedTable(
                table.id,
                as_of[table.id],
                tuple(each.key for each in ranges_of(table.snapshot)),
                table.carried.fingerprint,
                since=follow.since.get(table.id),
                rows=found.rows[table.id],
            )
            for table in ordered
        ),
        not_carried=not_carried,
        warnings=(*warnings, *follow.warnings),
        declared=declared,
        sizes=found.text,
    )


def _told(refreshing: Refreshing, plan: RefreshPlan) -> Mapping[str, object]:
    """The audit's line of a plan: what is copied, under which policy, and who approved what."""
    policy = refreshing.policy
    approved = {
        f"{table.table}.{name}": {
            "class": column.data_class,
            "by": column.approved_by,
            "on": column.approved_on,
        }
        for table in policy.tables
        for name, column in table.columns.items()
        if column.approved_by or column.approved_on
    }
    return {
        "how": plan.how,
        "policy": {"name": policy.name, "version": policy.version, "fingerprint": plan.policy},
        "key_id": plan.key_id,
        "tables": {
            str(table.table): {"as_of": str(table.as_of), "rows": table.rows} for table in plan.tables
        },
        "approved": approved,
        "not_carried": list(plan.not_carried),
        "warnings": list(plan.warnings),
    }
