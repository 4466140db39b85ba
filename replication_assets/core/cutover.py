"""What a cutover is decided by: gates, the report they make, and the history of its attempts.

Everything here is a value. Gates are filled in by `flows/cutover/gates.py`; what follows from
them, and from the facts that were recorded of earlier attempts, is worked out here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId

Verdict: TypeAlias = Literal["GO", "NO-GO"]
Figure: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of a cutover: whether it holds, what was found, and the way out.

    A gate that is `advisory` is reported and holds nothing up. `facts` are names and figures
    for people, in the order in which they are shown; never a cell value.
    """

    name: str
    passed: bool
    what: str
    fix: str = ""
    facts: tuple[tuple[str, Figure], ...] = ()
    advisory: bool = False

    @property
    def holds_up(self) -> bool:
        return not self.passed and not self.advisory


def counted(count: int, thing: str) -> str:
    """`1 table`, `1,200 tables`."""
    return f"{count:,} {thing}{'s' if count != 1 else ''}"


def not_reached(name: str, before: str) -> Gate:
    """A gate that was not looked at, because an earlier one holds the cutover up."""
    return Gate(name, False, f"not looked at: {before} comes first", "see the gates above")


@dataclass(frozen=True, slots=True)
class SourceWindow:
    """Where a source's log stood when it was looked at, before and after the wait for quiet.
    Changes at `first` or later, and before `last`, were committed in between."""

    source: str
    first: Position
    last: Position


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows that a projection holds of a table, by its checkpoints; None: some range has none."""

    table: TableId
    rows: int | None


Stage: TypeAlias = Literal["dry run", "cutover", "watch"]
"""A dry run waits for nothing and changes nothing; a watch comes after the switch."""


@dataclass(frozen=True, slots=True)
class Report:
    """GO or NO-GO, with everything that it rests on."""

    cutover: str
    projection: str
    gates: tuple[Gate, ...]
    windows: tuple[SourceWindow, ...]
    tables: tuple[TableCount, ...]
    stop_writes: tuple[str, ...]
    """Statements that keep applications from writing. Shown, never executed."""
    started_at: dt.datetime
    ended_at: dt.datetime
    stage: Stage = "cutover"

    @property
    def verdict(self) -> Verdict:
        return "NO-GO" if any(gate.holds_up for gate in self.gates) else "GO"

    @property
    def holding_up(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if gate.holds_up)


Step: TypeAlias = Literal[
    "started",
    "go",
    "no-go",
    "switching",
    "switched",
    "switch-failed",
    "watch-passed",
    "watch-failed",
    "going-back",
    "back",
    "back-failed",
    "retired",
]
"""What is recorded of an attempt. `switching` and `going-back` come before the hook is called,
so that a process that dies inside the hook leaves word of it."""

_MOVES: tuple[Step, ...] = (
    "switching",
    "switched",
    "switch-failed",
    "going-back",
    "back",
    "back-failed",
)
"""Steps after which readers may be elsewhere than before."""


@dataclass(frozen=True, slots=True)
class CutoverFact:
    """One recorded step. `body` is a JSON object: the report, or what failed."""

    attempt: str
    step: Step
    at: dt.datetime
    body: str = "{}"


@dataclass(frozen=True, slots=True)
class CutoverHistory:
    """The facts of one cutover, oldest first, and what they amount to."""

    facts: tuple[CutoverFact, ...] = ()

    @property
    def last(self) -> CutoverFact | None:
        return self.facts[-1] if self.facts else None

    @property
    def moved(self) -> CutoverFact | None:
        """The newest step that may have moved readers."""
        return self._newest(_MOVES)

    @property
    def switched(self) -> CutoverFact | None:
        """The switch that is in force; None if readers are at the source, or nobody knows."""
        moved = self.moved
        return moved if moved is not None and moved.step == "switched" else None

    @property
    def unclear(self) -> CutoverFact | None:
        """A hook that began and did not end well: readers may be on either side."""
        moved = self.moved
        known: Sequence[Step] = ("switched", "back")
        return moved if moved is not None and moved.step not in known else None

    @property
    def passed(self) -> bool:
        """Switched, and the watch after it found nothing."""
        watched = self._newest(("watch-passed", "watch-failed"))
        if self.switched is None or watched is None or watched.step != "watch-passed":
            return False
        return self.facts.index(watched) > self.facts.index(self.switched)

    @property
    def retired(self) -> CutoverFact | None:
        last = self.last
        return last if last is not None and last.step == "retired" else None

    def _newest(self, steps: Sequence[Step]) -> CutoverFact | None:
        return next((fact for fact in reversed(self.facts) if fact.step in steps), None)

    def __str__(self) -> str:
        if self.last is None:
            return "never run"
        if (fact := self.retired) is not None:
            return f"retired at {_time(fact.at)}"
        if (fact := self.unclear) is not None:
            return f"{fact.step} at {_time(fact.at)}: readers may be on either side"
        if (fact := self.switched) is not None:
            watched = "watch passed" if self.passed else "watch not passed"
            return f"switched at {_time(fact.at)}, {watched}"
        return f"not switched; last step: {self.last.step} at {_time(self.last.at)}"


def _time(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
