"""SQLite as a change source. See `ports.ChangeSource` for what each method promises."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from replication_assets.core import table_problems
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.core.trigger_log import NOISE_BITS, shape_change, shape_of
from replication_assets.ports import (
    CaptureSetup,
    ChangeStream,
    KeyBounds,
    LoadSlice,
    LoadStream,
    PartitionTree,
    RangeDigests,
    RangePlan,
    SchemaDifference,
    SourceIdentity,
    SourceStatus,
    Writer,
)
from replication_assets.sources.sqlite import change_log, predicates, writers
from replication_assets.sources.sqlite.connection import SqliteDatabase, connect, reading
from replication_assets.sources.sqlite.digests import read_digests
from replication_assets.sources.sqlite.lease import Lease
from replication_assets.sources.sqlite.load import open_load
from replication_assets.sources.sqlite.preflight import setup_problems
from replication_assets.sources.sqlite.quoting import identifier, relation
from replication_assets.sources.sqlite.range_plans import range_plan
from replication_assets.sources.sqlite.reflection import columns_of, existing_relation, reflect_table
from replication_assets.sources.sqlite.stream import open_changes
from replication_assets.sources.sqlite.structure import read_structure
from replication_assets.sources.sqlite.triggers import LogNames

CHANGE_BYTES = 128
"""What one change counts for in `SourceStatus`: SQLite does not tell how much room a row takes."""


@dataclass(frozen=True, slots=True)
class SqliteSource:
    """One database file. Holds no open session: it can be pickled and shared by threads."""

    name: str
    database: SqliteDatabase

    @property
    def names(self) -> LogNames:
        return LogNames.of(self.name)

    def identify(self) -> SourceIdentity:
        """The file's number on its disk, and the token of the log in it: `VACUUM` keeps both; a file
        that is put in its place, or a log that is made anew, is another source."""
        with connect(self.database) as session:
            state = change_log.read_state(session, self.names)
        token = state.token if state is not None else "none"
        return SourceIdentity(f"{self.database.file_number():x}-{token}", 1)

    def status(self) -> SourceStatus:
        with connect(self.database) as session, reading(session):
            state = change_log.read_state(session, self.names)
            head = change_log.newest(session, self.names) if state is not None else None
        now = dt.datetime.now(dt.UTC)
        if state is None or head is None:
            return SourceStatus(0, None, None, None, None, False, "missing", now)
        waiting = ((head >> NOISE_BITS) - (state.acknowledged >> NOISE_BITS)) * CHANGE_BYTES
        held = Lease(self.database, self.names).is_held()
        return SourceStatus(head, state.acknowledged, waiting, waiting, None, held, "reserved", now)

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        with connect(self.database, str(table)) as session:
            return reflect_table(session, table, key=key, append_only=append_only)

    def is_captured(self, table: TableId) -> bool:
        with connect(self.database, str(table)) as session:
            return existing_relation(session, table).can_be_captured

    def structure(self, table: TableId) -> TableStructure:
        with connect(self.database, str(table)) as session, reading(session):
            return read_structure(session, self.names, table)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        before = shape_of(0, table.name, known)
        added = [name for name in current.names if name not in known.names]
        with connect(self.database, str(table)) as session:
            filled = [name for name in added if _has_value(session, table, name)]
        changed = shape_change(before, current.columns, current.key, filled=filled, unseen="")
        if changed is None:
            return None
        return SchemaDifference(changed.reload, changed.reason, changed.added, changed.dropped)

    def partition_tree(
        self,
        table: TableId,  # noqa: ARG002
        known: tuple[tuple[int, str], ...] | None,  # noqa: ARG002
    ) -> PartitionTree | None:
        return None

    def bounds(self, table: TableId, column: str) -> KeyBounds:
        with connect(self.database, str(table)) as session, reading(session):
            return predicates.bounds(session, table, _range_column(session, table, column))

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        with connect(self.database, str(table)) as session, reading(session):
            return predicates.quantiles(session, table, _range_column(session, table, column), parts)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        return change_log.setup_log(self.database, self.names, tables)

    def confirm_setup(self) -> None:
        change_log.confirm_log(self.database, self.names)

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        with connect(self.database) as session:
            return tuple(setup_problems(session, tables))

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        with connect(self.database, str(table)) as session, reading(session):
            return range_plan(session, table, schema, _range_column(session, table, column), id_range)

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture finds its log gone, and ends with an error that says so."""
        change_log.teardown_log(self.database, self.names, force=force)

    def remains(self) -> tuple[str, ...]:
        return change_log.remains(self.database, self.names)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        return writers.writers(self.database, tables)

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:  # noqa: ARG002
        return writers.stop_writes(self.database)

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return open_load(self.database, self.names, load_slice)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        return read_digests(self.database, self.names, table, schema, range_column, id_ranges)

    def changes(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        *,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> AbstractContextManager[ChangeStream]:
        return open_changes(self.database, self.names, tables, epoch=epoch, after=after, upto=upto, stop=stop)


def _has_value(session: sqlite3.Connection, table: TableId, column: str) -> bool:
    query = f"SELECT 1 FROM {relation(table)} WHERE {identifier(column)} IS NOT NULL LIMIT 1"
    return session.execute(query).fetchone() is not None


def _range_column(session: sqlite3.Connection, table: TableId, name: str) -> Column:
    columns = columns_of(existing_relation(session, table))
    return table_problems.range_column(columns, name, predicates.is_range_column, str(table))
