"""How one table in a topic fares: events of the store that no step was told of yet.

Read from the journal alone: the brokers are not asked. A step that was told counts as sent; if its
publisher died, the next one sends the rest of it first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.declarations import TopicProjection
from replication_assets.errors import NeedsReload, NotLoaded, ReplicationError
from replication_assets.flows.publish_events import load_ids, loaded_from
from replication_assets.flows.read import ranges_of
from replication_assets.flows.watch.projection_health import (
    ProjectionHealth,
    before_load,
    events_after,
    freshness,
    open_letters,
)
from replication_assets.flows.watch.table_health import TableHealth
from replication_assets.ports import EventStore, LogSnapshot
from replication_assets.ports.topics import TopicStep


def read_topic(
    store: EventStore, projection: TopicProjection, table: TableHealth, default_sla: float, now: dt.datetime
) -> ProjectionHealth:
    """Figures of one table; an error becomes the answer. `rows` says nothing: a topic holds events."""
    sla = projection.freshness_seconds if projection.freshness_seconds is not None else default_sla
    if not table.exists or table.error is not None:
        return ProjectionHealth(projection.name, table.table, sla, error=table.error)
    try:
        step = store.topic_journal(projection.name, table.table).last()
        snapshot = store.log(table.table).snapshot()
        waits = list(_waiting(snapshot, table.table, step))
        letters, suspended = open_letters(store, projection.name, table.table)
    except ReplicationError as error:
        return ProjectionHealth(projection.name, table.table, sla, error=str(error))
    since = min((at for _, at in waits if at is not None), default=None)
    return ProjectionHealth(
        projection.name,
        table.table,
        sla,
        freshness(table, since, now) if table.loaded else None,
        sum(number for number, _ in waits),
        since,
        len(waits),
        len(step.ranges) if step is not None else 0,
        dead_letters=letters,
        suspended=suspended,
        reached=step.reached if step is not None else None,
    )


def _waiting(
    snapshot: LogSnapshot, table: TableId, step: TopicStep | None
) -> Iterator[tuple[int, dt.datetime | None]]:
    """Of each range, events that are not told, and since when."""
    controls = snapshot.controls()
    for id_range in ranges_of(snapshot):
        known = step.ranges.get(id_range.key) if step is not None else None
        start: Position | None = None
        try:
            baseline = loaded_from(controls, id_range, str(table))
        except (NotLoaded, NeedsReload):
            baseline = None
        if step is not None and known is not None:
            start = step.reached if known.floor is None else max(step.reached, known.floor)
        if baseline is not None and (known is None or known.loads != load_ids(baseline)):
            start = before_load(baseline.oldest)
        yield (0, None) if start is None else events_after(snapshot, id_range, start)
