"""Repair as a job: what a validation found wrong, made right from the event store.

Configured with a table, a projection and id ranges. Without a projection the event store itself
is held against its source, and what differs is loaded again.
"""

import dagster as dg
from pydantic import Field

from replication_assets.catalog import Catalog, Projection
from replication_assets.core.schema import TableId
from replication_assets.defs import metadata, naming
from replication_assets.defs.checks import MATCHES_EVENT_STORE, MATCHES_SOURCE, severity, succeeded
from replication_assets.defs.failures import explained
from replication_assets.errors import CatalogError
from replication_assets.flows.prepare import open_table
from replication_assets.flows.refusals import handling_of
from replication_assets.flows.validation.findings import Validation
from replication_assets.flows.validation.repair import Repair, repair_event_store, repair_projection
from replication_assets.replication import Replication

JOB = "repair"


class RepairConfig(dg.Config):
    """What to repair."""

    table: str = Field(description="A source table by its full name: `shop.public.orders`.")
    projection: str = Field("", description="Empty: the event store, against the source.")
    ranges: list[str] = Field([], description="Id ranges (`r000012`); empty: all that differ.")


def repair_job(catalog: Catalog) -> dg.JobDefinition:
    """Validates, repairs exactly what is wrong, and validates that again."""

    @dg.op(name="repair_rows", description="Rows that differ, written again as of the range's checkpoint.")
    def repair_rows(
        context: dg.OpExecutionContext, config: RepairConfig, replication: dg.ResourceParam[Replication]
    ) -> None:
        with explained():
            table, projection = _named(catalog, config)
            done = _repair(replication, table, projection, config.ranges or None)
        for each in done.ranges:
            facts = f"{each.written:,} rows written, {each.removed:,} removed"
            why = f" ({each.why})" if each.why else ""
            context.log.info(f"{table} {each.id_range or 'no range'}: {each.how}, {facts}{why}")
        context.add_output_metadata(dict(metadata.validated(done.after)))
        if not config.ranges:
            _report(context, table, projection, done.after)
        if not done.done:
            raise dg.Failure(f"Not all could be repaired. {done.after}", allow_retries=False)

    @dg.job(name=JOB, executor_def=dg.in_process_executor, description=str(repair_job.__doc__))
    def job() -> None:
        repair_rows()

    return job


def _named(catalog: Catalog, config: RepairConfig) -> tuple[TableId, Projection | None]:
    tables = {str(table.id): table.id for table in catalog.tables}
    projections = {each.name: each for each in catalog.projections}
    if config.table not in tables:
        problem = f"there is no table {config.table!r}. Fix: use one of {', '.join(tables)}"
        raise CatalogError([problem], where=JOB)
    if not config.projection:
        return tables[config.table], None
    if config.projection not in projections:
        known = ", ".join(projections) or "none"
        problem = f"there is no projection {config.projection!r}. Fix: use one of {known}"
        raise CatalogError([problem], where=JOB)
    return tables[config.table], projections[config.projection]


def _repair(
    replication: Replication, table: TableId, projection: Projection | None, ranges: list[str] | None
) -> Repair:
    store = replication.store()
    if projection is None:
        source = replication.source(table.source)
        opened = open_table(source, store, replication.catalog.table(table))
        return repair_event_store(source, store, opened, id_ranges=ranges)
    return repair_projection(
        store,
        replication.target(projection, table),
        table,
        projection=projection.name,
        id_ranges=ranges,
        handling=handling_of(store, projection, table),
    )


def _report(
    context: dg.OpExecutionContext, table: TableId, projection: Projection | None, found: Validation
) -> None:
    """The check says at once what is true now."""
    if projection is None:
        key, name = naming.event_store_key(table), MATCHES_SOURCE
    else:
        key, name = naming.projection_key(projection.name, table), MATCHES_EVENT_STORE
    context.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=succeeded(found),
            severity=severity(found),
            description=str(found),
            metadata=metadata.validated(found),
        )
    )
