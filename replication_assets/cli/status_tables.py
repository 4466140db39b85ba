"""The tables that `status` prints."""

from __future__ import annotations

from collections.abc import Iterator

from replication_assets.cli.output import Heading, count, seconds, size
from replication_assets.flows.status import Status

Printed = tuple[list[Heading], list[list[str]]]


def _headings(*names: str) -> list[Heading]:
    """A name that ends in `#` heads a column of figures."""
    return [Heading(name.rstrip("#"), name.endswith("#")) for name in names]


def sources(found: Status) -> Printed:
    rows = []
    for source in found.health.sources:
        state = "unreachable" if source.error else "not set up" if not source.set_up else ""
        status = source.status
        if status is None:
            rows.append([source.name, state, "", "", "", "", ""])
            continue
        headroom = "no limit" if status.headroom_bytes is None else size(status.headroom_bytes)
        if status.expires_at is not None and status.headroom_bytes is None:
            headroom = "by age"
        if source.headroom_hours is not None:
            headroom += f" ({source.headroom_hours:.1f} h)"
        rows.append(
            [
                source.name,
                state or status.state,
                "yes" if status.active else "no",
                size(status.lag_bytes),
                seconds(source.lag_seconds),
                size(status.retained_bytes),
                headroom if status.confirmed is not None else "",
            ]
        )
    return _headings("source", "slot", "captured now", "lag#", "lag time#", "log kept#", "headroom#"), rows


def tables(found: Status) -> Printed:
    rows = []
    for table in found.health.tables:
        covered = found.coverage.get(table.table)
        if not table.exists:
            loaded = "not set up"
        elif covered is not None:
            loaded = f"{covered.loaded} of {len(covered.known)}"
        else:
            loaded = f"{len(table.ranges) - len(table.waiting) - len(table.stale)} of ?"
        events = count(table.load_rows + table.changes) if table.exists else ""
        position = "" if table.captured is None else str(table.captured)
        rows.append([str(table.table), loaded, events, seconds(table.lag_seconds), position])
    return _headings("table", "ranges loaded#", "events#", "lag#", "captured position#"), rows


def projections(found: Status) -> Printed:
    rows = []
    for each in found.health.projections:
        reached = "" if each.reached is None else str(each.reached)
        state = "suspended" if each.suspended is not None else ""
        rows.append(
            [
                each.projection,
                str(each.table),
                f"{each.filled} of {each.ranges}",
                count(each.rows),
                count(each.waiting),
                seconds(each.freshness_seconds),
                reached,
                f"{each.dead_letters:,} {state}".strip(),
            ]
        )
    return (
        _headings(
            "projection", "table", "ranges#", "rows#", "waiting#", "lag#", "checkpoint#", "dead letters#"
        ),
        rows,
    )


def wrong(found: Status) -> Iterator[str]:
    """What is wrong now, a line each, with what mends it."""
    told = []
    for each in found.conditions:
        words = each.what if each.subject in each.what else f"{each.subject}: {each.what}"
        fix = each.fix.rstrip(".")
        told.append(f"{words}. Fix: {fix}" if fix else words)
    yield from dict.fromkeys(told)
