"""The port of the dead letters of a projection: what was refused, kept until it is dealt with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from replication_assets.core.refusals import Refusal

Closed: TypeAlias = Literal["applied", "superseded", "discarded"]
"""How a dead letter ended: written after all, overtaken by a newer event of its row, or given up
by somebody."""


LETTERS = pa.schema(
    [
        # A digest of key, position and column, by which letters are told apart.
        pa.field("letter", pa.decimal128(38, 0)),
        pa.field("id_range", pa.string()),
        pa.field("key", pa.string()),
        pa.field("_epoch", pa.int32()),
        pa.field("_commit_position", pa.int64()),
        pa.field("_sequence", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("attempts", pa.int64()),
        pa.field("first_at", pa.timestamp("us", tz="UTC")),
        pa.field("last_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Dead letters as rows: the fields of `DeadLetter` and of its refusal."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was refused. The event itself stands in the event store at its position.

    `attempts` and the times count from when the letter was opened, again if it was closed
    before.
    """

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
    a letter is open while nothing closed it after its last attempt. A letter is its key, position
    and column; whoever adds or closes at the same time loses nothing, and of an attempt and a
    closing that did not know of each other the attempt counts."""

    def add(self, id_range: str, refusals: Sequence[Refusal], at: dt.datetime) -> None:
        """Durable when it returns. The same refusal again is one more attempt, unless it is told
        with the same `at`: one attempt has one time."""
        ...

    def open(self, id_range: str | None = None) -> tuple[DeadLetter, ...]:
        """Open ones, oldest first. For some thousands; `open_rows` for more."""
        ...

    def open_rows(self, id_range: str | None = None) -> pa.Table:
        """Open ones as rows of `LETTERS`, oldest first."""
        ...

    def count(self) -> int:
        """How many are open."""
        ...

    def close(self, letters: Sequence[DeadLetter], how: Closed, at: dt.datetime) -> None:
        """Letters that are not open stay as they are."""
        ...

    def close_rows(self, letters: pa.Table, how: Closed, at: dt.datetime) -> None:
        """The same for rows of `open_rows`."""
        ...

    def suspend(self, reason: str, at: dt.datetime) -> None: ...

    def suspended(self) -> Suspension | None:
        """The first suspension that was not resumed."""
        ...

    def resume(self, at: dt.datetime) -> None: ...

    def compact(self) -> int:
        """Rewrite small files into large ones; returns files removed. `add` does so by itself
        now and then."""
        ...

    def vacuum(self, older_than: dt.timedelta) -> int:
        """Delete files that were replaced that long ago; returns how many."""
        ...
