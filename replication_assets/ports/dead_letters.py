"""The port of the dead letters of a projection: what was refused, kept until it is dealt with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from replication_assets.ports.target import Refusal

Closed: TypeAlias = Literal["applied", "superseded", "discarded"]
"""How a dead letter ended: written after all, overtaken by a newer event of its row, or given up
by somebody."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was refused. The event itself stands in the event store at its position."""

    id_range: str
    refusal: Refusal
    attempts: int
    first_at: dt.datetime
    last_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why and since when a table of a projection is left alone."""

    reason: str
    since: dt.datetime


class DeadLetters(Protocol):
    """The dead letters of one table in one projection. Append-only: nothing is ever edited, and
    a letter is open while nothing closed it after its last attempt."""

    def add(self, id_range: str, refusals: Sequence[Refusal], at: dt.datetime) -> None:
        """Durable when it returns. The same refusal again is one more attempt."""
        ...

    def open(self, id_range: str | None = None) -> tuple[DeadLetter, ...]:
        """Open ones, oldest first."""
        ...

    def count(self) -> int:
        """How many are open."""
        ...

    def close(self, letters: Sequence[DeadLetter], how: Closed, at: dt.datetime) -> None: ...

    def suspend(self, reason: str, at: dt.datetime) -> None: ...

    def suspended(self) -> Suspension | None: ...

    def resume(self, at: dt.datetime) -> None: ...
