"""The table itself: made with the first fill, widened when the source gains columns, never retyped.

A column dropped at the source stays, null in new rows. A column whose stored type changed is refused:
what the new type makes of old rows is not known here. What the source's structure has besides columns
is carried when the table is made, and what could not be is listed in the books.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.books import Books
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.database import Database, Session
from replication_assets.targets.sql.projection.layout import (
    Layout,
    Recorded,
    column_types,
    require_same,
)


class Tables:
    """Of one table: what must stand before rows are written."""

    def __init__(
        self,
        database: Database,
        books: Books,
        table: TableId,
        projected: Projected,
    ) -> None:
        self._database = database
        self._books = books
        self._table = table
        self._place = database.place(table)
        self._projected = projected

    def ensure(self, session: Session, layout: Layout, id_range: str) -> None:
        """The table with every column of the layout, and a line in the books for the range."""
        self._database.refuse_names(layout)
        if self._is_ready(session, layout) and self._books.range(session, id_range) is not None:
            return
        with session.defining():
            session.make_home(self._place.schema)
            there = session.columns(self._place)
            recorded = self._books.recorded(session)
            if there:
                self._require_own(recorded)
            if not there or recorded is None:
                self._make(session, layout)
            else:
                self._widen(session, layout, recorded, there)
            self._books.begin(session, id_range)

    def reset(self, session: Session, layout: Layout) -> None:
        """Empty, with the columns of the layout. A process that dies in it leaves no range filled."""
        self._database.refuse_names(layout)
        with session.defining():
            session.make_home(self._place.schema)
            if session.columns(self._place):
                self._require_own(self._books.recorded(session))
            self._books.forget_ranges(session)
            session.drop_table(self._place)
            self._make(session, layout)

    def carry_again(self, session: Session) -> Iterator[str]:
        """Make what the structure has and the table lacks, if it can be made by now."""
        structure = self._projected.structures(self._table)
        if structure is None or not self._books.is_kept(session):
            return
        recorded = self._books.recorded(session)
        layout = self.known(session)
        if recorded is None or layout is None:
            return
        with session.defining():
            lines = tuple(session.carry(layout, structure, self._projected))
            if (structure.fingerprint, lines) == (recorded.structure, recorded.not_carried):
                return
            made = replace(recorded, structure=structure.fingerprint, not_carried=lines)
            self._books.record(session, made)
        yield "indexes and foreign keys of the source brought up to date"

    def known(self, session: Session) -> Layout | None:
        """The table as it was recorded last."""
        if not self._books.is_kept(session) or ID_RANGE not in session.columns(self._place):
            return None
        recorded = self._books.recorded(session)
        if recorded is None:
            return None
        columns = tuple(Column(name, kind, _arrow(kind)) for name, kind in recorded.columns.items())
        return Layout(self._place, TableSchema(columns, recorded.key))

    @property
    def _where(self) -> str:
        return f"{self._place} in {self._database.where}"

    def _require_own(self, recorded: Recorded | None) -> None:
        """Raises TargetError for a table that is there and is no projection of this source table."""
        if recorded is None or recorded.origin != str(self._table):
            whose = "somebody else" if recorded is None else f"{recorded.origin}, of somebody else's catalog"
            raise TargetError(
                f"a table of {whose} has this name",
                where=self._where,
                fix="drop or rename it, or project into another database, or `into` another schema",
            )

    def _is_ready(self, session: Session, layout: Layout) -> bool:
        """Without taking a lock: whether there is nothing to do."""
        if not self._books.is_kept(session):
            return False
        there = session.columns(self._place)
        recorded = self._books.recorded(session)
        if ID_RANGE not in there or recorded is None:
            return False
        self._require_own(recorded)
        require_same(recorded, layout, self._where)
        same_content = bool(layout.key) or set(recorded.content) <= set(layout.schema.names)
        return set(layout.schema.names) <= set(there) & set(recorded.columns) and same_content

    def _make(self, session: Session, layout: Layout) -> None:
        structure = self._projected.structures(self._table)
        session.make_table(layout, structure, self._projected)
        self._books.forget_ranges(session)
        lines = session.carry(layout, structure, self._projected) if structure is not None else []
        fingerprint = structure.fingerprint if structure is not None else ""
        self._books.record(
            session,
            Recorded(
                str(self._table),
                column_types(layout),
                layout.key,
                layout.schema.names,
                fingerprint,
                tuple(lines),
            ),
        )

    def _widen(self, session: Session, layout: Layout, recorded: Recorded, there: tuple[str, ...]) -> None:
        require_same(recorded, layout, self._where)
        missing = [column for column in layout.schema.columns if column.name not in there]
        if missing:
            session.add_columns(layout, missing)
        content = recorded.content
        if not layout.key and not set(content) <= set(layout.schema.names):
            # Equal rows are found by all that they held, also in a column that is gone by now.
            self._books.forget_ranges(session)
            content = layout.schema.names
        elif not layout.key:
            content = tuple(dict.fromkeys((*content, *layout.schema.names)))
        columns = {**recorded.columns, **column_types(layout)}
        if (columns, content) != (recorded.columns, recorded.content):
            self._books.record(session, replace(recorded, columns=columns, content=content))


def _arrow(kind: str) -> pa.DataType:
    """The inverse of `str` for the types that a table may have."""
    import re

    plain: dict[str, pa.DataType] = {
        str(each): each
        for each in (
            pa.bool_(),
            pa.int8(),
            pa.int16(),
            pa.int32(),
            pa.int64(),
            pa.uint8(),
            pa.uint16(),
            pa.uint32(),
            pa.uint64(),
            pa.float32(),
            pa.float64(),
            pa.date32(),
            pa.string(),
            pa.large_string(),
            pa.binary(),
            pa.large_binary(),
            pa.timestamp("us"),
            pa.timestamp("us", tz="UTC"),
        )
    }
    decimal = re.fullmatch(r"decimal128\((\d+), (\d+)\)", kind)
    if decimal is not None:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if kind not in plain:
        raise TargetError(f"the books name a type {json.dumps(kind)} that no column has")
    return plain[kind]
