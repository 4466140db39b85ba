"""Blocks of messages to chunks of events.

The position of a change is the block's commit and a sequence that its message alone decides: the
offset and the partition's place among all partitions. So a block that is read again, in whatever
order its partitions answer, gives the same positions; and changes of one key, which share a
partition, keep their order.

A message that cannot be understood is refused with its place, and stops the capture unless refused
messages are kept. Messages of tables that are not captured are passed over, as a database's log of
other tables is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.debezium import decode_debezium
from replication_assets.core.envelopes.dms import decode_dms
from replication_assets.core.envelopes.json_values import is_text, read_json
from replication_assets.core.envelopes.messages import Envelope, RowChange, TableChange
from replication_assets.core.envelopes.messages import Message as Told
from replication_assets.core.envelopes.rows import PlacedChange, late_columns, row_events
from replication_assets.core.envelopes.types import ValueFormat, late_column
from replication_assets.core.events import RESERVED_COLUMNS, EventBatch
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError
from replication_assets.ports import ChangeChunk
from replication_assets.ports.offsets import RefusedMessage
from replication_assets.sources.kafka.blocks import Block, Slot
from replication_assets.sources.kafka.topics import total

SLOT_BITS = 16
"""Of a sequence: room for 65,536 partitions of a source, and for 2**46 messages in each."""

Truncation: TypeAlias = tuple[TableId, Position, dt.datetime, int]
SchemaStep: TypeAlias = tuple[TableId, TableSchema, SchemaChanged]
_DECODERS: Mapping[Envelope, Callable[[Any], Told]] = {"dms": decode_dms, "debezium": decode_debezium}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_KEYLESS = "its key is missing, or not of the declared type"


def sequence_of(offset: int, slot: int) -> int:
    """The sequence of a message; `offset_of` is its inverse."""
    return 1 + (offset << SLOT_BITS | slot)


def offset_of(sequence: int) -> tuple[int, int]:
    """Offset, and the number of the partition among all partitions of the source, topics in order."""
    return (sequence - 1) >> SLOT_BITS, (sequence - 1) & (1 << SLOT_BITS) - 1


@dataclass
class _Decoded:
    changes: dict[TableId, list[PlacedChange]] = field(default_factory=dict)
    truncated: list[Truncation] = field(default_factory=list)
    stale: list[tuple[TableId, int, str]] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    committed_at: int | None = None


class Decoder:
    """Keeps the tables' columns as they grow. One stream, one thread."""

    def __init__(
        self,
        envelope: Envelope,
        form: ValueFormat,
        tables: Sequence[tuple[TableId, TableSchema]],
        epoch: int,
    ) -> None:
        self._decode = _DECODERS[envelope]
        self._form, self._epoch = form, epoch
        self._tables = {(table.schema, table.name): table for table, _ in tables}
        self._schemas = dict(tables)
        self._due: list[SchemaStep] = []

    def declare(self, table: TableId, schema: TableSchema) -> None:
        """The table has more declared columns than its log: told with the next block."""
        known = self._schemas[table].names
        added = tuple(name for name in schema.names if name not in known)
        self._schemas[table] = schema
        reason = f"declared {', '.join(added)}"
        self._due.append((table, schema, SchemaChanged(Position(0, 0), False, reason, added)))

    def chunk(self, block: Block) -> tuple[ChangeChunk, tuple[RefusedMessage, ...]]:
        """The block's events, whole, and the messages that were not understood."""
        commit = total(block.offsets)
        found = self._read(block)
        changes: list[SchemaStep] = []
        while self._due:
            table, schema, change = self._due.pop(0)
            changes.append((table, schema, replace(change, position=Position(self._epoch, commit, 1))))
        batches = []
        for table, placed in found.changes.items():
            changes += self._grow(table, placed, commit, found)
            kept = [each for each in placed if each.number not in found.refused]
            schema = self._schemas[table]
            rows, keyless = row_events(kept, schema, self._form, epoch=self._epoch, commit=commit)
            found.refused |= dict.fromkeys(keyless, _KEYLESS)
            if rows.num_rows:
                batches.append(EventBatch(table, schema, rows))
        for table, sequence, reason in found.stale:
            position = Position(self._epoch, commit, sequence)
            changes.append((table, self._schemas[table], SchemaChanged(position, True, reason)))
        truncated = tuple(
            (table, replace(position, commit=commit), at, transaction)
            for table, position, at, transaction in found.truncated
        )
        at = _time(found.committed_at) if found.committed_at is not None else None
        chunk = ChangeChunk(tuple(batches), truncated, tuple(changes), commit, at)
        return chunk, _refused(block, found.refused)

    def _read(self, block: Block) -> _Decoded:
        slots = {slot: number for number, slot in enumerate(_slots(block))}
        alone = {topic: len(each) == 1 for topic, each in block.offsets.items()}
        found = _Decoded()
        for number, message in enumerate(block.messages):
            value = message.value()
            if value is None:
                # A tombstone: the delete itself came before it.
                continue
            try:
                told = self._decode(read_json(value))
            except DecodeError as error:
                found.refused[number] = error.what
                continue
            table = None if told is None else self._tables.get((told.schema, told.table))
            if told is None or table is None:
                continue
            topic = str(message.topic())
            sequence = sequence_of(int(message.offset() or 0), slots[topic, int(message.partition() or 0)])
            sent_at = message.timestamp()[1] * 1000
            at = sent_at if told.committed_at is None else told.committed_at
            found.committed_at = max(found.committed_at or at, at)
            if isinstance(told, RowChange):
                found.changes.setdefault(table, []).append(PlacedChange(number, sequence, sent_at, told))
            else:
                self._note(found, table, told, sequence, at, ordered=alone[topic])
        return found

    def _note(
        self, found: _Decoded, table: TableId, told: TableChange, sequence: int, at: int, *, ordered: bool
    ) -> None:
        if told.kind == "emptied" and ordered:
            found.truncated.append((table, Position(self._epoch, 0, sequence), _time(at), 0))
        elif told.kind == "emptied":
            # Its place among the changes of other partitions is not known.
            reason = f"{told.reason}, which has several partitions"
            found.stale.append((table, sequence, reason))
        else:
            found.stale.append((table, sequence, told.reason))

    def _grow(
        self, table: TableId, placed: Sequence[PlacedChange], commit: int, found: _Decoded
    ) -> list[SchemaStep]:
        late = late_columns(placed, self._schemas[table])
        for name in [name for name in late if name in RESERVED_COLUMNS or not name or not is_text(name)]:
            for each in placed:
                if name in each.change.row:
                    found.refused[each.number] = "a column of it has a name that cannot be stored"
            del late[name]
        if not late:
            return []
        known = self._schemas[table]
        grown = replace(known, columns=(*known.columns, *(late_column(name) for name in late)))
        self._schemas[table] = grown
        first = min(each.sequence for each in late.values())
        reason = "columns that nobody declared came"
        change = SchemaChanged(Position(self._epoch, commit, first), False, reason, tuple(late))
        return [(table, grown, change)]


def _slots(block: Block) -> list[Slot]:
    return [(topic, n) for topic in sorted(block.offsets) for n in range(len(block.offsets[topic]))]


def _time(microseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=microseconds)


def _refused(block: Block, reasons: Mapping[int, str]) -> tuple[RefusedMessage, ...]:
    return tuple(
        RefusedMessage(
            str(block.messages[number].topic()),
            int(block.messages[number].partition() or 0),
            int(block.messages[number].offset() or 0),
            reason,
            _bytes(block.messages[number].key()),
            _bytes(block.messages[number].value()),
        )
        for number, reason in sorted(reasons.items())
    )


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
