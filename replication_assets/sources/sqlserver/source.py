"""SQL Server as a change source. See `ports.ChangeSource` for what each method promises.

What a table is and how its rows are read is the same for all ways to capture; `CdcSource`,
`TrackingSource` and `TriggerSource` add where changes come from, and where a load meets them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.core.table_filters import left_out_problem
from replication_assets.core.trigger_log import shape_of
from replication_assets.errors import SourceUnavailable
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
from replication_assets.sources.sqlserver import books as ledger
from replication_assets.sources.sqlserver import (
    cdc,
    extent,
    lease,
    plans,
    reflection,
    tracking,
    triggers,
    writers,
)
from replication_assets.sources.sqlserver.digests import read_digests
from replication_assets.sources.sqlserver.load import HandOff, open_load
from replication_assets.sources.sqlserver.sessions import Session, Sessions, connected
from replication_assets.sources.sqlserver.statements import server
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.triggers import ChangeLog
from replication_assets.sources.sqlserver.structure import read_structure
from replication_assets.sources.sqlserver.types import large_columns

SCAN_SECONDS = 30 * 60
"""For bounds and quantiles of a column that no index orders as we do."""

Tables = Sequence[tuple[TableId, TableSchema]]


@dataclass(frozen=True)
class SqlServerSource(ABC):
    """One database. Holds no open session: it can be pickled and shared by threads."""

    name: str
    sessions: Sessions

    @property
    def books(self) -> Books:
        return Books(self.name)

    @property
    @abstractmethod
    def hand_off(self) -> HandOff: ...

    def identify(self) -> SourceIdentity:
        """The database, its recovery fork, and the token of our books: a restore changes the fork, a
        capture that is set up anew the token."""
        with connected(self.sessions) as session:
            rows = session.rows(server.IDENTITY)
            state = ledger.read_state(session, self.books)
        if not rows or rows[0][0] is None:
            raise SourceUnavailable(
                "the server did not say which database it is",
                where=self.sessions.where,
                fix="GRANT VIEW DATABASE STATE, VIEW DEFINITION TO the account of the source",
            )
        database, fork = (str(part).lower() for part in rows[0])
        token = state.token if state is not None else "none"
        return SourceIdentity(f"{database}/{fork}/{token}", 0)

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        with connected(self.sessions) as session:
            return reflection.reflect_table(session, table, key=key, append_only=append_only)

    def is_captured(self, table: TableId) -> bool:
        with connected(self.sessions) as session:
            return reflection.existing_relation(session, table).can_be_captured

    def structure(self, table: TableId) -> TableStructure:
        with connected(self.sessions) as session:
            return read_structure(session, table)

    def difference(self, table: TableId, known: TableSchema, current: TableSchema) -> SchemaDifference | None:
        shape = shape_of(0, str(table), known)
        with connected(self.sessions, statement_seconds=SCAN_SECONDS) as session:
            catalog = reflection.catalog_columns(session, table)
            changed = ledger.follows(session, table, shape, catalog, current.key)
        if changed is None:
            return None
        return SchemaDifference(changed.reload, changed.reason, changed.added, changed.dropped)

    def partition_tree(
        self,
        table: TableId,  # noqa: ARG002
        known: tuple[tuple[int, str], ...] | None,  # noqa: ARG002
    ) -> PartitionTree | None:
        """None: rows cannot be switched in or out of a captured table unseen, which the server refuses."""
        return None

    def bounds(self, table: TableId, column: str) -> KeyBounds:
        with connected(self.sessions, statement_seconds=SCAN_SECONDS) as session:
            return extent.bounds(session, table, extent.range_column(session, table, column))

    def quantiles(self, table: TableId, column: str, parts: int) -> tuple[Key, ...]:
        with connected(self.sessions, statement_seconds=SCAN_SECONDS) as session:
            return extent.quantiles(session, table, extent.range_column(session, table, column), parts)

    def range_plan(self, table: TableId, schema: TableSchema, column: str, id_range: IdRange) -> RangePlan:
        """How the server would read a range: asked of its optimiser, nothing is executed."""
        with connected(self.sessions) as session:
            return plans.range_plan(session, table, schema, column, id_range)

    def setup(self, tables: Tables) -> CaptureSetup:
        with connected(self.sessions, statement_seconds=SCAN_SECONDS) as session:
            return self._setup(session, tables)

    def confirm_setup(self) -> None:
        with connected(self.sessions) as session:
            if ledger.read_state(session, self.books) is not None:
                session.run(self.books.confirm())

    def missing(self, tables: Tables) -> tuple[str, ...]:
        with connected(self.sessions) as session:
            return self._missing(session, tables)

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first; without, `SlotBusy` if one runs."""
        with connected(self.sessions, statement_seconds=SCAN_SECONDS) as session:
            lease.end_capture(session, self.name, force=force)
            self._teardown(session)

    def remains(self) -> tuple[str, ...]:
        with connected(self.sessions) as session:
            reading = ("a session captures this source",) if lease.is_held(session, self.name) else ()
            return (*reading, *self._remains(session))

    def status(self) -> SourceStatus:
        with connected(self.sessions) as session:
            return self._status(session, active=lease.is_held(session, self.name))

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:
        with connected(self.sessions) as session:
            return writers.writers(session, tables)

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:
        with connected(self.sessions) as session:
            return writers.stop_writes(session, tables)

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return open_load(self.sessions, self.hand_off, load_slice)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        return read_digests(self.sessions, self.hand_off, table, schema, range_column, id_ranges)

    @abstractmethod
    def changes(
        self, tables: Tables, *, epoch: int, after: int, upto: int | None, stop: Callable[[], bool]
    ) -> AbstractContextManager[ChangeStream]: ...

    @abstractmethod
    def _setup(self, session: Session, tables: Tables) -> CaptureSetup: ...
    @abstractmethod
    def _missing(self, session: Session, tables: Tables) -> tuple[str, ...]: ...
    @abstractmethod
    def _teardown(self, session: Session) -> None: ...
    @abstractmethod
    def _remains(self, session: Session) -> tuple[str, ...]: ...
    @abstractmethod
    def _status(self, session: Session, *, active: bool) -> SourceStatus: ...


@dataclass(frozen=True)
class CdcSource(SqlServerSource):
    """Captured from change tables."""

    @property
    def hand_off(self) -> HandOff:
        return cdc.CdcHandOff()

    def left_out(self, table: TableId, schema: TableSchema) -> tuple[str, ...]:
        """See `ports.LeavesOutUnchanged`."""
        columns = [each.name for each in large_columns(schema.columns)]
        if not columns:
            return ()
        fix = "Capture the source by triggers or tracking to read fewer"
        return (left_out_problem(columns, f"{table.schema}.{table.name}", fix),)

    def changes(
        self, tables: Tables, *, epoch: int, after: int, upto: int | None, stop: Callable[[], bool]
    ) -> AbstractContextManager[ChangeStream]:
        return cdc.open_changes(
            self.sessions, self.name, tables, epoch=epoch, after=after, upto=upto, stop=stop
        )

    def _setup(self, session: Session, tables: Tables) -> CaptureSetup:
        return cdc.setup.setup(session, self.books, tables)

    def _missing(self, session: Session, tables: Tables) -> tuple[str, ...]:
        return cdc.setup.missing(session, self.books, tables)

    def _teardown(self, session: Session) -> None:
        cdc.setup.teardown(session, self.books)

    def _remains(self, session: Session) -> tuple[str, ...]:
        return cdc.setup.remains(session, self.books)

    def _status(self, session: Session, *, active: bool) -> SourceStatus:
        return cdc.read_status(session, self.books, active=active)


@dataclass(frozen=True)
class TrackingSource(SqlServerSource):
    """Captured from Change Tracking: net changes of tables with a primary key."""

    @property
    def hand_off(self) -> HandOff:
        return tracking.TrackingHandOff()

    def changes(
        self, tables: Tables, *, epoch: int, after: int, upto: int | None, stop: Callable[[], bool]
    ) -> AbstractContextManager[ChangeStream]:
        return tracking.open_changes(
            self.sessions, self.name, tables, epoch=epoch, after=after, upto=upto, stop=stop
        )

    def _setup(self, session: Session, tables: Tables) -> CaptureSetup:
        return tracking.setup.setup(session, self.books, tables)

    def _missing(self, session: Session, tables: Tables) -> tuple[str, ...]:
        return tracking.setup.missing(session, tables)

    def _teardown(self, session: Session) -> None:
        tracking.setup.teardown(session, self.books)

    def _remains(self, session: Session) -> tuple[str, ...]:
        return tracking.setup.remains(session, self.books)

    def _status(self, session: Session, *, active: bool) -> SourceStatus:
        return tracking.read_status(session, self.books, active=active)


@dataclass(frozen=True)
class TriggerSource(SqlServerSource):
    """Captured by triggers: every change of tables with a primary key."""

    @property
    def log(self) -> ChangeLog:
        return ChangeLog(self.name)

    @property
    def hand_off(self) -> HandOff:
        return triggers.TriggerHandOff()

    def structure(self, table: TableId) -> TableStructure:
        """Without our own triggers, which no copy is to have."""
        found = super().structure(table)
        ours = f"trigger {self.log.schema}_"
        return replace(found, others=tuple(each for each in found.others if not each.startswith(ours)))

    def consequences(self, tables: Tables) -> tuple[str, ...]:
        """See `ports.IntrusiveSource`."""
        return triggers.consequences(tables)

    def changes(
        self, tables: Tables, *, epoch: int, after: int, upto: int | None, stop: Callable[[], bool]
    ) -> AbstractContextManager[ChangeStream]:
        return triggers.open_changes(
            self.sessions, self.name, tables, epoch=epoch, after=after, upto=upto, stop=stop
        )

    def _setup(self, session: Session, tables: Tables) -> CaptureSetup:
        return triggers.setup.setup(session, self.log, tables)

    def _missing(self, session: Session, tables: Tables) -> tuple[str, ...]:
        return triggers.setup.missing(session, self.log, tables)

    def _teardown(self, session: Session) -> None:
        triggers.setup.teardown(session, self.log)

    def _remains(self, session: Session) -> tuple[str, ...]:
        return triggers.setup.remains(session, self.log)

    def _status(self, session: Session, *, active: bool) -> SourceStatus:
        return triggers.read_status(session, self.log, active=active)
