"""The log of one source table: creating it, keeping its columns up to date, handing out its parts."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import deque
from dataclasses import dataclass

from deltalake import DeltaTable

from replication_assets.core.dates import EventDates
from replication_assets.core.events import PARTITION_BY
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.delta_creation import NewTable
from replication_assets.errors import StoreCorrupt, StoreError
from replication_assets.event_store.columns import (
    BEGINS,
    DELTA_PROPERTIES,
    LogSettings,
    changed_metadata,
    delta_fields,
    missing_fields,
    new_log_schema,
)
from replication_assets.event_store.compaction import compact
from replication_assets.event_store.snapshot import DeltaLogSnapshot
from replication_assets.event_store.storage import Place
from replication_assets.event_store.writer import DeltaLogWriter, checkpoint

ENSURE_ATTEMPTS = 20
SHORTEST_RETENTION = dt.timedelta(hours=1)
DEFAULT_RETENTION = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a chapter takes over: where it begins, and how far capture had come by then."""

    at: Position
    captured: Position | None


class DeltaEventLog:
    """See `ports.EventLog`."""

    def __init__(self, table: TableId, place: Place, chapter: int = 1) -> None:
        self._id = table
        self._chapter = chapter
        self._place = place
        # Opening costs more than a commit. The handle of a finished writer serves the next
        # one; it is taken out while in use, since a handle has one version at a time.
        self._idle: deque[DeltaTable] = deque(maxlen=1)

    def __repr__(self) -> str:
        return f"DeltaEventLog({str(self._id)!r})"

    @property
    def table(self) -> TableId:
        return self._id

    @property
    def chapter(self) -> int:
        return self._chapter

    @property
    def begins(self) -> Position | None:
        found = self._place.open().metadata().configuration.get(BEGINS)
        return Position.parse(found) if found is not None else None

    def exists(self) -> bool:
        return self._place.exists()

    def ensure(
        self,
        schema: TableSchema,
        id_ranges: IdRanges,
        event_dates: EventDates,
        beginning: Beginning | None = None,
    ) -> None:
        """See `ports.EventLog`. `beginning` is what a log that is not the first starts with."""
        wanted = LogSettings.of(schema, id_ranges, event_dates)
        failure: Exception | None = None
        for attempt in range(ENSURE_ATTEMPTS):
            try:
                if not self.exists():
                    self._create(schema, wanted, beginning)
                if self._is_current(schema, wanted):
                    return
            except StoreError as exc:
                if not isinstance(exc.__cause__, Exception) or isinstance(exc, StoreCorrupt):
                    raise
                failure = exc
            # Somebody else creates or alters the table now. What is left to do is seen on
            # the next look; an error that persists is raised after the last.
            except Exception as exc:  # noqa: BLE001
                failure = exc
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 5)))
        error = failure or RuntimeError("the table kept changing")
        raise self._place.error(error) from error

    def snapshot(self) -> DeltaLogSnapshot:
        return DeltaLogSnapshot(self._place, self._place.open())

    def writer(self) -> DeltaLogWriter:
        try:
            table = self._idle.pop()
        except IndexError:
            table = self._place.open()
        else:
            self._place.refresh(table)
        return DeltaLogWriter(self._place, table, self._idle.append)

    def compact(self) -> int:
        return compact(self._place)

    def vacuum(self, older_than: dt.timedelta = DEFAULT_RETENTION) -> int:
        """Delete files that no version of the last `older_than` needs; returns how many.

        That are files removed by compaction before then, and files that a killed writer
        left. No reader or writer may run for longer than `older_than`.
        """
        if older_than < SHORTEST_RETENTION:
            raise StoreError(
                f"files of the last {older_than} may be in use",
                where=self._place.where,
                fix=f"keep at least {SHORTEST_RETENTION}, and longer than any load or reader runs",
            )
        table = self._place.open()
        hours = -(-older_than // dt.timedelta(hours=1))
        with self._place.errors():
            gone = table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        return len(gone)

    def _create(self, schema: TableSchema, wanted: LogSettings, beginning: Beginning | None) -> None:
        captured = beginning.captured if beginning else None
        begins = {BEGINS: str(beginning.at)} if beginning else {}
        self._place.create(
            NewTable(
                new_log_schema(schema, self._place.where),
                {**DELTA_PROPERTIES, **wanted.properties(), **begins},
                str(self._id),
                partition_by=PARTITION_BY,
                transactions=checkpoint(captured) if captured else (),
            )
        )

    def _is_current(self, schema: TableSchema, wanted: LogSettings) -> bool:
        """Take one step towards the wanted state; True if there was none left to take."""
        table = self._place.open()
        where = self._place.where
        settings = LogSettings.read(table, where)
        settings.check_fixed(wanted, where)
        missing = missing_fields(table, schema, where)
        if missing:
            table.alter.add_columns(delta_fields(missing).fields)
            return False
        if settings.changeable() != wanted.changeable():
            table.alter.set_table_properties(wanted.changeable(), raise_if_not_exists=False)
            return False
        for column, metadata in changed_metadata(table, schema).items():
            table.alter.set_column_metadata(column, metadata)
            return False
        return True
