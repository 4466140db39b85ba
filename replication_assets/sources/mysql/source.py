"""MySQL and MariaDB as a change source. See `ports.ChangeSource` for what each method promises.

Nothing is made on the server: a binlog holds every table, and where capture stands is known to the event
store alone. So `setup` only looks, and `teardown` has nothing to remove.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.schema import TableId, TableSchema
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
from replication_assets.sources.mysql import extent, reflection, retention, schema_watch, status
from replication_assets.sources.mysql.connection import MySqlConnection, connected
from replication_assets.sources.mysql.digests import read_digests
from replication_assets.sources.mysql.load import open_load
from replication_assets.sources.mysql.preflight import setup_problems
from replication_assets.sources.mysql.range_plans import range_plan
from replication_assets.sources.mysql.snapshot import DESCRIPTIONS, snapshot_method
from replication_assets.sources.mysql.structure import read_structure
from replication_assets.sources.mysql.writers import stop_writes, writers

SCAN_SECONDS = 30 * 60
"""For bounds and quantiles of a column that no index orders as we do."""

LOAD_WAIT = 60.0
"""Seconds that a load waits for what holds its table before it names it."""


@dataclass(frozen=True)
class MySqlSource:
    """One server, of which tables of any database can be replicated. Holds no open connection: it can be
    pickled and shared by threads.

    `server_id` is that of our replica connection; by default one made from the name. `cascades` says
    that rows which foreign keys change unseen are known of (`preflight`).
    """

    name: str
    connection: MySqlConnection
    server_id: int | None = None
    cascades: bool = False
    load_wait: float = LOAD_WAIT

    @property
    def replica_id(self) -> int:
        return self.server_id or status.replica_id(self.name, self.connection.where)

    def identify(self) -> SourceIdentity:
        with connected(self.connection) as session:
            server, files = status.identify(session), retention.log_files(session)
        return SourceIdentity(server.system_id, retention.timeline(self.connection, files))

    def log_begun_anew(self, known: SourceIdentity) -> str | None:
        with connected(self.connection) as session:
            return retention.begun_anew(self.connection, session, known)

    def status_after(self, commit: int) -> SourceStatus:
        lock = status.capture_lock(self.name)
        with connected(self.connection) as session:
            return retention.status_after(self.connection, session, lock, commit)

    def status(self) -> SourceStatus:
        with connected(self.connection) as session:
            return status.read_status(session, status.capture_lock(self.name))

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        with connected(self.connection) as session:
            return reflection.reflect_table(session, table, key=key, append_only=append_only)

    def is_captured(self, table: TableId) -> bool:
        with connected(self.connection) as session:
            return reflection.existing_relation(session, table).can_be_captured

    def structure(self, table: TableId) -> TableStructure:
        with connected(self.connection) as session:
            return read_structure(session, table)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        with connected(self.connection) as session:
            filled = schema_watch.filled_columns(reflection.catalog_columns(session, table))
        changed = schema_watch.compare(known, current.columns, filled)
        if changed is None:
            return None
        return SchemaDifference(changed.reload, changed.reason, changed.added, changed.dropped)

    def partition_tree(
        self, table: TableId, known: tuple[tuple[int, str], ...] | None
    ) -> PartitionTree | None:
        with connected(self.connection) as session:
            return schema_watch.partition_changes(session, table, known)

    def bounds(self, table: TableId, column: str) -> KeyBounds:
        with connected(self.connection, statement_seconds=SCAN_SECONDS) as session:
            return extent.bounds(session, table, extent.range_column(session, table, column))

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        with connected(self.connection, statement_seconds=SCAN_SECONDS) as session:
            return extent.quantiles(session, table, extent.range_column(session, table, column), parts)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        """Looks whether capture can begin, and where: changes of every table are kept from there on."""
        with connected(self.connection) as session:
            problems = setup_problems(session, tables, cascades=self.cascades)
            if problems:
                raise reflection.not_ready(problems, self.name)
            # The next transaction begins where the log ends, and is to be captured.
            return CaptureSetup(status.require_binlog(session).commit - 1, ())

    def confirm_setup(self) -> None:
        """Nothing was made that could be left half done."""

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        with connected(self.connection) as session:
            return tuple(setup_problems(session, tables, cascades=self.cascades))

    def hand_off(self, table: TableId) -> str:
        """How a load of the table finds its place in the binlog, in words. Raises as a load does."""
        with connected(self.connection) as session:
            return DESCRIPTIONS[snapshot_method(session, table)]

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        with connected(self.connection) as session:
            found = extent.range_column(session, table, column)
            return range_plan(session, table, schema, found, id_range)

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first; without, `SlotBusy` if one runs."""
        with connected(self.connection) as session:
            status.end_capture(session, status.capture_lock(self.name), force=force)

    def remains(self) -> tuple[str, ...]:
        with connected(self.connection) as session:
            reader = status.capture_reader(session, status.capture_lock(self.name))
        return () if reader is None else (f"connection {reader} reads the binlog for this capture",)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        with connected(self.connection) as session:
            return writers(session, tables)

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:
        with connected(self.connection) as session:
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
        from replication_assets.sources.mysql.binlog.stream import open_changes

        return open_changes(
            self.connection,
            self.name,
            self.replica_id,
            tables,
            epoch=epoch,
            after=after,
            upto=upto,
            stop=stop,
        )
