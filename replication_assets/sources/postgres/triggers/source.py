"""PostgreSQL as a change source that is captured by triggers. What a table is, and how its rows are
read, is as in `sources.postgres.source`; only where changes come from, and where a load meets them, is
not. No role needs the right to replicate, and no setting of the server has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import NOISE_BITS
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
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.digests import read_digests
from replication_assets.sources.postgres.load import open_load
from replication_assets.sources.postgres.reflection import reflect_table
from replication_assets.sources.postgres.snapshot import Snapshot
from replication_assets.sources.postgres.source import LOAD_WAIT, PostgresSource
from replication_assets.sources.postgres.triggers import change_log
from replication_assets.sources.postgres.triggers.fence import fenced_snapshot
from replication_assets.sources.postgres.triggers.positions import lease_holder
from replication_assets.sources.postgres.triggers.preflight import setup_problems
from replication_assets.sources.postgres.triggers.sql import LogNames
from replication_assets.sources.postgres.triggers.stream import open_changes

CHANGE_BYTES = 128
"""What one change counts for in `SourceStatus.lag_bytes`."""


@dataclass(frozen=True, slots=True)
class TriggerSource(SameTables):
    """One database. Holds no open connection: it can be pickled and shared by threads.

    `load_wait` is how many seconds a load waits for other loads that begin.
    """

    name: str
    connection: PostgresConnection
    load_wait: float = LOAD_WAIT

    @property
    def names(self) -> LogNames:
        return LogNames.of(self.name)

    @property
    def _tables(self) -> PostgresSource:
        """For what does not depend on the way of capture."""
        return PostgresSource(self.name, self.connection, load_wait=self.load_wait)

    def identify(self) -> SourceIdentity:
        """The server's own number and the token of the log: a dump that is restored elsewhere has
        another number, a log that is made anew another token."""
        with connect(self.connection) as session, source_errors(self.connection.where):
            row = session.execute(
                "SELECT s.system_identifier::text, c.timeline_id"
                " FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c"
            ).fetchone()
            state = change_log.read_state(session, self.names)
        assert row is not None
        return SourceIdentity(f"{row[0]}-{state.token if state is not None else 'none'}", int(row[1]))

    def status(self) -> SourceStatus:
        with connect(self.connection) as session, source_errors(self.connection.where):
            now = session.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
            assert now is not None
            state = change_log.read_state(session, self.names)
            log = change_log.log_oid(session, self.names)
            if state is None or log is None:
                return SourceStatus(0, None, None, None, None, False, "missing", now[0])
            row = session.execute(
                f"SELECT max(id), pg_catalog.pg_total_relation_size(%s::oid) FROM {self.names.log}".encode(),
                (log,),
            ).fetchone()
            active = lease_holder(session, log) is not None
        assert row is not None
        # Behind the newest fence stand transactions that it does not show.
        head = int(row[0]) + 1 if row[0] is not None else 0
        waiting = max(0, (head >> NOISE_BITS) - (state.acknowledged >> NOISE_BITS)) * CHANGE_BYTES
        word = "reserved" if head else "lost"
        return SourceStatus(head, state.acknowledged, waiting, int(row[1]), None, active, word, now[0])

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        """Triggers see whole rows: the table's replica identity does not matter."""
        with connect(self.connection) as session, source_errors(str(table)):
            return reflect_table(session, table, key=key, append_only=append_only, by_log=False)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        return change_log.setup_log(self.connection, self.names, tables)

    def confirm_setup(self) -> None:
        change_log.confirm_log(self.connection, self.names)

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        with connect(self.connection) as session, source_errors(self.connection.where):
            return tuple(setup_problems(session, self.names, tables))

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first."""
        change_log.teardown_log(self.connection, self.names, force=force)

    def remains(self) -> tuple[str, ...]:
        with connect(self.connection) as session, source_errors(self.connection.where):
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
            self.connection,
            self.names,
            tables,
            epoch=epoch,
            after=after,
            upto=upto,
            stop=stop,
        )

    @contextmanager
    def _snapshot(self, connection: PostgresConnection, wait: float) -> Iterator[Snapshot]:
        with fenced_snapshot(connection, self.names, wait) as snapshot:
            yield snapshot
