"""Dead letters as assets: what a projection refused of a table, how much of it is open, and the
button that reprocesses it.

Metadata counts letters by reason and column. It shows no keys and no values: Dagster's event
log may be read by more people than the data. The command line shows them to whoever asks.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow.compute as pc
from pydantic import Field

from replication_assets.catalog import Catalog, Projection, Table, TopicProjection
from replication_assets.core.schema import TableId
from replication_assets.defs import metadata, naming
from replication_assets.defs.failures import explained
from replication_assets.flows.dead_letters import RetryReceipt, discard, resume, retry
from replication_assets.flows.project import project_range
from replication_assets.flows.publish import publisher
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import Handling, can_refuse, handling_of
from replication_assets.replication import Replication

CHECK = "none_open"

Figures = dict[str, Any]


class DeadLettersConfig(dg.Config):
    """What a run does with the open dead letters of its table."""

    retry: bool = Field(True, description="Reprocess all open dead letters.")
    discard: bool = Field(False, description="Give up those that are open then: the target stays without.")
    resume: bool = Field(False, description="If the table is suspended, project it again.")


def dead_letters_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """One for each table of a projection whose target can refuse rows, or whose messages can be too large."""
    return [
        _asset(projection, table)
        for projection in (*catalog.projections, *catalog.topics)
        for table in catalog.projected(projection)
        if isinstance(projection, TopicProjection) or can_refuse(projection, table.id)
    ]


def _asset(projection: Projection | TopicProjection, table: Table) -> dg.AssetsDefinition:
    key = naming.dead_letters_key(projection.name, table.id)

    @dg.asset(
        key=key,
        deps=[naming.projection_key(projection.name, table.id)],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK, asset=key, description="No dead letter is open, and the table is not suspended."
            )
        ],
        group_name=table.group or naming.plain(projection.name),
        kinds={"deltalake"},
        owners=list(table.owners),
        tags=dict(table.tags),
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL),
        description=(
            f"Rows of `{table.id}` that `{projection.name}` refused. Materialize to reprocess them; with "
            "`resume` in the run's configuration to go on with a suspended table."
        ),
    )
    def letters(
        context: dg.AssetExecutionContext,
        config: DeadLettersConfig,
        replication: dg.ResourceParam[Replication],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with explained():
            figures = _reprocess(context, config, replication, projection, table)
        yield dg.MaterializeResult(metadata=figures, check_results=[_result(figures)])

    return letters


def _reprocess(
    context: dg.AssetExecutionContext,
    config: DeadLettersConfig,
    replication: Replication,
    projection: Projection | TopicProjection,
    table: Table,
) -> Figures:
    """Do as the configuration says; returns what was done and what is open then."""
    if isinstance(projection, TopicProjection):
        return _of_topic(config, replication, projection, table)
    store, target = replication.store(), replication.target(projection, table.id)
    handling = handling_of(store, projection, table.id)
    assert handling is not None, "the asset is made for projections that refuse rows, and for no other"
    receipt = retry(store, target, handling, table.id) if config.retry else RetryReceipt()
    context.log.info(_told(table.id, receipt))
    discarded = discard(handling) if config.discard else 0
    if config.resume and resume(handling):
        _bring_forward(context, replication, projection, table, handling)
    return {
        **open_figures(handling),
        "applied": receipt.applied,
        "superseded": receipt.superseded,
        "refused_again": receipt.refused,
        "waiting": receipt.waiting,
        "discarded": discarded,
    }


def _of_topic(
    config: DeadLettersConfig, replication: Replication, projection: TopicProjection, table: Table
) -> Figures:
    """A message that was too large is told again with its row's next change, or by a rebuild: there is
    nothing to retry."""
    found = publisher(replication, projection, table.id)
    handling = found.sender.handling
    discarded = discard(handling) if config.discard else 0
    if config.resume and resume(handling):
        found.publish()
    return {**open_figures(handling), "discarded": discarded}


def _told(table: TableId, receipt: RetryReceipt) -> str:
    return (
        f"{table}: {receipt.applied:,} applied, {receipt.superseded:,} superseded, "
        f"{receipt.refused:,} refused again, {receipt.waiting:,} wait for their range to be projected"
    )


def _bring_forward(
    context: dg.AssetExecutionContext,
    replication: Replication,
    projection: Projection,
    table: Table,
    handling: Handling,
) -> None:
    """Project what happened while the table was suspended: its events asked for runs that were
    let go, and none may follow for long."""
    snapshot = replication.store().log(table.id).snapshot()
    target = replication.target(projection, table.id)
    for id_range in ranges_of(snapshot):
        receipt = project_range(snapshot, table.id, target, id_range, handling=handling)
        facts = metadata.projected(receipt, snapshot.schema)
        asset = naming.projection_key(projection.name, table.id)
        context.log_event(dg.AssetMaterialization(asset, partition=id_range.key, metadata=facts))


# --- figures and the check ---


def open_figures(handling: Handling) -> Figures:
    """What is open, without keys and values: figures that plot, and a table of reasons."""
    suspension = handling.letters.suspended()
    figures: Figures = {"open": handling.letters.count(), "suspended": suspension is not None}
    if suspension is not None:
        figures["suspended_because"] = suspension.reason
        figures["suspended_since"] = dg.MetadataValue.timestamp(suspension.since)
    if figures["open"]:
        rows = handling.letters.open_rows()
        figures["attempts"] = pc.max(rows["attempts"]).as_py()
        figures["oldest"] = dg.MetadataValue.timestamp(pc.min(rows["first_at"]).as_py())
        counts = rows.group_by(["reason", "column"]).aggregate([("letter", "count"), ("attempts", "max")])
        figures["reasons"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "reason": row["reason"],
                        "column": row["column"] or "(the whole row)",
                        "letters": row["letter_count"],
                        "attempts": row["attempts_max"],
                    }
                )
                for row in counts.sort_by([("letter_count", "descending")]).to_pylist()
            ]
        )
    return figures


def _result(figures: Figures) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if figures["suspended"] else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=_passed(figures),
        severity=severity,
        metadata=figures,
        description=_description(figures),
    )


def _passed(figures: Figures) -> bool:
    return not figures["open"] and not figures["suspended"]


def _description(figures: Figures) -> str:
    count = figures["open"]
    letters = f"{count:,} dead letter{'s are' if count != 1 else ' is'} open" if count else "none is open"
    return f"suspended: {figures['suspended_because']}; {letters}" if figures["suspended"] else letters


def report_open(
    instance: dg.DagsterInstance,
    projection: Projection | TopicProjection,
    table: TableId,
    handling: Handling | None,
) -> None:
    """Put the check to what is true now, if it says something else: called by whoever projects,
    so that the check is red as soon as a row is refused, without a run of its own."""
    if handling is None:
        return
    key = naming.dead_letters_key(projection.name, table)
    told = _last_told(instance, dg.AssetCheckKey(key, CHECK))
    count, suspended = handling.letters.count(), handling.letters.suspended() is not None
    if told == (count, suspended):
        return
    figures = open_figures(handling)
    result = _result(figures)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=CHECK,
            passed=bool(result.passed),
            metadata=figures,
            severity=result.severity,
            description=result.description,
        )
    )


def _last_told(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> tuple[object, object] | None:
    """How many letters were open, and whether the table was suspended, when the check was last
    evaluated."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check]).get(check)
    event = record.event.dagster_event if record is not None and record.event is not None else None
    if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return None
    facts = event.asset_check_evaluation_data.metadata
    told = [facts[name].value if name in facts else None for name in ("open", "suspended")]
    return told[0], told[1]
