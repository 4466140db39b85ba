"""One look at everything as Dagster shows it: materializations that plot, and checks.

An asset per source and projection and one for the disk, none per table: an event costs 20 to 70 ms
on SQLite. Figures of tables are in a table beside the plots, and in metrics.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from replication_assets.catalog import Catalog
from replication_assets.defs import naming
from replication_assets.flows.watch.alarms import Condition
from replication_assets.flows.watch.health import Health
from replication_assets.flows.watch.look import Look
from replication_assets.ports.watch import Notification

WATCH = "watch"
CHECK = "healthy"
NOTIFICATIONS = dg.AssetKey([WATCH, "notifications"])
DISK = dg.AssetKey([WATCH, "disk"])

MOST_TABLES = 20
"""In the table of an asset: the busiest ones of a source, the latest ones of a projection."""

Metadata = dict[str, Any]


def source_key(name: str) -> dg.AssetKey:
    return dg.AssetKey([WATCH, "sources", naming.plain(name)])


def projection_key(name: str) -> dg.AssetKey:
    return dg.AssetKey([WATCH, "projections", naming.plain(name)])


def watched_keys(catalog: Catalog) -> list[dg.AssetKey]:
    """The assets that carry figures and the check."""
    sources = [source_key(source.name) for source in catalog.sources]
    followers = [projection_key(each.name) for each in (*catalog.projections, *catalog.topics)]
    return [*sources, *followers, DISK]


def figures(look: Look) -> Iterator[dg.AssetMaterialization]:
    """One of each watched asset. A figure that is not known is left out, since it cannot plot."""
    for key, facts in _figures(look.health).items():
        known = {name: value for name, value in facts.items() if value is not None}
        alarms = len(conditions_on(key, look))
        yield dg.AssetMaterialization(key, metadata={**known, "alarms": alarms})


def notified(look: Look) -> Iterator[dg.AssetMaterialization]:
    """One of each notification, for the channels and for people who look back."""
    for notification in look.notifications:
        yield dg.AssetMaterialization(
            NOTIFICATIONS, description=str(notification), metadata=_as_metadata(notification)
        )


def _figures(health: Health) -> dict[dg.AssetKey, Metadata]:
    found = {source_key(source.name): _source(health, source.name) for source in health.sources}
    for name in dict.fromkeys(each.projection for each in health.projections):
        found[projection_key(name)] = _projection(health, name)
    if health.disk is not None:
        found[DISK] = {
            "free_bytes": health.disk.free_bytes,
            "total_bytes": health.disk.total_bytes,
            "headroom_hours": _rounded(health.disk.headroom_hours),
        }
    return found


def _source(health: Health, name: str) -> Metadata:
    source = health.source(name)
    tables = [table for table in health.tables if table.table.source == name]
    status = source.status
    return {
        "lag_seconds": _rounded(source.lag_seconds),
        "lag_bytes": status.lag_bytes if status else None,
        "retained_bytes": status.retained_bytes if status else None,
        "headroom_bytes": status.headroom_bytes if status else None,
        "headroom_hours": _rounded(source.headroom_hours),
        "changes_per_second": _sum(table.changes_per_second for table in tables),
        "slot_state": status.state if status else None,
        "error": source.error,
        "tables": _table(
            {
                "table": f"{table.table.schema}.{table.table.name}",
                "lag_seconds": _rounded(table.lag_seconds),
                "changes": table.changes,
                "rows_loaded": table.load_rows,
                "changes_per_second": _rounded(table.changes_per_second),
                "ranges": len(table.ranges),
                "not_loaded": len(table.waiting),
                "to_load_again": len(table.stale),
            }
            for table in sorted(tables, key=lambda table: -(table.changes_per_second or 0))[:MOST_TABLES]
        ),
    }


def _projection(health: Health, name: str) -> Metadata:
    tables = health.of_projection(name)
    late = [each.freshness_seconds for each in tables if each.freshness_seconds is not None]
    return {
        "freshness_seconds": _rounded(max(late, default=None)),
        "waiting_events": sum(each.waiting for each in tables),
        "rows_per_second": _sum(each.rows_per_second for each in tables),
        "rows": sum(each.rows for each in tables),
        "dead_letters": sum(each.dead_letters for each in tables),
        "tables": _table(
            {
                "table": str(each.table),
                "freshness_seconds": _rounded(each.freshness_seconds),
                "waiting_events": each.waiting,
                "rows": each.rows,
                "rows_per_second": _rounded(each.rows_per_second),
                "ranges": each.ranges,
                "filled": each.filled,
                "dead_letters": each.dead_letters,
                "suspended": each.suspended,
            }
            for each in sorted(tables, key=lambda each: -(each.freshness_seconds or 0))[:MOST_TABLES]
        ),
    }


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue | None:
    records = [dg.TableRecord(dict(row)) for row in rows]
    if not records:
        return None
    columns = [
        dg.TableColumn(name, "string" if name in ("table", "suspended") else "number")
        for name in records[0].data
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def _rounded(number: float | None) -> float | None:
    return round(number, 3) if number is not None else None


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return _rounded(sum(known)) if known else None


def conditions_on(key: dg.AssetKey, look: Look) -> list[Condition]:
    """What is wrong with a watched asset."""

    def shown_on(condition: Condition) -> dg.AssetKey | None:
        part, _, name = condition.on.partition("/")
        return {"sources": source_key, "projections": projection_key}.get(part, lambda _: DISK)(name)

    return [each for each in look.conditions if each.on and shown_on(each) == key]


def evaluation(key: dg.AssetKey, look: Look) -> dg.AssetCheckEvaluation:
    """The check of a watched asset."""
    wrong = conditions_on(key, look)
    text = "\n".join(f"{each.kind}: {each.subject}: {each.what}" for each in wrong)
    return dg.AssetCheckEvaluation(
        asset_key=key, check_name=CHECK, passed=not wrong, description=text or "nothing is over a limit"
    )


def _as_metadata(notification: Notification) -> Metadata:
    return {
        "id": notification.id,
        "kind": notification.kind,
        "phase": notification.phase,
        "subject": notification.subject,
        "what": notification.what,
        "fix": notification.fix,
        "since": notification.since.isoformat(),
        "at": notification.at.isoformat(),
    }
