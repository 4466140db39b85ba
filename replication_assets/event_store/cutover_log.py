"""The record of a cutover: one line for each step, in a Delta table of its own.

Of two runners who have seen the same lines, one is rejected: the one that comes second has not
seen what the first did, and must not act on it.
"""

from __future__ import annotations

import pyarrow as pa

from replication_assets.core.cutover import CutoverFact, CutoverHistory
from replication_assets.errors import CommitConflict
from replication_assets.event_store.numbered_lines import NUMBER, UTC_MICROSECONDS, NumberedLines
from replication_assets.event_store.storage import Place

SCHEMA = pa.schema(
    [
        *NUMBER,
        pa.field("attempt", pa.string()),
        pa.field("step", pa.string()),
        pa.field("at", UTC_MICROSECONDS),
        pa.field("body", pa.string()),
    ]
)


class DeltaCutoverLog:
    """See `ports.CutoverLog`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __repr__(self) -> str:
        return f"DeltaCutoverLog({self._place.uri!r})"

    def history(self) -> CutoverHistory:
        return CutoverHistory(
            tuple(
                CutoverFact(row["attempt"], row["step"], row["at"], row["body"])
                for row in NumberedLines(self._place, SCHEMA).read()
            )
        )

    def append(self, fact: CutoverFact, after: int) -> None:
        try:
            NumberedLines(self._place, SCHEMA).append([fact.attempt, fact.step, fact.at, fact.body], after)
        except CommitConflict as exc:
            raise CommitConflict(
                "somebody else runs this cutover, or took its next step meanwhile",
                where=self._place.where,
                fix="look at its status, and start again if it is still wanted",
            ) from exc
