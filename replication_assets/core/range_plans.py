"""What a source says of how it would read one id range: the advice to give before a load."""

from __future__ import annotations

from dataclasses import dataclass

SMALL_ROWS = 10_000
"""Tables and views below this many rows are read whole without a word about it: a scan of them takes
milliseconds, and no planner uses an index for it."""


@dataclass(frozen=True, slots=True)
class RangePlan:
    """The plan of a range query, examined.

    `scanned` names what would be read whole for every range (tables, those beneath a view too), as the
    source calls it; empty if an index serves the range. `index` is the statement that creates the
    (covering) index which would serve it; None if nothing is scanned or no index can help, and then
    `reason` says why. `told` is the plan in the engine's own words, without values of rows.
    """

    scanned: tuple[str, ...]
    index: str | None
    reason: str
    told: tuple[str, ...]

    def __str__(self) -> str:
        """What a person is to know of it; empty where there is nothing to say."""
        if not self.scanned:
            return ""
        whole = f"each id range reads {', '.join(self.scanned)} whole"
        return f"{whole}: {self.reason}" if self.reason else whole

    @property
    def fix(self) -> str:
        """The statement, or what can be done where no index helps."""
        if not self.scanned:
            return ""
        return self.index or "cut by a column that a table holds and an index can serve, or into fewer ranges"
