"""Publish: show readers what was proven, in one step, together with the record of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.errors import VerificationFailed
from replication_assets.flows.refresh.proven import ProvenTable, proven_tables
from replication_assets.flows.refresh.publication import note_late_publication, note_publication
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.step import step
from replication_assets.flows.refresh.tables import copies, planned_tables
from replication_assets.ports.environment import PublishedCopy, PublishedTable


def publish_refresh(refreshing: Refreshing, plan: RefreshPlan, *, run: str) -> PublishedCopy:
    """Publish the shadow schema of a plan whose proofs passed. Published already: its record.

    Raises:
        VerificationFailed: the audit holds no passed verification of this plan.
        RefreshError: another plan superseded this one, or somebody's objects depend on the old copy.
    """
    published = refreshing.target.published()
    if published is not None and published.id == plan.id:
        with refreshing.held(run):
            note_late_publication(refreshing)
            _forget(refreshing, plan)
        return published
    with step(refreshing, plan, "publish", run):
        proven = _require_proven(refreshing, plan)
        tables = tuple(
            PublishedTable(each.table, each.as_of, each.structure, found.rows, found.checksum)
            for each in plan.tables
            for found in (proven[str(each.table)],)
        )
        now = dt.datetime.now(dt.UTC)
        copy = PublishedCopy(plan.refresh, plan.id, plan.policy, plan.key_id, now, tables)
        # Before it: a role that is not there stops it, and the new tables are readable at once.
        refreshing.target.grant(refreshing.environment.readers)
        refreshing.target.publish(plan, copy, copies(planned_tables(refreshing, plan)))
        note_publication(refreshing, copy)
        refreshing.staging.clear()
    return copy


def _forget(refreshing: Refreshing, plan: RefreshPlan) -> None:
    staged = refreshing.staging.plan()
    if staged is not None and RefreshPlan.from_json(staged).id == plan.id:
        refreshing.staging.clear()


def _require_proven(refreshing: Refreshing, plan: RefreshPlan) -> Mapping[str, ProvenTable]:
    proven = proven_tables(refreshing, plan)
    if proven is None:
        raise VerificationFailed(
            "no verification of this plan passed", where=refreshing.where, fix="run the verify step first"
        )
    return proven
