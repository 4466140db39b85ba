"""The event store on Delta Lake: one table of events per source table, one ledger per source."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.event_store.audit import DeltaAudit
from replication_assets.event_store.capture_lists import DeltaCaptureLists
from replication_assets.event_store.cutover_log import DeltaCutoverLog
from replication_assets.event_store.dead_letters import DeltaDeadLetters
from replication_assets.event_store.ledger import DeltaLedger
from replication_assets.event_store.log import Beginning, DeltaEventLog
from replication_assets.event_store.offset_journal import DeltaOffsetJournal
from replication_assets.event_store.staging import StagedBatches
from replication_assets.event_store.storage import (
    Place,
    Storage,
    capture_lists_folder,
    dead_letters_folder,
    folder_name,
    folder_of,
    ledger_folder,
)
from replication_assets.event_store.structures import DeltaStructures
from replication_assets.event_store.validation import StoredDigests, StoredFindings


class DeltaEventStore:
    """See `ports.EventStore`.

    `root` is a local folder or a URL that delta-rs takes (`s3://bucket/prefix`);
    `storage_options` are delta-rs's own (`AWS_ENDPOINT_URL`, `AWS_REGION` ...), and never
    shown. Athena, Spark, DuckDB and Polars read the tables in place.
    """

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._storage = Storage(root, storage_options)

    def __repr__(self) -> str:
        return f"DeltaEventStore({self._storage.root!r})"

    @property
    def root(self) -> str:
        return self._storage.root

    def uri(self, table: TableId, chapter: int | None = None) -> str:
        """Where the table's log is, for readers of Delta tables."""
        return self._place(table, chapter or self.chapters(table)).uri

    def log(self, table: TableId, chapter: int | None = None) -> DeltaEventLog:
        number = chapter or self.chapters(table)
        return DeltaEventLog(table, self._place(table, number), number)

    def chapters(self, table: TableId) -> int:
        number = 1
        while self._place(table, number + 1).exists():
            number += 1
        return number

    def begin_chapter(self, table: TableId, schema: TableSchema, ended: int, at: Position) -> DeltaEventLog:
        last = self.log(table, ended).snapshot()
        begun = self.log(table, ended + 1)
        begun.ensure(schema, last.id_ranges, last.event_dates, Beginning(at, last.captured))
        return begun

    def try_writing(self) -> None:
        place = self._storage.place("_try", f"event store at {self.root}")
        with place.errors():
            if place.local is not None:
                # Not made yet: it will be in the nearest folder above.
                folder = next(each for each in place.local.parents if each.exists())
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b"ours")
                return
            files, name = place.filesystem(), uuid.uuid4().hex
            # As Parquet, whose writer hands over bytes: delta-rs takes nothing else from Python.
            pq.write_table(pa.table({"ours": [True]}), name, filesystem=files)
            files.delete_file(name)

    def _place(self, table: TableId, chapter: int) -> Place:
        # A table's folder has one dot, so a second one cannot be part of any other's name.
        folder = folder_of(table) if chapter == 1 else f"{folder_of(table)}.{chapter}"
        return self._storage.place(folder, f"event log of {table}")

    def ledger(self, source: str) -> DeltaLedger:
        return DeltaLedger(self._storage.place(ledger_folder(source), f"ledger of {source}"))

    def capture_lists(self, source: str) -> DeltaCaptureLists:
        place = self._storage.place(capture_lists_folder(source), f"captured tables of {source}")
        return DeltaCaptureLists(source, place)

    def offsets(self, source: str) -> DeltaOffsetJournal:
        ends, refused = (
            self._storage.place(f"_offsets/{folder_name(source)}/{what}", f"offset journal of {source}")
            for what in ("ends", "refused")
        )
        return DeltaOffsetJournal(ends, refused)

    def cutover_log(self, name: str) -> DeltaCutoverLog:
        # No source is called `_cutovers`: their names begin with a letter.
        return DeltaCutoverLog(self._storage.place(f"_cutovers/{name}", f"record of cutover {name}"))

    def dead_letters(self, projection: str, table: TableId) -> DeltaDeadLetters:
        where = f"dead letters of {table} in {projection}"
        return DeltaDeadLetters(self._storage.place(dead_letters_folder(projection, table), where))

    def known_digests(self, table: TableId) -> StoredDigests:
        return StoredDigests(self._storage.place(f"_digests/{folder_of(table)}", f"digests of {table}"))

    def finding_lists(self, table: TableId) -> StoredFindings:
        return StoredFindings(self._storage.place(f"_findings/{folder_of(table)}", f"findings in {table}"))

    def structures(self, table: TableId) -> DeltaStructures:
        where = f"structures of {table}"
        return DeltaStructures(self._storage.place(f"_structures/{folder_of(table)}", where))

    def staging(self, refresh: str) -> StagedBatches:
        where = f"staged batches of refresh {refresh}"
        return StagedBatches(self._storage.place(f"_staging/{folder_name(refresh)}", where))

    def audit(self, environment: str) -> DeltaAudit:
        where = f"audit of environment {environment}"
        return DeltaAudit(environment, self._storage.place(f"_audits/{folder_name(environment)}", where))
