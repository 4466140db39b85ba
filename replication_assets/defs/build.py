"""From a catalog to Dagster definitions: the whole graph, without a look at any database."""

import warnings

import dagster as dg

from replication_assets.catalog import Catalog
from replication_assets.defs.capture import capture_job
from replication_assets.defs.checks import validation_checks, validation_job
from replication_assets.defs.cutover import cutover_jobs
from replication_assets.defs.dead_letters import dead_letters_assets
from replication_assets.defs.dms_tasks import dms_tasks
from replication_assets.defs.event_store_assets import event_store_asset
from replication_assets.defs.lifecycle import lifecycle_jobs, setup_job_name, upkeep
from replication_assets.defs.projection_assets import projection_asset
from replication_assets.defs.refresh.checks import masked_checks
from replication_assets.defs.refresh.guard import ENVIRONMENTS, guarded
from replication_assets.defs.refresh.jobs import refresh_assets, refresh_jobs
from replication_assets.defs.refresh.triggers import refresh_schedules, refresh_sensors
from replication_assets.defs.repair import repair_job
from replication_assets.defs.sensors import offset_sensor
from replication_assets.defs.source_assets import source_assets
from replication_assets.defs.topic_assets import topic_asset
from replication_assets.defs.watch import watch_assets, watch_checks, watch_sensors
from replication_assets.replication import Replication


def build_definitions(catalog: Catalog) -> dg.Definitions:
    """Assets, jobs, sensors and schedules of everything that the catalog declares.

    Raises:
        CatalogError: the catalog is wrong; all problems are listed.
    """
    catalog.validate()
    with warnings.catch_warnings():
        # Two parts of Dagster that the graph stands on are in beta in the pinned version:
        # backfill policies and the mapping from two partition dimensions to one.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        definitions = _definitions(catalog)
        return guarded(definitions) if catalog.refreshes else definitions


def _definitions(catalog: Catalog) -> dg.Definitions:
    tables = list(catalog.tables)
    replication = Replication(catalog)
    projected = _projected(catalog)
    jobs: list[dg.JobDefinition] = []
    sensors: list[dg.SensorDefinition] = []
    for source in catalog.sources:
        capture = capture_job(source)
        lifecycle = lifecycle_jobs(source)
        setup = next(job for job in lifecycle if job.name == setup_job_name(source.name))
        jobs += [capture, *lifecycle]
        sensors.append(offset_sensor(source, [capture, setup]))
    jobs += [*cutover_jobs(catalog), repair_job(catalog)]
    checks = validation_checks(catalog)
    validate, validations = validation_job(catalog, checks)
    tidy, schedule = upkeep(catalog)
    copies = refresh_assets(catalog)
    refreshes = {
        refresh.name: job
        for refresh, job in zip(catalog.refreshes, refresh_jobs(catalog, copies), strict=True)
    }
    tasks = dms_tasks(catalog, [*jobs, *refreshes.values()])
    follow = dg.AutomationConditionSensorDefinition(
        name="projections_follow",
        target=dg.AssetSelection.assets(*projected) if projected else dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
    )
    stored = [event_store_asset(table) for table in tables]
    sensors += watch_sensors(catalog, [*jobs, tidy], [each.key for each in (*stored, *projected)])
    return dg.Definitions(
        assets=[
            *source_assets(tables, catalog.sources),
            *watch_assets(catalog),
            *stored,
            *projected,
            *dead_letters_assets(catalog),
            *copies,
            *tasks.assets,
        ],
        asset_checks=[*watch_checks(catalog), *checks, *masked_checks(catalog)],
        jobs=[*jobs, tidy, validate, *refreshes.values(), *tasks.jobs],
        sensors=[*sensors, follow, *refresh_sensors(catalog, refreshes), *tasks.sensors],
        schedules=[schedule, *validations, *refresh_schedules(catalog, refreshes), *tasks.schedules],
        resources={"replication": replication, ENVIRONMENTS: replication},
    )


def _projected(catalog: Catalog) -> list[dg.AssetsDefinition]:
    found = [
        projection_asset(projection, table)
        for projection in catalog.projections
        for table in catalog.projected(projection)
    ]
    found += [topic_asset(topic, table) for topic in catalog.topics for table in catalog.projected(topic)]
    return found
