"""Rows of the change log, as the server prints them, to what a `ports.ChangeChunk` holds of them.

The log has a column of the same type for each value, so values are read by the expressions of a load and
end in what a load makes of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import EventBatch
from replication_assets.core.logged_columns import LoggedColumns, SchemaChange
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import Shape, ShapeChange
from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.old_values import old_texts
from replication_assets.sources.mysql.select_list import read_expression
from replication_assets.sources.mysql.triggers.shapes import KeptShape, name_of, replicated_column
from replication_assets.sources.mysql.triggers.sql import LogNames
from replication_assets.sources.mysql.types import from_text

_FIXED = ("id", "op", "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at)")
_ID, _OP, _AT = range(3)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Printed = Sequence[pa.BinaryArray]


def read_query(names: LogNames, kept: KeptShape, condition: str) -> str:
    """Changes of a shape in their order: `_FIXED`, old values, new values."""
    return (
        f"SELECT {', '.join([*_FIXED, *(_images(kept, 'o')), *(_images(kept, 'n'))])}"
        f" FROM {names.changes(kept.shape.number)} WHERE {condition} ORDER BY id"
    )


def width(kept: KeptShape) -> int:
    """How many columns `read_query` has."""
    return len(_FIXED) + 2 * len(kept.shape.columns)


def _images(kept: KeptShape, side: str) -> list[str]:
    return [
        read_expression(replace(column, name=f"{side}{place}"))
        for place, column in enumerate(kept.schema().columns)
    ]


class Decoder:
    """Decodes pieces of the log one after the other; knows each table's columns by then."""

    def __init__(self, tables: Sequence[tuple[TableId, TableSchema]], epoch: int) -> None:
        self._columns = LoggedColumns(tables, name_of, replicated_column)
        self._epoch = epoch

    def is_ours(self, shape: Shape) -> bool:
        return self._columns.of(shape) is not None

    def shaped(self, shape: Shape, body: str, commit: int, number: int) -> list[SchemaChange]:
        """What a row of kind `SHAPED` tells."""
        return self._columns.shaped(shape, ShapeChange.from_body(body), self._at(commit, number))

    def missed(self, shape: Shape, commit: int, number: int) -> list[SchemaChange]:
        """What a row of kind `MISSED` tells."""
        found = self._columns.of(shape)
        if found is None:
            return []
        table, schema = found
        reason = "a change was made that the triggers could not write: the table was altered under them"
        return [(table, schema, SchemaChanged(self._at(commit, number), True, reason))]

    def decode(
        self, kept: KeptShape, printed: Printed, commit: int
    ) -> tuple[EventBatch, list[SchemaChange], dt.datetime]:
        """Events of consecutive changes, what is to be told of columns before, and the time of the last."""
        ids = _whole_numbers(printed[_ID])
        changes = self._columns.fitted(kept.shape, self._at(commit, int(ids[0])))
        found = self._columns.of(kept.shape)
        if found is None:
            raise DecodeError("changes of a table that is not captured")
        table, schema = found
        at = _whole_numbers(printed[_AT])
        operations = printed[_OP].cast(pa.string())
        count = len(kept.shape.columns)
        updated = pc.equal(operations, "U")
        old, new = printed[len(_FIXED) : len(_FIXED) + count], printed[len(_FIXED) + count :]
        rows = ChangeRows(
            operations=operations,
            commits=np.full(len(ids), commit, dtype=np.int64),
            sequences=ids,
            committed_at=at,
            transactions=None,
            old=_image(schema, kept.shape, old, updated),
            new=_image(schema, kept.shape, new, updated),
        )
        try:
            batch = EventBatch(table, schema, row_events(rows, schema, self._epoch))
        except DecodeError as error:
            raise DecodeError(error.what, where=str(table), fix=error.fix) from None
        return batch, changes, _EPOCH + dt.timedelta(microseconds=int(at[-1]))

    def _at(self, commit: int, number: int) -> Position:
        return Position(self._epoch, commit, number)


def _whole_numbers(printed: pa.BinaryArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(printed.cast(pa.string()).cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def _image(schema: TableSchema, shape: Shape, printed: Printed, updated: pa.BooleanArray) -> Image:
    """Columns that the shape lacks are null."""
    places = {name: place for place, name in enumerate(shape.names)}
    nothing = pa.nulls(len(updated), pa.binary())
    typed, odd, texts = [], [], []
    for column in schema.columns:
        values = printed[places[column.name]] if column.name in places else nothing
        stored, odd_texts = from_text(column, values)
        typed.append(stored)
        odd.append(odd_texts)
        texts.append(_texts(column, values, stored, odd_texts, updated))
    return Image(tuple(typed), tuple(odd), tuple(texts))


def _texts(
    column: Column,
    printed: pa.BinaryArray,
    stored: pa.Array,
    odd: pa.StringArray | None,
    updated: pa.BooleanArray,
) -> pa.StringArray:
    """Texts by which the two values of an updated row are compared and told, as capture from the binlog
    tells them; null in other rows, of which nobody asks."""
    if pa.types.is_binary(column.arrow) or pa.types.is_floating(column.arrow):
        none = pa.scalar(None, stored.type)
        return old_texts(column, pc.if_else(updated, stored, none), odd)
    return pc.if_else(updated, printed.cast(pa.string()), pa.scalar(None, pa.string()))
