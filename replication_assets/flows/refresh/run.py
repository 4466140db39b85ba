"""All steps of a refresh, one after the other: what the command line runs."""

from __future__ import annotations

from replication_assets.flows.refresh.refreshing import Progress, Refreshing
from replication_assets.ports.environment import PublishedCopy


def run_refresh(
    refreshing: Refreshing, *, run: str, fresh: bool = False, progress: Progress | None = None
) -> PublishedCopy:
    """Plan, mask, load, verify and publish; takes up a failed run where it stopped unless `fresh`.

    Raises:
        RefreshInProgress: another run refreshes the environment.
        ReplicationError: as the steps do.
    """
    raise NotImplementedError
