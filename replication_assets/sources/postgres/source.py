"""PostgreSQL as a change source. See `ports.ChangeSource` for what each method promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core import table_problems
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import TableStructure
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
from replication_assets.sources.postgres import examine, extent, reflection, schema_watch, status
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.digests import read_digests
from replication_assets.sources.postgres.filters import left_out
from replication_assets.sources.postgres.load import open_load
from replication_assets.sources.postgres.publication import (
    CaptureNames,
    confirm_capture,
    setup_capture,
    teardown_capture,
)
from replication_assets.sources.postgres.range_plans import range_plan
from replication_assets.sources.postgres.remains import remains
from replication_assets.sources.postgres.stream import open_changes
from replication_assets.sources.postgres.structure import read_structure
from replication_assets.sources.postgres.writers import stop_writes, writers

SCAN_TIMEOUT = "30min"
"""For bounds and quantiles of a column that no index orders as we do."""

LOAD_WAIT = 60.0
"""Seconds that a load waits for running write transactions before it names them."""


@dataclass(frozen=True)
class PostgresSource:
    """One database. Holds no open connection: it can be pickled and shared by threads.

    `slot` and `publication` default to `ra_<name>`.
    """

    name: str
    connection: PostgresConnection
    slot: str | None = None
    publication: str | None = None
    load_wait: float = LOAD_WAIT

    @property
    def names(self) -> CaptureNames:
        return CaptureNames.of(self.name, self.slot, self.publication)

    def identify(self) -> SourceIdentity:
        return status.identify(self.connection)

    def status(self) -> SourceStatus:
        return status.read_status(self.connection, self.names.slot)

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        with connect(self.connection) as session, source_errors(str(table)):
            return reflection.reflect_table(session, table, key=key, append_only=append_only)

    def relation_kind(self, table: TableId) -> str:
        """`table`, `partitioned table`, `view`, `materialized view` or `foreign table`."""
        with connect(self.connection) as session, source_errors(str(table)):
            return reflection.relation_kind(session, table)

    def is_captured(self, table: TableId) -> bool:
        return self.relation_kind(table) in ("table", "partitioned table")

    def structure(self, table: TableId) -> TableStructure:
        with connect(self.connection) as session, source_errors(str(table)):
            return read_structure(session, table)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        with connect(self.connection) as session, source_errors(str(table)):
            found = reflection.existing_relation(session, table)
            catalog = schema_watch.catalog_columns(session, found.oid)
        filled = {name for name, column in catalog.items() if column.filled}
        changed = schema_watch.compare(known, current.columns, filled)
        if changed is None:
            return None
        return SchemaDifference(changed.reload, changed.reason, changed.added, changed.dropped)

    def partition_tree(
        self, table: TableId, known: tuple[tuple[int, str], ...] | None
    ) -> PartitionTree | None:
        with connect(self.connection) as session, source_errors(str(table)):
            found = reflection.existing_relation(session, table)
            if found.kind != "p":
                return None
            now = schema_watch.partition_changes(session, found.oid, dict(known or ()))
        leaves = tuple(sorted(now.leaves.items()))
        return PartitionTree(leaves, now.reason if known is not None else "")

    def bounds(self, table: TableId, column: str) -> KeyBounds:
        with self._scanning() as session, source_errors(str(table)):
            found = reflection.existing_relation(session, table)
            return extent.bounds(session, table, found.kind, _range_column(session, table, column))

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        with self._scanning() as session, source_errors(str(table)):
            found = reflection.existing_relation(session, table)
            cut = _range_column(session, table, column)
            return extent.quantiles(session, table, found.kind, cut, parts)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        return setup_capture(self.connection, self.names, tables, self.load_wait)

    def confirm_setup(self) -> None:
        confirm_capture(self.connection, self.names)

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        return examine.missing(self.connection, self.names, tables)

    def left_out(self, table: TableId, schema: TableSchema) -> tuple[str, ...]:  # noqa: ARG002
        """See `ports.LeavesOutUnchanged`."""
        with connect(self.connection) as session, source_errors(str(table)):
            return left_out(session, reflection.existing_relation(session, table).oid)

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        with connect(self.connection) as session, source_errors(str(table)):
            return range_plan(session, table, schema, _range_column(session, table, column), id_range)

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first."""
        teardown_capture(self.connection, self.names, force=force)

    def remains(self) -> tuple[str, ...]:
        with connect(self.connection) as session, source_errors(self.connection.where):
            return remains(session, self.names)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        with connect(self.connection) as session, source_errors(self.connection.where):
            return writers(session, tables)

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:
        with connect(self.connection) as session, source_errors(self.connection.where):
            return stop_writes(session, tables)

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return open_load(self.connection, load_slice, self.load_wait)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        return read_digests(self.connection, table, schema, range_column, id_ranges, self.load_wait)

    def changes(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        *,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> AbstractContextManager[ChangeStream]:
        return open_changes(
            self.connection, self.names, tables, epoch=epoch, after=after, upto=upto, stop=stop
        )

    def _scanning(self) -> psycopg.Connection[tuple[Any, ...]]:
        return connect(self.connection, statement_timeout=SCAN_TIMEOUT)


def _range_column(session: psycopg.Connection[Any], table: TableId, name: str) -> Column:
    columns = reflection.replicated_columns(session, table)
    return table_problems.range_column(columns, name, extent.is_range_column, str(table))
