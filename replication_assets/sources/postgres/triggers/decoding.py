"""Rows of the change log to what a `ports.ChangeChunk` holds of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import psycopg
import pyarrow as pa

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import EventBatch
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import ANCHOR, SHAPED, TRUNCATE, ShapeChange
from replication_assets.errors import DecodeError
from replication_assets.ports import ChangeChunk
from replication_assets.sources.postgres.connection import source_errors
from replication_assets.sources.postgres.triggers.records import fields_of, width_of
from replication_assets.sources.postgres.triggers.shapes import RowShape, read_shapes
from replication_assets.sources.postgres.triggers.sql import UNCERTAIN, LogNames
from replication_assets.sources.postgres.types import from_text

Row: TypeAlias = tuple[Any, ...]
SchemaChange: TypeAlias = tuple[TableId, TableSchema, SchemaChanged]
Truncation: TypeAlias = tuple[TableId, Position, dt.datetime, int]

_COMMIT, _ID, _XID, _SHAPE, _OP, _AT, _OLD, _NEW, _NOTE = range(9)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Decoder:
    """Decodes pieces of the log one after the other; knows each table's columns by then."""

    def __init__(
        self,
        session: psycopg.Connection[Any],
        names: LogNames,
        tables: Sequence[tuple[TableId, TableSchema]],
        epoch: int,
        where: str,
    ) -> None:
        """`session` answers questions about shapes and types; it is not the one that reads."""
        self._session, self._names, self._epoch, self._where = session, names, epoch, where
        self._schemas = {(table.schema, table.name): (table, schema) for table, schema in tables}
        self._shapes: dict[int, RowShape] = {}
        self._emptied: set[tuple[int, int]] = set()

    def decode(self, rows: Sequence[Row], *, through: int | None) -> ChangeChunk:
        """A chunk of consecutive rows."""
        batches: list[EventBatch] = []
        changes: list[SchemaChange] = []
        truncated: list[Truncation] = []
        with source_errors(self._where):
            for shape, run in self._runs(rows):
                if run[0][_OP] == SHAPED:
                    changes += self._shaped(shape, run[0])
                elif run[0][_OP] == TRUNCATE and run[0][_NOTE] in (None, str(shape.relation)):
                    truncated += self._truncated(shape, run)
                elif run[0][_OP] == TRUNCATE:
                    changes += self._reload(shape, run[0], "a partition was truncated")
                elif run[0][_NOTE] is not None and not self._is_leaf(shape, run[0][_NOTE]):
                    changes += self._reload(shape, run[0], "a partition came and went between two looks")
                elif shape.name in self._schemas:
                    batches += self._events(shape, run, changes)
        at = None if through is None else _time(rows[-1])
        return ChangeChunk(tuple(batches), tuple(truncated), tuple(changes), through, at)

    def _runs(self, rows: Sequence[Row]) -> list[tuple[RowShape, list[Row]]]:
        """Changes of one shape together, in the order of their first; truncations, what tells of a shape, and
        what was made in an unknown partition, apart."""
        runs: dict[tuple[int, str | None], list[Row]] = {}
        found: list[tuple[RowShape, list[Row]]] = []
        for row in rows:
            number = row[_SHAPE]
            if row[_OP] == ANCHOR or number == UNCERTAIN or self._is_emptied(row):
                continue
            if row[_OP] in (SHAPED, TRUNCATE):
                found.append((self._shape(number), [row]))
                continue
            note = row[_NOTE]
            within = (number, None if note is None or self._is_leaf(self._shape(number), note) else note)
            if within not in runs:
                runs[within] = []
                found.append((self._shape(number), runs[within]))
            runs[within].append(row)
        return found

    def _is_emptied(self, row: Row) -> bool:
        """A TRUNCATE of a partitioned table is told first, and then of each of its partitions. What else its
        transaction does in between makes one of a partition alone of it."""
        if row[_OP] != TRUNCATE:
            self._emptied.discard((row[_XID], row[_SHAPE]))
            return False
        if row[_NOTE] in (None, str(self._shape(row[_SHAPE]).relation)):
            self._emptied.add((row[_XID], row[_SHAPE]))
            return False
        return (row[_XID], row[_SHAPE]) in self._emptied

    def _is_leaf(self, shape: RowShape, note: str) -> bool:
        """Whether a relation is, or was, a partition of the table that was looked at."""
        if any(int(note) == oid for oid, _ in shape.leaves or ()):
            return True
        self._shapes = read_shapes(self._session, self._names)
        return any(
            int(note) == oid
            for each in self._shapes.values()
            if each.relation == shape.relation
            for oid, _ in each.leaves or ()
        )

    def _reload(self, shape: RowShape, row: Row, reason: str) -> list[SchemaChange]:
        if shape.name not in self._schemas:
            return []
        table, schema = self._schemas[shape.name]
        return [(table, schema, SchemaChanged(Position(self._epoch, row[_COMMIT], row[_ID]), True, reason))]

    def _shape(self, number: int) -> RowShape:
        if number not in self._shapes:
            self._shapes = read_shapes(self._session, self._names)
        try:
            return self._shapes[number]
        except KeyError:
            raise DecodeError(
                f"shape {number} of the change log is not described", where=self._where
            ) from None

    # --- what is told of tables ------------------------------------------------------------

    def _shaped(self, shape: RowShape, row: Row) -> list[SchemaChange]:
        if shape.name not in self._schemas:
            return []
        told = ShapeChange.from_body(row[_NOTE])
        at = Position(self._epoch, row[_COMMIT], row[_ID])
        change = SchemaChanged(at, told.reload, told.reason, told.added, told.dropped)
        return [self._take(shape, change)]

    def _take(self, shape: RowShape, change: SchemaChanged) -> SchemaChange:
        table, known = self._schemas[shape.name]
        schema = shape.schema(self._session, known.not_replicated)
        if _columns(schema) == _columns(known) and schema.key == known.key:
            schema = known
        self._schemas[shape.name] = (table, schema)
        return table, schema, change

    def _truncated(self, shape: RowShape, run: Sequence[Row]) -> list[Truncation]:
        if shape.name not in self._schemas:
            return []
        table, _ = self._schemas[shape.name]
        return [(table, Position(self._epoch, row[_COMMIT], row[_ID]), _time(row), row[_XID]) for row in run]

    # --- rows ------------------------------------------------------------------------------

    def _events(self, shape: RowShape, rows: list[Row], changes: list[SchemaChange]) -> list[EventBatch]:
        changes += self._fitted(shape, rows[0])
        columns = list(zip(*rows, strict=True))
        width = len(shape.names)
        old, new = (fields_of(columns[each], width) for each in (_OLD, _NEW))
        if old is not None and new is not None:
            return [self._batch(shape, columns, shape.names, old, new)]
        return self._by_width(shape, rows, changes)

    def _by_width(self, shape: RowShape, rows: list[Row], changes: list[SchemaChange]) -> list[EventBatch]:
        """Images of a table that was altered meanwhile. Their triggers were exchanged with it, and which
        columns may have come or gone is known by now."""
        found = []
        widths = [width_of(row[_NEW] if row[_NEW] is not None else row[_OLD]) for row in rows]
        for width in sorted(set(widths), key=widths.index):
            run = [row for row, each in zip(rows, widths, strict=True) if each == width]
            columns = list(zip(*run, strict=True))
            then = self._of_width(shape, width)
            changes += self._widened(then, run[0])
            old, new = (fields_of(columns[each], width) for each in (_OLD, _NEW))
            if old is None or new is None:
                raise DecodeError("the two images of a change are of different width", where=self._where)
            found.append(self._batch(shape, columns, then.names, old, new))
        return found

    def _of_width(self, shape: RowShape, width: int) -> RowShape:
        """What the table was when its images had so many fields."""
        if width == len(shape.names):
            return shape
        self._shapes = read_shapes(self._session, self._names)
        later = [
            each for number, each in sorted(self._shapes.items())
            if number > shape.number and each.relation == shape.relation
        ]  # fmt: skip
        # The next shape began with the lock under which triggers were exchanged: in between, columns
        # came at its end, or the one that it lacks went.
        if not later or len(later[0].names) < width:
            raise DecodeError("a row image has another width than its table ever had", where=self._where)
        return replace(later[0], attributes=later[0].attributes[:width])

    def _widened(self, then: RowShape, first: Row) -> list[SchemaChange]:
        """Columns that a change has before the log tells of them: what tells of them comes first."""
        _, known = self._schemas[then.name]
        came = tuple(name for name in then.names if name not in {*known.names, *then.computed})
        if not came or len(then.names) < len(known.names):
            return []
        reason = f"column {', '.join(came)} was added, null in all rows"
        at = Position(self._epoch, first[_COMMIT], first[_ID])
        return [self._take(then, SchemaChanged(at, False, reason, came))]

    def _fitted(self, shape: RowShape, first: Row) -> list[SchemaChange]:
        """Changes written before a load saw other columns: the stream tells of the older ones."""
        _, known = self._schemas[shape.name]
        before = _columns(shape.schema(self._session))
        now = _columns(known)
        if all(now.get(name) == kind for name, kind in before.items()) and set(known.key) <= before.keys():
            return []
        gone = tuple(name for name in now if name not in before)
        came = tuple(name for name in before if name not in now)
        reason = "changes written with other columns than the log has"
        at = Position(self._epoch, first[_COMMIT], first[_ID])
        return [self._take(shape, SchemaChanged(at, True, reason, came, gone))]

    def _batch(
        self,
        shape: RowShape,
        columns: Sequence[Sequence[Any]],
        names: Sequence[str],
        old: Sequence[pa.StringArray],
        new: Sequence[pa.StringArray],
    ) -> EventBatch:
        table, schema = self._schemas[shape.name]
        changes = ChangeRows(
            operations=pa.array(columns[_OP], pa.string()),
            commits=np.array(columns[_COMMIT], dtype=np.int64),
            sequences=np.array(columns[_ID], dtype=np.int64),
            committed_at=np.array(columns[_AT], dtype=np.int64),
            transactions=np.array(columns[_XID], dtype=np.int64),
            old=_image(schema, names, old),
            new=_image(schema, names, new),
        )
        try:
            return EventBatch(table, schema, row_events(changes, schema, self._epoch))
        except DecodeError as error:
            raise DecodeError(error.what, where=str(table), fix=error.fix) from None


def _image(schema: TableSchema, names: Sequence[str], fields: Sequence[pa.StringArray]) -> Image:
    """Columns that the image lacks are null."""
    found = dict(zip(names, fields, strict=True))
    texts = [found.get(name, pa.nulls(len(fields[0]), pa.string())) for name in schema.names]
    pairs = [from_text(column, text) for column, text in zip(schema.columns, texts, strict=True)]
    return Image(tuple(typed for typed, _ in pairs), tuple(odd for _, odd in pairs), tuple(texts))


def _columns(schema: TableSchema) -> dict[str, str]:
    return {column.name: column.source_type for column in schema.columns}


def _time(row: Row) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=row[_AT])
