"""Which declared table rows belong to, and the table's columns by now.

A TABLE_MAP with full metadata shows a table's columns as they were when the next rows were written. It
does not tell all of a type (UUID is sixteen bytes, JSON of MariaDB a text), nor which columns are
generated: what it leaves open, the known schema and then the catalog decide. The catalog may be ahead of
the log, so it is believed only where it agrees with the map.

A change of columns is told at the position of the first row that shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.table_map import TableMap, WireColumn
from replication_assets.sources.mysql.binlog.wire_types import column_type, is_same_type
from replication_assets.sources.mysql.connection import Session
from replication_assets.sources.mysql.reflection import CatalogColumn, catalog_columns
from replication_assets.sources.mysql.schema_watch import compare
from replication_assets.sources.mysql.types import column_of

SchemaChange = tuple[TableId, TableSchema, SchemaChanged]


@dataclass(slots=True)
class _Watched:
    id: TableId
    schema: TableSchema
    shape: TableMap | None = None
    reload_told: bool = False
    """The statement that changed the shape said already that rows changed with it: a load after it need
    not be repeated when the first row shows the new columns."""


class Shapes:
    """Tables of one session of the change stream. With `folds_case`, the server tells names apart
    without regard to case (lower_case_table_names)."""

    def __init__(
        self,
        session: Callable[[], Session],
        tables: Sequence[tuple[TableId, TableSchema]],
        charsets: Charsets,
        *,
        folds_case: bool,
    ) -> None:
        self._session, self._charsets, self._folds_case = session, charsets, folds_case
        self._watched = {self._named(t.schema, t.name): _Watched(t, schema) for t, schema in tables}

    def _named(self, schema: str, name: str) -> tuple[str, str]:
        return (schema.lower(), name.lower()) if self._folds_case else (schema, name)

    def is_ours(self, schema: str, name: str) -> bool:
        return self._named(schema, name) in self._watched

    def find(self, schema: str, name: str) -> TableId | None:
        watched = self._watched.get(self._named(schema, name))
        return watched.id if watched is not None else None

    def in_database(self, database: str) -> list[TableId]:
        found = self._named(database, "")[0]
        return [watched.id for (schema, _), watched in self._watched.items() if schema == found]

    def schema(self, table: TableId) -> TableSchema:
        return self._watched[self._named(table.schema, table.name)].schema

    def note_reload(self, table: TableId) -> None:
        """A statement asked for a reload of the table."""
        self._watched[self._named(table.schema, table.name)].reload_told = True

    def resolve(self, shape: TableMap, at: Position) -> tuple[TableId, SchemaChange | None]:
        """The table of a shape whose next row is at `at`, and what changed with it.

        Raises:
            SourceNotReady: the shape does not name its columns.
        """
        watched = self._watched[self._named(shape.schema, shape.name)]
        if watched.shape == shape:
            return watched.id, None
        if not shape.has_names:
            raise SourceNotReady(
                "rows were logged without the names of their columns",
                where=str(watched.id),
                fix="SET GLOBAL binlog_row_metadata = 'FULL', recover the source, and load every id range"
                " again",
            )
        watched.shape = shape
        change = self._changed(watched, shape, at)
        if change is not None and watched.reload_told:
            change = change[0], change[1], replace(change[2], reload=False)
        watched.reload_told = False
        if change is not None:
            watched.schema = change[1]
        return watched.id, change

    def _changed(self, watched: _Watched, shape: TableMap, at: Position) -> SchemaChange | None:
        known = {column.name: column for column in watched.schema.columns}
        types = {wire.name: self._type_of(wire) for wire in shape.columns}
        if types.keys() - set(watched.schema.not_replicated) == known.keys() and all(
            is_same_type(column.source_type, types[name]) for name, column in known.items()
        ):
            return None
        catalog = {column.name: column for column in catalog_columns(self._session(), watched.id)}
        now, filled = [], set()
        for wire in shape.columns:
            old, told = known.get(wire.name), catalog.get(wire.name)
            if old is None and _is_left_out(wire, told, watched.schema):
                continue
            now.append(_column(wire, types[wire.name], old, told))
            if told is None or told.has_default or not told.nullable:
                # Of a column that is there no more, nothing is known.
                filled.add(wire.name)
        difference = compare(watched.schema, now, filled)
        if difference is None:
            return None
        names = {column.name for column in now}
        left_out = tuple(name for name in difference.schema.not_replicated if name not in names)
        event = SchemaChanged(at, difference.reload, difference.reason, difference.added, difference.dropped)
        return watched.id, replace(difference.schema, not_replicated=left_out), event

    def _type_of(self, wire: WireColumn) -> str:
        return column_type(wire, self._charsets)


def _column(wire: WireColumn, shown: str, old: Column | None, told: CatalogColumn | None) -> Column:
    """The column that a map shows: as it is known, as the catalog has it, or by the map alone."""
    if old is not None and is_same_type(old.source_type, shown):
        return old
    if told is not None:
        found = column_of(told.name, told.column_type, told.nullable)
        if is_same_type(found.source_type, shown):
            return found
    return column_of(wire.name, shown, wire.nullable)


def _is_left_out(wire: WireColumn, told: CatalogColumn | None, known: TableSchema) -> bool:
    """Whether a column that is not known is a generated one."""
    return told.generated if told is not None else wire.name in known.not_replicated
