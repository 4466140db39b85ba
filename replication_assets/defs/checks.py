"""Validation in Dagster: a check per asset, a job of all of them, and when it runs.

Checks are made on demand and by the schedule. They do not ride along with the runs that keep
projections current, which are many and small; a run that somebody starts makes the checks that
are `blocking`, of the id ranges that it produced. The job makes one check after the other, so that a
source is read by one at a time, and needs no slot of the pool that bounds its loads.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dagster as dg

from replication_assets.catalog import Catalog, Projection, Table
from replication_assets.core.schema import TableId
from replication_assets.declarations.sources import holds_rows
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.failures import explained
from replication_assets.flows.prepare import open_table
from replication_assets.flows.refusals import handling_of
from replication_assets.flows.validation.findings import Validation
from replication_assets.flows.validation.validate import validate_projection, validate_source
from replication_assets.replication import Replication

MATCHES_SOURCE = "matches_source"
MATCHES_EVENT_STORE = "matches_event_store"
JOB = "validate"
WAIT_SECONDS = 60.0
"""For changes in flight to a table that no projection has an opinion on."""

_NEVER = dg.AutomationCondition.initial_evaluation() & ~dg.AutomationCondition.initial_evaluation()
"""A check with a condition of its own is left out of runs that automation asks for."""


def validation_checks(catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """`matches_source` of each table's events, where the source holds rows; `matches_event_store` of each
    projected table."""
    waits: dict[TableId, float] = {}
    for projection in catalog.projections:
        for table in catalog.projected(projection):
            waits[table.id] = max(projection.validation.wait_seconds, waits.get(table.id, 0.0))
    return [
        *(
            _source_check(table, waits.get(table.id, WAIT_SECONDS))
            for table in catalog.tables
            if holds_rows(catalog.source(table.id.source))
        ),
        *(
            _projection_check(projection, table)
            for projection in catalog.projections
            for table in catalog.projected(projection)
        ),
    ]


def _source_check(table: Table, wait_seconds: float) -> dg.AssetChecksDefinition:
    key = naming.event_store_key(table.id)
    spec = dg.AssetCheckSpec(
        MATCHES_SOURCE, asset=key, description=f"Folded events are what `{table.id}` holds, row by row."
    )

    @dg.multi_asset_check(
        name=f"{MATCHES_SOURCE}__{'__'.join(key.path)}",
        specs=[spec],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, replication: dg.ResourceParam[Replication]
    ) -> Iterator[dg.AssetCheckResult]:
        if _produces(context, key):
            context.log.info(f"not made by a run that loads: run it by itself, or job {JOB}")
            return
        with explained():
            source, store = replication.source(table.id.source), replication.store()
            opened = open_table(source, store, table)
            found = validate_source(source, store, opened, wait_seconds=wait_seconds)
        context.log.info(str(found))
        yield _result(found, key, MATCHES_SOURCE)

    return check


def _projection_check(projection: Projection, table: Table) -> dg.AssetChecksDefinition:
    key = naming.projection_key(projection.name, table.id)
    blocking = projection.validation.blocking
    spec = dg.AssetCheckSpec(
        MATCHES_EVENT_STORE,
        asset=key,
        description="Each range is the fold of its events as of its checkpoint, row by row.",
        blocking=blocking,
        automation_condition=_NEVER,
    )

    @dg.multi_asset_check(name=f"{MATCHES_EVENT_STORE}__{'__'.join(key.path)}", specs=[spec], can_subset=True)
    def check(
        context: dg.AssetCheckExecutionContext, replication: dg.ResourceParam[Replication]
    ) -> Iterator[dg.AssetCheckResult]:
        produces = _produces(context, key)
        if produces and not blocking:
            context.log.info(f"advisory, so not made by a run that materializes: run it, or job {JOB}")
            return
        with explained():
            found = validate(
                replication, projection, table, partitions.ranges_of_run(context.run) if produces else None
            )
        context.log.info(str(found))
        yield _result(found, key, MATCHES_EVENT_STORE)

    return check


def validate(
    replication: Replication, projection: Projection, table: Table, ranges: Collection[str] | None = None
) -> Validation:
    """Hold a table of a projection against the event store."""
    store = replication.store()
    handling = handling_of(store, projection, table.id)
    return validate_projection(
        store,
        replication.target(projection, table.id),
        table.id,
        projection=projection.name,
        id_ranges=ranges,
        letters=handling.letters if handling is not None else None,
    )


def _produces(context: dg.AssetCheckExecutionContext, key: dg.AssetKey) -> bool:
    """Whether the run materializes the checked asset too."""
    return key in context.job_def.asset_layer.executable_asset_keys


def _result(found: Validation, key: dg.AssetKey, name: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=succeeded(found),
        asset_key=key,
        check_name=name,
        severity=severity(found),
        description=str(found),
        metadata=dict(metadata.validated(found)),
    )


def succeeded(found: Validation) -> bool:
    """Rows in flight alone are how a busy projection looks."""
    return found.passed and not found.count("dead-lettered") and not found.late


def severity(found: Validation) -> dg.AssetCheckSeverity:
    """A mismatch is an error; what is late, or refused and kept aside, is a warning."""
    return dg.AssetCheckSeverity.WARN if found.passed else dg.AssetCheckSeverity.ERROR


def validation_job(
    catalog: Catalog, checks: Sequence[dg.AssetChecksDefinition]
) -> tuple[Any, list[dg.ScheduleDefinition]]:
    """Job `validate`, of all checks one after the other, and a schedule for each `cron` declared."""
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.checks(*checks),
        executor_def=dg.in_process_executor,
        description="Holds event stores against their sources and projections against the event store.",
    )
    groups: dict[str, list[Projection]] = {}
    for projection in catalog.projections:
        if projection.validation.cron is not None:
            groups.setdefault(projection.validation.cron, []).append(projection)
    scheduled: set[dg.AssetCheckKey] = set()
    schedules = []
    for cron, projections in groups.items():
        keys = [key for key in _keys(catalog, projections) if key not in scheduled]
        scheduled.update(keys)
        named = "_".join(naming.plain(each.name) for each in projections)
        schedules.append(_schedule(JOB if len(groups) == 1 else f"{JOB}_{named}", job, cron, keys))
    return job, schedules


def _keys(catalog: Catalog, projections: Sequence[Projection]) -> Iterator[dg.AssetCheckKey]:
    for projection in projections:
        for table in catalog.projected(projection):
            if holds_rows(catalog.source(table.id.source)):
                yield dg.AssetCheckKey(naming.event_store_key(table.id), MATCHES_SOURCE)
            yield dg.AssetCheckKey(naming.projection_key(projection.name, table.id), MATCHES_EVENT_STORE)


def _schedule(name: str, job: Any, cron: str, keys: Sequence[dg.AssetCheckKey]) -> dg.ScheduleDefinition:
    chosen = list(dict.fromkeys(keys))

    @dg.schedule(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def schedule() -> dg.RunRequest:
        return dg.RunRequest(asset_selection=[], asset_check_keys=chosen)

    return schedule
