"""The books of a projection: what each table is, and how far each range of it has followed.

They stand in the schema (database, file) of the tables they speak of, so that one transaction changes
both. A range whose rows somebody else changed is marked `edited` by the triggers of its table, in that
somebody's own transaction; so is one that was never filled.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.events import ID_RANGE
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.errors import TargetError
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.sql.projection.database import Database, Session
from replication_assets.targets.sql.projection.layout import (
    OURS,
    RANGES,
    TABLES,
    Layout,
    Place,
    Recorded,
)

_COLUMNS = "baseline, epoch, commit_position, sequence, row_count, edited"


@dataclass(frozen=True, slots=True)
class RangeBook:
    """What is recorded of a range: None where it was never filled. `edited` where its rows are not what
    the checkpoint speaks of."""

    checkpoint: RangeCheckpoint | None
    edited: bool


_WHOLE, _EDITED, _BEGUN = 0, 1, 2
"""States of a range; triggers know `_EDITED` by its number."""


class Books:
    """Of one table."""

    def __init__(self, database: Database, place: Place) -> None:
        self._database = database
        self._place = place
        self._text = database.text
        self._tables = database.named(Place(place.schema, TABLES))
        self._ranges = database.named(Place(place.schema, RANGES))

    def is_kept(self, session: Session) -> bool:
        return bool(session.columns(Place(self._place.schema, RANGES)))

    def recorded(self, session: Session) -> Recorded | None:
        rows = session.rows(
            f"SELECT description FROM {self._tables} WHERE table_name = {self._text(self._place.name)}"
        )
        return Recorded.from_json(rows[0][0]) if rows else None

    def record(self, session: Session, recorded: Recorded) -> None:
        session.run(f"DELETE FROM {self._tables} WHERE table_name = {self._text(self._place.name)}")
        session.run(
            f"INSERT INTO {self._tables} (table_name, description)"
            f" VALUES ({self._text(self._place.name)}, {self._text(recorded.to_json())})"
        )

    def forget_ranges(self, session: Session) -> None:
        """Every range must be replaced then; a range that is being written waits for its writer."""
        session.run(
            f"UPDATE {self._ranges} SET edited = {_EDITED}"
            f" WHERE table_name = {self._text(self._place.name)} AND edited = {_WHOLE}"
        )

    def begin(self, session: Session, id_range: str) -> None:
        """A line for the range, so that there is one to lock. Only where tables may be defined."""
        if self._range(session, id_range) is None:
            session.run(
                f"INSERT INTO {self._ranges} (table_name, id_range, {_COLUMNS})"
                f" VALUES ({self._text(self._place.name)}, {self._text(id_range)}, 0, 0, 0, 0, 0, {_BEGUN})"
            )

    def range(self, session: Session, id_range: str) -> RangeBook | None:
        return self._range(session, id_range)

    def locked(self, session: Session, id_range: str) -> RangeBook | None:
        """Nobody else writes to the range until the transaction ends."""
        return self._range(session, id_range, locking=True)

    def move(self, session: Session, id_range: str, to: RangeCheckpoint) -> None:
        at = to.position
        moved = session.run(
            f"UPDATE {self._ranges} SET baseline = {to.baseline}, epoch = {at.epoch},"
            f" commit_position = {at.commit}, sequence = {at.sequence}, row_count = {to.rows},"
            f" edited = {_WHOLE}"
            f" WHERE {self._where(id_range)}"
        )
        # MySQL counts a line that was the same before as none.
        if moved > 1:
            raise TargetError("the books hold a range twice", where=str(self._place), fix="reset the table")

    @property
    def known_ranges(self) -> str:
        """A query for the ranges of the table."""
        return f"SELECT id_range FROM {self._ranges} WHERE table_name = {self._text(self._place.name)}"

    def holds_rows(self, session: Session, id_range: str, layout_columns: tuple[str, ...]) -> bool:
        """Whether the table is one of ours, and has any row of the range."""
        if ID_RANGE not in layout_columns:
            return False
        named, marked = self._database.named(self._place), self._database.quoted(ID_RANGE)
        # Of an index by range, the first entry; no two engines end a query after one row alike.
        ((found,),) = session.rows(
            f"SELECT min({marked}) FROM {named} WHERE {marked} = {self._text(id_range)}"
        )
        return found is not None

    def _range(self, session: Session, id_range: str, *, locking: bool = False) -> RangeBook | None:
        source, end = self._database.locking(self._ranges) if locking else (self._ranges, "")
        found = session.rows(f"SELECT {_COLUMNS} FROM {source} WHERE {self._where(id_range)}{end}")
        if not found:
            return None
        baseline, epoch, commit, sequence, rows, edited = (int(each) for each in found[0])
        if edited == _BEGUN:
            return RangeBook(None, False)
        return RangeBook(RangeCheckpoint(baseline, Position(epoch, commit, sequence), rows), edited != _WHOLE)

    def _where(self, id_range: str) -> str:
        return f"table_name = {self._text(self._place.name)} AND id_range = {self._text(id_range)}"


def stored_layout(session: Session, layout: Layout) -> Layout:
    """The layout with those of its columns that the table has: another's are read as null."""
    there = {*session.columns(layout.place), *OURS}
    columns = tuple(each for each in layout.schema.columns if each.name in there)
    key = layout.key if all(name in there for name in layout.key) else ()
    return Layout(layout.place, TableSchema(columns, key))
