"""The watch in Dagster: a sensor that looks at everything, and what people see of it.

It reports figures on assets of its own, puts notifications down for the channels, and hands
metrics over. What it remembers (the cursor) is a view: with an empty one, standing conditions are
told once more. Its assets have a freshness policy: a watch that stopped shows there.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from replication_assets.catalog import Catalog
from replication_assets.declarations import Watch
from replication_assets.defs.load_rates import load_rates
from replication_assets.defs.notify import channel_sensor
from replication_assets.defs.run_failures import Failures
from replication_assets.defs.watch_report import (
    CHECK,
    NOTIFICATIONS,
    WATCH,
    conditions_on,
    evaluation,
    figures,
    notified,
    watched_keys,
)
from replication_assets.errors import ReplicationError
from replication_assets.flows.watch.alarms import Condition
from replication_assets.flows.watch.look import Look, Memory, look
from replication_assets.flows.watch.metrics import metrics_of
from replication_assets.flows.watch.seen_checkpoints import SeenCheckpoints
from replication_assets.replication import Replication

SENSOR = "watch"

REPORT_SECONDS = 60.0
"""Figures are put on the assets at most so often, but at once when a check changes: every one is an
event in Dagster's database."""


@dataclass
class Cursor:
    """What one tick leaves to the next."""

    memory: Memory = field(default_factory=Memory)
    failures: Failures = field(default_factory=Failures)
    sinks: dict[str, str] = field(default_factory=dict)
    """Monitoring systems that did not take the last figures, and why."""
    checks: dict[str, str] = field(default_factory=dict)
    """What each check said last."""
    ticked_at: float = 0.0
    reported_at: float = 0.0

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Another version's cursor is as good as none."""
        if not text:
            return cls()
        try:
            raw: dict[str, Any] = json.loads(text)
            failures = Failures(raw["seen_until"], raw["failures"])
            memory = Memory.parse(raw["memory"])
            return cls(memory, failures, raw["sinks"], raw["checks"], raw["ticked_at"], raw["reported_at"])
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        parts = {
            "memory": str(self.memory),
            "seen_until": self.failures.seen_until,
            "failures": self.failures.open,
            "sinks": self.sinks,
            "checks": self.checks,
            "ticked_at": self.ticked_at,
            "reported_at": self.reported_at,
        }
        return json.dumps(parts)


def watch_assets(catalog: Catalog) -> list[dg.AssetSpec]:
    """External assets that the watch reports on."""
    silent = dt.timedelta(seconds=max(60.0, 10 * catalog.watch.every_seconds))
    policy = dg.FreshnessPolicy.time_window(fail_window=silent)
    watched = [
        dg.AssetSpec(
            key,
            group_name=WATCH,
            description=f"How {'/'.join(key.path[1:])} fares, as the watch last saw it.",
            freshness_policy=policy,
        )
        for key in watched_keys(catalog)
    ]
    told = dg.AssetSpec(
        NOTIFICATIONS, group_name=WATCH, description="Everything that was told: one event each."
    )
    return [*watched, told]


def watch_checks(catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """A check per watched asset. The sensor reports it when it changes; run by hand, it looks anew."""
    return [_check(key) for key in watched_keys(catalog)]


def _check(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=key, name=CHECK, description="Nothing is over a limit of the watch.")
    def healthy(replication: dg.ResourceParam[Replication]) -> dg.AssetCheckResult:
        found = evaluation(key, look(replication, Memory()))
        return dg.AssetCheckResult(passed=found.passed, description=found.description)

    return healthy


def watch_sensors(
    catalog: Catalog, jobs: Iterable[dg.JobDefinition], assets: Iterable[dg.AssetKey]
) -> list[dg.SensorDefinition]:
    """The watch, and a sensor per channel."""
    names, keys = frozenset(job.name for job in jobs), frozenset(assets)
    channels = [channel_sensor(catalog.watch, channel) for channel in catalog.watch.notify]
    return [_watch_sensor(catalog.watch, names, keys), *channels]


def _watch_sensor(
    watch: Watch, jobs: Collection[str], assets: Collection[dg.AssetKey]
) -> dg.SensorDefinition:
    # Lives as long as the process that ticks.
    seen = SeenCheckpoints()

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=max(1, round(watch.every_seconds)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at sources, tables, projections, disks and runs; reports, notifies, exports.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, replication: dg.ResourceParam[Replication]
    ) -> dg.SensorResult:
        try:
            return _tick(context, replication, jobs, assets, seen)
        except ReplicationError as error:
            raise dg.DagsterError(str(error)) from error

    return sensor


def _tick(
    context: dg.SensorEvaluationContext,
    replication: Replication,
    jobs: Collection[str],
    assets: Collection[dg.AssetKey],
    seen: SeenCheckpoints,
) -> dg.SensorResult:
    cursor, now = Cursor.parse(context.cursor), dt.datetime.now(dt.UTC)
    watch = replication.catalog.watch
    failed = cursor.failures.look(context.instance, jobs, assets, now, watch.repeat_seconds)
    failed += [_export_failed(where, why) for where, why in cursor.sinks.items()]
    found = look(replication, cursor.memory, failed, now=now, seen=seen)
    cursor.sinks = _export(context, replication, found, cursor.ticked_at)
    cursor.ticked_at = now.timestamp()
    changed = _changed_checks(replication.catalog, found, cursor)
    events: list[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation] = []
    if changed or cursor.ticked_at - cursor.reported_at >= REPORT_SECONDS:
        cursor.reported_at = cursor.ticked_at
        events += figures(found)
    events += [*notified(found), *changed]
    told = f"{len(found.conditions)} over a limit, {len(found.notifications)} told"
    return dg.SensorResult(skip_reason=told, asset_events=events, cursor=str(cursor))


def _export_failed(where: str, why: str) -> Condition:
    return Condition("failure", f"metrics to {where}", why, "")


def _export(
    context: dg.SensorEvaluationContext, replication: Replication, seen: Look, since: float
) -> dict[str, str]:
    """Hand the figures to every monitoring system. Returns those that did not take them."""
    exports = replication.catalog.watch.metrics
    if not exports:
        return {}
    loaded = [table.table for table in seen.health.tables if table.load_rows_per_second]
    metrics = metrics_of(seen, load_rates(context.instance, loaded, since))
    refused: dict[str, str] = {}
    for export in exports:
        sink = replication.metric_sink(export)
        try:
            sink.publish(metrics)
        except ReplicationError as error:
            context.log.error(str(error))
            refused[sink.where] = str(error)
    return refused


def _changed_checks(catalog: Catalog, seen: Look, cursor: Cursor) -> Sequence[dg.AssetCheckEvaluation]:
    """Evaluations that say something else than the last: every one is an event to store."""
    changed = []
    for key in watched_keys(catalog):
        found = evaluation(key, seen)
        wrong = "" if found.passed else _signature(key, seen)
        if cursor.checks.get(key.to_user_string()) != wrong:
            cursor.checks[key.to_user_string()] = wrong
            changed.append(found)
    return changed


def _signature(key: dg.AssetKey, seen: Look) -> str:
    return "; ".join(sorted(f"{each.kind} {each.subject}" for each in conditions_on(key, seen)))
