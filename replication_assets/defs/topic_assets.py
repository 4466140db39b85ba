"""Topics: one asset per projection into topics and table, without partitions: a topic takes events in order,
and not rows of a range."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from replication_assets.catalog import KinesisProjection, Table, TopicProjection
from replication_assets.defs import naming
from replication_assets.defs.dead_letters import report_open
from replication_assets.defs.failures import explained
from replication_assets.defs.projection_assets import following
from replication_assets.flows.publish import PublishReceipt, publisher
from replication_assets.replication import Replication


def topic_asset(projection: TopicProjection, table: Table) -> dg.AssetsDefinition:
    """The asset of one table in a topic. Materializing tells the events that are new."""
    topic = projection.topic_of(table.id.source, table.id.schema, table.id.name)
    is_stream = isinstance(projection, KinesisProjection)
    promise = f"stream `{topic}`, each at least once" if is_stream else f"topic `{topic}`, each once"

    class PublishConfig(dg.Config):
        rebuild: bool = Field(False, description="Tell every row again, under a new stream.")

    @dg.asset(
        key=naming.projection_key(projection.name, table.id),
        deps=[naming.event_store_key(table.id)],
        automation_condition=following(projection),
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL),
        group_name=table.group or naming.plain(projection.name),
        kinds={"kinesis" if is_stream else "kafka"},
        owners=list(table.owners),
        tags=dict(table.tags),
        description=f"Events of `{table.id}` in {promise}. `rebuild` tells every row again.",
    )
    def published(
        context: dg.AssetExecutionContext, config: PublishConfig, replication: dg.ResourceParam[Replication]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with explained():
            found = publisher(replication, projection, table.id)
        try:
            with explained():
                receipt = found.publish(rebuild=config.rebuild)
        finally:
            with explained():
                report_open(context.instance, projection, table.id, found.sender.handling)
        if receipt.waiting:
            context.log.warning(f"not loaded yet: {', '.join(receipt.waiting)}")
        yield dg.MaterializeResult(metadata=told(receipt))

    return published


def told(receipt: PublishReceipt) -> dict[str, Any]:
    """Figures of one materialization."""
    figures = {
        "messages": receipt.messages,
        "position": receipt.position.commit if receipt.position is not None else None,
        "ranges": receipt.ranges,
        "refused": receipt.refused,
        "seconds": round(receipt.seconds, 3),
        "messages_per_second": round(receipt.messages / receipt.seconds) if receipt.seconds else 0,
    }
    return {name: value for name, value in figures.items() if value is not None}
