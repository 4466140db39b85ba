"""One commit's worth of rows: split by partition, buffered, written as Parquet, made visible.

Memory is bounded by `BUFFER_BYTES` of Arrow rows and `OPEN_PARTS` open files, whatever the
number of partitions: beyond that, files are finished early and compaction has more to do.
Nothing is visible before `commit`; a killed writer leaves files that nobody reads and
`vacuum` removes.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Transaction

from replication_assets.core.events import ENVELOPE, EVENT_DATE, ID_RANGE, POSITION
from replication_assets.core.positions import Position
from replication_assets.errors import CommitConflict, SchemaConflict, StoreError
from replication_assets.event_store.columns import arrow_schema
from replication_assets.event_store.commit import commit
from replication_assets.event_store.parts import (
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    TARGET_BYTES,
    PartWriter,
    WrittenPart,
    partition_of,
)
from replication_assets.event_store.storage import Place
from replication_assets.failpoints import reach
from replication_assets.ports import CellCount

BUFFER_BYTES = 64 << 20
"""Peak memory is some two to three times this: a flush holds its rows encoded as well."""
OPEN_PARTS = 64

CAPTURE = "capture"
"""App transaction whose version is the epoch of the newest capture; `capture/<epoch>` holds
the commit position. Being in every capture's commit, it makes any two of them conflict."""

Cell = tuple[str, dt.date | None]


def captured_position(table: DeltaTable) -> Position | None:
    """The capture checkpoint of an open version."""
    epoch = table.transaction_version(CAPTURE)
    if epoch is None:
        return None
    commit_position = table.transaction_version(f"{CAPTURE}/{epoch}")
    return Position(epoch, commit_position or 0).end_of_commit()


def checkpoint(captured: Position) -> list[Transaction]:
    """What a commit records to move the capture checkpoint."""
    epoch, commit_position = captured.epoch, captured.commit
    return [Transaction(CAPTURE, epoch), Transaction(f"{CAPTURE}/{epoch}", commit_position)]


@dataclass(slots=True)
class _Pending:
    """Rows of one cell that wait for a row group."""

    slices: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    size: int = 0


class DeltaLogWriter:
    """See `ports.LogWriter`. `table` belongs to the writer until `release` takes it back."""

    def __init__(self, place: Place, table: DeltaTable, release: Callable[[DeltaTable], None]) -> None:
        self._place = place
        self._table = table
        self._release = release
        self._files = place.filesystem()
        self._captured = captured_position(table)
        self._stored = arrow_schema(table)
        self._pending: dict[Cell, _Pending] = {}
        self._retained = 0
        self._open: dict[Cell, PartWriter] = {}
        self._written: list[WrittenPart] = []
        self._counts: dict[Cell, int] = {}
        self._checked: pa.Schema | None = None
        self._closed = False

    @property
    def captured(self) -> Position | None:
        return self._captured

    def write(self, rows: pa.Table) -> None:
        if self._closed:
            raise StoreError("the writer is closed", where=self._place.where, fix="open a new one")
        self._check(rows.schema)
        if any(rows[name].null_count for name in POSITION):
            fix = "give every row its epoch, commit position and sequence"
            raise SchemaConflict("a row has no position", where=self._place.where, fix=fix)
        with self._place.errors():
            for batch in rows.to_batches(max_chunksize=ROW_GROUP_ROWS):
                self._retained += batch.nbytes
                for cell, part in _split(batch, self._place.where):
                    self._add(cell, part)
                if self._retained > BUFFER_BYTES:
                    self._flush_all()

    def commit(self, *, captured: Position | None = None) -> tuple[CellCount, ...]:
        if self._closed:
            raise StoreError("the writer is closed", where=self._place.where, fix="open a new one")
        with self._place.errors():
            self._flush_all()
            self._finish_all()
            reach("store.files_finished")
        cells = tuple(
            CellCount(*cell, rows) for cell, rows in sorted(self._counts.items(), key=lambda kv: str(kv[0]))
        )
        if not self._written and captured in (None, self._captured):
            self.abort()
            return ()
        try:
            self._commit(captured)
        except CommitConflict:
            self.abort()
            raise
        except StoreError:
            # The outcome is not known: the files may be part of the log.
            self._written.clear()
            self.abort()
            raise
        self._written.clear()
        self.abort()
        self._release(self._table)
        return cells

    def _commit(self, captured: Position | None) -> None:
        actions = [part.added() for part in self._written]
        if captured is None:
            commit(self._place, self._table, actions)
            return
        held = self._captured
        if held is not None and captured.end_of_commit() <= held:
            raise CommitConflict(
                f"capture is durable up to {held}, so {captured} is in the log already",
                where=self._place.where,
                fix="re-read the log and capture from its checkpoint",
            )
        moved = checkpoint(captured)
        commit(self._place, self._table, actions, moved, lambda table: captured_position(table) == held)

    def abort(self) -> None:
        self._closed = True
        opened = list(self._open.values())
        self._open.clear()
        self._pending.clear()
        paths = [part.path for part in opened] + [part.path for part in self._written]
        self._written.clear()
        if not paths:
            return
        with self._place.errors():
            for part in opened:
                part.close()
            for path in paths:
                self._files.delete_file(path)

    def _check(self, schema: pa.Schema) -> None:
        if self._checked is not None and schema.equals(self._checked):
            return
        if set(schema.names) - set(self._stored.names):
            # Another process may have added columns since the writer opened.
            self._place.refresh(self._table)
            self._stored = arrow_schema(self._table)
        problems = [
            f"column {name!r} is missing"
            for name in (*ENVELOPE.names, ID_RANGE, EVENT_DATE)
            if schema.names.count(name) != 1
        ]
        problems += [problem for column in schema for problem in self._misfit(column)]
        if problems:
            fix = "bring the log up to date with `ensure`"
            raise SchemaConflict("; ".join(problems), where=self._place.where, fix=fix)
        self._checked = schema

    def _misfit(self, column: pa.Field) -> list[str]:
        if column.name not in self._stored.names:
            return [f"the log has no column {column.name!r}"]
        stored = self._stored.field(column.name).type
        if column.type != stored:
            return [f"column {column.name!r} is {column.type}, and stored as {stored}"]
        return []

    def _add(self, cell: Cell, rows: pa.Table) -> None:
        pending = self._pending.setdefault(cell, _Pending())
        if pending.slices and not pending.slices[0].schema.equals(rows.schema):
            self._flush(cell)
            pending = self._pending.setdefault(cell, _Pending())
        pending.slices.append(rows)
        pending.rows += rows.num_rows
        pending.size += rows.nbytes
        self._counts[cell] = self._counts.get(cell, 0) + rows.num_rows
        if pending.size >= ROW_GROUP_BYTES or pending.rows >= ROW_GROUP_ROWS:
            self._flush(cell)
        if not self._pending:
            self._retained = 0

    def _flush_all(self) -> None:
        # All, not only the largest: a slice keeps the whole batch alive that it is cut from.
        for cell in list(self._pending):
            self._flush(cell)
        self._retained = 0

    def _flush(self, cell: Cell) -> None:
        pending = self._pending.pop(cell)
        rows = pa.concat_tables(pending.slices)
        part = self._open.get(cell)
        if part is not None and not part.schema.equals(rows.schema):
            self._finish(cell)
            part = None
        if part is None:
            if len(self._open) >= OPEN_PARTS:
                # Not the least recently used: flushes go round all cells, so that with one
                # cell too many every file would be closed just before it is needed.
                self._finish(random.choice(list(self._open)))
            part = PartWriter(self._place, self._files, partition_of(*cell), rows.schema)
            self._open[cell] = part
        part.write(rows)
        if part.size >= TARGET_BYTES:
            self._finish(cell)

    def _finish(self, cell: Cell) -> None:
        self._written.append(self._open.pop(cell).finish())
        reach("store.file_finished")

    def _finish_all(self) -> None:
        for cell in list(self._open):
            self._finish(cell)


def _split(batch: pa.RecordBatch, where: str) -> list[tuple[Cell, pa.Table]]:
    """The batch by partition, in stream order inside each, without the partition columns."""
    if batch.num_rows == 0:
        return []
    ranges = batch.column(ID_RANGE).dictionary_encode()
    if ranges.null_count or pc.any(pc.equal(ranges.dictionary, "")).as_py():
        fix = "assign the ranges with `IdRanges.assign_rows`"
        raise SchemaConflict("a row has no id range", where=where, fix=fix)
    codes, days = _cell_codes(ranges, batch.column(EVENT_DATE))
    rows = pa.Table.from_batches([batch]).drop_columns([ID_RANGE, EVENT_DATE])
    changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if len(np.unique(codes)) <= len(changes):
        order = np.argsort(codes, kind="stable")
        rows, codes = rows.take(pa.array(order)), codes[order]
        changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    starts = np.concatenate([[0], changes])
    ends = np.concatenate([changes, [len(codes)]])
    cells = [
        (ranges.dictionary[code // (len(days) + 1)].as_py(), _day(days, code % (len(days) + 1)))
        for code in codes[starts].tolist()
    ]
    return [(c, rows.slice(s, e - s)) for c, s, e in zip(cells, starts, ends, strict=True)]


def _cell_codes(ranges: pa.DictionaryArray, dates: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """One integer per (range, date) and the distinct dates; the null date is the last code."""
    encoded = dates.dictionary_encode()
    days = encoded.dictionary
    day_codes = pc.fill_null(encoded.indices, len(days)).to_numpy(zero_copy_only=False).astype(np.int64)
    range_codes = ranges.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return range_codes * (len(days) + 1) + day_codes, days


def _day(days: pa.Array, code: int) -> dt.date | None:
    return days[code].as_py() if code < len(days) else None
