"""An Oracle database as a change source that is captured by triggers. What a table is, and how its rows are
read, is as in `sources.oracle.source`; only where changes come from, and where a load meets them, is not. The
database needs neither archived logs nor supplemental logging, and the account no LogMiner.
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
from replication_assets.sources.oracle import status
from replication_assets.sources.oracle.digests import read_digests
from replication_assets.sources.oracle.load import open_load
from replication_assets.sources.oracle.sessions import Server, Session, connected, one_row
from replication_assets.sources.oracle.snapshot import current_scn, read_clock
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.triggers import change_log
from replication_assets.sources.oracle.triggers.fences import has_fence, load_scn
from replication_assets.sources.oracle.triggers.preflight import setup_problems
from replication_assets.sources.oracle.triggers.shapes import read_shapes
from replication_assets.sources.oracle.triggers.stream import open_changes

CHANGE_BYTES = 128
"""What one change counts for in `SourceStatus.lag_bytes`."""


@dataclass(frozen=True, slots=True)
class OracleTriggerSource(SameTables):
    """One database. Holds no open connection: it can be pickled and shared by threads."""

    name: str
    server: Server

    @property
    def names(self) -> LogNames:
        return LogNames.of(self.name)

    @property
    def _tables(self) -> OracleSource:
        """For what does not depend on the way of capture."""
        return OracleSource(self.name, self.server)

    def identify(self) -> SourceIdentity:
        """The database's own identity and the token of the log: a copy that is imported elsewhere is in
        another database, a log that is made anew has another token."""
        with connected(self.server) as session:
            found = status.identify(session)
            state = change_log.read_state(session, self.names)
        token = state.token if state is not None else "none"
        return SourceIdentity(f"{found.system_id}-{token}", found.timeline)

    def status(self) -> SourceStatus:
        with connected(self.server) as session:
            state = change_log.read_state(session, self.names)
            if state is None:
                return SourceStatus(0, None, None, None, None, False, "missing", read_clock(session))
            reader = status.capture_reader(session, status.capture_lock(self.name))
            bytes_row = one_row(session, sql.KEPT_BYTES, {"ours": self.names.ours})
            return SourceStatus(
                head=current_scn(session),
                confirmed=state.acknowledged,
                lag_bytes=self._waiting(session) * CHANGE_BYTES,
                retained_bytes=int(bytes_row[0]) if bytes_row is not None else 0,
                headroom_bytes=None,
                active=reader is not None,
                state="reserved" if has_fence(session, self.names, state.acknowledged) else "lost",
                read_at=read_clock(session),
            )

    def _waiting(self, session: Session) -> int:
        """Changes in the log: what is durable elsewhere is trimmed from it."""
        tables = [self.names.changes(number) for number in read_shapes(session, self.names)]
        return sum(int(session.rows(trigger_log.count(table))[0][0]) for table in tables)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        return change_log.setup_log(self.server, self.names, tables)

    def confirm_setup(self) -> None:
        change_log.confirm_log(self.server, self.names)

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:
        with connected(self.server) as session:
            return tuple(setup_problems(session, self.names, tables))

    def teardown(self, *, force: bool = False) -> None:
        """With `force`, a running capture is ended first."""
        change_log.teardown_log(self.server, self.names, self.name, force=force)

    def remains(self) -> tuple[str, ...]:
        with connected(self.server) as session:
            return change_log.remains(session, self.names, self.name)

    def load(self, load_slice: LoadSlice) -> AbstractContextManager[LoadStream]:
        return open_load(self.server, load_slice, self._take_scn)

    def digests(
        self,
        table: TableId,
        schema: TableSchema,
        range_column: str | None,
        id_ranges: Sequence[IdRange],
    ) -> RangeDigests:
        return read_digests(self.server, table, schema, range_column, id_ranges, self._take_scn)

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
            self.server, self.names, self.name, tables, epoch=epoch, after=after, upto=upto, stop=stop
        )

    def _take_scn(self, _: Session) -> int:
        return load_scn(self.server, self.names)
