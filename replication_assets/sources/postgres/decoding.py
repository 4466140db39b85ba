"""A piece of the change stream to what a `ports.ChangeChunk` holds of it."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import EventBatch
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import DecodeError
from replication_assets.sources.postgres.pgoutput import (
    DELETE,
    INSERT,
    UPDATE,
    Frames,
    Ints,
    OpenTransaction,
    Relation,
    Truncation,
)
from replication_assets.sources.postgres.relations import Relations, SchemaChange
from replication_assets.sources.postgres.row_events import decode_rows

Truncated = tuple[TableId, Position, dt.datetime, int]


@dataclass(slots=True)
class Decoded:
    """Events of one piece, tables in the order of their first row."""

    batches: list[EventBatch] = field(default_factory=list)
    truncated: list[Truncated] = field(default_factory=list)
    schema_changes: list[SchemaChange] = field(default_factory=list)


class Decoder:
    """Decodes pieces one after the other; remembers the open transaction between them."""

    def __init__(self, relations: Relations, epoch: int, where: str) -> None:
        self._relations = relations
        self._epoch = epoch
        self._where = where
        self._open: OpenTransaction | None = None
        self._shapes: dict[int, list[tuple[int, Relation]]] = {}

    def decode(self, piece: bytes | bytearray, ends: list[int]) -> Decoded:
        """Decode whole XLogData messages, back to back and with `pgoutput.SPARE` after them, `ends`
        being where each one ends.

        Raises:
            DecodeError: something in them is not understood. The decoder is of no use after.
        """
        frames = Frames(piece, ends, self._open)
        decoded = Decoded()
        for first, work in sorted(self._work(frames), key=lambda item: item[0]):
            if isinstance(work, Truncation):
                self._truncate(frames, first, work, decoded)
            else:
                self._decode_rows(frames, work[0], work[1], decoded)
        for shapes in self._shapes.values():
            self._relations.learn(shapes[-1][1])
        self._open = frames.open_transaction()
        return decoded

    def _work(self, frames: Frames) -> list[tuple[int, tuple[Relation, Ints] | Truncation]]:
        """Rows by relation and its shape at the time, and truncations, with their first message."""
        described: dict[int, list[tuple[int, Relation]]] = {}
        for message, relation in frames.relations():
            described.setdefault(relation.oid, []).append((message, relation))
        work: list[tuple[int, tuple[Relation, Ints] | Truncation]] = []
        rows = frames.of_type(INSERT, UPDATE, DELETE)
        ids = frames.relation_ids[rows]
        for oid in np.unique(ids):
            mine = rows[ids == oid]
            shapes = described.get(int(oid), [])
            cuts = np.searchsorted(mine, [message for message, _ in shapes])
            for number, part in enumerate(np.split(mine, cuts)):
                if len(part):
                    shape = shapes[number - 1][1] if number else self._relations.current(int(oid))
                    work.append((int(part[0]), (shape, part)))
        for truncation in frames.truncations():
            work.append((truncation.message, truncation))
        self._shapes = described
        return work

    def _decode_rows(self, frames: Frames, relation: Relation, messages: Ints, decoded: Decoded) -> None:
        first = int(messages[0])
        table = self._resolve(frames, relation, first, int(frames.sequence[first]), decoded)[0]
        if table is None:
            return
        schema = self._relations.schema(table)
        try:
            rows = decode_rows(frames, messages, relation, schema, self._epoch)
        except DecodeError as error:
            raise DecodeError(error.what, where=error.where or str(table), fix=error.fix) from None
        decoded.batches.append(EventBatch(table, schema, rows))

    def _truncate(self, frames: Frames, message: int, truncation: Truncation, decoded: Decoded) -> None:
        """TRUNCATE of a partitioned table lists its partitions and not the table. One of some
        partitions alone takes rows that no event names."""
        partitions: dict[TableId, dict[int, tuple[str, Position]]] = {}
        for offset, oid in enumerate(truncation.relations):
            relation = self._shape_at(oid, message)
            table, at = self._resolve(frames, relation, message, truncation.first_sequence + offset, decoded)
            if table is None:
                continue
            if relation.is_called(table):
                decoded.truncated.append(_truncated(frames, message, table, at))
            else:
                partitions.setdefault(table, {})[oid] = (f"{relation.schema}.{relation.name}", at)
        for table, emptied in partitions.items():
            name, at = next(iter(emptied.values()))
            if self._relations.holds_all_rows(table, emptied.keys()):
                decoded.truncated.append(_truncated(frames, message, table, at))
            else:
                reason = f"partition {name} was truncated, without the rest of the table"
                schema = self._relations.schema(table)
                decoded.schema_changes.append((table, schema, SchemaChanged(at, True, reason)))

    def _resolve(
        self, frames: Frames, relation: Relation, message: int, sequence: int, decoded: Decoded
    ) -> tuple[TableId | None, Position]:
        at = Position(self._epoch, int(frames.commit[message]), sequence)
        table, changes = self._relations.resolve(relation, at, int(frames.xid[message]))
        decoded.schema_changes += changes
        return table, at

    def _shape_at(self, oid: int, message: int) -> Relation:
        shapes = self._shapes.get(oid, [])
        number = bisect_right([at for at, _ in shapes], message)
        return shapes[number - 1][1] if number else self._relations.current(oid)


def _truncated(frames: Frames, message: int, table: TableId, at: Position) -> Truncated:
    clock = dt.timedelta(microseconds=int(frames.committed_at[message]))
    return table, at, dt.datetime.fromtimestamp(0, dt.UTC) + clock, int(frames.xid[message])
