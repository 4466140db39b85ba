"""How everything that a catalog declares fares, as of one moment.

Read from what is durable: the source's own status, the ledger, the logs, the checkpoints of the
targets. Nothing of an orchestrator is asked, so that a command line, a sensor and a test see the
same. A part that cannot be read is part of the answer (`error`), and hides no other part.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from replication_assets.catalog import Catalog
from replication_assets.core.schema import TableId
from replication_assets.declarations import Projection, SourceConfig, Table, TopicProjection
from replication_assets.errors import ReplicationError
from replication_assets.flows.source_status import source_status
from replication_assets.flows.watch.projection_health import ProjectionHealth, read_projection
from replication_assets.flows.watch.readings import Readings
from replication_assets.flows.watch.seen_checkpoints import SeenCheckpoints
from replication_assets.flows.watch.table_health import TableHealth, read_table_health
from replication_assets.flows.watch.topic_health import read_topic
from replication_assets.ports import CaptureMark, ChangeSource, EventStore, ProjectionTarget, SourceStatus
from replication_assets.ports.topics import Topic

CATCH_UP_BYTES = 16 * 2**20
"""A backlog that a running capture reads in less than a second."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """`headroom_hours` is when the source gives our place in its log up, as things go; None:
    not in sight, or the source keeps its log without limit."""

    name: str
    set_up: bool
    status: SourceStatus | None
    lag_seconds: float | None
    retained_growth: float | None
    headroom_hours: float | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DiskHealth:
    """The disk of an event store that is a folder of this machine."""

    path: str
    total_bytes: int
    free_bytes: int
    headroom_hours: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """Everything, `at` one moment. `disk` is None for an event store elsewhere."""

    at: dt.datetime
    sources: tuple[SourceHealth, ...]
    tables: tuple[TableHealth, ...]
    projections: tuple[ProjectionHealth, ...]
    disk: DiskHealth | None

    def source(self, name: str) -> SourceHealth:
        return next(each for each in self.sources if each.name == name)

    def table(self, table: TableId) -> TableHealth:
        return next(each for each in self.tables if each.table == table)

    def of_projection(self, name: str) -> tuple[ProjectionHealth, ...]:
        return tuple(each for each in self.projections if each.projection == name)


class Adapters(Protocol):
    """Where the adapters of a catalog come from (`replication.Replication`)."""

    @property
    def catalog(self) -> Catalog: ...
    def source(self, name: str) -> ChangeSource: ...
    def store(self) -> EventStore: ...
    def target(self, projection: Projection, table: TableId) -> ProjectionTarget: ...
    def topic(self, projection: TopicProjection, table: TableId) -> Topic: ...


def read_health(
    adapters: Adapters,
    readings: Readings,
    now: dt.datetime | None = None,
    seen: SeenCheckpoints | None = None,
) -> Health:
    """Look at everything once; `readings` remembers what the next look compares with, `seen` what
    it need not read again."""
    if seen is None:
        seen = SeenCheckpoints()
    else:
        seen.begin()
    at = now or dt.datetime.now(dt.UTC)
    catalog, store = adapters.catalog, adapters.store()
    # At once: each that does not answer takes as long as its connection time-out.
    with ThreadPoolExecutor(max_workers=8) as pool:
        look = partial(_source, adapters, store, readings, at)
        sources = tuple(pool.map(look, catalog.sources))
    lags = {source.name: source.lag_seconds for source in sources}
    tables = tuple(
        read_table_health(
            store,
            table,
            partial(adapters.source, table.id.source),
            lags.get(table.id.source),
            _sla(catalog, table),
            readings,
            at,
        )
        for table in catalog.tables
    )
    by_id = {table.table: table for table in tables}
    projections = tuple(
        read_projection(
            store,
            partial(adapters.target, projection, table.id),
            projection,
            by_id[table.id],
            catalog.watch.lag_sla_seconds,
            readings,
            seen,
            at,
        )
        for projection in catalog.projections
        for table in catalog.projected(projection)
    )
    projections += _topics(catalog, store, by_id, at)
    return Health(at, sources, tables, projections, _disk(catalog.event_store.root, readings, at))


def _topics(
    catalog: Catalog, store: EventStore, tables: Mapping[TableId, TableHealth], now: dt.datetime
) -> tuple[ProjectionHealth, ...]:
    sla = catalog.watch.lag_sla_seconds
    return tuple(
        read_topic(store, topic, tables[table.id], sla, now)
        for topic in catalog.topics
        for table in catalog.projected(topic)
    )


def _sla(catalog: Catalog, table: Table) -> float:
    return table.lag_sla_seconds if table.lag_sla_seconds is not None else catalog.watch.lag_sla_seconds


def _source(
    adapters: Adapters,
    store: EventStore,
    readings: Readings,
    now: dt.datetime,
    config: SourceConfig,
) -> SourceHealth:
    try:
        mark = store.ledger(config.name).last()
        status = source_status(adapters.source(config.name), mark)
    except ReplicationError as error:
        return SourceHealth(config.name, True, None, None, None, None, str(error))
    at, name = now.timestamp(), config.name
    readings.note(f"head/{name}", at, status.head)
    caught_up = readings.last_at_or_below(f"head/{name}", mark.commit) if mark is not None else None
    growth = hours = None
    if status.retained_bytes is None:
        readings.forget(f"retained/{name}")
    else:
        readings.note(f"retained/{name}", at, status.retained_bytes)
        growth = readings.growth(f"retained/{name}")
        if status.headroom_bytes is not None:
            hours = _hours(readings.runs_out(f"retained/{name}", status.headroom_bytes))
    if status.expires_at is not None:
        by_age = max(0.0, (status.expires_at - now).total_seconds() / 3600)
        hours = by_age if hours is None else min(hours, by_age)
    lag = lag_seconds(status, mark, now, caught_up)
    return SourceHealth(name, mark is not None, status, lag, growth, hours)


def lag_seconds(
    status: SourceStatus, mark: CaptureMark | None, now: dt.datetime, caught_up_at: float | None = None
) -> float | None:
    """How far capture is behind the source in time; None before the first capture.

    A log moves without commits of ours too. So a short backlog counts from when capture last
    recorded that it was through, and only a long one from its last commit; in either case not
    from before `caught_up_at`, when the log was last seen to hold nothing that is not captured.
    """
    if mark is None:
        return None
    # A source that knows no place of ours (a binlog) tells no bytes; what it wrote is told by its head.
    if status.lag_bytes == 0 or status.head <= mark.commit:
        return 0.0
    long = status.lag_bytes is not None and status.lag_bytes > CATCH_UP_BYTES
    since = mark.committed_at if long and mark.committed_at is not None else mark.recorded_at
    waited = (now - since).total_seconds()
    if caught_up_at is not None:
        waited = min(waited, now.timestamp() - caught_up_at)
    return max(0.0, waited)


def _disk(root: str, readings: Readings, now: dt.datetime) -> DiskHealth | None:
    if "://" in root and not root.startswith("file://"):
        return None
    folder = Path(root.removeprefix("file://")).absolute()
    while not folder.exists():
        # Not made yet: it will be on the disk of the nearest folder above.
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    readings.note("disk", now.timestamp(), usage.used)
    return DiskHealth(str(folder), usage.total, usage.free, _hours(readings.runs_out("disk", usage.free)))


def _hours(seconds: float | None) -> float | None:
    return seconds / 3600 if seconds is not None else None
