"""Cut over: reads of some tables move from their source to one projection, or stay where they are.

    begin -> writes_stopped -> drained -> validated -> decide -> switch -> watch

Each step takes the attempt as the one before left it, so that an orchestrator can show them one
by one. Whatever moves readers is recorded before and after it, durably and for one runner at a
time: an attempt that somebody overtook cannot switch any more, and one that was killed leaves
word of how far it came. A cutover that is switched already is only watched.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace

from replication_assets.core.cutover import Gate, Report, SourceWindow, Step, not_reached
from replication_assets.core.cutover_report import body
from replication_assets.flows.cutover import gates as gates
from replication_assets.flows.cutover.agreement import VALIDATED, agreement
from replication_assets.flows.cutover.attempt import (
    Attempt,
    Wait,
    begin,
    positions,
    record,
    report_of,
    require_go,
)
from replication_assets.flows.cutover.drain import project_tables
from replication_assets.flows.cutover.handover import Handover
from replication_assets.flows.cutover.switch import switch
from replication_assets.flows.cutover.watch import watch

Tell = Callable[[str, Attempt], None]


def writes_stopped(handover: Handover, attempt: Attempt, *, wait: Wait = time.sleep) -> Attempt:
    """Look at the source before and after a quiet time, and capture up to there."""
    if attempt.switched_at is not None:
        return attempt
    first = positions(handover)
    wait(handover.cutover.quiet_seconds)
    # Writers before the position: one that commits in between is before the position, one that
    # begins in between is seen by the gate that looks again.
    writers = gates.open_writers(handover)
    windows = tuple(SourceWindow(source, first[source], last) for source, last in positions(handover).items())
    caught_up = gates.captured(handover, windows, handover.cutover.drain_seconds)
    changes = gates.changes_within(handover, windows)
    stopped = gates.writes_stopped(gates.WRITES_STOPPED, writers, changes, handover.cutover.quiet_seconds)
    return replace(attempt.add(stopped, caught_up), windows=windows)


def drained(handover: Handover, attempt: Attempt) -> Attempt:
    """Bring the projection up to what was captured; see that nothing was left out."""
    if attempt.switched_at is not None:
        return attempt
    if attempt.held:
        return attempt.add(not_reached(gates.PROJECTED, attempt.held))
    trouble = project_tables(handover, handover.cutover.drain_seconds)
    behind, ranges = gates.ranges_behind(handover)
    return attempt.add(
        gates.loaded(handover),
        gates.projected({**behind, **trouble}, ranges),
        gates.dead_letters(handover),
    )


def validated(handover: Handover, attempt: Attempt) -> Attempt:
    """Compare every row, and see that nobody wrote meanwhile."""
    if attempt.switched_at is not None:
        return attempt
    if attempt.held:
        return attempt.add(not_reached(VALIDATED, attempt.held))
    return attempt.add(*agreement(handover), _still_stopped(handover, attempt))


def decide(handover: Handover, attempt: Attempt) -> tuple[Attempt, Report]:
    """The report. GO and NO-GO are recorded with it."""
    if attempt.switched_at is not None:
        return attempt, report_of(handover, attempt)
    attempt = attempt.add(*gates.hooks(handover))
    report = report_of(handover, attempt)
    step: Step = "go" if report.verdict == "GO" else "no-go"
    return record(handover, attempt, step, body(report)), report


def run(
    handover: Handover,
    *,
    tell: Tell = lambda _name, _attempt: None,
    tell_report: Callable[[Report], None] = lambda _report: None,
    wait: Wait = time.sleep,
) -> Report:
    """All steps, one after another. `tell` is called with the name of each when it is done,
    `tell_report` with the report before the switch. Returns the report of the watch.

    Raises:
        CutoverError: NO-GO before the switch.
        HookFailed: see `switch`.
    """
    attempt = begin(handover)
    attempt = writes_stopped(handover, attempt, wait=wait)
    tell("writes stopped", attempt)
    attempt = drained(handover, attempt)
    tell("drained", attempt)
    attempt = validated(handover, attempt)
    tell("validated", attempt)
    attempt, report = decide(handover, attempt)
    tell_report(report)
    require_go(handover, report)
    attempt = switch(handover, attempt, report)
    tell("switched", attempt)
    _, watched = watch(handover, attempt, wait=wait)
    return watched


def _still_stopped(handover: Handover, attempt: Attempt) -> Gate:
    """From the first look until now. Also sees commits that became visible before they were
    written to the log (`synchronous_commit = off`), as the positions of the first look may not."""
    writers = gates.open_writers(handover)
    upto = positions(handover)
    windows = tuple(SourceWindow(each.source, each.first, upto[each.source]) for each in attempt.windows)
    caught_up = gates.captured(handover, windows, handover.cutover.drain_seconds)
    if not caught_up.passed:
        return replace(caught_up, name=gates.STILL_STOPPED)
    seconds = round((dt.datetime.now(dt.UTC) - attempt.started_at).total_seconds())
    changes = gates.changes_within(handover, windows)
    return gates.writes_stopped(gates.STILL_STOPPED, writers, changes, seconds)
