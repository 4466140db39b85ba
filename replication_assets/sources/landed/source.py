"""Landed files as a change source. See `ports.ChangeSource` for what each method promises.

Full-load files are read in their order before files of changes, by the same capture: they may land for
hours, and late ones too. So a load of a range reads nothing, and says that the range was empty before
the first file; the fold of all that follows is the table. A file is read once, whenever it lands.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa

from replication_assets.core.landed.values import parquet_column
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.ports import (
    CaptureSetup,
    ChangeStream,
    SourceIdentity,
    SourceStatus,
    Writer,
)
from replication_assets.ports.changes_only import ChangesOnly
from replication_assets.ports.offsets import BlockEnd, OffsetJournal
from replication_assets.sources.landed.checking import RowReader
from replication_assets.sources.landed.decoding import Decoder
from replication_assets.sources.landed.journal import START, Landing, placed
from replication_assets.sources.landed.layout import FileLayout, Name, name_of
from replication_assets.sources.landed.parquet_rows import parquet_schema
from replication_assets.sources.landed.place import LandingPlace
from replication_assets.sources.landed.stream import Reading, open_changes


@dataclass(frozen=True, slots=True)
class LandedSource(ChangesOnly):
    """A folder or prefix that DMS writes to. Holds no open connection."""

    CALLED: ClassVar[str] = "landed files"

    name: str
    place: LandingPlace
    layout: FileLayout
    journal: OffsetJournal

    def identify(self) -> SourceIdentity:
        return SourceIdentity(hashlib.sha256(self.place.root.encode()).hexdigest()[:32], 1)

    def status(self) -> SourceStatus:
        end, now = self.journal.last(), dt.datetime.now(dt.UTC)
        if end is None:
            self.place.listing()
            return SourceStatus(START, None, None, None, None, False, "missing", now)
        landing = self._landing_of(end)
        waiting = landing.waiting(landing.known(self.journal.since(end.start)))
        head = placed(end.commit, waiting)[-1].commit if waiting else end.commit
        size = sum(file.size for file in waiting)
        return SourceStatus(head, end.commit, size, None, None, False, "reserved", now)

    def reflect(self, table: TableId, *, key: Sequence[str] = (), append_only: bool = False) -> TableSchema:
        """Declared columns; of Parquet also those of the table's first file."""
        if not key:
            raise SourceNotReady(
                "files do not tell the key of their table",
                where=str(table),
                fix="declare it: Table(..., key=[...])",
            )
        columns = self._declared(table)
        missing = sorted(set(key) - {column.name for column in columns})
        if missing:
            raise SourceNotReady(
                f"no type is known of key column {', '.join(missing)}",
                where=str(table),
                fix="declare the columns of the table, or begin when its first Parquet file has landed",
            )
        return TableSchema(columns, tuple(key), append_only)

    def setup(self, tables: Sequence[tuple[TableId, TableSchema]]) -> CaptureSetup:
        """The capture begins before the first file. Files of a table that is declared later have waited;
        its rows in files of transactions were passed over, and a new epoch reads them."""
        names = tuple(sorted(str(table) for table, _ in tables))
        end = self.journal.last()
        if end is None:
            self.place.listing()
            self.journal.append(BlockEnd(START, {}, names, START))
            return CaptureSetup(START, ())
        added = sorted(set(names) - set(end.tables))
        if added and self._read_transactions(end):
            raise SourceNotReady(
                f"{', '.join(added)} was passed over in the files of transactions until now",
                where=self.name,
                fix="recover the source: a new epoch reads every file from the beginning",
            )
        if names != end.tables:
            self.journal.append(replace(end, tables=names))
        return CaptureSetup(end.start, ())

    def _read_transactions(self, end: BlockEnd) -> bool:
        known = self._landing_of(end).known(self.journal.since(end.start))
        return any(each.file.table is None for each in known.values())

    def missing(self, tables: Sequence[tuple[TableId, TableSchema]]) -> tuple[str, ...]:  # noqa: ARG002
        self.place.listing()
        return ()

    def teardown(self, *, force: bool = False) -> None:  # noqa: ARG002
        """Files are not ours. A running capture is told when it ends its next block."""
        self.journal.close()

    def remains(self) -> tuple[str, ...]:
        if self.journal.last() is None:
            return ()
        return (f"journal of landed files of {self.name} in the event store",)

    def writers(self, tables: Sequence[TableId]) -> tuple[Writer, ...]:  # noqa: ARG002
        """Files do not tell who writes to the database behind them."""
        return ()

    def stop_writes(self, tables: Sequence[TableId]) -> tuple[str, ...]:  # noqa: ARG002
        return (f"-- stop the DMS task that writes to {self.place.root}",)

    def changes(
        self,
        tables: Sequence[tuple[TableId, TableSchema]],
        *,
        epoch: int,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> AbstractContextManager[ChangeStream]:
        by_name = {name_of(table): table for table, _ in tables}
        rows = RowReader(self.place.reader(), self.layout, by_name)
        decoder = Decoder(rows, tables, epoch, self.layout.no_sup_value)
        self.declared_since(tables, decoder.declare)
        landing = self._landing(lambda name: name in by_name)
        reading = Reading(self.name, landing, self.journal, tables)
        return open_changes(reading, rows, decoder, after=after, upto=upto, stop=stop)

    def _landing(self, is_wanted: Callable[[Name], bool]) -> Landing:
        return Landing(self.place, self.layout.cdc_path, lambda schema, name: is_wanted((schema, name)))

    def _landing_of(self, end: BlockEnd) -> Landing:
        """The files of the tables that a block was captured for."""
        return self._landing(lambda name: str(TableId(self.name, *name)) in end.tables)

    def _declared(self, table: TableId) -> tuple[Column, ...]:
        return self.layout.declared(name_of(table)) or self._first_columns(table)

    def _first_columns(self, table: TableId) -> tuple[Column, ...]:
        """Columns of a table's first file: Parquet's own types, or texts under the names of a header."""
        landing = self._landing(lambda name: name == name_of(table))
        files = [file for file in landing.waiting({}) if file.table is not None]
        if not files:
            return ()
        reader, file = self.place.reader(), files[0]
        kept = {"Op", self.layout.timestamp_column}
        if file.format == "csv":
            rows = RowReader(reader, self.layout, {name_of(table): table})
            first = next(rows.rows(file), None) if self.layout.header else None
            rows.close()
            return (
                tuple(parquet_column(name, pa.string()) for name in first.values) if first is not None else ()
            )
        with reader.file(file.path) as opened:
            schema = parquet_schema(opened, reader.where(file.path))
        return tuple(parquet_column(field.name, field.type) for field in schema if field.name not in kept)
