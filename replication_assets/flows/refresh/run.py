"""All steps of a refresh, one after the other: what the command line runs."""

from __future__ import annotations

from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.publish import publish_refresh
from replication_assets.flows.refresh.refreshing import Progress, Refreshing
from replication_assets.flows.refresh.verify import verify_refresh
from replication_assets.ports.environment import PublishedCopy


def run_refresh(
    refreshing: Refreshing, *, run: str, fresh: bool = False, progress: Progress | None = None
) -> PublishedCopy:
    """Plan, mask, load, verify and publish; takes up a failed run where it stopped unless `fresh`.

    Raises:
        RefreshInProgress: another run refreshes the environment.
        ReplicationError: as the steps do.
    """
    plan = plan_refresh(refreshing, run=run, fresh=fresh)
    mask_refresh(refreshing, plan, run=run, progress=progress)
    load_refresh(refreshing, plan, run=run, progress=progress)
    verify_refresh(refreshing, plan, run=run, progress=progress)
    return publish_refresh(refreshing, plan, run=run)
