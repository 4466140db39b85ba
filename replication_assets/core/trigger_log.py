"""The change log that triggers keep inside a source: what its rows are, whatever the engine.

Triggers write a row for every changed row, in the transaction that changed it, so a change is
there exactly if its transaction committed. What an engine adds is the SQL; what they share is here.

A change id is `number << NOISE_BITS | noise`. Numbers rise by one for each change and are drawn
while the changed row is locked: of two changes of one row the later one has the greater id. The
noise is random, so that ids cannot be guessed: a position that was captured is an id, and the row
with this id stays in the log (`anchor`) until a later one is durable. A log without it is not the
log that was read: the database was restored, the log was emptied, or it was made anew.

Positions. An engine with one writer at a time takes the id as the commit position, at sequence 1. One
with many takes the greatest id of the transaction, or the place of the fence that it ran across, and
the change's own id as the sequence (`sources.postgres.triggers.positions`). Either way a reader is
told `through` only where no transaction is cut in two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableSchema

NOISE_BITS = 20
NOISE = (1 << NOISE_BITS) - 1

INSERT, UPDATE, DELETE, TRUNCATE = "I", "U", "D", "T"
SHAPED = "S"
"""A row that tells of a table's new columns: what comes after it is written by new triggers."""
ANCHOR = "A"
"""A row that only marks a place: where the log began, or where a load met it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Columns that the triggers of a table write, by a number that each change carries."""

    number: int
    table: str
    """The table's name, qualified as the engine does."""
    columns: tuple[tuple[str, str], ...]
    """Names and native types, in the order of the image."""
    key: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)

    def body(self) -> str:
        """Everything but the number and the table, as JSON."""
        return json.dumps({"columns": [list(each) for each in self.columns], "key": list(self.key)})

    @classmethod
    def from_body(cls, number: int, table: str, body: str) -> Shape:
        """The inverse of `body`."""
        raw = json.loads(body)
        columns = tuple((name, kind) for name, kind in raw["columns"])
        return cls(number, table, columns, tuple(raw["key"]))

    def fits(self, schema: TableSchema) -> bool:
        """Whether the columns, whatever their order, and the key are those of `schema`."""
        wanted = {(column.name, column.source_type) for column in schema.columns}
        return set(self.columns) == wanted and self.key == schema.key


def shape_of(number: int, table: str, schema: TableSchema) -> Shape:
    columns = tuple((column.name, column.source_type) for column in schema.columns)
    return Shape(number, table, columns, schema.key)


@dataclass(frozen=True, slots=True)
class ShapeChange:
    """What a row of kind `SHAPED` tells. `reload`: rows changed that no row of the log tells."""

    reload: bool
    reason: str
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def body(self) -> str:
        return json.dumps(
            {
                "reload": self.reload,
                "reason": self.reason,
                "added": list(self.added),
                "dropped": list(self.dropped),
            }
        )

    @classmethod
    def from_body(cls, body: str) -> ShapeChange:
        """The inverse of `body`."""
        raw = json.loads(body)
        return cls(raw["reload"], raw["reason"], tuple(raw["added"]), tuple(raw["dropped"]))


def shape_change(
    before: Shape,
    now: Sequence[Column],
    key: tuple[str, ...],
    *,
    filled: Sequence[str],
    unseen: str,
) -> ShapeChange | None:
    """How a table's columns differ from what its triggers write; None if they do not.

    `filled` names columns of `now` in which some row holds a value; `unseen` says why changes may
    have passed the triggers by, empty if none did. A column that went while another came may have
    been renamed: the rows are then read again.
    """
    old, new = dict(before.columns), {column.name: column.source_type for column in now}
    added = tuple(name for name in new if name not in old)
    dropped = tuple(name for name in old if name not in new)
    retyped = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    reasons = [unseen] if unseen else []
    reasons += [f"column {name} changed from {old[name]} to {new[name]}" for name in retyped]
    reasons += [f"column {name} was added with values" for name in added if name in filled]
    if added and dropped:
        reasons.append(f"columns {', '.join(dropped)} went and {', '.join(added)} came, perhaps renamed")
    if before.key != key:
        reasons.append(f"the key changed to {', '.join(key) or 'nothing'}")
    if not (added or dropped or reasons):
        return None
    plain = [f"column {name} was added, null in all rows" for name in added]
    plain += [f"column {name} was dropped" for name in dropped]
    return ShapeChange(bool(reasons), "; ".join(reasons or plain), added, dropped)
