"""What starts refreshes: schedules, completed loads, and changes that a copy follows.

Each asks for a run unless one of the same refresh is in flight, whose id it then gives as the reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from replication_assets.catalog import Catalog
from replication_assets.declarations import AfterLoad, EnvironmentRefresh, Schedule
from replication_assets.defs import naming
from replication_assets.defs.refresh.flight import in_flight
from replication_assets.defs.refresh.jobs import refresh_job_name
from replication_assets.errors import ReplicationError
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.triggers import changes_waiting, loads_of
from replication_assets.replication import Replication

FOLLOW_SECONDS = 30
LOADS_SECONDS = 30


def refresh_schedules(catalog: Catalog, jobs: dict[str, Any]) -> list[dg.ScheduleDefinition]:
    """A schedule for each refresh that declares one. It runs from the start, as declared in code."""
    return [
        _schedule(refresh, refresh.start, jobs[refresh.name])
        for refresh in catalog.refreshes
        if isinstance(refresh.start, Schedule)
    ]


def _schedule(refresh: EnvironmentRefresh, start: Schedule, job: Any) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{refresh_job_name(refresh.name)}_schedule",
        job=job,
        cron_schedule=start.cron,
        execution_timezone=start.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refreshes `{refresh.environment}`, unless it is being refreshed.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        running = in_flight(context.instance, refresh.name)
        return _skip(refresh, running) if running else _request(refresh)

    return schedule


def _skip(refresh: EnvironmentRefresh, running: list[str]) -> dg.SkipReason:
    return dg.SkipReason(f"{refresh.name} is being refreshed by run {running[0]}")


def _request(refresh: EnvironmentRefresh) -> dg.RunRequest:
    return dg.RunRequest(tags={naming.REFRESH_TAG: refresh.name, naming.ENVIRONMENT_TAG: refresh.environment})


def refresh_sensors(catalog: Catalog, jobs: dict[str, Any]) -> list[dg.SensorDefinition]:
    """A sensor for each refresh that runs after loads, or that goes on with changes."""
    return [
        *(
            _after_load(refresh, refresh.start, jobs[refresh.name])
            for refresh in catalog.refreshes
            if isinstance(refresh.start, AfterLoad)
        ),
        *(
            _follow(refresh, jobs[refresh.name])
            for refresh in catalog.refreshes
            if refresh.migration != "full-load"
        ),
    ]


def _after_load(refresh: EnvironmentRefresh, start: AfterLoad, job: Any) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{refresh_job_name(refresh.name)}_after_load",
        job=job,
        minimum_interval_seconds=LOADS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Refreshes `{refresh.environment}` once all of its tables were loaded anew.",
    )
    def after_load(
        context: dg.SensorEvaluationContext, replication: dg.ResourceParam[Replication]
    ) -> dg.SensorResult | dg.SkipReason:
        running = in_flight(context.instance, refresh.name)
        if running:
            return _skip(refresh, running)
        with told_by_tick():
            loads = loads_of(Refreshing.of(replication, refresh.name, who="sensor"), start.tables)
        if loads.missing:
            return dg.SkipReason(f"not loaded yet: {', '.join(loads.missing)}")
        waiting = loads.unchanged_since(context.cursor)
        if waiting:
            return dg.SkipReason(f"not loaded anew: {', '.join(waiting)}")
        return dg.SensorResult(run_requests=[_request(refresh)], cursor=loads.cursor)

    return after_load


def _follow(refresh: EnvironmentRefresh, job: Any) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{refresh_job_name(refresh.name)}_changes",
        job=job,
        minimum_interval_seconds=FOLLOW_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Brings `{refresh.environment}` forward when its tables changed.",
    )
    def follow(
        context: dg.SensorEvaluationContext, replication: dg.ResourceParam[Replication]
    ) -> dg.RunRequest | dg.SkipReason:
        running = in_flight(context.instance, refresh.name)
        if running:
            return _skip(refresh, running)
        with told_by_tick():
            waiting = changes_waiting(Refreshing.of(replication, refresh.name, who="sensor"))
        if waiting is None:
            return dg.SkipReason(f"nothing is published yet: start {refresh.name} once")
        return _request(refresh) if waiting else dg.SkipReason("no change since the copy was published")

    return follow


@contextmanager
def told_by_tick() -> Iterator[None]:
    """The tick fails with what, where and fix: a trigger that cannot look is never quiet."""
    try:
        yield
    except ReplicationError as error:
        raise dg.DagsterError(str(error)) from error
