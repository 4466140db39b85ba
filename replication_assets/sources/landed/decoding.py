"""Rows of files to chunks of events, each at the position that its file and row decide.

`commit` is the file's own, `sequence` the number of the row in it, from 1. So a file that is read again
gives the same positions.

A file that arrives late has changes that are older than some which were stored. Its own events come
first, and behind them, in their order, the newer changes of the same keys once more: every key ends as
the newest change left it, and no row is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.json_values import is_text
from replication_assets.core.events import COMMITTED_AT, RESERVED_COLUMNS, EventBatch
from replication_assets.core.landed.events import Ints, LandedRows, Place, landed_events
from replication_assets.core.landed.names import LandedFile
from replication_assets.core.landed.repeats import Hashes
from replication_assets.core.landed.values import parquet_column
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError
from replication_assets.ports import ChangeChunk
from replication_assets.sources.landed.checking import CheckedFile, RowReader
from replication_assets.sources.landed.journal import ReadFile
from replication_assets.sources.landed.layout import Name, name_of

SchemaStep = tuple[TableId, TableSchema, SchemaChanged]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file to deliver: how many of its first rows, by table, are read already, and which files of a
    table were read although they come after it."""

    checked: CheckedFile
    commit: int
    repeated: Mapping[Name, int]
    later: Mapping[Name, Sequence[ReadFile]]


class Decoder:
    """Keeps the tables' columns as they grow. One stream, one thread."""

    def __init__(
        self,
        reader: RowReader,
        tables: Sequence[tuple[TableId, TableSchema]],
        epoch: int,
        no_sup_value: str | None,
    ) -> None:
        self._reader, self._epoch, self._no_sup_value = reader, epoch, no_sup_value
        self._tables = {name_of(table): table for table, _ in tables}
        self._schemas = dict(tables)
        self._due: list[SchemaStep] = []

    def declare(self, table: TableId, schema: TableSchema) -> None:
        """The table has more declared columns than its log: told with the next file."""
        added = tuple(name for name in schema.names if name not in self._schemas[table].names)
        self._schemas[table] = schema
        reason = f"declared {', '.join(added)}"
        self._due.append((table, schema, SchemaChanged(Position(0, 0), False, reason, added)))

    def chunks(self, delivery: Delivery) -> Iterator[ChangeChunk]:
        """The file's events, some megabytes at a time; none of the chunks ends between commits."""
        file, skipped = delivery.checked.file, dict(delivery.repeated)
        keys: dict[Name, list[Hashes]] = {}
        kept = delivery.checked.kept
        for rows in kept if kept is not None else self._reader.rows(file):
            skip = min(skipped.get(rows.table, 0), len(rows.numbers))
            skipped[rows.table] = skipped.get(rows.table, 0) - skip
            if skip:
                rows = rows.chosen(np.arange(len(rows.numbers)) >= skip)
            if not len(rows.numbers):
                continue
            chunk, batch = self._chunk(rows, file, delivery.commit, rows.numbers + 1)
            yield chunk
            if delivery.later.get(rows.table):
                key = self._schemas[self._tables[rows.table]].key
                keys.setdefault(rows.table, []).append(self._reader.key_hashes(batch.rows, key))
        sequence = delivery.checked.rows + 1
        for name, hashes in keys.items():
            for chunk, count in self._again(delivery, name, np.concatenate(hashes), sequence):
                sequence += count
                yield chunk

    def _again(
        self, delivery: Delivery, name: Name, keys: Hashes, sequence: int
    ) -> Iterator[tuple[ChangeChunk, int]]:
        """Newer changes of the keys of a late file, which were stored before it."""
        key = self._schemas[self._tables[name]].key
        for each in delivery.later[name]:
            for rows in self._reader.rows(each.file):
                if rows.table != name:
                    continue
                numbered = np.arange(sequence, sequence + len(rows.numbers))
                _, batch = self._chunk(rows, each.file, delivery.commit, numbered)
                wanted = np.isin(self._reader.key_hashes(batch.rows, key), keys)
                if not wanted.any():
                    continue
                count = int(wanted.sum())
                chosen = rows.chosen(wanted)
                chunk, _ = self._chunk(
                    chosen, each.file, delivery.commit, np.arange(sequence, sequence + count)
                )
                sequence += count
                yield chunk, count

    def _chunk(
        self, rows: LandedRows, file: LandedFile, commit: int, sequences: Ints
    ) -> tuple[ChangeChunk, EventBatch]:
        table, where = self._tables[rows.table], self._reader.where(file)
        steps = self._steps_due(commit)
        steps += self._grow(table, rows, commit, int(sequences[0]), where)
        place = Place(self._epoch, commit, pa.scalar(file.at, pa.timestamp("us", tz="UTC")))
        schema = self._schemas[table]
        try:
            events = landed_events(rows, schema, place, sequences, self._no_sup_value)
        except DecodeError as error:
            raise DecodeError(
                error.what, where=where, fix="declare the columns and the key as the file has them"
            ) from None
        batch = EventBatch(table, schema, events)
        at = pc.max(events.column(COMMITTED_AT)).as_py()
        return ChangeChunk((batch,), (), tuple(steps), None, at), batch

    def _steps_due(self, commit: int) -> list[SchemaStep]:
        due, self._due = self._due, []
        return [
            (table, schema, replace(change, position=Position(self._epoch, commit, 1)))
            for table, schema, change in due
        ]

    def _grow(
        self, table: TableId, rows: LandedRows, commit: int, sequence: int, where: str
    ) -> list[SchemaStep]:
        """Columns of the file that nobody declared: text, or what Parquet says."""
        known = self._schemas[table]
        late = [name for name in rows.values if name not in known.names]
        if not late:
            return []
        if any(name in RESERVED_COLUMNS or not is_text(name) for name in late):
            raise DecodeError("a column of it has a name that cannot be stored", where=where)
        added = tuple(parquet_column(name, rows.values[name].type) for name in late)
        grown = replace(known, columns=(*known.columns, *added))
        self._schemas[table] = grown
        reason = "columns that nobody declared came"
        change = SchemaChanged(Position(self._epoch, commit, sequence), False, reason, tuple(late))
        return [(table, grown, change)]
