"""Publish: show readers what was proven, in one step, together with the record of it."""

from __future__ import annotations

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.ports.environment import PublishedCopy


def publish_refresh(refreshing: Refreshing, plan: RefreshPlan, *, run: str) -> PublishedCopy:
    """Publish the shadow schema of a plan whose proofs passed. Published already: its record.

    Raises:
        VerificationFailed: the audit holds no passed verification of this plan.
        RefreshError: another plan superseded this one, or somebody's objects depend on the old copy.
    """
    raise NotImplementedError
