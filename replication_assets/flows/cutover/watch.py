"""Watch: what is looked for after the switch. Nothing is called here, and nothing moved.

Readers are at the projection, so nothing may be written to the source any more, be refused, lag
behind or differ. Changes count from the position that the switch rested on, also when the run
that switched was killed and another one watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from replication_assets.core.cutover import Gate, Report, SourceWindow, Step
from replication_assets.core.cutover_report import body
from replication_assets.flows.cutover import gates as gates
from replication_assets.flows.cutover.agreement import agreement
from replication_assets.flows.cutover.attempt import Attempt, Wait, positions, record, report_of
from replication_assets.flows.cutover.drain import catch_up, project_tables
from replication_assets.flows.cutover.handover import Handover

NO_NEW_WRITES = "no new writes at the source"
POLL_SECONDS = 5.0


def watch(
    handover: Handover,
    attempt: Attempt,
    *,
    wait: Wait = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Attempt, Report]:
    """Look on for `watch_seconds`, then at everything once more. The report is recorded."""
    since = attempt.windows or tuple(SourceWindow(*each, each[1]) for each in positions(handover).items())
    started = clock()
    slowest = 0.0
    while True:
        slowest = max(slowest, _follow(handover, clock))
        left = handover.cutover.watch_seconds - (clock() - started)
        if left <= 0:
            break
        wait(min(POLL_SECONDS, left))
    # A projection that is brought up while it is looked at is as far behind as that takes.
    found = _gates(handover, since, slowest)
    watched = replace(attempt, gates=found, windows=since)
    report = report_of(handover, watched, "watch")
    step: Step = "watch-passed" if report.verdict == "GO" else "watch-failed"
    return record(handover, watched, step, body(report)), report


def _follow(handover: Handover, clock: Callable[[], float]) -> float:
    """Bring everything up to now; returns the seconds that it took."""
    began = clock()
    for source, upto in positions(handover).items():
        catch_up(handover, source, upto, handover.cutover.drain_seconds)
    project_tables(handover, handover.cutover.drain_seconds)
    return clock() - began


def _gates(handover: Handover, since: tuple[SourceWindow, ...], slowest: float) -> tuple[Gate, ...]:
    # Writers before the positions, as in `flows.cutover.writes_stopped`.
    writers = gates.open_writers(handover)
    upto = positions(handover)
    windows = tuple(SourceWindow(each.source, each.last, upto[each.source]) for each in since)
    caught_up = gates.captured(handover, windows, handover.cutover.drain_seconds)
    changes = gates.changes_within(handover, windows)
    seconds = handover.cutover.watch_seconds
    behind, ranges = gates.ranges_behind(handover)
    return (
        gates.writes_stopped(NO_NEW_WRITES, writers, changes, seconds),
        replace(caught_up, facts=(*caught_up.facts, ("slowest catch-up, seconds", round(slowest, 1)))),
        gates.projected(behind, ranges),
        gates.dead_letters(handover),
        *agreement(handover),
    )
