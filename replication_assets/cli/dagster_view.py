"""What commands tell Dagster of their work, where `DAGSTER_HOME` names an instance.

Materializations without a run: partitions turn green, figures plot, and automation brings forward
what follows. A view for people, as those of runs are: nothing is lost if it cannot be told, so a
command goes on and says that it was not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from replication_assets.cli.output import say

if TYPE_CHECKING:
    import dagster as dg

    from replication_assets.core.schema import TableId, TableSchema
    from replication_assets.declarations import Projection, TopicProjection
    from replication_assets.flows.capture import FlushReceipt
    from replication_assets.flows.load import LoadReceipt
    from replication_assets.flows.prepare import ReplicatedTable
    from replication_assets.flows.project import ProjectReceipt
    from replication_assets.flows.publish import PublishReceipt

HOME = "DAGSTER_HOME"
REPORT_SECONDS = 10.0
"""At most so often are partitions marked while a capture runs: each costs 20 to 70 ms."""


class DagsterView:
    """Tells one instance, one thing at a time. Without an instance every method does nothing."""

    def __init__(self) -> None:
        self._alone = Lock()
        self._instance: dg.DagsterInstance | None = None
        self._failed = False
        if os.environ.get(HOME):
            self.attempt(self._open)

    def _open(self) -> None:
        import dagster

        self._instance = dagster.DagsterInstance.get()

    @property
    def instance(self) -> dg.DagsterInstance | None:
        """None: nobody is told."""
        return None if self._failed else self._instance

    def attempt(self, tell: Callable[[], None]) -> None:
        """Do something to the instance; a failure is said once, and ends the telling."""
        if self._failed:
            return
        with self._alone:
            try:
                tell()
            # Whatever Dagster's storage raises: the work itself is done and durable.
            except Exception as error:  # noqa: BLE001
                self._failed = True
                say(f"Dagster is not told ({type(error).__name__}). Fix: check {HOME}; nothing else is lost")

    def listed(self, table: TableId, id_ranges: Sequence[str]) -> None:
        """Id ranges of a table that was set up."""
        if self.instance is not None:
            self.attempt(lambda: self._register(table, id_ranges))

    def _register(self, table: TableId, id_ranges: Sequence[str]) -> None:
        from replication_assets.defs import partitions

        assert self._instance is not None
        partitions.register_ranges(self._instance, table, id_ranges)

    def loaded(self, table: ReplicatedTable, receipt: LoadReceipt) -> None:
        """Each cell that a load wrote."""
        if self.instance is not None:
            self.attempt(lambda: self._loaded(table, receipt))

    def _loaded(self, table: ReplicatedTable, receipt: LoadReceipt) -> None:
        from replication_assets.defs import metadata, naming, partitions

        self._register(table.id, [receipt.id_range.key, *(cell.id_range for cell in receipt.cells)])
        for cell, rows in partitions.listed_cells(table.event_dates, receipt.cells).items():
            self.tell(naming.event_store_key(table.id), cell, metadata.loaded(receipt, rows))

    def projected(
        self, projection: Projection, table: TableId, receipt: ProjectReceipt, schema: TableSchema
    ) -> None:
        """A range of a projection."""
        if self.instance is not None:
            self.attempt(lambda: self._projected(projection, table, receipt, schema))

    def _projected(
        self, projection: Projection, table: TableId, receipt: ProjectReceipt, schema: TableSchema
    ) -> None:
        from replication_assets.defs import metadata, naming

        self._register(table, [receipt.id_range.key])
        key = naming.projection_key(projection.name, table)
        self.tell(key, receipt.id_range.key, metadata.projected(receipt, schema))

    def published(self, projection: TopicProjection, receipt: PublishReceipt) -> None:
        """A table of a topic."""
        if self.instance is not None:
            self.attempt(lambda: self._published(projection, receipt))

    def _published(self, projection: TopicProjection, receipt: PublishReceipt) -> None:
        from replication_assets.defs import naming
        from replication_assets.defs.topic_assets import told

        self.tell(naming.projection_key(projection.name, receipt.table), None, told(receipt))

    def tell(self, asset: dg.AssetKey, partition: str | None, facts: Mapping[str, Any]) -> None:
        import dagster

        assert self._instance is not None
        event = dagster.AssetMaterialization(asset, partition=partition, metadata=facts)
        self._instance.report_runless_asset_event(event)

    def capturing(self, tables: Sequence[ReplicatedTable]) -> CaptureView:
        return CaptureView(self, {table.id: table for table in tables})


class CaptureView:
    """Cells that flushes wrote, gathered, and told now and then."""

    def __init__(self, view: DagsterView, tables: dict[TableId, ReplicatedTable]) -> None:
        self._view = view
        self._tables = tables
        self._rows: dict[tuple[TableId, dg.MultiPartitionKey], int] = {}
        self._lag = 0.0
        self._last: FlushReceipt | None = None
        self._since = time.monotonic()

    def flushed(self, receipt: FlushReceipt) -> None:
        if self._view.instance is None:
            return
        from replication_assets.defs import partitions

        self._last = receipt
        if receipt.rows:
            self._lag = max(self._lag, receipt.lag_seconds or 0.0)
        for table, cells in receipt.tables.items():
            for cell, rows in partitions.listed_cells(self._tables[table].event_dates, cells).items():
                self._rows[table, cell] = self._rows.get((table, cell), 0) + rows
        if time.monotonic() - self._since >= REPORT_SECONDS:
            self.tell()

    def tell(self) -> None:
        """What was gathered; call it at the end too."""
        if self._rows:
            self._view.attempt(self._told)
        self._rows, self._lag, self._since = {}, 0.0, time.monotonic()

    def _told(self) -> None:
        from replication_assets.defs import metadata, naming, partitions

        assert self._last is not None
        assert self._view.instance is not None
        elapsed = max(time.monotonic() - self._since, 0.001)
        # A range that keys grew into is listed once a load covers it, and not by a capture.
        listed = {table: partitions.listed_ranges(self._view.instance, table) for table, _ in self._rows}
        for (table, cell), rows in self._rows.items():
            if cell.keys_by_dimension[partitions.ID_RANGE] in listed[table]:
                facts = metadata.captured(self._last, rows, rows / elapsed, self._lag)
                self._view.tell(naming.event_store_key(table), cell, facts)
