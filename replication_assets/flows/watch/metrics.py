"""Health as figures for a monitoring system.

Where DMS has a figure, it goes by DMS's name and unit, so that dashboards and alarms of a team
that comes from there keep their meaning. What DMS lacks is named in the same style. A figure that
is not known is left out: zero would say that all is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import get_args

from replication_assets.core.schema import TableId
from replication_assets.flows.watch.health import DiskHealth, Health, SourceHealth
from replication_assets.flows.watch.look import Look
from replication_assets.flows.watch.projection_health import ProjectionHealth
from replication_assets.flows.watch.table_health import TableHealth
from replication_assets.ports.watch import Kind, Metric, Unit


@dataclass(frozen=True, slots=True)
class Figure:
    """Name, unit and meaning of a metric."""

    name: str
    unit: Unit
    help: str
    of: str
    """What it is measured of: the dimensions that it carries."""


FIGURES = (
    Figure(
        "CDCLatencySource", "Seconds", "From a commit in the source until the event store has it.", "source"
    ),
    Figure(
        "CDCThroughputRowsSource", "Count/Second", "Changes captured into the event store.", "source, table"
    ),
    Figure("FullLoadThroughputRowsTarget", "Count/Second", "Rows that loads read.", "source, table"),
    Figure(
        "FullLoadThroughputBandwidthTarget",
        "Kilobytes/Second",
        "Arrow bytes that loads read, over the time they took.",
        "source, table",
    ),
    Figure(
        "CDCLatencyTarget",
        "Seconds",
        "Since the oldest event was committed that waits to be applied; 0 if none waits.",
        "source, projection, table",
    ),
    Figure(
        "CDCIncomingChanges",
        "Count",
        "Events in the event store that wait to be applied.",
        "source, projection, table",
    ),
    Figure(
        "CDCThroughputRowsTarget",
        "Count/Second",
        "Events applied, those of a fill included.",
        "source, projection, table",
    ),
    Figure("FreeStorageSpace", "Bytes", "Room left on the disk of the event store.", "-"),
    Figure("StorageHeadroomHours", "Hours", "Until that disk is full, as things go.", "-"),
    Figure(
        "Freshness",
        "Seconds",
        "How far a projection is behind the source, waiting and capture together.",
        "source, projection, table",
    ),
    Figure("DeadLetters", "Count", "Refused rows that nobody dealt with.", "source, projection, table"),
    Figure("SlotLagBytes", "Bytes", "Log of the source that is not captured yet.", "source"),
    Figure("SlotRetainedBytes", "Bytes", "Log that the source keeps for the slot.", "source"),
    Figure(
        "SlotHeadroomBytes",
        "Bytes",
        "Log that the source may still write before the slot is lost; absent without limit.",
        "source",
    ),
    Figure("SlotHeadroomHours", "Hours", "Until the slot is lost, as things go.", "source"),
    Figure("SlotUsable", "Count", "1 while the slot exists and is not lost, else 0.", "source"),
    Figure("SourceReachable", "Count", "1 while the source answers, else 0.", "source"),
    Figure("ActiveAlarms", "Count", "Conditions over a limit now.", "kind"),
    Figure("WatchedAt", "Seconds", "When this was measured, in seconds since 1970.", "-"),
)
BY_NAME = {figure.name: figure for figure in FIGURES}


@dataclass(frozen=True, slots=True)
class LoadRate:
    """How fast loads of a table went that ended since the last look. Only whoever ran them knows
    how long they took."""

    table: TableId
    rows_per_second: float
    kilobytes_per_second: float


def metrics_of(look: Look, loads: Iterable[LoadRate] = ()) -> tuple[Metric, ...]:
    """All that is known at one look."""
    at = look.health.at
    return tuple(
        Metric(name, BY_NAME[name].unit, float(value), at, BY_NAME[name].help, dimensions)
        for name, value, dimensions in chain(_figures(look), *map(_load, loads))
        if value is not None
    )


_Figure = tuple[str, float | None, dict[str, str]]


def _figures(look: Look) -> Iterator[_Figure]:
    health: Health = look.health
    for source in health.sources:
        yield from _source(source)
    for table in health.tables:
        if table.error is None:
            yield from _table(table)
    for projection in health.projections:
        if projection.error is None:
            yield from _projection(projection)
    if health.disk is not None:
        yield from _disk(health.disk)
    for kind in get_args(Kind):
        active = sum(condition.kind == kind for condition in look.conditions)
        yield "ActiveAlarms", active, {"Kind": kind}
    yield "WatchedAt", health.at.timestamp(), {}


def _source(source: SourceHealth) -> Iterator[_Figure]:
    of = {"Source": source.name}
    yield "SourceReachable", source.error is None, of
    if source.status is None or not source.set_up:
        return
    yield "CDCLatencySource", source.lag_seconds, of
    yield "SlotLagBytes", source.status.lag_bytes, of
    yield "SlotRetainedBytes", source.status.retained_bytes, of
    yield "SlotHeadroomBytes", source.status.headroom_bytes, of
    yield "SlotHeadroomHours", source.headroom_hours, of
    yield "SlotUsable", source.status.state not in ("missing", "lost"), of


def _table(table: TableHealth) -> Iterator[_Figure]:
    of = _of_table(table.table)
    yield "CDCThroughputRowsSource", table.changes_per_second, of


def _load(load: LoadRate) -> Iterator[_Figure]:
    of = _of_table(load.table)
    yield "FullLoadThroughputRowsTarget", load.rows_per_second, of
    yield "FullLoadThroughputBandwidthTarget", load.kilobytes_per_second, of


def _projection(projection: ProjectionHealth) -> Iterator[_Figure]:
    of = {"Projection": projection.projection, **_of_table(projection.table)}
    late = projection.freshness_seconds
    yield "Freshness", late, of
    if late is not None:
        yield "CDCLatencyTarget", late if projection.waiting else 0.0, of
    yield "CDCIncomingChanges", projection.waiting, of
    yield "CDCThroughputRowsTarget", projection.rows_per_second, of
    yield "DeadLetters", projection.dead_letters, of


def _disk(disk: DiskHealth) -> Iterator[_Figure]:
    yield "FreeStorageSpace", disk.free_bytes, {}
    yield "StorageHeadroomHours", disk.headroom_hours, {}


def _of_table(table: TableId) -> dict[str, str]:
    return {"Source": table.source, "Table": f"{table.schema}.{table.name}"}
