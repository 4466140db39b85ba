"""The event store of each table, partitioned by date and id range. Materializing loads.

Captures write to the same assets from their own runs and mark the partitions they touched.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg

from replication_assets.catalog import Table
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import RangePlan
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.failures import explained
from replication_assets.flows.load import LoadReceipt, load_range
from replication_assets.flows.prepare import ReplicatedTable, open_table
from replication_assets.flows.range_plans import plan_of_loads
from replication_assets.replication import Replication


def event_store_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of one table. A run loads each requested id range once, in a snapshot of its own."""
    cells = partitions.cells_def(table.id, table.event_date.pinned())

    @dg.asset(
        key=naming.event_store_key(table.id),
        deps=[naming.source_key(table.id)],
        partitions_def=cells,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=naming.load_pool(table.id.source),
        retry_policy=dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL),
        group_name=table.group or naming.EVENT_STORE,
        kinds={"deltalake", "parquet"},
        owners=list(table.owners),
        tags=dict(table.tags),
        op_tags={naming.SOURCE_TAG: table.id.source},
        description=(
            f"Append-only events of `{table.id}`. Materialize to load id ranges in full; captures add "
            "what changes afterwards and mark the partitions they touch."
        ),
    )
    def events(
        context: dg.AssetExecutionContext, replication: dg.ResourceParam[Replication]
    ) -> dg.MaterializeResult[Any]:
        keys = partitions.requested_keys(context)
        with explained():
            _load(context, replication, table, keys)
        return dg.MaterializeResult(metadata={"replication/partitions": len(keys)})

    return events


def _load(
    context: dg.AssetExecutionContext,
    replication: Replication,
    table: Table,
    keys: Sequence[str],
) -> None:
    source, store = replication.source(table.id.source), replication.store()
    replicated = open_table(source, store, table)
    plan = plan_of_loads(source, replicated)
    if plan is not None and plan.scanned:
        context.log.warning(f"{table.id}: {plan}. Fix: {plan.fix}")
    wanted = partitions.cells_by_range(keys, table.event_date.pinned())
    listed = sorted(partitions.listed_ranges(context.instance, table.id))
    today = dt.datetime.now(dt.UTC).date()
    dates = {
        key: partitions.dates_to_load(table.id, table.event_date.pinned(), days, today)
        for key, days in wanted.items()
    }
    for number, (key, days) in enumerate(sorted(dates.items()), start=1):
        id_range = partitions.load_range_of(replicated.id_ranges, key, listed)
        context.log.info(f"loading {table.id} {key} ({number} of {len(dates)})")

        def progress(rows: int, seconds: float, key: str = key) -> None:
            context.log.info(
                f"{table.id} {key}: {rows:,} rows in {seconds:.0f} s, {rows / seconds:,.0f} rows/s"
            )

        receipt = load_range(source, store, replicated, id_range, dates=days, progress=progress)
        _report(context, replicated, receipt, id_range, set(keys), plan)


def _report(
    context: dg.AssetExecutionContext,
    table: ReplicatedTable,
    receipt: LoadReceipt,
    id_range: IdRange,
    requested: set[str],
    plan: RangePlan | None,
) -> None:
    """Metadata of each requested cell, and a materialization of each other one that got rows."""
    context.log.info(
        f"{table.id} {id_range.key}: {receipt.rows:,} rows in {receipt.seconds:.1f} s as of position "
        f"{receipt.position.commit}"
    )
    partitions.register_ranges(context.instance, table.id, {cell.id_range for cell in receipt.cells})
    written = partitions.listed_cells(table.event_dates, receipt.cells)
    for key in requested:
        if (
            isinstance(key, dg.MultiPartitionKey)
            and key.keys_by_dimension[partitions.ID_RANGE] == id_range.key
        ):
            facts = {**metadata.loaded(receipt, written.pop(key, 0)), **metadata.planned(plan)}
            context.add_asset_metadata(facts, partition_key=key)
    for cell, rows in written.items():
        if cell not in requested:
            context.log_event(
                dg.AssetMaterialization(
                    naming.event_store_key(table.id), partition=cell, metadata=metadata.loaded(receipt, rows)
                )
            )
