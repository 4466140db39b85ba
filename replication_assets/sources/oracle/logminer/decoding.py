"""Committed transactions to what a `ports.ChangeChunk` holds of them.

Sequences number the changes of an SCN from 1 on, those of all captured tables together: transactions in the
order of `transactions.Committed.order`, changes in the order of the log. An SCN is delivered whole before it
counts, so numbers are the same each time as long as the same tables are captured.

What cannot be told of a row asks for a load of its table: a statement that LogMiner's dictionary (that of the
running database) does not fit any more, a value that redo does not carry, a change by DDL. It is said at the
position of the change, once for each transaction and table.

Changes of a table with large objects are told at the end of their transaction, as the rows that it left
behind (`touched_rows`, `rereading`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field

from replication_assets.core.change_rows import row_events
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.events import EventBatch
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.ports import ChangeChunk
from replication_assets.sources.oracle.logminer.definitions import REASONS, effect_of
from replication_assets.sources.oracle.logminer.images import Misfit, change_rows, check_fit
from replication_assets.sources.oracle.logminer.log_rows import DDL, DML, LARGE_OBJECTS
from replication_assets.sources.oracle.logminer.redo_text import NotUnderstood, Redo, parse_redo
from replication_assets.sources.oracle.logminer.rereading import At, NotTold
from replication_assets.sources.oracle.logminer.touched_rows import TouchedRows
from replication_assets.sources.oracle.logminer.transactions import (
    Change,
    Committed,
    TableName,
    Transaction,
)
from replication_assets.sources.oracle.schema_watch import compare
from replication_assets.sources.oracle.types import is_large

SchemaChange = tuple[TableId, TableSchema, SchemaChanged]
Truncated = tuple[TableId, Position, dt.datetime, int]
Look = Callable[[TableId], tuple[Sequence[Column], frozenset[str]]]
"""A table's columns as they are now, and which of them older rows have a value in."""

Read = Callable[[TableId, TouchedRows, At], Iterator[EventBatch]]
"""Events of what a transaction did to a table with large objects, as `rereading.events_of`."""

CHUNK_BYTES = 4 * 2**20
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NOT_EXECUTABLE = 2
"""STATUS of a statement that LogMiner could not put together."""


@dataclass(slots=True)
class _Pending:
    """Changes of one table that wait to be decoded together."""

    redos: list[Redo] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    committed_at: list[int] = field(default_factory=list)
    transactions: list[int] = field(default_factory=list)


class Decoder:
    """Decodes commits one after the other; knows each table's columns by then.

    `offset` is minutes that the server's clock is ahead of UTC, `objects` the tables by the numbers that the
    log knows them by. `check` raises for a table that has come to have large objects and cannot be captured
    with them.
    """

    def __init__(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        objects: dict[int, TableId],
        look: Look,
        read: Read,
        check: Callable[[TableId, TableSchema], None],
        epoch: int,
        offset: int,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._schemas = {(table.schema, table.name): (table, schema) for table, schema in tables}
        self._objects, self._look, self._epoch, self._offset = objects, look, epoch, offset
        self._read, self._check = read, check
        self._chunk_bytes = chunk_bytes
        self._touched: dict[TableId, TouchedRows] = {}
        self._ready: list[EventBatch] = []
        self._pending: dict[TableId, _Pending] = {}
        self._held = 0
        self._truncated: list[Truncated] = []
        self._changes: list[SchemaChange] = []
        self.committed_at: dt.datetime | None = None

    def decode(self, commits: Sequence[tuple[Committed, Transaction]]) -> Iterator[ChangeChunk]:
        """Pieces of the commits of one SCN; the rest of it waits for `flush`. Closes the transactions."""
        try:
            yield from self._decoded(commits)
        finally:
            for _, whole in commits:
                whole.close()

    def _decoded(self, commits: Sequence[tuple[Committed, Transaction]]) -> Iterator[ChangeChunk]:
        sequence = 0
        for commit, whole in commits:
            self.committed_at = self._time(commit)
            told: set[TableId] = set()
            taken_back = {table for table in map(self._table_of, whole.taken_back) if table is not None}
            for change in whole.changes():
                sequence += 1
                if change.code == DDL and (self._held or self._truncated or self._changes):
                    # What comes before a change of columns has the columns of before.
                    yield self.flush(None)
                self._take(commit, change, sequence, told, taken_back)
                if self._held >= self._chunk_bytes:
                    yield self.flush(None)
            yield from self._read_again(commit, told)

    def _read_again(self, commit: Committed, told: set[TableId]) -> Iterator[ChangeChunk]:
        """Events of the tables with large objects that a transaction touched."""
        touched, self._touched = self._touched, {}
        at = At(commit.scn, self._microseconds(commit), _number(commit), self._epoch)
        for table, rows in touched.items():
            if table in told:
                continue  # A load was asked for, which has all of it.
            try:
                for batch in self._read(table, rows, at):
                    self._ready.append(batch)
                    self._held += batch.rows.nbytes
                    if self._held >= self._chunk_bytes:
                        yield self.flush(None)
            except NotTold as error:
                place = Position(self._epoch, commit.scn, error.sequence)
                self._changes.append((table, rows.schema, SchemaChanged(place, True, error.reason)))

    def flush(self, through: int | None) -> ChangeChunk:
        """What was decoded and not yet handed on; `through` says that the stream is whole up to there."""
        batches = [self._batch(table, pending) for table, pending in self._pending.items()]
        chunk = ChangeChunk(
            (*batches, *self._ready),
            tuple(self._truncated),
            tuple(self._changes),
            through,
            self.committed_at if through is not None else None,
        )
        self._pending, self._truncated, self._changes, self._held = {}, [], [], 0
        self._ready = []
        if through is not None:
            self.committed_at = None
        return chunk

    def _microseconds(self, commit: Committed) -> int:
        """Since 1970, in UTC."""
        return commit.committed_at - self._offset * 60_000_000

    def _time(self, commit: Committed) -> dt.datetime:
        return _EPOCH + dt.timedelta(microseconds=self._microseconds(commit))

    def has_large_objects(self, name: TableName) -> bool:
        """Whether it is a table of ours with a large object, by what its columns are by now."""
        found = self._known(name)
        return found is not None and _has_large(found[1])

    def _known(self, name: TableName) -> tuple[TableId, TableSchema] | None:
        owner, named, number = name
        found = self._schemas.get((owner, named))
        if found is None:
            # The log could not name the table: its definition is not the one of that time.
            table = self._objects.get(number)
            found = self._schemas.get((table.schema, table.name)) if table is not None else None
        return found

    def _table_of(self, name: TableName) -> TableId | None:
        found = self._known(name)
        return found[0] if found is not None else None

    def _take(
        self,
        commit: Committed,
        change: Change,
        sequence: int,
        told: set[TableId],
        taken_back: Set[TableId],
    ) -> None:
        found = self._known((change.owner, change.table, change.object))
        if found is None:
            return
        table, schema = found
        at = Position(self._epoch, commit.scn, sequence)
        if change.code == DDL:
            self._define(table, schema, at, commit, change)
        elif table not in told:
            reason = (
                self._touch(table, schema, change, sequence, taken_back=table in taken_back)
                if _has_large(schema)
                else self._decode(table, schema, commit, change, sequence)
            )
            if reason is not None:
                told.add(table)
                self._changes.append((table, schema, SchemaChanged(at, True, reason)))

    def _touch(
        self, table: TableId, schema: TableSchema, change: Change, sequence: int, *, taken_back: bool
    ) -> str | None:
        """Why a change of a table with large objects says nothing of its row; None if it was taken in."""
        rows = self._touched.get(table)
        if rows is None:
            rows = self._touched[table] = TouchedRows(table, schema, taken_back=taken_back)
        try:
            rows.add(change, sequence)
        except (NotUnderstood, Misfit) as error:
            return f"a change of a table with large objects could not be read ({error})"
        return None

    def _decode(
        self, table: TableId, schema: TableSchema, commit: Committed, change: Change, sequence: int
    ) -> str | None:
        """Why a change says nothing of its row; None if it was kept."""
        reason = _unreadable(change)
        if reason is not None:
            return reason
        try:
            redo = parse_redo(change.redo)
            check_fit(redo, schema)
        except (NotUnderstood, Misfit) as error:
            return f"a change could not be read ({error})"
        self._keep(table, redo, commit, sequence, len(change.redo))
        return None

    def _keep(self, table: TableId, redo: Redo, commit: Committed, sequence: int, size: int) -> None:
        pending = self._pending.setdefault(table, _Pending())
        pending.redos.append(redo)
        pending.commits.append(commit.scn)
        pending.sequences.append(sequence)
        pending.committed_at.append(self._microseconds(commit))
        pending.transactions.append(_number(commit))
        # A parsed statement is some times its text.
        self._held += 4 * size

    def _define(
        self, table: TableId, schema: TableSchema, at: Position, commit: Committed, change: Change
    ) -> None:
        effect = effect_of(change.redo)
        if effect == "emptied":
            self._truncated.append((table, at, self._time(commit), _number(commit)))
        elif effect == "columns":
            self._columns(table, schema, at)
        elif effect != "nothing":
            self._changes.append((table, schema, SchemaChanged(at, True, REASONS[effect])))

    def _columns(self, table: TableId, schema: TableSchema, at: Position) -> None:
        try:
            now, filled = self._look(table)
        except SourceNotReady:
            self._changes.append((table, schema, SchemaChanged(at, True, REASONS["dropped"])))
            return
        found = compare(schema, now, filled)
        if found is None:
            return
        if _has_large(found.schema):
            self._check(table, found.schema)
        self._schemas[(table.schema, table.name)] = (table, found.schema)
        event = SchemaChanged(at, found.reload, found.reason, found.added, found.dropped)
        self._changes.append((table, found.schema, event))

    def _batch(self, table: TableId, pending: _Pending) -> EventBatch:
        schema = self._schemas[(table.schema, table.name)][1]
        try:
            rows = change_rows(
                pending.redos,
                schema,
                pending.commits,
                pending.sequences,
                pending.committed_at,
                pending.transactions,
            )
            return EventBatch(table, schema, row_events(rows, schema, self._epoch))
        except DecodeError as error:
            raise DecodeError(error.what, where=str(table), fix=error.fix) from None


def _number(commit: Committed) -> int:
    return int.from_bytes(bytes.fromhex(commit.xid), "big", signed=True)


def _has_large(schema: TableSchema) -> bool:
    return any(is_large(column) for column in schema.columns)


def _unreadable(change: Change) -> str | None:
    """Why a row of the log says nothing of its table's row; None if it does."""
    if change.code in LARGE_OBJECTS:
        return "a large object was written in pieces, which the redo of a row does not carry"
    if change.code not in DML or change.status == _NOT_EXECUTABLE:
        return "LogMiner does not support a change, or could not put it together"
    return None
