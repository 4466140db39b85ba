"""The document of `status --json`: its keys are a promise to scripts (docs/command-line.md).

Keys are only ever added. A figure that is not known is null; times are ISO 8601 in UTC, positions
in the text form that sorts as they do.
"""

from __future__ import annotations

from typing import Any

from replication_assets.core.positions import Position
from replication_assets.flows.status import Status
from replication_assets.flows.watch.health import DiskHealth, SourceHealth
from replication_assets.flows.watch.projection_health import ProjectionHealth
from replication_assets.flows.watch.table_health import TableHealth

Document = dict[str, Any]


def document(found: Status) -> Document:
    health = found.health
    return {
        "at": health.at.isoformat(),
        "sources": [_source(each) for each in health.sources],
        "tables": [_table(found, each) for each in health.tables],
        "projections": [_projection(each) for each in health.projections],
        "disk": _disk(health.disk),
        "conditions": [
            {"kind": each.kind, "subject": each.subject, "what": each.what, "fix": each.fix}
            for each in found.conditions
        ],
    }


def _source(source: SourceHealth) -> Document:
    status = source.status
    return {
        "source": source.name,
        "set_up": source.set_up and source.error is None,
        "slot_state": status.state if status else None,
        "capture_active": status.active if status else None,
        "head": status.head if status else None,
        "confirmed": status.confirmed if status else None,
        "lag_bytes": status.lag_bytes if status else None,
        "lag_seconds": source.lag_seconds,
        "retained_bytes": status.retained_bytes if status else None,
        "headroom_bytes": status.headroom_bytes if status else None,
        "headroom_hours": source.headroom_hours,
        "error": source.error,
    }


def _table(found: Status, table: TableHealth) -> Document:
    covered = found.coverage.get(table.table)
    return {
        "table": str(table.table),
        "set_up": table.exists,
        "ranges_known": len(covered.known) if covered else None,
        "ranges_loaded": covered.loaded if covered else None,
        "ranges_to_load": dict(covered.lacking) if covered else None,
        "events": table.load_rows + table.changes,
        "captured": _position(table.captured),
        "lag_seconds": table.lag_seconds,
        "error": table.error,
    }


def _projection(each: ProjectionHealth) -> Document:
    return {
        "projection": each.projection,
        "table": str(each.table),
        "ranges": each.ranges,
        "ranges_filled": each.filled,
        "rows": each.rows,
        "checkpoint": _position(each.reached),
        "waiting_events": each.waiting,
        "waiting_since": each.waiting_since.isoformat() if each.waiting_since else None,
        "freshness_seconds": each.freshness_seconds,
        "dead_letters": each.dead_letters,
        "suspended": each.suspended,
        "error": each.error,
    }


def _disk(disk: DiskHealth | None) -> Document | None:
    if disk is None:
        return None
    return {
        "path": disk.path,
        "total_bytes": disk.total_bytes,
        "free_bytes": disk.free_bytes,
        "headroom_hours": disk.headroom_hours,
    }


def _position(position: Position | None) -> str | None:
    return None if position is None else str(position)
