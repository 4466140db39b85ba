"""Projections: one asset per projection and table, partitioned by id range.

They follow the event store by declarative automation, each on its own: whenever a capture or
a load marks partitions of a range, that range of each projection is brought forward.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from replication_assets.catalog import (
    DeltaProjection,
    DynamoDbProjection,
    MySqlTarget,
    OracleTarget,
    PostgresTarget,
    Projection,
    SqliteTarget,
    SqlServerTarget,
    Table,
    TopicProjection,
)
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.dead_letters import report_open
from replication_assets.defs.failures import explained
from replication_assets.errors import NotLoaded, ReplicationError, TableSuspended
from replication_assets.flows.prepare import open_table
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.refusals import handling_of
from replication_assets.replication import Replication


def following(projection: Projection | TopicProjection) -> dg.AutomationCondition:  # type: ignore[type-arg]
    """When a range of the projection is brought forward in a run of its own.

    An update of the event store counts until a run was *requested* after it: one that comes
    while a run is reading is not forgotten when that run ends. Inline projections are updated
    by the capture itself, which then settles the request. `eager()` would wait for every
    partition of the event store to exist, which dates of the past never do, and follow the
    latest date only.
    """
    settled = dg.AutomationCondition.newly_requested()
    if projection.follow == "inline":
        settled = settled | dg.AutomationCondition.newly_updated()
    never_filled = dg.AutomationCondition.initial_evaluation() & dg.AutomationCondition.missing()
    return (
        (dg.AutomationCondition.any_deps_updated() | never_filled).since(settled)
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.any_deps_in_progress()
    )


AUTOMATED = "dagster/from_automation_condition"


def projection_asset(projection: Projection, table: Table) -> dg.AssetsDefinition:
    """The asset of one table in one projection. Materializing replays only what is new; a range
    whose target was emptied, or was loaded again, is rebuilt."""
    key = naming.projection_key(projection.name, table.id)

    class ProjectConfig(dg.Config):
        rebuild: bool = Field(False, description="Replay the selected id ranges from nothing.")
        reset: bool = Field(
            False,
            description="Empty the whole target first: a column changed its type. Select all ranges.",
        )

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(
                naming.event_store_key(table.id),
                partition_mapping=dg.MultiToSingleDimensionPartitionMapping(
                    partition_dimension_name=partitions.ID_RANGE
                ),
            )
        ],
        partitions_def=partitions.id_ranges_def(table.id),
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=following(projection),
        output_required=False,
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL),
        group_name=table.group or naming.plain(projection.name),
        kinds={_kind(projection)},
        owners=list(table.owners),
        tags=dict(table.tags),
        description=f"Current rows of `{table.id}`, folded from its events. `rebuild` replays from nothing.",
    )
    def projected(
        context: dg.AssetExecutionContext, config: ProjectConfig, replication: dg.ResourceParam[Replication]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        keys = list(partitions.requested_keys(context))
        if config.reset:
            _reset(context, replication, projection, table)
        waiting = _project(context, replication, projection, table, keys, rebuild=config.rebuild)
        if not waiting:
            yield dg.MaterializeResult()
        elif context.run.tags.get(AUTOMATED) != "true":
            _fail(waiting)

    return projected


def _kind(projection: Projection) -> str:
    if isinstance(projection, DeltaProjection):
        return "deltalake"
    if isinstance(projection, DynamoDbProjection):
        return "dynamodb"
    engines = {
        PostgresTarget: "postgres",
        MySqlTarget: "mysql",
        SqliteTarget: "sqlite",
        SqlServerTarget: "sqlserver",
        OracleTarget: "oracle",
    }
    return engines[type(projection.target)]


def _fail(waiting: Mapping[str, ReplicationError]) -> None:
    with explained():
        for error in waiting.values():
            if isinstance(error, TableSuspended):
                raise error
    raise dg.Failure(
        f"{', '.join(waiting)}: not loaded yet. Fix: load them into {naming.EVENT_STORE} first.",
        allow_retries=False,
    )


def _reset(
    context: dg.AssetExecutionContext, replication: Replication, projection: Projection, table: Table
) -> None:
    with explained():
        source, store = replication.source(table.id.source), replication.store()
        replication.target(projection, table.id).reset(open_table(source, store, table).schema)
        context.log.info(f"{table.id}: the target is empty and has the columns of today")


def _project(
    context: dg.AssetExecutionContext,
    replication: Replication,
    projection: Projection,
    table: Table,
    keys: Sequence[str],
    *,
    rebuild: bool,
) -> dict[str, ReplicationError]:
    """Bring the ranges forward; returns those that no load covers yet, or whose table is suspended."""
    with explained():
        store = replication.store()
        snapshot, handling = store.log(table.id).snapshot(), handling_of(store, projection, table.id)
        target = replication.target(projection, table.id)
    waiting: dict[str, ReplicationError] = {}
    done: dict[str, ProjectReceipt] = {}
    try:
        for key in keys:
            with explained():
                id_range = snapshot.id_ranges.by_key(key)
                try:
                    receipt = project_range(
                        snapshot, table.id, target, id_range, rebuild=rebuild, handling=handling
                    )
                except (NotLoaded, TableSuspended) as error:
                    context.log.warning(str(error))
                    waiting[key] = error
                    continue
            done[key] = receipt
            context.log.info(
                f"{table.id} {key}: {receipt.how}, {receipt.rows:,} rows, {receipt.seconds:.2f} s"
            )
    finally:
        with explained():
            report_open(context.instance, projection, table.id, handling)
    for key, receipt in done.items():
        if waiting:
            context.log_event(
                dg.AssetMaterialization(
                    context.asset_key, partition=key, metadata=metadata.projected(receipt, snapshot.schema)
                )
            )
        else:
            context.add_asset_metadata(dict(metadata.projected(receipt, snapshot.schema)), partition_key=key)
    return waiting
