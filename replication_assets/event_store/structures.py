"""What a source table was made like, each time that was seen to change: a line for each structure.

Structures are kept as the JSON of `TableStructure`. Its texts (defaults, checks, index definitions)
are the source's own; what of them may go on to a copy is the guard's matter.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from replication_assets.core.structure import TableStructure
from replication_assets.errors import CommitConflict, StoreCorrupt
from replication_assets.event_store.numbered_lines import NUMBER, UTC_MICROSECONDS, NumberedLines
from replication_assets.event_store.storage import Place

SCHEMA = pa.schema(
    [
        *NUMBER,
        pa.field("at", UTC_MICROSECONDS),
        pa.field("fingerprint", pa.string()),
        pa.field("structure", pa.string()),
    ]
)

ATTEMPTS = 20
"""Recorders of one table are its loads and its capture: few, and most find nothing new."""


class DeltaStructures:
    """See `ports.refresh.Structures`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lines = NumberedLines(place, SCHEMA)

    def __repr__(self) -> str:
        return f"DeltaStructures({self._place.uri!r})"

    def last(self) -> TableStructure | None:
        return self._numbered()[1]

    def record(self, structure: TableStructure, at: dt.datetime) -> bool:
        for _ in range(ATTEMPTS):
            number, last = self._numbered()
            if last == structure:
                return False
            try:
                self._lines.append([at, structure.fingerprint, structure.to_json()], number)
            except CommitConflict:
                continue  # What was recorded meanwhile may be this very structure.
            return True
        raise CommitConflict(
            f"others recorded structures of the table {ATTEMPTS} times meanwhile",
            where=self._place.where,
            fix="run again when its columns no longer change",
        )

    def _numbered(self) -> tuple[int, TableStructure | None]:
        """The newest line's number and structure; 0 and None before the first."""
        number = self._lines.count()
        if number == 0:
            return 0, None
        # A line may have been added since it was counted.
        newest = self._lines.read(after=number - 1)[-1]
        try:
            found = TableStructure.from_json(newest["structure"])
        except (ValueError, KeyError, TypeError):
            found = None
        if found is None or found.fingerprint != newest["fingerprint"]:
            raise StoreCorrupt(
                f"line {newest['_sequence']} is not a structure as it was recorded",
                where=self._place.where,
                fix="restore the folder from a copy, or delete it: the next load records the structure anew",
            )
        return newest["_sequence"], found
