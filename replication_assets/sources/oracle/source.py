"""Oracle Database as a change source. See `ports.ChangeSource` for what each method promises.

Nothing is made in the database: the redo log holds every table, and where capture stands is known to the
event store alone. So `setup` only looks, and `teardown` has nothing to remove.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.core.table_problems import not_ready
from replication_assets.ports import (
    CaptureSetup,
    ChangeStream,
    KeyBounds,
    LoadSlice,
    LoadStream,
    PartitionTree,
    RangeDigests,
    SchemaDifference,
    SourceIdentity,
    SourceStatus,
    Writer,
)
from replication_assets.sources.oracle import extent, reflection, schema_watch, status
from replication_assets.sources.oracle.digests import read_digests
from replication_assets.sources.oracle.filters import left_out
from replication_assets.sources.oracle.load import open_load
from replication_assets.sources.oracle.preflight import setup_problems
from replication_assets.sources.oracle.range_plan import read_range_plan
from replication_assets.sources.oracle.sessions import Server, Session, connected
from replication_assets.sources.oracle.snapshot import current_scn
from replication_assets.sources.oracle.structure import read_structure
from replication_assets.sources.oracle.writers import stop_writes, writers

SCAN_SECONDS = 30 * 60
"""For bounds and quantiles of a column that no index orders as we do."""


@dataclass(frozen=True)
class OracleSource:
    """One database (a pluggable one, too), of which tables of any schema can be replicated. Holds no open
    connection: it can be pickled and shared by threads."""

    name: str
    server: Server

    def identify(self) -> SourceIdentity:
        with connected(self.server) as session:
            return status.identify(session)

    def status(self) -> SourceStatus:
        with self._both() as (session, log_session):
            return status.read_status(session, log_session, status.capture_lock(self.name))

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        with connected(self.server) as session:
            return reflection.reflect_table(session, table, key=key, append_only=append_only)

    def is_captured(self, table: TableId) -> bool:
        with connected(self.server) as session:
            return reflection.existing_relation(session, table).kind == "table"

    def structure(self, table: TableId) -> TableStructure:
        with connected(self.server) as session:
            return read_structure(session, table)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        with connected(self.server) as session:
            filled = schema_watch.filled_columns(reflection.catalog_columns(session, table))
        changed = schema_watch.compare(known, current.columns, filled)
        if changed is None:
            return None
        return SchemaDifference(changed.reload, changed.reason, changed.added, changed.dropped)

    def partition_tree(
        self, table: TableId, known: tuple[tuple[int, str], ...] | None
    ) -> PartitionTree | None:
        with connected(self.server) as session:
            return schema_watch.partition_changes(session, table, known)

    def bounds(self, table: TableId, column: str) -> KeyBounds:
        with connected(self.server, statement_seconds=SCAN_SECONDS) as session:
            return extent.bounds(session, table, extent.range_column(session, table, column))

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        with connected(self.server, statement_seconds=SCAN_SECONDS) as session:
            return extent.quantiles(session, table, extent.range_column(session, table, column), parts)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        """Looks whether capture can begin, and where: changes of every table are kept from there on."""
        with self._both() as (session, log_session):
            problems = setup_problems(session, log_session, tables)
            if problems:
                raise not_ready(problems, self.name)
            return CaptureSetup(current_scn(session), ())

    def confirm_setup(self) -> None:
        """Nothing was made that could be left half done."""

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        with self._both() as (session, log_session):
            return tuple(setup_problems(session, log_session, tables))

    def left_out(self, table: TableId, schema: TableSchema) -> tuple[str, ...]:
        """See `ports.LeavesOutUnchanged`."""
        return left_out(f"{table.schema}.{table.name}", schema)

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        """How the server would read the range; see `core.range_plans`."""
        with connected(self.server) as session:
            return read_range_plan(session, table, schema, column, id_range)

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first; without, `SlotBusy` if one runs."""
        with connected(self.server, log=True) as session:
            status.end_capture(session, status.capture_lock(self.name), force=force)

    def remains(self) -> tuple[str, ...]:
        with connected(self.server, log=True) as session:
            reader = status.capture_reader(session, status.capture_lock(self.name))
        return () if reader is None else (f"{status.shown(reader)} reads the redo log for this capture",)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        with connected(self.server) as session:
            return writers(session, tables)

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:
        with connected(self.server) as session:
            return stop_writes(session, tables)

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return open_load(self.server, load_slice)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        return read_digests(self.server, table, schema, range_column, id_ranges)

    def changes(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        *,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> AbstractContextManager[ChangeStream]:
        from replication_assets.sources.oracle.logminer.stream import open_changes

        return open_changes(self.server, self.name, tables, epoch=epoch, after=after, upto=upto, stop=stop)

    @contextmanager
    def _both(self) -> Iterator[tuple[Session, Session]]:
        """A session of the database, and one of the container whose log is mined."""
        with connected(self.server) as session, connected(self.server, log=True) as log_session:
            yield session, log_session
