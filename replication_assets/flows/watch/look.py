"""What is wrong, judged by the limits that a catalog declares; and what to tell of it.

`look` is the whole of it: one look at everything, what follows from it, and the memory for the
next look. The memory is a view: without it, standing conditions are told once more and rates
are missing once; nothing else depends on it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from replication_assets.core.positions import Position
from replication_assets.declarations import Watch
from replication_assets.flows.watch.alarms import Alarm, Condition, Key, follow, once
from replication_assets.flows.watch.health import Adapters, DiskHealth, Health, SourceHealth, read_health
from replication_assets.flows.watch.projection_health import ProjectionHealth
from replication_assets.flows.watch.readings import Readings
from replication_assets.flows.watch.seen_checkpoints import SeenCheckpoints
from replication_assets.flows.watch.table_health import TableHealth
from replication_assets.ports.watch import Notification

LEAST_SLOT_SHARE = 0.1
LEAST_DISK_SHARE = 0.05
_NAMED = 5
"""So many tables or ranges are named in one message; of the others their number."""


@dataclass
class Memory:
    """What one look leaves to the next: readings, standing alarms, schema changes told."""

    readings: Readings = field(default_factory=Readings)
    alarms: dict[Key, Alarm] = field(default_factory=dict)
    schema_told: dict[str, str] = field(default_factory=dict)
    """By table, the newest position of a schema change that was told."""

    def __str__(self) -> str:
        alarms = [
            [a.kind, a.subject, a.what, a.grade, *map(_time_text, (a.since, a.told_at, a.absent_since))]
            for a in self.alarms.values()
        ]
        parts = {
            "readings": self.readings.series,
            "captured": self.readings.captured,
            "alarms": alarms,
            "schema": self.schema_told,
        }
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str | None) -> Memory:
        """The inverse of `str()`. Another version's memory is as good as none."""
        try:
            raw = json.loads(text) if text else {}
            alarms = [
                Alarm(kind, subject, what, grade, _time(since), _time(told_at), absent and _time(absent))
                for kind, subject, what, grade, since, told_at, absent in raw.get("alarms", [])
            ]
            readings = Readings.of(raw.get("readings", {}), raw.get("captured", {}))
        except (ValueError, TypeError, AttributeError):
            return cls()
        return cls(readings, {(a.kind, a.subject): a for a in alarms}, raw.get("schema", {}))


def _time_text(time: dt.datetime | None) -> str | None:
    return time.isoformat() if time is not None else None


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Look:
    """One look: how everything fares, what is wrong with it, and what is to be told now."""

    health: Health
    conditions: tuple[Condition, ...]
    notifications: tuple[Notification, ...]


def look(
    adapters: Adapters,
    memory: Memory,
    failures: Sequence[Condition] = (),
    *,
    now: dt.datetime | None = None,
    seen: SeenCheckpoints | None = None,
) -> Look:
    """Look at everything, and change `memory` accordingly. `failures` are of runs, which only
    whoever runs them knows."""
    health = read_health(adapters, memory.readings, now, seen)
    watch = adapters.catalog.watch
    conditions = (*failures, *conditions_of(health, watch))
    memory.alarms, told = follow(memory.alarms, conditions, _unknown(health, memory.alarms), watch, health.at)
    told += _schema_changes(health, memory)
    return Look(health, conditions, tuple(told))


def conditions_of(health: Health, watch: Watch) -> Iterator[Condition]:
    """All that is over a limit, or cannot be read."""
    for source in health.sources:
        yield from _source(source, watch)
    yield from _table_lag(health.tables)
    for table in health.tables:
        yield from _table(table)
    for projection in health.projections:
        yield from _projection(projection)
    if health.disk is not None:
        yield from _disk(health.disk, watch)


def _source(source: SourceHealth, watch: Watch) -> Iterator[Condition]:
    if source.error is not None:
        yield Condition("failure", source.name, source.error, "", f"sources/{source.name}")
    if source.status is None or not source.set_up:
        return
    if source.status.state in ("missing", "lost"):
        what = f"the slot or change log is {source.status.state}: changes since the last capture are gone"
        fix = "run the recovery of the source, then load every id range again"
        yield Condition("slot", source.name, what, fix, f"sources/{source.name}", grade=3)
    elif reason := slot_danger(source, watch):
        fix = (
            "let the capture catch up; if it cannot in time, raise max_slot_wal_keep_size (of a binlog, "
            "binlog_expire_logs_seconds) and give the source's disk more room"
        )
        grade = 2 if source.status.state == "unreserved" else 1
        yield Condition("slot", source.name, reason, fix, f"sources/{source.name}", grade)


def slot_danger(source: SourceHealth, watch: Watch) -> str | None:
    """Why the source may soon give up our place in its log; None if it will not."""
    status = source.status
    assert status is not None
    retained, left = status.retained_bytes or 0, status.headroom_bytes
    if status.state == "unreserved":
        return f"the slot is about to be lost: it holds {_bytes(retained)} back, more than it may"
    if status.expires_at is not None and (source.headroom_hours or 0.0) < watch.headroom_hours:
        hours = source.headroom_hours or 0.0
        return (
            f"{_bytes(retained)} of log are not captured, and the first of it is deleted in {hours:.1f} hours"
        )
    if left is None:
        if retained >= watch.retained_bytes:
            return (
                f"the slot holds {_bytes(retained)} of log back, and nothing limits it but the source's disk"
            )
        return None
    least = watch.headroom_bytes
    least = least if least is not None else round(LEAST_SLOT_SHARE * (retained + max(0, left)))
    if left < least:
        return f"the slot has {_bytes(max(0, left))} left before it is lost; it holds {_bytes(retained)} back"
    if source.headroom_hours is not None and source.headroom_hours < watch.headroom_hours:
        return f"the slot is lost in {source.headroom_hours:.1f} hours as things go; {_bytes(left)} are left"
    return None


def _table_lag(tables: Sequence[TableHealth]) -> Iterator[Condition]:
    """Tables of one source with one SLA are late together: one condition for them all."""
    late: dict[tuple[str, float], list[TableHealth]] = {}
    for table in tables:
        if table.lag_seconds is not None and table.lag_seconds > table.sla_seconds:
            late.setdefault((table.table.source, table.sla_seconds), []).append(table)
    for (source, sla), members in late.items():
        lag = max(table.lag_seconds or 0.0 for table in members)
        names = _named([str(table.table) for table in members])
        what = f"capture is {lag:,.0f} s behind the source, the SLA is {sla:,.0f} s: {names}"
        fix = "see whether the capture runs, fails, or is slower than the source"
        yield Condition("lag", f"{source} (SLA {sla:g} s)", what, fix, f"sources/{source}")


def _table(table: TableHealth) -> Iterator[Condition]:
    on = f"sources/{table.table.source}"
    if table.error is not None:
        yield Condition("failure", str(table.table), table.error, "", on)
    if table.stale:
        what = f"{table.stale_reason}; id ranges {_named(table.stale)} are served as they were before"
        yield Condition("schema-change", str(table.table), what, "load these id ranges again", on)


def _projection(projection: ProjectionHealth) -> Iterator[Condition]:
    subject, on = f"{projection.projection} {projection.table}", f"projections/{projection.projection}"
    if projection.error is not None:
        yield Condition("failure", subject, projection.error, "", on)
    late = projection.freshness_seconds
    if projection.waiting and late is not None and late > projection.sla_seconds:
        what = (
            f"{late:,.0f} s behind the source, the SLA is {projection.sla_seconds:,.0f} s; "
            f"{projection.waiting:,} events wait to be applied"
        )
        yield Condition("lag", subject, what, "see whether its runs fail, or wait for others", on)
    if projection.dead_letters or projection.suspended is not None:
        what = f"{projection.dead_letters:,} dead letters are open"
        if projection.suspended is not None:
            what += f"; the table is suspended: {projection.suspended}"
        fix = "list them, mend the cause, and retry or discard them"
        grade = 1 if projection.suspended is None else 2
        yield Condition("dead-letters", subject, what, fix, on, grade)


def _disk(disk: DiskHealth, watch: Watch) -> Iterator[Condition]:
    least = watch.headroom_bytes
    least = least if least is not None else round(LEAST_DISK_SHARE * disk.total_bytes)
    fix = "give it more room, compact the event store, or move it"
    if disk.free_bytes < least:
        what = f"the event store's disk has {_bytes(disk.free_bytes)} of {_bytes(disk.total_bytes)} left"
        yield Condition("disk", disk.path, what, fix, "disk")
    elif disk.headroom_hours is not None and disk.headroom_hours < watch.headroom_hours:
        what = (
            f"the event store's disk is full in {disk.headroom_hours:.1f} hours as things go; "
            f"{_bytes(disk.free_bytes)} are left"
        )
        yield Condition("disk", disk.path, what, fix, "disk")


def _unknown(health: Health, alarms: Mapping[Key, Alarm]) -> set[Key]:
    """Standing alarms of what could not be read this time."""
    blind = {source.name for source in health.sources if source.status is None}
    blind |= {str(table.table) for table in health.tables if table.error is not None}
    blind |= {f"{each.projection} {each.table}" for each in health.projections if each.error is not None}
    return {key for key in alarms if key[0] != "failure" and key[1].split(" (SLA", 1)[0] in blind}


def _schema_changes(health: Health, memory: Memory) -> list[Notification]:
    """Columns that came or went since the last look. At the first look at a table, all are old;
    a change that needs a new load is a condition of its own, until it is loaded."""
    told = []
    for table in health.tables:
        newest = max((change.position for change in table.schema_changes), default=None)
        before = memory.schema_told.get(str(table.table))
        if not table.exists or table.error is not None:
            continue
        for change in table.schema_changes if before is not None else ():
            if not change.reload and str(change.position) > (before or ""):
                reason = change.reason or "its columns changed"
                told.append(
                    once("schema-change", str(table.table), reason, "", str(change.position), health.at)
                )
        memory.schema_told[str(table.table)] = str(newest or Position(0, 0))
    return told


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
