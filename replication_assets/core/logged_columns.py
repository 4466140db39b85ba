"""Which columns the rows of a trigger's log are decoded with, from one change to the next.

A capture begins with the columns that the store has. The log tells by rows of kind `SHAPED` where others
begin. Rows that were written before a load saw newer columns are decoded with theirs, and that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import Shape, ShapeChange

SchemaChange = tuple[TableId, TableSchema, SchemaChanged]


class LoggedColumns:
    """The columns of each captured table, as of the place that a stream has reached."""

    def __init__(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        name_of: Callable[[TableId], str],
        column_of: Callable[[str, str], Column],
    ) -> None:
        """`name_of` is what `Shape.table` says of a table, `column_of` a column of a name and a type."""
        self._schemas = {name_of(table): (table, schema) for table, schema in tables}
        self._column_of = column_of

    def of(self, shape: Shape) -> tuple[TableId, TableSchema] | None:
        """None if the table is not captured."""
        return self._schemas.get(shape.table)

    def shaped(self, shape: Shape, told: ShapeChange, at: Position) -> list[SchemaChange]:
        """A row told that triggers write this shape from here on."""
        found = self.of(shape)
        if found is None:
            return []
        table, known = found
        schema = known if shape.fits(known) else self._schema(shape, known)
        self._schemas[shape.table] = (table, schema)
        return [(table, schema, SchemaChanged(at, told.reload, told.reason, told.added, told.dropped))]

    def fitted(self, shape: Shape, first: Position) -> list[SchemaChange]:
        """Changes written before a load saw other columns: the stream tells of the older ones."""
        found = self.of(shape)
        if found is None:
            return []
        table, known = found
        types = {column.name: column.source_type for column in known.columns}
        same = all(types.get(name) == kind for name, kind in shape.columns)
        if same and set(known.key) <= set(shape.names):
            return []
        schema = self._schema(shape, known)
        self._schemas[shape.table] = (table, schema)
        gone = tuple(name for name in known.names if name not in shape.names)
        came = tuple(name for name in shape.names if name not in types)
        reason = "changes written with other columns than the log has"
        return [(table, schema, SchemaChanged(first, True, reason, came, gone))]

    def _schema(self, shape: Shape, known: TableSchema) -> TableSchema:
        before = {column.name: column for column in known.columns}
        columns = tuple(
            found
            if (found := before.get(name)) is not None and found.source_type == kind
            else self._column_of(name, kind)
            for name, kind in shape.columns
        )
        return replace(known, columns=columns, key=shape.key)
