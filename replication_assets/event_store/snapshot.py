"""One version of a log, for reading. It holds its own Delta handle and never refreshes it."""

from __future__ import annotations

from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from replication_assets.core.controls import Controls, RangeReplaced, SchemaChanged, Truncated
from replication_assets.core.dates import EventDates
from replication_assets.core.events import (
    ALL_RANGES,
    COMMIT_POSITION,
    CONTROL,
    EPOCH,
    ID_RANGE,
    LOAD_ID,
    OP,
    SEQUENCE,
    Operation,
    stored_schema,
)
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.errors import StoreCorrupt
from replication_assets.event_store.columns import LogSettings, table_schema
from replication_assets.event_store.files import ActiveFile, active_files, dataset
from replication_assets.event_store.storage import Place
from replication_assets.event_store.writer import captured_position
from replication_assets.ports import CellCount


class DeltaLogSnapshot:
    """See `ports.LogSnapshot`. Files stay readable until `vacuum` finds them old enough."""

    def __init__(self, place: Place, table: DeltaTable) -> None:
        self._place = place
        self._table = table
        self._settings = LogSettings.read(table, place.where)
        self._schema = table_schema(table, self._settings)

    @property
    def version(self) -> int:
        return self._table.version()

    @property
    def schema(self) -> TableSchema:
        return self._schema

    @property
    def id_ranges(self) -> IdRanges:
        return self._settings.id_ranges

    @property
    def event_dates(self) -> EventDates:
        return self._settings.event_dates

    @cached_property
    def captured(self) -> Position | None:
        with self._place.errors():
            return captured_position(self._table)

    @cached_property
    def _active(self) -> list[ActiveFile]:
        with self._place.errors():
            return active_files(self._table)

    def files(self) -> tuple[str, ...]:
        """Paths of the active files, relative to the table; what a commit costs grows with them."""
        return tuple(file.path for file in self._active)

    def counts(self) -> tuple[CellCount, ...]:
        """Rows of each event-store partition, control events apart, read from the log alone."""
        found: dict[tuple[str, object], CellCount] = {}
        for file in self._active:
            key, date = file.id_range, file.event_date
            if key is None or key == ALL_RANGES:
                continue
            before = found.get((key, date))
            found[key, date] = CellCount(key, date, file.rows + (before.rows if before else 0))
        return tuple(sorted(found.values(), key=lambda cell: (cell.id_range, str(cell.event_date))))

    def range_keys(self) -> tuple[str, ...]:
        keys = {file.id_range for file in self._active if file.rows}
        return tuple(sorted(key for key in keys if key is not None and key != ALL_RANGES))

    def events(self, id_range: str, *, after: Position | None = None) -> ds.Dataset:
        chosen = [
            file
            for file in self._active
            if file.id_range == id_range and (after is None or file.may_follow(after))
        ]
        return dataset(self._place, chosen, stored_schema(self._schema))

    def controls(self) -> Controls:
        return self._controls

    @cached_property
    def _controls(self) -> Controls:
        # Asked for by every range of a flush; the version stays the same.
        columns = [OP, EPOCH, COMMIT_POSITION, SEQUENCE, LOAD_ID, CONTROL]
        with self._place.errors():
            rows = self.events(ALL_RANGES).to_table(columns=columns, filter=pc.field(ID_RANGE) == ALL_RANGES)
        return self._parsed(
            rows.sort_by([(EPOCH, "ascending"), (COMMIT_POSITION, "ascending"), (SEQUENCE, "ascending")])
        )

    def _parsed(self, rows: pa.Table) -> Controls:
        loads: list[RangeReplaced] = []
        truncates: list[Truncated] = []
        changes: list[SchemaChanged] = []
        for row in rows.to_pylist():
            position = Position(row[EPOCH], row[COMMIT_POSITION], row[SEQUENCE])
            try:
                if row[OP] == Operation.RANGE_REPLACED:
                    loads.append(RangeReplaced.from_body(position, row[LOAD_ID], row[CONTROL]))
                elif row[OP] == Operation.SCHEMA_CHANGED:
                    changes.append(SchemaChanged.from_body(position, row[CONTROL]))
                elif row[OP] == Operation.TRUNCATE:
                    truncates.append(Truncated(position))
                else:
                    raise ValueError(f"operation {row[OP]!r} is no control event")
            except (KeyError, TypeError, ValueError) as exc:
                raise StoreCorrupt(
                    f"the control event at {position} cannot be read",
                    where=self._place.where,
                    fix="it was written by a newer version: use that one",
                ) from exc
        return Controls(tuple(loads), tuple(truncates), tuple(changes))
