"""Tables of Oracle as projections have them: keys, indexes, foreign keys, and what notices edits.

- The key is the primary key; its texts and binaries are bounded, all others are large objects, which no
  index takes and no foreign key refers by.
- Foreign keys are declared DISABLE NOVALIDATE: no session is held to them.
- One trigger for each table marks edits, row by row. TRUNCATE fires none and shows by the lack of rows;
  neither does a direct path load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import TargetError
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.projection import carried
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.layout import CONTENT, RANGES, ROW_ID, TABLES, Layout, Place
from replication_assets.targets.sql.projection.oracle import statements
from replication_assets.targets.sql.projection.oracle.names import LIMIT, listed, named, quoted
from replication_assets.targets.sql.projection.oracle.sessions import Driver
from replication_assets.targets.sql.projection.oracle.types import RANGE_BYTES, column_type, is_large
from replication_assets.targets.sql.source_defaults import Functions

_NOW = "SYS_EXTRACT_UTC(SYSTIMESTAMP)"
_FUNCTIONS = Functions(now=_NOW)
_EMPTY = "('')"
"""A default that is NULL here, which a column has anyway."""
_DESCRIPTION = 900
"""Characters: a comment has 4,000 bytes."""


class OracleTables:
    """The defining part of a session. `place_of` tells where a table of the projection stands."""

    def __init__(self, driver: Driver, place_of: Callable[[TableId], Place]) -> None:
        self._driver = driver
        self.place_of = place_of

    def run(self, statement: str) -> int:
        return self._driver.changed(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._driver.rows(query)

    def columns(self, place: Place) -> tuple[str, ...]:
        return tuple(str(row[0]) for row in self.rows(statements.columns(place)))

    @contextmanager
    def defining(self) -> Iterator[None]:
        self._driver.run(statements.LOCK_MAKING)
        try:
            yield
            self._driver.commit()
        finally:
            # It goes with the session as well.
            with suppress(TargetError):
                self._driver.run(statements.RELEASE_MAKING)

    def make_home(self, schema: str) -> None:
        if not self.rows(statements.has_schema(schema)):
            raise TargetError(
                f"there is no schema {schema!r}",
                fix="CREATE USER for it, or give the projection an `into`: usually the login's own schema,"
                " in upper case",
            )
        tables, ranges = Place(schema, TABLES), Place(schema, RANGES)
        name = f"VARCHAR2({LIMIT} BYTE)"
        if not self.columns(tables):
            self._make(tables, [f"table_name {name} PRIMARY KEY", "description CLOB NOT NULL"])
        if not self.columns(ranges):
            numbers = ("baseline", "epoch", "commit_position", "sequence", "row_count", "edited")
            self._make(
                ranges,
                [
                    f"table_name {name}",
                    f"id_range VARCHAR2({RANGE_BYTES} BYTE)",
                    *(f"{each} NUMBER(19) NOT NULL" for each in numbers),
                    "PRIMARY KEY (table_name, id_range)",
                ],
            )

    def make_table(self, layout: Layout, structure: TableStructure | None, projected: Projected) -> None:
        del projected
        # What a killed process left: the books do not know it, so no row of it counts.
        self.drop_table(layout.place)
        given = carried.defaults(structure, layout, _FUNCTIONS)
        parts = (
            [] if layout.key else [f"{quoted(ROW_ID)} NUMBER(19) GENERATED ALWAYS AS IDENTITY PRIMARY KEY"]
        )
        for field in layout.rows:
            default = _default(given.get(field.name, _EMPTY), field)
            parts.append(f"{quoted(field.name)} {column_type(field, layout)}{default}")
        parts += [f"PRIMARY KEY ({listed(layout.key)})"] if layout.key else []
        place = layout.place
        self._make(place, parts)
        self._index(place, suffixed(f"{place.name}.", "by_range", limit=LIMIT), (ID_RANGE,))
        if not layout.key:
            self._index(place, suffixed(f"{place.name}.", "by_content", limit=LIMIT), (CONTENT,))
        self._driver.run(statements.create_trigger(place, suffixed(f"{place.name}.", "edited", limit=LIMIT)))
        for column in layout.schema.columns:
            self._describe(layout, column)

    def _make(self, place: Place, parts: Sequence[str]) -> None:
        self._driver.run(statements.create_table(named(place), parts))

    def _index(self, place: Place, name: str, columns: Sequence[str]) -> None:
        self._driver.run(statements.create_index(place.schema, name, named(place), columns))

    def _describe(self, layout: Layout, column: Column) -> None:
        """What the source calls a type that is held as a text."""
        if pa.types.is_string(column.arrow) and column.source_type not in ("", "text"):
            told = column.source_type[:_DESCRIPTION]
            self._driver.run(statements.comment(layout.place, column.name, told))

    def add_columns(self, layout: Layout, columns: Sequence[Column]) -> None:
        fields = {field.name: field for field in layout.rows}
        parts = [f"{quoted(each.name)} {column_type(fields[each.name], layout)}" for each in columns]
        self._driver.run(statements.add_columns(layout.place, parts))
        for column in columns:
            self._describe(layout, column)

    def carry(self, layout: Layout, structure: TableStructure, projected: Projected) -> list[str]:
        made, lines = carried.indexes(structure, layout, limit=LIMIT)
        columns: dict[str, list[str]] = {}
        for name, column in self.rows(statements.indexes(layout.place)):
            columns.setdefault(str(name), []).append(str(column))
        there = {tuple(each) for each in columns.values()}
        for each in made:
            if any(_is_object(layout, name) for name in each.columns):
                lines.append(f"{structure.table}: index {each.name}, of texts or binaries of any length")
            elif each.columns not in there:
                # Oracle has one index at most over the same columns.
                there.add(each.columns)
                self._index(layout.place, each.name, each.columns)
        self._declare_foreign_keys(layout, structure, projected, lines)
        return [*lines, *carried.otherwise(structure, layout, _FUNCTIONS)]

    def _declare_foreign_keys(
        self, layout: Layout, structure: TableStructure, projected: Projected, lines: list[str]
    ) -> None:
        there = {str(row[0]) for row in self.rows(statements.foreign_keys(layout.place))}
        for key, parent in carried.declarable(self, structure, layout, projected, lines):
            # Names of constraints are distinct within a schema.
            name = suffixed(f"{layout.place.name}.{key.name}", "", limit=LIMIT)
            if name not in there:
                self._driver.run(
                    statements.add_foreign_key(layout.place, name, key.columns, parent, key.referred)
                )

    def unfit(self, layout: Layout, key: ForeignKey) -> str:
        return carried.TEXTS_DIFFER if any(_is_object(layout, name) for name in key.columns) else ""

    def types(self, place: Place, columns: Sequence[str]) -> list[tuple[object, ...]]:
        return carried.types_among(self.rows(statements.types(place)), columns, place)

    def drop_table(self, place: Place) -> None:
        """With foreign keys of others to it, which `tidy` makes again."""
        if self.columns(place):
            self._driver.run(statements.drop_table(place))


def _is_object(layout: Layout, name: str) -> bool:
    return name not in layout.key and is_large(layout.schema.column(name).arrow)


def _default(given: str, field: pa.Field) -> str:
    if given == _EMPTY:
        return ""
    is_instant = pa.types.is_timestamp(field.type) and field.type.tz is not None
    return f" DEFAULT {'SYSTIMESTAMP' if given == _NOW and is_instant else given}"
