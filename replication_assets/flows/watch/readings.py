"""Figures remembered from one look at a system to the next, and what their change tells.

A rate, a growth and a prediction need an earlier reading. They are kept with their own times, so
that a pause (a restart, a stopped watch) makes them coarser and never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KEPT_SECONDS = 2 * 3600.0
DENSE = 8
"""So many of the newest readings are kept as they are; of older ones one each `SPARSE_SECONDS`."""

SPARSE_SECONDS = 300.0

LEAST_SPAN_SECONDS = 120.0
"""A growth over less time is the swing of a healthy system: a capture lets the log go in steps."""

FURTHEST = 50
"""A growth is carried on for so many times as long as it was seen: what two busy minutes grow says
nothing of tomorrow, and half an hour of it does."""

Reading = tuple[float, float]
"""Epoch seconds, and the figure."""


@dataclass
class Readings:
    """Series of readings by name, oldest first."""

    series: dict[str, list[Reading]] = field(default_factory=dict)
    captured: dict[str, bool] = field(default_factory=dict)
    """By table: whether it has a change stream, which its source was asked once."""

    @classmethod
    def of(cls, series: Mapping[str, list[list[float]]], captured: Mapping[str, bool]) -> Readings:
        read = {name: [(at, value) for at, value in kept] for name, kept in series.items()}
        return cls(read, dict(captured))

    def note(self, name: str, at: float, value: float) -> float | None:
        """Remember a reading. Returns the change per second since the one before; None without
        one, or if the figure fell: it counts something else now (a log's new chapter)."""
        kept = [reading for reading in self.series.get(name, []) if reading[0] < at]
        before = kept[-1] if kept else None
        self.series[name] = _thinned([*kept, (at, value)], at)
        if before is None or value < before[1]:
            return None
        return (value - before[1]) / (at - before[0])

    def note_last(self, name: str, at: float, value: float) -> float | None:
        """As `note`, for a figure whose history nobody needs."""
        rate = self.note(name, at, value)
        self.series[name] = self.series[name][-1:]
        return rate

    def forget(self, name: str) -> None:
        self.series.pop(name, None)

    def growth(self, name: str) -> float | None:
        """Change per second since the figure was last at its lowest. None if that is too short
        ago to tell, or if it does not grow."""
        span, risen = self._risen(name)
        return risen / span if span >= LEAST_SPAN_SECONDS and risen > 0 else None

    def runs_out(self, name: str, left: float) -> float | None:
        """Seconds until a figure that grows has grown by `left`; None if it does not, or if that
        is further away than so short a growth can tell."""
        growth = self.growth(name)
        if growth is None:
            return None
        seconds = max(0.0, left) / growth
        return seconds if seconds <= FURTHEST * self._risen(name)[0] else None

    def _risen(self, name: str) -> tuple[float, float]:
        """Seconds since the figure was last at its lowest, and how far it rose since."""
        kept = self.series.get(name, [])
        if not kept:
            return 0.0, 0.0
        lowest = min(value for _, value in kept)
        since = max(at for at, value in kept if value == lowest)
        return kept[-1][0] - since, kept[-1][1] - lowest

    def last_at_or_below(self, name: str, value: float) -> float | None:
        """When a figure that rises was last read at or below `value`."""
        times = [at for at, each in self.series.get(name, []) if each <= value]
        return times[-1] if times else None


def _thinned(kept: list[Reading], now: float) -> list[Reading]:
    recent = [reading for reading in kept if reading[0] >= now - KEPT_SECONDS]
    older, dense = recent[:-DENSE], recent[-DENSE:]
    sparse: list[Reading] = []
    for reading in older:
        if not sparse or reading[0] - sparse[-1][0] >= SPARSE_SECONDS:
            sparse.append(reading)
    return [*sparse, *dense]
