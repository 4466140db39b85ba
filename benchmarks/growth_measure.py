"""How a cost grows with what it is the cost of: points, the exponent between the last two, a plot."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.measure.report import Plot, Points, Table, Target
from benchmarks.measure.runs import middle

MOST = 1.1
"""The exponent of a cost that grows with its input, give or take what a measurement is off by."""


@dataclass(slots=True)
class Growth:
    """Processor seconds (`costs`, judged and plotted) and other `figures` of some sizes of input."""

    name: str
    title: str
    of: str
    """What there is more and more of."""
    sizes: tuple[int, ...]
    costs: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def cost(self, name: str, seconds: float) -> None:
        self.costs.setdefault(name, []).append(seconds)
        size = self.sizes[len(self.costs[name]) - 1]
        sys.stderr.write(f"  {size:,} {self.of}: {name} {_told(seconds)} s\n")

    def figure(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    def exponent(self, name: str) -> float:
        """Of the power of the input that the cost grows with, from the last size but one on."""
        (small, large), (cheap, dear) = self.sizes[-2:], self.costs[name][-2:]
        return math.log(max(dear, 1e-6) / max(cheap, 1e-6)) / math.log(large / small)

    def table(self) -> Table:
        lines = [
            (f"{size:,}", *(_told(each[place]) for each in (*self.costs.values(), *self.figures.values())))
            for place, size in enumerate(self.sizes)
        ]
        exponents = ("**exponent**", *(f"{self.exponent(name):.2f}" for name in self.costs))
        lines.append((*exponents, *("" for _ in self.figures)))
        headers = (self.of, *(f"{name}: processor s" for name in self.costs), *self.figures)
        return Table(self.title, headers, tuple(lines))

    def targets(self, *, short: bool) -> tuple[Target, ...]:
        return tuple(
            Target.at_most(f"{self.of}: exponent of {name}", MOST, self.exponent(name), short=short)
            for name in self.costs
        )

    def plot(self) -> Plot:
        series: dict[str, Points] = {
            name: tuple(zip(self.sizes, each, strict=True)) for name, each in self.costs.items()
        }
        first = next(iter(self.costs.values()))[0]
        series["as its input"] = tuple((size, first * size / self.sizes[0]) for size in self.sizes)
        return Plot(f"growth_{self.name}", self.title, self.of, "processor seconds", series, log=True)


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.4f}"


def spent(work: Callable[[], object], rounds: int = 3) -> tuple[float, float]:
    """Seconds of the processor and by the clock, each the median of rounds."""
    used, passed = [], []
    for _ in range(rounds):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        used.append(time.process_time() - processor)
        passed.append(time.perf_counter() - clock)
    return middle(used), middle(passed)
