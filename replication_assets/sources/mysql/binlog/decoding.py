"""A piece of the binary log to what a `ports.ChangeChunk` holds of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import EventBatch
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.definitions import DatabaseDropped, effects
from replication_assets.sources.mysql.binlog.pieces import (
    FIELDS,
    LOG_POS,
    SHAPE,
    TRANSACTION,
    Piece,
    Statement,
)
from replication_assets.sources.mysql.binlog.row_events import ROW_BITS, decode_rows
from replication_assets.sources.mysql.binlog.row_images import Ints, PieceBytes
from replication_assets.sources.mysql.binlog.shapes import SchemaChange, Shapes
from replication_assets.sources.mysql.binlog.table_map import TableMap

Truncated = tuple[TableId, Position, dt.datetime, int]


@dataclass(slots=True)
class Decoded:
    """Events of one piece, runs of a table's rows in the order of their first row."""

    batches: list[EventBatch] = field(default_factory=list)
    truncated: list[Truncated] = field(default_factory=list)
    schema_changes: list[SchemaChange] = field(default_factory=list)


class Decoder:
    """Decodes pieces one after the other."""

    def __init__(self, shapes: Shapes, charsets: Charsets, epoch: int) -> None:
        self._shapes, self._charsets, self._epoch = shapes, charsets, epoch

    def decode(self, piece: Piece) -> Decoded:
        """Raises DecodeError for what is not understood; the decoder is of no use after."""
        decoded = Decoded()
        work: list[tuple[int, int, Statement | tuple[TableMap, Ints]]] = [
            (statement.after, 0, statement) for statement in piece.statements
        ]
        index = np.array(piece.index, dtype=np.int64).reshape(-1, FIELDS)
        work += [(first, 1, run) for first, run in _runs(piece, index)]
        data = PieceBytes(piece.data)
        for _, _, each in sorted(work, key=lambda item: item[:2]):
            if isinstance(each, Statement):
                self._define(each, decoded)
            else:
                self._rows(piece, data, index[each[1]], each[0], decoded)
        return decoded

    def _rows(self, piece: Piece, data: PieceBytes, index: Ints, shape: TableMap, decoded: Decoded) -> None:
        first = piece.transactions[int(index[0, TRANSACTION])]
        at = Position(self._epoch, first.commit, int(index[0, LOG_POS]) << ROW_BITS)
        table, change = self._shapes.resolve(shape, at)
        if change is not None:
            decoded.schema_changes.append(change)
        schema = self._shapes.schema(table)
        try:
            rows = decode_rows(data, index, piece.transactions, shape, schema, self._epoch, self._charsets)
        except DecodeError as error:
            raise DecodeError(error.what, where=error.where or str(table), fix=error.fix) from None
        if rows.num_rows:
            decoded.batches.append(EventBatch(table, schema, rows))

    def _define(self, statement: Statement, decoded: Decoded) -> None:
        transaction = statement.transaction
        at = Position(self._epoch, transaction.commit, statement.log_pos << ROW_BITS)
        for effect in effects(statement.query):
            if isinstance(effect, DatabaseDropped):
                for table in self._shapes.in_database(effect.name):
                    self._reload(table, at, "its database was dropped", decoded)
                continue
            found = self._shapes.find(effect.table.schema, effect.table.name)
            if found is None:
                continue
            if effect.empties:
                decoded.truncated.append((found, at, transaction.time, transaction.number or 0))
            else:
                self._reload(found, at, effect.reason, decoded)

    def _reload(self, table: TableId, at: Position, reason: str, decoded: Decoded) -> None:
        event = SchemaChanged(at, True, reason)
        self._shapes.note_reload(table)
        decoded.schema_changes.append((table, self._shapes.schema(table), event))


def _runs(piece: Piece, index: Ints) -> Iterator[tuple[int, tuple[TableMap, Ints]]]:
    """Rows of a table that have one shape, without another statement or shape of the table between
    them: the first row event and all of them."""
    tables: dict[tuple[str, str], list[int]] = {}
    for number, shape in enumerate(piece.shapes):
        tables.setdefault((shape.schema, shape.name), []).append(number)
    cuts = sorted({statement.after for statement in piece.statements})
    for numbers in tables.values():
        mine = np.flatnonzero(np.isin(index[:, SHAPE], numbers))
        shapes = index[mine, SHAPE]
        edges = set((np.flatnonzero(np.diff(shapes)) + 1).tolist()) if len(numbers) > 1 else set()
        edges |= set(np.searchsorted(mine, cuts).tolist())
        for part in np.split(mine, sorted(edges)):
            if len(part):
                yield int(part[0]), (piece.shapes[int(index[part[0], SHAPE])], part)
