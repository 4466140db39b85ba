"""Rows of the change log to what a `ports.ChangeChunk` holds of them."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from replication_assets.core.change_rows import ChangeRows, Image, row_events
from replication_assets.core.events import EventBatch
from replication_assets.core.logged_columns import LoggedColumns, SchemaChange
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import ANCHOR, SHAPED, Shape, ShapeChange
from replication_assets.errors import DecodeError
from replication_assets.ports import ChangeChunk
from replication_assets.sources.sqlite.quoting import identifier
from replication_assets.sources.sqlite.triggers import LogNames
from replication_assets.sources.sqlite.types import stored, stored_type, texts

Row = tuple[Any, ...]

_ID, _SHAPE, _OP, _AT, _NOTE = range(5)
_SEQUENCE = 1
_FIXED = "id, shape, op, at, note"


class Decoder:
    """Decodes pieces of the log one after the other; knows each table's columns by then."""

    def __init__(
        self,
        session: sqlite3.Connection,
        names: LogNames,
        tables: Sequence[tuple[TableId, TableSchema]],
        epoch: int,
        where: str,
    ) -> None:
        self._session, self._names, self._epoch, self._where = session, names, epoch, where
        self._columns = LoggedColumns(tables, lambda table: table.name, _column_of)
        self._shapes: dict[int, Shape] = {}

    def log_columns(self) -> str:
        """What to select of the log: images as wide as the widest shape."""
        width = max((len(shape.columns) for shape in self._known().values()), default=0)
        images = [f"{side}{number}" for side in "on" for number in range(width)]
        return ", ".join([_FIXED, *images])

    def decode(self, rows: Sequence[Row], *, through: int) -> ChangeChunk:
        """A chunk of consecutive rows; `through` is told if the last of them is that change."""
        width = (len(rows[0]) - 5) // 2
        batches: list[EventBatch] = []
        changes: list[SchemaChange] = []
        for shape, run in self._runs(rows):
            if run[0][_OP] == ANCHOR:
                continue
            first = Position(self._epoch, run[0][_ID], _SEQUENCE)
            if run[0][_OP] == SHAPED:
                changes += self._columns.shaped(shape, ShapeChange.from_body(run[0][_NOTE]), first)
                continue
            changes += self._columns.fitted(shape, first)
            found = self._columns.of(shape)
            if found is not None:
                batches.append(self._events(*found, shape, run, width))
        ended = rows[-1][_ID] == through
        at = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=rows[-1][_AT])
        return ChangeChunk(
            tuple(batches), (), tuple(changes), through if ended else None, at if ended else None
        )

    def _runs(self, rows: Sequence[Row]) -> list[tuple[Shape, list[Row]]]:
        """Changes of one shape together, in the order of their first; what tells of a shape alone."""
        runs: dict[int, tuple[Shape, list[Row]]] = {}
        found: list[tuple[Shape, list[Row]]] = []
        for row in rows:
            if row[_OP] == ANCHOR:
                continue
            number = row[_SHAPE]
            if row[_OP] == SHAPED:
                found.append((self._shape(number), [row]))
                continue
            if number not in runs:
                runs[number] = (self._shape(number), [])
                found.append(runs[number])
            runs[number][1].append(row)
        return found

    def _known(self) -> dict[int, Shape]:
        rows = self._session.execute(f"SELECT shape, name, body FROM main.{identifier(self._names.shapes)}")
        self._shapes = {number: Shape.from_body(number, name, body) for number, name, body in rows}
        return self._shapes

    def _shape(self, number: int) -> Shape:
        try:
            return self._shapes.get(number) or self._known()[number]
        except KeyError:
            raise DecodeError(
                f"shape {number} of the change log is not described", where=self._where
            ) from None

    # --- rows ------------------------------------------------------------------------------

    def _events(
        self, table: TableId, schema: TableSchema, shape: Shape, rows: list[Row], width: int
    ) -> EventBatch:
        columns = list(zip(*rows, strict=True))
        ids = np.array(columns[_ID], dtype=np.int64)
        changes = ChangeRows(
            operations=pa.array(columns[_OP], pa.string()),
            commits=ids,
            sequences=np.full(len(rows), _SEQUENCE, dtype=np.int64),
            committed_at=np.array(columns[_AT], dtype=np.int64),
            transactions=None,
            old=_image(schema, shape, columns[5 : 5 + width], len(rows)),
            new=_image(schema, shape, columns[5 + width :], len(rows)),
        )
        try:
            return EventBatch(table, schema, row_events(changes, schema, self._epoch))
        except DecodeError as error:
            raise DecodeError(error.what, where=str(table), fix=error.fix) from None


def _column_of(name: str, kind: str) -> Column:
    return Column(name, kind, stored_type(kind))


def _image(schema: TableSchema, shape: Shape, values: Sequence[Sequence[Any]], rows: int) -> Image:
    """Columns that the shape lacks are null."""
    places = {name: number for number, name in enumerate(shape.names)}
    typed, odd, found = [], [], []
    for column in schema.columns:
        each = values[places[column.name]] if column.name in places else [None] * rows
        value, literals = stored(column, each)
        typed.append(value)
        odd.append(literals)
        found.append(texts(column, each))
    return Image(tuple(typed), tuple(odd), tuple(found))
