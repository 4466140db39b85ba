"""Replication tasks of AWS DMS in Dagster: an asset and a job for each, a schedule, and a sensor that
tells how it fares and starts what follows.

DMS itself holds the state, and lets a task be started once; Dagster's runs of one task exclude each
other besides. What a sensor remembers is a view: a completion that is seen again asks for runs with
the same key, which Dagster starts once.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field

from replication_assets.catalog import Catalog
from replication_assets.core.dms_tasks import ACTIONS, ENDED, STARTED, TableStatistics, TaskEvent, TaskState
from replication_assets.declarations import DmsTask, Schedule
from replication_assets.defs import naming
from replication_assets.defs.capture import ACTIVE, capture_job_name
from replication_assets.defs.failures import explained
from replication_assets.defs.refresh.flight import in_flight
from replication_assets.defs.refresh.jobs import refresh_job_name
from replication_assets.defs.refresh.triggers import told_by_tick
from replication_assets.flows.dms_task import TaskReceipt, act
from replication_assets.replication import Replication

TASK_TAG = "replication/dms_task"
MOST_TABLES = 100
"""Tables shown on an asset."""
MOST_EVENTS = 20
CAPTURED, REFRESHED = "captured", "refreshed"
"""In a sensor's cursor: the completion that captures, and that refreshes were asked for."""


class DmsTaskConfig(dg.Config):
    """What a run does with the task."""

    action: str = Field("run", description="run (start, resume or watch), reload or stop.")
    tables: list[str] = Field(
        default_factory=list, description="schema.table to reload while the task runs; none: all of it."
    )


def dms_task_key(task: str) -> dg.AssetKey:
    return dg.AssetKey(["dms_tasks", naming.plain(task)])


def dms_task_job_name(task: str) -> str:
    return f"{naming.plain(task)}_dms_task"


@dataclass(frozen=True)
class DmsTasks:
    """What the tasks of a catalog are in Dagster."""

    assets: list[dg.AssetsDefinition]
    jobs: list[Any]
    schedules: list[dg.ScheduleDefinition]
    sensors: list[dg.SensorDefinition]


def dms_tasks(catalog: Catalog, jobs: Sequence[Any]) -> DmsTasks:
    """`jobs` are those of captures and refreshes, of which each task's sensor starts its own."""
    tasks = catalog.dms_tasks
    return DmsTasks(
        [_asset(task) for task in tasks],
        [_job(task) for task in tasks],
        [_schedule(task, task.start) for task in tasks if isinstance(task.start, Schedule)],
        [_sensor(task, jobs) for task in tasks],
    )


def _asset(task: DmsTask) -> dg.AssetsDefinition:
    @dg.asset(
        key=dms_task_key(task.name),
        group_name="dms_tasks",
        kinds={"aws"},
        tags={TASK_TAG: task.name},
        description=f"Replication task `{task.arn}` of AWS DMS: started, watched, stopped.",
    )
    def run_task(
        context: dg.AssetExecutionContext, config: DmsTaskConfig, replication: dg.ResourceParam[Replication]
    ) -> dg.MaterializeResult[Any]:
        with explained():
            if config.action != "stop" and not config.tables:
                # A task is stopped, and tables are reloaded, while another run watches it.
                _require_alone(context, task)
            receipt = _act(context, config, replication, task)
        return dg.MaterializeResult(metadata=metadata_of(receipt.state, receipt.statistics, receipt.events))

    return run_task


def _act(
    context: dg.AssetExecutionContext, config: DmsTaskConfig, replication: Replication, task: DmsTask
) -> TaskReceipt:
    if config.action not in ACTIONS:
        raise dg.Failure(f"action is none of {', '.join(ACTIONS)}", allow_retries=False)
    tables = [(schema, name) for schema, _, name in (each.partition(".") for each in config.tables)]
    seen: list[tuple[str, int]] = []

    def told(state: TaskState) -> None:
        now = (state.status, state.loaded_percent)
        if now not in seen[-1:]:
            seen.append(now)
            context.log.info(f"{task.name} is {state.status}, {state.loaded_percent} % of its full load")

    receipt = act(
        replication.dms_task(task.name),
        next(each for each in ACTIONS if each == config.action),
        tables=tables,
        wait=lambda: time.sleep(task.look_seconds),
        told=told,
    )
    context.log.info(f"{task.name}: {receipt.started or 'not started from here'}, {receipt.state.status}")
    return receipt


def _require_alone(context: dg.AssetExecutionContext, task: DmsTask) -> None:
    runs = _running(context.instance, task)
    older = runs[: runs.index(context.run.run_id)] if context.run.run_id in runs else runs
    if older:
        raise dg.Failure(f"skipped: run {older[0]} acts on {task.name} already", allow_retries=False)


def _running(instance: dg.DagsterInstance, task: DmsTask) -> list[str]:
    """Ids of the runs that act on the task, oldest first."""
    records = instance.get_run_records(dg.RunsFilter(job_name=dms_task_job_name(task.name), statuses=ACTIVE))
    return [each.dagster_run.run_id for each in sorted(records, key=lambda each: each.create_timestamp)]


def _job(task: DmsTask) -> Any:
    return dg.define_asset_job(
        dms_task_job_name(task.name),
        selection=dg.AssetSelection.assets(dms_task_key(task.name)),
        tags={TASK_TAG: task.name},
        description=f"Runs, reloads or stops `{task.name}`.",
    )


def _schedule(task: DmsTask, start: Schedule) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{dms_task_job_name(task.name)}_schedule",
        job_name=dms_task_job_name(task.name),
        cron_schedule=start.cron,
        execution_timezone=start.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs `{task.name}`, unless a run acts on it.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        running = _running(context.instance, task)
        if running:
            return dg.SkipReason(f"run {running[0]} acts on {task.name}")
        return dg.RunRequest()

    return schedule


def _sensor(task: DmsTask, jobs: Sequence[Any]) -> dg.SensorDefinition:
    names = {*map(capture_job_name, task.feeds), *map(refresh_job_name, task.refreshes)}
    followers = [job for job in jobs if job.name in names]

    @dg.sensor(
        name=f"{dms_task_job_name(task.name)}_watch",
        jobs=followers or None,
        minimum_interval_seconds=max(1, round(task.look_seconds)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Watches `{task.name}`, and starts what follows when it is complete.",
    )
    def watch(
        context: dg.SensorEvaluationContext, replication: dg.ResourceParam[Replication]
    ) -> dg.SensorResult | dg.SkipReason:
        with told_by_tick():
            return _tick(context, replication, task)

    return watch


def _tick(
    context: dg.SensorEvaluationContext, replication: Replication, task: DmsTask
) -> dg.SensorResult | dg.SkipReason:
    control = replication.dms_task(task.name)
    state = control.state()
    cursor: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    asked, answered = _follow(context.instance, replication.catalog, task, state, cursor)
    statistics = control.statistics() if state.status in STARTED | ENDED else ()
    events = control.events(state)
    seen = metadata_of(state, statistics, events)
    # Events leave the list with time, which is no news.
    now = {name: str(value) for name, value in metadata_of(state, statistics, events[:1]).items()}
    fingerprint = json.dumps(now, sort_keys=True)
    told = {"seen": fingerprint, **answered}
    if told == cursor:
        return dg.SkipReason(f"{task.name} is {state.status}, as before")
    return dg.SensorResult(
        run_requests=asked,
        asset_events=[dg.AssetObservation(dms_task_key(task.name), metadata=seen)],
        cursor=json.dumps(told),
    )


def _follow(
    instance: dg.DagsterInstance, catalog: Catalog, task: DmsTask, state: TaskState, cursor: Mapping[str, str]
) -> tuple[list[dg.RunRequest], dict[str, str]]:
    """Runs that a completion asks for, and which completions are answered then: first by captures of what
    was written, and when those are through by refreshes of what they stored."""
    answered = {name: cursor[name] for name in (CAPTURED, REFRESHED) if name in cursor}
    completion = state.completion
    if completion is None or answered.get(REFRESHED) == completion:
        return [], answered
    drained = [name for name in task.feeds if catalog.source(name).mode == "micro-batch"]
    if any(_capturing(instance, source) for source in drained):
        return [], answered
    if answered.get(CAPTURED) != completion:
        captures = [
            _request(task, completion, capture_job_name(each), {naming.CAPTURE_TAG: each}) for each in drained
        ]
        return captures, answered | {CAPTURED: completion}
    if not all(_captured(instance, source) for source in drained):
        return [], answered
    if any(in_flight(instance, refresh) for refresh in task.refreshes):
        return [], answered
    refreshes = []
    for name in task.refreshes:
        tags = {naming.REFRESH_TAG: name, naming.ENVIRONMENT_TAG: catalog.refresh(name).environment}
        refreshes.append(_request(task, completion, refresh_job_name(name), tags))
    return refreshes, answered | {REFRESHED: completion}


def _request(task: DmsTask, completion: str, job: str, tags: Mapping[str, str]) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{task.name} {completion} {job}", job_name=job, tags=tags)


def _capturing(instance: dg.DagsterInstance, source: str) -> bool:
    tags = {naming.CAPTURE_TAG: source}
    return bool(instance.get_run_records(dg.RunsFilter(tags=tags, statuses=ACTIVE), limit=1))


def _captured(instance: dg.DagsterInstance, source: str) -> bool:
    """Whether the last capture did what it was to do."""
    last = instance.get_run_records(dg.RunsFilter(job_name=capture_job_name(source)), limit=1)
    return bool(last) and last[0].dagster_run.status == dg.DagsterRunStatus.SUCCESS


def metadata_of(
    state: TaskState, statistics: Sequence[TableStatistics], events: Sequence[TaskEvent]
) -> Mapping[str, dg.MetadataValue | str | int]:
    """What DMS says of a task and its tables; no message of it, which may quote data."""
    found: dict[str, dg.MetadataValue | str | int] = {
        "status": state.status,
        "migration": state.migration,
        "stop_reason": state.stop_reason or "",
        "full_load_percent": state.loaded_percent,
        "tables": len(statistics),
        "tables_errored": state.tables_errored,
        "loaded": sum(each.loaded for each in statistics),
        "inserts": sum(each.inserts for each in statistics),
        "updates": sum(each.updates for each in statistics),
        "deletes": sum(each.deletes for each in statistics),
        "load_errors": sum(each.load_errors for each in statistics),
    }
    lines = ["| table | state | loaded | inserts | updates | deletes |", "|---|---|---|---|---|---|"]
    for each in statistics[:MOST_TABLES]:
        counts = f"{each.loaded} | {each.inserts} | {each.updates} | {each.deletes}"
        lines.append(f"| {each.name.replace('|', '&#124;')} | {each.state} | {counts} |")
    found["table_statistics"] = dg.MetadataValue.md("\n".join(lines))
    noted = [f"- {each.at:%Y-%m-%d %H:%M:%S} UTC {', '.join(each.categories)}" for each in events]
    found["events"] = dg.MetadataValue.md("\n".join(noted[:MOST_EVENTS]))
    return found
