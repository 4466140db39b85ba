"""Tables of SQL Server as projections have them: keys, indexes, foreign keys, and what notices edits.

- The key is the primary key. Texts and binaries that differ in trailing spaces or zeros alone are one value
  to the server: their lengths, in computed columns (`_key_length_1` ...), are part of the key. A foreign key
  cannot refer to such a key.
- Texts beside the key are `nvarchar(max)`, which no index takes.
- Foreign keys are declared WITH NOCHECK and switched off: no session is held to them.
- One trigger for each table marks edits, once for a statement. TRUNCATE fires none and shows by the lack of
  rows; BULK INSERT and bcp fire none unless they are told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from replication_assets.core.events import ID_RANGE
from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.projection import carried
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.layout import CONTENT, RANGES, ROW_ID, TABLES, Layout, Place
from replication_assets.targets.sql.projection.sqlserver import statements
from replication_assets.targets.sql.projection.sqlserver.names import named, quoted
from replication_assets.targets.sql.projection.sqlserver.sessions import Driver
from replication_assets.targets.sql.projection.sqlserver.types import (
    COLLATION,
    RANGE_CHARACTERS,
    column_type,
    is_text,
)
from replication_assets.targets.sql.source_defaults import Functions

LIMIT = 128
"""Bytes that are safe in a name: the server counts 128 units of UTF-16."""
_FUNCTIONS = Functions(now="(SYSUTCDATETIME())", uuid="(LOWER(CONVERT(nvarchar(36), NEWID())))")
_DESCRIPTION = 3_750
"""Characters: an extended property has 7,500 bytes."""


class SqlServerTables:
    """The defining part of a session. `place_of` tells where a table of the projection stands."""

    def __init__(self, driver: Driver, place_of: Callable[[TableId], Place]) -> None:
        self._driver = driver
        self.place_of = place_of
        self._is_snapshot = False

    def run(self, statement: str) -> int:
        return self._driver.changed(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._driver.rows(query)

    def columns(self, place: Place) -> tuple[str, ...]:
        found = tuple(str(row[0]) for row in self.rows(statements.columns(place)))
        if found and self._is_snapshot and place.name == RANGES:
            self.rows(statements.touch(place))
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._driver.run(statements.READ_COMMITTED)
        self._driver.run(statements.BEGIN)
        try:
            yield
        except BaseException:
            # Of a session that was lost the server ends the transaction.
            with suppress(TargetError):
                self._driver.run(statements.ROLLBACK)
            raise
        self._driver.run(statements.COMMIT)
        self._driver.run(statements.SNAPSHOT)

    @contextmanager
    def defining(self) -> Iterator[None]:
        with self._transaction():
            ((got,),) = self.rows(statements.LOCK_MAKING)
            if int(got) < 0:
                raise TargetUnavailable("another process makes tables", fix="try again")
            yield

    def make_home(self, schema: str) -> None:
        if not self.rows(statements.has_schema(schema)):
            self._driver.run(statements.create_schema(schema))
        if self.columns(Place(schema, RANGES)):
            return
        name, id_range = f"nvarchar({LIMIT}) {COLLATION}", f"nvarchar({RANGE_CHARACTERS}) {COLLATION}"
        self._make(
            Place(schema, TABLES),
            [
                f"table_name {name} NOT NULL PRIMARY KEY",
                f"description nvarchar(max) {COLLATION} NOT NULL",
            ],
        )
        numbers = ("baseline bigint", "epoch int", "commit_position bigint", "sequence bigint")
        self._make(
            Place(schema, RANGES),
            [
                f"table_name {name} NOT NULL",
                f"id_range {id_range} NOT NULL",
                *(f"{each} NOT NULL" for each in (*numbers, "row_count bigint", "edited smallint")),
                "PRIMARY KEY (table_name, id_range)",
            ],
        )

    def make_table(self, layout: Layout, structure: TableStructure | None, projected: Projected) -> None:
        del projected
        given = carried.defaults(structure, layout, _FUNCTIONS)
        parts = [] if layout.key else [f"{quoted(ROW_ID)} bigint IDENTITY NOT NULL PRIMARY KEY"]
        for field in layout.rows:
            name = field.name
            default = f" DEFAULT {_unicode(given[name])}" if name in given else ""
            null = "NOT NULL" if name in layout.key else "NULL"
            parts.append(f"{quoted(name)} {column_type(field, layout)} {null}{default}")
        parts += statements.key_parts(layout, layout.key) if layout.key else []
        place = layout.place
        self._make(place, parts)
        self._driver.run(statements.create_index("_by_range", named(place), (ID_RANGE,)))
        if not layout.key:
            self._driver.run(statements.create_index("_by_content", named(place), (CONTENT,)))
        trigger = suffixed(place.name, "__edited", limit=LIMIT)
        self._driver.run(statements.create_trigger(place, trigger))
        for column in layout.schema.columns:
            self._describe(layout, column)

    def _make(self, place: Place, parts: Sequence[str]) -> None:
        self._driver.run(statements.create_table(named(place), parts))

    def _describe(self, layout: Layout, column: Column) -> None:
        """What the source calls a type that is held as a text."""
        if pa.types.is_string(column.arrow) and column.source_type != "text":
            told = column.source_type[:_DESCRIPTION]
            self._driver.run(statements.describe_column(layout.place, column.name, told))

    def add_columns(self, layout: Layout, columns: Sequence[Column]) -> None:
        fields = {field.name: field for field in layout.rows}
        parts = [f"{quoted(each.name)} {column_type(fields[each.name], layout)} NULL" for each in columns]
        self._driver.run(statements.add_columns(layout.place, parts))
        for column in columns:
            self._describe(layout, column)

    def carry(self, layout: Layout, structure: TableStructure, projected: Projected) -> list[str]:
        made, lines = carried.indexes(structure, layout, limit=LIMIT)
        there = {str(row[0]) for row in self.rows(statements.indexes(layout.place))}
        for each in made:
            if any(is_text(layout.schema.column(name).arrow) for name in each.columns):
                lines.append(f"{structure.table}: index {each.name}, of texts or binaries of any length")
            elif each.name not in there:
                self._driver.run(statements.create_index(each.name, named(layout.place), each.columns))
        self._declare_foreign_keys(layout, structure, projected, lines)
        return [*lines, *carried.otherwise(structure, layout, _FUNCTIONS)]

    def _declare_foreign_keys(
        self, layout: Layout, structure: TableStructure, projected: Projected, lines: list[str]
    ) -> None:
        there = {str(row[0]) for row in self.rows(statements.foreign_keys(layout.place))}
        for key, parent in carried.declarable(self, structure, layout, projected, lines):
            if key.name not in there:
                self._driver.run(
                    statements.add_foreign_key(layout.place, key.name, key.columns, parent, key.referred)
                )
                self._driver.run(statements.disable_foreign_key(layout.place, key.name))

    def unfit(self, layout: Layout, key: ForeignKey) -> str:
        if any(is_text(layout.schema.column(name).arrow) for name in key.columns):
            return ", of texts: the key that they refer to has their lengths as well"
        return ""

    def types(self, place: Place, columns: Sequence[str]) -> list[tuple[object, ...]]:
        return carried.types_among(self.rows(statements.types(place)), columns, place)

    def drop_table(self, place: Place) -> None:
        """With foreign keys of others to it, which `tidy` makes again."""
        for schema, table, name in self.rows(statements.referring(place)):
            self._driver.run(statements.drop_foreign_key(Place(str(schema), str(table)), str(name)))
        self._driver.run(statements.drop_table(named(place)))


def _unicode(default: str) -> str:
    """A default's text constant as a Unicode one."""
    return f"(N{default[1:]}" if default.startswith("('") else default
