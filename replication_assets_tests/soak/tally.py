"""What a soak counted, and how it says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`lost` and `doubled` are events that the audit of the source has and the store lacks, and the
    other way round; `wrong` are rows of a fold or projection that differ from the source."""

    seed: int
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    """By kind: `killed at capture.recorded`, `server crashed`."""
    kills: int = 0
    checks: int = 0
    events: int = 0
    transactions: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0

    @property
    def passed(self) -> bool:
        return self.lost == self.doubled == self.wrong == 0

    def line(self) -> str:
        return (
            f"{self.seconds:7.0f} s  {self.faults.total():5} faults  {self.kills:5} kills survived"
            f"  {self.events:9,} events  {self.lost} lost  {self.doubled} doubled  {self.wrong} rows wrong"
        )

    def report(self) -> str:
        lines = [
            f"seed {self.seed}, {self.checks} checks",
            "",
            "fault                                  times",
        ]
        lines += [f"{name:<38} {times:5}" for name, times in sorted(self.faults.items())]
        return "\n".join([*lines, "", self.line().strip()])
