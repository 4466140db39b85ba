"""MySQL and MariaDB as a change source that is captured by triggers. What a table is, and how its rows are
read, is as in `sources.mysql.source`; only where changes come from, and where a load meets them, is not. The
server needs no binlog, and nobody needs the right to replicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.ports import (
    CaptureSetup,
    ChangeStream,
    LoadSlice,
    LoadStream,
    RangeDigests,
    SourceIdentity,
    SourceStatus,
)
from replication_assets.ports.same_tables import SameTables
from replication_assets.sources.mysql import status
from replication_assets.sources.mysql.connection import MySqlConnection, Session, connected
from replication_assets.sources.mysql.digests import read_digests
from replication_assets.sources.mysql.load import open_load, read_clock
from replication_assets.sources.mysql.snapshot import Snapshot
from replication_assets.sources.mysql.source import LOAD_WAIT, MySqlSource
from replication_assets.sources.mysql.triggers import change_log
from replication_assets.sources.mysql.triggers.fences import log_shapes
from replication_assets.sources.mysql.triggers.meeting import fenced_snapshot
from replication_assets.sources.mysql.triggers.preflight import setup_problems
from replication_assets.sources.mysql.triggers.sql import LogNames, newest_ids
from replication_assets.sources.mysql.triggers.stream import open_changes

CHANGE_BYTES = 128
"""What one change counts for in `SourceStatus.lag_bytes`."""


@dataclass(frozen=True, slots=True)
class MySqlTriggerSource(SameTables):
    """One server. Holds no open connection: it can be pickled and shared by threads.

    `cascades` says that rows which foreign keys change unseen are known of. `load_wait` is how many seconds
    a load waits for statements that alter its table.
    """

    name: str
    connection: MySqlConnection
    cascades: bool = False
    load_wait: float = LOAD_WAIT

    @property
    def names(self) -> LogNames:
        return LogNames.of(self.name)

    @property
    def _tables(self) -> MySqlSource:
        """For what does not depend on the way of capture."""
        return MySqlSource(self.name, self.connection, cascades=self.cascades, load_wait=self.load_wait)

    def identify(self) -> SourceIdentity:
        """The server's own identity and the token of the log: a dump that is restored elsewhere is on
        another server, a log that is made anew has another token."""
        with connected(self.connection) as session:
            server = status.identify(session)
            state = change_log.read_state(session, self.names)
        token = state.token if state is not None else "none"
        return SourceIdentity(f"{server.system_id}-{token}", server.timeline)

    def status(self) -> SourceStatus:
        with connected(self.connection) as session:
            state = change_log.read_state(session, self.names)
            if state is None:
                return SourceStatus(0, None, None, None, None, False, "missing", read_clock(session))
            shapes = log_shapes(session, self.names)
            newest = [int(last) for _, last in session.rows(newest_ids(self.names, shapes))]
            reader = status.capture_reader(session, status.capture_lock(self.names.database))
            return SourceStatus(
                head=max(newest, default=0),
                confirmed=state.acknowledged,
                lag_bytes=self._waiting(session, shapes) * CHANGE_BYTES,
                retained_bytes=self._kept_bytes(session),
                headroom_bytes=None,
                active=reader is not None,
                state="reserved" if newest else "lost",
                read_at=read_clock(session),
            )

    def _waiting(self, session: Session, shapes: Sequence[int]) -> int:
        """Changes in the log: what is durable elsewhere is trimmed from it."""
        counts = [f"(SELECT COUNT(*) FROM {self.names.changes(shape)})" for shape in shapes]
        row = session.row(f"SELECT {' + '.join(['0', *counts])}")
        return int(row[0]) if row is not None else 0

    def _kept_bytes(self, session: Session) -> int:
        row = session.row(
            "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = '{self.names.database}'"
        )
        return int(row[0] or 0) if row is not None else 0

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        return change_log.setup_log(self.connection, self.names, tables, cascades=self.cascades)

    def confirm_setup(self) -> None:
        change_log.confirm_log(self.connection, self.names)

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        with connected(self.connection) as session:
            return tuple(setup_problems(session, self.names, tables, cascades=self.cascades))

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first."""
        change_log.teardown_log(self.connection, self.names, force=force)

    def remains(self) -> tuple[str, ...]:
        with connected(self.connection) as session:
            return change_log.remains(session, self.names)

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return open_load(self.connection, load_slice, self.load_wait, self._snapshot)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        return read_digests(
            self.connection, table, schema, range_column, id_ranges, self.load_wait, self._snapshot
        )

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

    def _snapshot(
        self, connection: MySqlConnection, table: TableId, wait: float
    ) -> AbstractContextManager[Snapshot]:
        return fenced_snapshot(connection, self.names, table, wait)
