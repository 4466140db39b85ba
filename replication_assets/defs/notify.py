"""One sensor per channel: it delivers the notifications that the watch put down in Dagster.

Each has a cursor of its own, so a channel that fails holds up no other, its tick fails with the
reason, and the next tick delivers the same notifications again. What waits goes out as one
message. Delivery is at least once.
"""

import datetime as dt
import hashlib
from typing import Any, cast

import dagster as dg

from replication_assets.declarations import Channel, Sns, Watch, Webhook
from replication_assets.defs.watch_report import NOTIFICATIONS
from replication_assets.errors import ReplicationError
from replication_assets.ports.watch import Kind, Notification, Phase
from replication_assets.replication import Replication

MOST_AT_ONCE = 50
"""In one message: what every channel takes."""

FIRST_LOOK_BACK = dt.timedelta(hours=1)
"""How old a notification may be for a channel that is new."""


def channel_name(channel: Channel) -> str:
    """A name that stays when other channels come or go. It shows no address."""
    if isinstance(channel, Webhook):
        address = str(channel.url)
    elif isinstance(channel, Sns):
        address = channel.topic_arn
    else:
        address = f"{channel.host} {channel.recipients}"
    kind = type(channel).__name__.lower()
    digest = hashlib.blake2b(f"{address} {channel.events}".encode(), digest_size=3).hexdigest()
    return f"notify_{kind}_{digest}"


def channel_sensor(watch: Watch, channel: Channel) -> dg.SensorDefinition:
    """Delivers what is new to one channel."""

    @dg.sensor(
        name=channel_name(channel),
        minimum_interval_seconds=max(1, round(min(watch.every_seconds, 10))),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends notifications ({', '.join(channel.events)}) through {type(channel).__name__}.",
    )
    def deliver(
        context: dg.SensorEvaluationContext, replication: dg.ResourceParam[Replication]
    ) -> dg.SensorResult | dg.SkipReason:
        records = _waiting(context)
        if not records:
            return dg.SkipReason("nothing to tell")
        wanted = [each for each in map(_notification, records) if each.kind in channel.events]
        if wanted:
            notifier = replication.notifier(channel)
            try:
                missed = notifier.send(wanted)
            except ReplicationError as error:
                # The cursor stays where it is, so that nothing is lost.
                raise dg.DagsterError(str(error)) from error
            if missed is not None:
                context.log.error(missed)
        told = f"{len(wanted)} sent" if wanted else "nothing that this channel asks for"
        return dg.SensorResult(skip_reason=told, cursor=str(records[-1].storage_id))

    return deliver


def _waiting(context: dg.SensorEvaluationContext) -> list[dg.EventLogRecord]:
    after = int(context.cursor) if context.cursor else None
    since = (dt.datetime.now(dt.UTC) - FIRST_LOOK_BACK).timestamp() if after is None else None
    wanted = dg.AssetRecordsFilter(NOTIFICATIONS, after_storage_id=after, after_timestamp=since)
    return list(context.instance.fetch_materializations(wanted, limit=MOST_AT_ONCE, ascending=True).records)


def _notification(record: dg.EventLogRecord) -> Notification:
    event = record.asset_materialization
    assert event is not None
    facts: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    return Notification(
        facts["id"],
        cast(Kind, facts["kind"]),
        cast(Phase, facts["phase"]),
        facts["subject"],
        facts["what"],
        facts["fix"],
        dt.datetime.fromisoformat(facts["since"]),
        dt.datetime.fromisoformat(facts["at"]),
    )
