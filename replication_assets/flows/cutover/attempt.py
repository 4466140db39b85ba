"""An attempt of a cutover: how far it came, what it recorded, and the report of its gates."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from replication_assets.core.cutover import (
    CutoverFact,
    CutoverHistory,
    Gate,
    Report,
    SourceWindow,
    Stage,
    Step,
)
from replication_assets.core.cutover_report import windows_of
from replication_assets.core.positions import Position
from replication_assets.errors import CutoverError
from replication_assets.flows.compare import source_position
from replication_assets.flows.cutover.gates import STILL_STOPPED, WRITES_STOPPED, row_counts
from replication_assets.flows.cutover.handover import Handover

Wait: TypeAlias = Callable[[float], None]
"""Lets so many seconds pass."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a cutover as far as it came. `seen` counts the facts of the record that it
    knows of. `switched_at`: readers are at the projection, since then."""

    id: str
    started_at: dt.datetime
    seen: int
    gates: tuple[Gate, ...] = ()
    windows: tuple[SourceWindow, ...] = ()
    switched_at: dt.datetime | None = None

    @property
    def held(self) -> str:
        """The first gate that holds it up; empty if none does."""
        return next((gate.name for gate in self.gates if gate.holds_up), "")

    def add(self, *found: Gate) -> Attempt:
        return replace(self, gates=(*self.gates, *found))


def begin(handover: Handover) -> Attempt:
    """Start an attempt, or take up one that has switched. From here on an older run that still
    goes on cannot take another step.

    Raises:
        CutoverError: it is retired.
    """
    history = handover.log.history()
    if history.retired is not None:
        raise CutoverError(
            f"it was retired at {history.retired.at:%Y-%m-%d %H:%M} UTC",
            where=handover.where,
            fix="declare a cutover of another name",
        )
    attempt = attempt_of(history) or Attempt(
        uuid.uuid4().hex[:12], dt.datetime.now(dt.UTC), len(history.facts), _earlier(history)
    )
    return record(handover, attempt, "started")


def attempt_of(history: CutoverHistory) -> Attempt | None:
    """The attempt whose switch is in force, with the positions that it rested on."""
    switched = history.switched
    if switched is None:
        return None
    go = [fact for fact in history.facts if fact.attempt == switched.attempt and fact.step == "go"]
    windows = windows_of(go[-1].body) if go else ()
    now = dt.datetime.now(dt.UTC)
    return Attempt(switched.attempt, now, len(history.facts), (), windows, switched.at)


def _earlier(history: CutoverHistory) -> tuple[Gate, ...]:
    unclear = history.unclear
    if unclear is None:
        return ()
    what = f"an earlier one ended at {unclear.step!r}, {unclear.at:%Y-%m-%d %H:%M} UTC"
    fix = "see where readers are; this attempt calls the switch hook again"
    return (Gate("earlier attempt", False, what, fix, advisory=True),)


def record(handover: Handover, attempt: Attempt, step: Step, told: str = "{}") -> Attempt:
    """Add a fact to the record; raises CommitConflict if somebody else did since."""
    handover.log.append(CutoverFact(attempt.id, step, dt.datetime.now(dt.UTC), told), attempt.seen)
    return replace(attempt, seen=attempt.seen + 1)


def positions(handover: Handover) -> dict[str, Position]:
    """The newest position of each source."""
    return {source: source_position(handover.source(source), handover.store) for source in handover.sources}


def report_of(handover: Handover, attempt: Attempt, stage: Stage = "cutover") -> Report:
    """The gates so far, with rows, and the statements that stop writes where they are asked for."""
    written = any(gate.name in (WRITES_STOPPED, STILL_STOPPED) and not gate.passed for gate in attempt.gates)
    asked = handover.sources if stage == "dry run" or written else ()
    stops = tuple(
        statement
        for source in asked
        for statement in handover.source(source).stop_writes(handover.tables_of(source))
    )
    return Report(
        handover.cutover.name,
        handover.projection.name,
        attempt.gates,
        attempt.windows,
        row_counts(handover),
        stops,
        attempt.started_at,
        dt.datetime.now(dt.UTC),
        stage,
    )


def require_go(handover: Handover, report: Report) -> None:
    """Raises CutoverError for a NO-GO."""
    if report.verdict == "GO":
        return
    found = "; ".join(f"{gate.name}: {gate.what}" for gate in report.holding_up)
    after = "readers stay at the projection: mend it and run again, or take them back (`cutover back`)"
    fix = after if report.stage == "watch" else "see the fix of each gate in the report; nothing was switched"
    raise CutoverError(f"NO-GO: {found}", where=handover.where, fix=fix)
