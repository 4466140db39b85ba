"""One run of a refresh at a time: who is in flight, told by Dagster's own record of runs.

A run whose process was killed is marked as failed by run monitoring, so that nothing is ever locked:
the next trigger finds nobody in flight. The environment itself is held by a lock of its database
besides, for triggers that Dagster does not know of.
"""

from __future__ import annotations

import dagster as dg

from replication_assets.defs import naming
from replication_assets.defs.capture import ACTIVE


def in_flight(instance: dg.DagsterInstance, refresh: str) -> list[str]:
    """Ids of the runs of a refresh that have not ended, oldest first."""
    runs = instance.get_run_records(dg.RunsFilter(tags={naming.REFRESH_TAG: refresh}, statuses=ACTIVE))
    return [record.dagster_run.run_id for record in sorted(runs, key=lambda record: record.create_timestamp)]


def require_alone(context: dg.OpExecutionContext, refresh: str) -> None:
    """Raises Failure if an older run of the refresh is in flight: this one is the second trigger."""
    runs = in_flight(context.instance, refresh)
    older = runs[: runs.index(context.run_id)] if context.run_id in runs else runs
    if older:
        raise dg.Failure(
            f"skipped: run {older[0]} refreshes {refresh} already",
            metadata={"running": older[0]},
            allow_retries=False,
        )
