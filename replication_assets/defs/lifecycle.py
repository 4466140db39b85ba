"""Jobs around a source's life: setup, recovery from a lost log, teardown; and upkeep."""

from collections.abc import Iterator

import dagster as dg

from replication_assets.catalog import Catalog, Table
from replication_assets.declarations import SourceConfig
from replication_assets.defs import naming, partitions
from replication_assets.defs.failures import explained
from replication_assets.flows.prepare import ReplicatedTable, prepare, recover
from replication_assets.flows.range_plans import VIEW, VIEW_FIX, plan_of_loads
from replication_assets.flows.upkeep import tidy_dead_letters, tidy_log, tidy_target
from replication_assets.ports import ChangeSource
from replication_assets.replication import Replication


def setup_job_name(source: str) -> str:
    return f"{naming.plain(source)}_setup"


def known_ranges(source: ChangeSource, table: ReplicatedTable) -> list[str]:
    """Ranges that the table's keys reach into now."""
    column = table.id_ranges.column
    high = source.bounds(table.id, column).high if column is not None else None
    return [id_range.key for id_range in table.id_ranges.known(high)]


def lifecycle_jobs(source: SourceConfig) -> list[dg.JobDefinition]:
    """`<source>_setup`, `<source>_recover` and `<source>_teardown`."""
    return [_setup_job(source.name), _recover_job(source.name), _teardown_job(source.name)]


def _setup_job(name: str) -> dg.JobDefinition:
    @dg.op(
        name=f"prepare_{naming.plain(name)}",
        description="Publication, slot, logs and id ranges. Safe to repeat.",
    )
    def prepare_source(context: dg.OpExecutionContext, replication: dg.ResourceParam[Replication]) -> None:
        with explained():
            adapter = replication.source(name)
            for table in prepare(adapter, replication.store(), replication.catalog.tables_of(name)):
                ranges = known_ranges(adapter, table)
                partitions.register_ranges(context.instance, table.id, ranges)
                key = ", ".join(table.schema.key) or "none"
                context.log.info(f"{table.id}: {len(ranges)} id ranges, key ({key})")
                for column in table.schema.not_replicated:
                    context.log.warning(f"{table.id}: column {column} is generated and not replicated")
                plan = plan_of_loads(adapter, table)
                if plan is not None and plan.scanned:
                    context.log.warning(f"{table.id}: {plan}. Fix: {plan.fix}")
                if not table.captured:
                    context.log.warning(f"{table.id}: {VIEW}. Fix: {VIEW_FIX}")
        limit = replication.catalog.source(name).max_parallel_loads
        context.instance.event_log_storage.set_concurrency_slots(naming.load_pool(name), limit)

    @dg.job(name=setup_job_name(name), executor_def=dg.in_process_executor)
    def setup() -> None:
        prepare_source()

    return setup


def _recover_job(name: str) -> dg.JobDefinition:
    @dg.op(
        name=f"recover_{naming.plain(name)}",
        description="New slot and epoch; every range must be loaded again.",
    )
    def recover_source(context: dg.OpExecutionContext, replication: dg.ResourceParam[Replication]) -> None:
        with explained():
            tables = replication.catalog.tables_of(name)
            position = recover(replication.source(name), replication.store(), tables)
        context.log.info(
            f"{name}: epoch {position.epoch} starts at {position.commit}; load every id range again"
        )

    @dg.job(name=f"{naming.plain(name)}_recover", executor_def=dg.in_process_executor)
    def recovery() -> None:
        recover_source()

    return recovery


def _teardown_job(name: str) -> dg.JobDefinition:
    @dg.op(
        name=f"drop_slot_{naming.plain(name)}",
        description="Removes what capture made in the source: a slot and publications, or triggers.",
    )
    def drop_slot(context: dg.OpExecutionContext, replication: dg.ResourceParam[Replication]) -> None:
        with explained():
            replication.source(name).teardown()
        context.log.info(f"{name}: what capture made in the source is gone")

    @dg.job(name=f"{naming.plain(name)}_teardown", executor_def=dg.in_process_executor)
    def teardown() -> None:
        drop_slot()

    return teardown


def upkeep(catalog: Catalog) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """Hourly: small files of the logs into large ones, and files that nobody needs any more
    deleted. Facts are never touched."""

    @dg.op(description="Rewrites small files of every log into large ones, deletes files replaced long ago.")
    def tidy(context: dg.OpExecutionContext, replication: dg.ResourceParam[Replication]) -> None:
        with explained():
            store = replication.store()
            for table in catalog.tables:
                for done in (*tidy_log(store, table.id), *_tidy_targets(replication, table)):
                    context.log.info(done)

    @dg.job(name="upkeep", executor_def=dg.in_process_executor)
    def job() -> None:
        tidy()

    schedule = dg.ScheduleDefinition(
        name="upkeep_hourly",
        job=job,
        cron_schedule="17 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return job, schedule


def _tidy_targets(replication: Replication, table: Table) -> Iterator[str]:
    for projection in replication.catalog.projections:
        if table in replication.catalog.projected(projection):
            yield from tidy_dead_letters(replication.store(), projection.name, table.id)
            yield from tidy_target(replication.target(projection, table.id), f"{projection.name} {table.id}")
