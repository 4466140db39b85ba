"""What capture costs a source: transactions a second, by kind and by way, and the table made of them.

A round runs every way once, one right after the other. A way's ratio is the median, over the rounds, of
its rate of writes to that of the same round's run without capture: what slows the machine down for longer
than a round slows both. Reads do not count in it: they take the time that slower writes leave.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KINDS = ("insert", "select", "update", "delete")
CLIENTS = (100, 20, 200, 20)
"""Of each kind, before scaling: orders that come in, are worked on, looked at, and cleared away."""

NONE, BY_LOG, UNREAD, BY_TRIGGERS = "no capture", "log, read", "triggers, not read", "triggers, read"
WAYS = (NONE, BY_LOG, UNREAD, BY_TRIGGERS)


@dataclass(frozen=True, slots=True)
class Mix:
    """How many clients of each kind, in the order of `KINDS`."""

    clients: tuple[int, int, int, int]

    @classmethod
    def scaled(cls, scale: float) -> Mix:
        """The whole mix, scaled; at least one client of each kind."""
        insert, select, update, delete = (max(1, round(number * scale)) for number in CLIENTS)
        return cls((insert, select, update, delete))

    def kinds(self) -> tuple[tuple[str, int], ...]:
        """Each client: its kind, and its number among those of its kind."""
        return tuple(
            (kind, number) for kind, count in zip(KINDS, self.clients, strict=True) for number in range(count)
        )

    def __str__(self) -> str:
        return " / ".join(f"{count} {kind.upper()}" for kind, count in zip(KINDS, self.clients, strict=True))


@dataclass(frozen=True, slots=True)
class Rates:
    """Transactions a second of one run, in the order of `KINDS`."""

    by_kind: tuple[float, float, float, float]

    @property
    def writes(self) -> float:
        return sum(rate for kind, rate in zip(KINDS, self.by_kind, strict=True) if kind != "select")


@dataclass(frozen=True, slots=True)
class Overhead:
    """Runs of each way, in the order of the rounds. `left_out` says why a way was not run."""

    where: str
    mix: Mix
    seconds: float
    runs: Mapping[str, Sequence[Rates]]
    left_out: Mapping[str, str]

    def medians(self, way: str) -> tuple[float, ...]:
        """Rates by kind, then of all writes together."""
        runs = self.runs[way]
        each = [statistics.median(run.by_kind[place] for run in runs) for place in range(len(KINDS))]
        return (*each, statistics.median(run.writes for run in runs))

    def ratio(self, way: str) -> float:
        """Of the writes without capture."""
        pairs = zip(self.runs[way], self.runs[NONE], strict=True)
        return statistics.median(run.writes / none.writes for run, none in pairs)

    def spread(self, way: str) -> tuple[float, float]:
        """The least and the greatest ratio of a round."""
        pairs = zip(self.runs[way], self.runs[NONE], strict=True)
        found = [run.writes / none.writes for run, none in pairs]
        return min(found), max(found)

    def headings(self) -> tuple[str, ...]:
        return ("way", *(f"{kind.upper()}/s" for kind in KINDS), "writes/s", "of no capture", "rounds")

    def rows(self) -> list[tuple[str, ...]]:
        """Cells of the table: figures as people read them."""
        found = []
        for way in self.runs:
            low, high = self.spread(way)
            rates = (f"{rate:,.0f}" for rate in self.medians(way))
            found.append((way, *rates, f"{self.ratio(way):.2f}", f"{low:.2f} to {high:.2f}"))
        return found

    def markdown(self) -> str:
        """The table as a document has it."""
        lines = [self.headings(), tuple("---" for _ in self.headings()), *self.rows()]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def document(self) -> dict[str, object]:
        """Everything that was measured, for other programs."""
        return {
            "where": self.where,
            "clients": dict(zip(KINDS, self.mix.clients, strict=True)),
            "seconds": self.seconds,
            "ways": {
                way: {
                    "median": dict(zip((*KINDS, "writes"), self.medians(way), strict=True)),
                    "of_no_capture": self.ratio(way),
                    "rounds": [dict(zip(KINDS, run.by_kind, strict=True)) for run in runs],
                }
                for way, runs in self.runs.items()
            },
            "left_out": dict(self.left_out),
        }
