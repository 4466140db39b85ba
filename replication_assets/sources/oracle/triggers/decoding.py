"""Rows of the change log to what a `ports.ChangeChunk` holds of them.

The log has a column of the same type for each value, so values are read by the expressions of a load and end
in what a load makes of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import EventBatch
from replication_assets.core.logged_columns import LoggedColumns, SchemaChange
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import SHAPED, Shape, ShapeChange
from replication_assets.errors import DecodeError
from replication_assets.sources.oracle.statements.triggers import MISSED
from replication_assets.sources.oracle.triggers.shapes import name_of, replicated_column
from replication_assets.sources.oracle.types import column_of
from replication_assets.sources.oracle.values import from_frame, from_text, old_texts

_ID, _OP, _AT = range(3)
_FIXED = 3
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIME = column_of("AT", "TIMESTAMP(6)", False)
_LATE = "a transaction that was open while the trigger was exchanged wrote with columns of before"
_MISSED = "a change was made that the trigger could not write: the table was altered under it"


class Decoder:
    """Decodes pieces of the log one after the other; knows each table's columns by then."""

    def __init__(self, tables: Sequence[tuple[TableId, TableSchema]], epoch: int) -> None:
        self._columns = LoggedColumns(tables, name_of, replicated_column)
        self._epoch = epoch

    def is_ours(self, shape: Shape) -> bool:
        return self._columns.of(shape) is not None

    def mark(self, shape: Shape, op: str, commit: int, number: int, note: str) -> list[SchemaChange]:
        """What a row of `MARKS` tells."""
        if op == SHAPED:
            return self._columns.shaped(shape, ShapeChange.from_body(note), self._at(commit, number))
        if op != MISSED:
            raise DecodeError("a mark of the change log is of an unknown kind", where=shape.table)
        return self._reload(shape, commit, number, _MISSED)

    def late(self, shape: Shape, commit: int, frame: pa.RecordBatch) -> list[SchemaChange]:
        """Changes of a shape come after what tells of the next one: the table may have had other columns
        when they were made."""
        return self._reload(shape, commit, int(frame.column(_ID)[0].as_py()), _LATE)

    def _reload(self, shape: Shape, commit: int, number: int, reason: str) -> list[SchemaChange]:
        found = self._columns.of(shape)
        if found is None:
            return []
        table, schema = found
        return [(table, schema, SchemaChanged(self._at(commit, number), True, reason))]

    def decode(
        self, shape: Shape, columns: Sequence[Column], frame: pa.RecordBatch, commit: int
    ) -> tuple[EventBatch, list[SchemaChange], dt.datetime]:
        """Events of consecutive changes, what is to be told of columns before, and the time of the last.

        Raises:
            DecodeError: a value is not of its column's type.
        """
        if frame.num_columns != _FIXED + 2 * len(columns):
            raise DecodeError("the answer has not the columns that were asked for", where=shape.table)
        ids = np.asarray(frame.column(_ID).cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
        changes = self._columns.fitted(shape, self._at(commit, int(ids[0])))
        found = self._columns.of(shape)
        if found is None:
            raise DecodeError("changes of a table that is not captured", where=shape.table)
        table, schema = found
        times, _ = from_text(_TIME, frame.column(_AT).cast(pa.string()))
        at = np.asarray(times.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
        try:
            rows = ChangeRows(
                operations=frame.column(_OP).cast(pa.string()),
                commits=np.full(len(ids), commit, dtype=np.int64),
                sequences=ids,
                committed_at=at,
                transactions=None,
                old=_image(schema, shape, frame.columns[_FIXED : _FIXED + len(columns)]),
                new=_image(schema, shape, frame.columns[_FIXED + len(columns) :]),
            )
            batch = EventBatch(table, schema, row_events(rows, schema, self._epoch))
        except DecodeError as error:
            raise DecodeError(error.what, where=str(table), fix=error.fix) from None
        return batch, changes, _EPOCH + dt.timedelta(microseconds=int(at[-1]))

    def _at(self, commit: int, number: int) -> Position:
        return Position(self._epoch, commit, number)


def _image(schema: TableSchema, shape: Shape, frame: Sequence[pa.Array]) -> Image:
    """Columns that the shape lacks are null."""
    places = {name: place for place, name in enumerate(shape.names)}
    typed, odd, texts = [], [], []
    for column in schema.columns:
        if column.name in places:
            values, odd_texts = from_frame(column, frame[places[column.name]])
        else:
            values, odd_texts = pa.nulls(len(frame[0]), column.arrow), None
        typed.append(values)
        odd.append(odd_texts)
        texts.append(old_texts(values, odd_texts))
    return Image(tuple(typed), tuple(odd), tuple(texts))
