"""What becomes of rows that a target refuses: kept as dead letters, by the projection's policy.

A refusal is durable before the checkpoint passes it: the target tells of it while it writes,
and the letter is stored before the target hears that it may go on. A crash in between leaves a
letter whose row is refused once more by the next run: one more attempt, the same letter.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import POSITION
from replication_assets.core.letters import Ended, ended_by_replacement, ended_by_rows
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.declarations import DeltaProjection, Projection, RefusalPolicy, Refusals
from replication_assets.errors import TableSuspended, TargetError
from replication_assets.ports import DeadLetters, EventStore


@dataclass(frozen=True, slots=True)
class Handling:
    """The dead letters of one table in one projection, and the rules for new ones."""

    letters: DeadLetters
    rules: Refusals
    where: str

    def require_running(self) -> None:
        """Raises TableSuspended while the table is suspended."""
        suspension = self.letters.suspended()
        if suspension is not None:
            since = suspension.since.isoformat(timespec="seconds")
            raise TableSuspended(
                f"it is suspended since {since}: {suspension.reason}",
                where=self.where,
                fix="mend the cause, retry or discard its dead letters, and resume it: materialize its "
                "dead letters with `resume`, or run `replication-assets dead-letters resume`",
            )

    def attempt(self, id_range: str) -> Attempt:
        """What a run passes to the target as `refuse`."""
        return Attempt(self, id_range, dt.datetime.now(dt.UTC))


def handling_of(store: EventStore, projection: Projection, table: TableId) -> Handling | None:
    """None for a table of a projection that refuses nothing: see `can_refuse`."""
    if not can_refuse(projection, table):
        return None
    letters = store.dead_letters(projection.name, table)
    return Handling(letters, projection.refusals, f"{projection.name} {table}")


def can_refuse(projection: Projection, table: TableId) -> bool:
    """Whether rows or values of the table may be refused: Delta takes all but documents, and rows whose
    shape asks for types that their values may not have."""
    if not isinstance(projection, DeltaProjection):
        return True
    documents = any(document.table == str(table) for document in projection.documents)
    return documents or any(shape.table == str(table) and shape.can_refuse for shape in projection.shapes)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one id range: a `ports.Refuse`. What it refuses bears its time `at`."""

    handling: Handling
    id_range: str
    at: dt.datetime

    def __call__(self, refusals: Sequence[Refusal]) -> None:
        """Keep the refusals, then do as the policy says.

        Raises:
            TargetError: the policy is to stop.
        """
        if not refusals:
            return
        self.keep(refusals)
        first, policy = refusals[0], self._policy()
        column = f" of column {first.column}" if first.column is not None else ""
        rows = f"{len(refusals):,} rows are" if len(refusals) > 1 else "a row is"
        what = f"{rows} refused, the first because of {first.reason}{column}: {first.detail}"
        if policy == "stop":
            raise TargetError(
                what,
                where=f"{self.handling.where} range {self.id_range}",
                fix="mend the source or the projection; the rows are listed among its dead letters",
            )
        if policy == "suspend":
            self.handling.letters.suspend(what, self.at)

    def keep(self, refusals: Sequence[Refusal]) -> None:
        """Keep the refusals, whatever the policy."""
        self.handling.letters.add(self.id_range, refusals, self.at)

    def _policy(self) -> RefusalPolicy:
        rules = self.handling.rules
        if rules.escalate_after is not None and self.handling.letters.count() >= rules.escalate_after:
            return rules.escalate_to
        return rules.policy

    def applied(self, schema: TableSchema, changes: RangeChanges) -> None:
        """Close the letters of the range that the changes, which the target took, overtook."""
        if schema.key and self.handling.letters.count():
            wanted = [*schema.key, *POSITION]
            touched = pa.concat_tables([changes.upserts.select(wanted), changes.deletes.select(wanted)])
            self.close(ended_by_rows(self._open(), schema, touched, self.at))

    def replaced(self, position: Position) -> None:
        """Close the letters of the range, replaced as of a position, that were not refused again."""
        if self.handling.letters.count():
            self.close(ended_by_replacement(self._open(), position, self.at))

    def refused_since(self, start: Position) -> Position | None:
        """A position before every open letter of a whole row of the range, if there is one before
        `start`: the target may hold rows from before it."""
        if not self.handling.letters.count():
            return None
        rows = self._open()
        rows = rows.filter(rows["column"].is_null())
        places = zip(*(rows[name].to_pylist() for name in POSITION), strict=True)
        first = min((Position(*place) for place in places), default=start)
        return replace(first, sequence=max(first.sequence - 1, 0)) if first <= start else None

    def close(self, ended: Ended) -> None:
        self.handling.letters.close_rows(ended.applied, "applied", self.at)
        self.handling.letters.close_rows(ended.superseded, "superseded", self.at)

    def _open(self) -> pa.Table:
        return self.handling.letters.open_rows(self.id_range)
