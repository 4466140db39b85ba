"""What follows a flush: marks on the event-store partitions it wrote, and the projections that
ask to be brought forward in the same run."""

import time
from dataclasses import dataclass, field

import dagster as dg

from replication_assets.catalog import Projection, TopicProjection
from replication_assets.core.baseline import is_covered
from replication_assets.core.events import ALL_RANGES
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.dead_letters import report_open
from replication_assets.defs.topic_assets import told
from replication_assets.errors import ReplicationError, TableSuspended
from replication_assets.flows.capture import FlushReceipt
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.publish import Publisher, PublishReceipt, publisher
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import Handling, handling_of
from replication_assets.ports import CellCount, EventStore
from replication_assets.replication import Replication

TOPIC = "topic"
"""Stands for the id range of what has none."""
REPORT_SECONDS = 10.0
"""At most so often are partitions marked: an event costs 20 to 70 ms on SQLite."""


@dataclass
class CaptureMarks:
    """Rows per partition since the last report, across flushes."""

    context: dg.OpExecutionContext
    store: EventStore
    tables: dict[TableId, ReplicatedTable]
    rows: dict[tuple[TableId, dg.MultiPartitionKey], int] = field(default_factory=dict)
    listed: set[tuple[TableId, str]] = field(default_factory=set)
    last: FlushReceipt | None = None
    lag: float = 0.0
    """Greatest lag of a flush that wrote something; an idle one's commit is long ago."""
    reported: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        return time.monotonic() - self.reported >= REPORT_SECONDS

    def add(self, receipt: FlushReceipt) -> None:
        self.last = receipt
        if receipt.rows:
            self.lag = max(self.lag, receipt.lag_seconds or 0.0)
        for table, cells in receipt.tables.items():
            self._list_ranges(table, cells)
            listed = [cell for cell in cells if (table, cell.id_range) in self.listed]
            for key, rows in partitions.listed_cells(self.tables[table].event_dates, listed).items():
                self.rows[(table, key)] = self.rows.get((table, key), 0) + rows

    def _list_ranges(self, table: TableId, cells: tuple[CellCount, ...]) -> None:
        """List ranges that keys grew into, once a load covers them.

        Before that the last one listed is still to be loaded, open above: listing another
        would leave the new one without a load.
        """
        unseen = {cell.id_range for cell in cells if (table, cell.id_range) not in self.listed} - {ALL_RANGES}
        if not unseen:
            return
        grown = unseen - partitions.listed_ranges(self.context.instance, table)
        waiting = self._waiting(table, grown) if grown else set()
        self.listed.update((table, id_range) for id_range in unseen - waiting)
        if new := partitions.register_ranges(self.context.instance, table, grown - waiting):
            self.context.log.info(f"{table}: new id ranges {', '.join(new)}")

    def _waiting(self, table: TableId, grown: set[str]) -> set[str]:
        snapshot = self.store.log(table).snapshot()
        controls = snapshot.controls()
        return {key for key in grown if not is_covered(controls, snapshot.id_ranges.by_key(key))}

    def report(self) -> None:
        """One materialization per partition written since the last report."""
        elapsed = max(time.monotonic() - self.reported, 0.001)
        self.reported = time.monotonic()
        if self.last is None or not self.rows:
            return
        total = sum(self.rows.values())
        self.context.log.info(
            f"{total:,} events in {len(self.rows)} partitions, {total / elapsed:,.0f} a second, "
            f"lag {self.lag:.1f} s"
        )
        for (table, key), rows in self.rows.items():
            facts = metadata.captured(self.last, rows, rows / elapsed, self.lag)
            self.context.log_event(
                dg.AssetMaterialization(naming.event_store_key(table), partition=key, metadata=facts)
            )
        self.rows, self.lag = {}, 0.0


@dataclass
class InlineFollower:
    """Brings projections that follow inline forward at every flush, range by touched range.

    A projection that fails is left to its own run, which automation asks for because nothing
    is reported here: it fails there, in view, and capture goes on. A suspended table is let be.
    """

    context: dg.OpExecutionContext
    replication: Replication
    done: dict[tuple[dg.AssetKey, str], tuple[ProjectReceipt, TableSchema]] = field(default_factory=dict)
    controls: dict[TableId, int] = field(default_factory=dict)
    handlings: dict[dg.AssetKey, tuple[Projection, TableId, Handling | None]] = field(default_factory=dict)
    """Kept from flush to flush: each remembers what it has read of the dead letters."""
    publishers: dict[dg.AssetKey, Publisher] = field(default_factory=dict)
    """Kept from flush to flush: a new one asks the topic what stands."""
    letters: dict[dg.AssetKey, tuple[TopicProjection, TableId, Handling]] = field(default_factory=dict)
    published: dict[dg.AssetKey, PublishReceipt] = field(default_factory=dict)
    left: set[tuple[dg.AssetKey, str]] = field(default_factory=set)
    """Ranges that failed in a way that trying again does not mend: not tried before the next report, since a
    projection that stops at a refused row keeps a fact about each attempt."""

    def follow(self, receipt: FlushReceipt) -> None:
        for projection in self.replication.catalog.projections:
            if projection.follow == "inline":
                for table in self.replication.catalog.projected(projection):
                    if table.id in receipt.tables:
                        touched = {cell.id_range for cell in receipt.tables[table.id]}
                        self._project(projection, table.id, touched)

        for topic in self.replication.catalog.topics:
            if topic.follow == "inline":
                for table in self.replication.catalog.projected(topic):
                    if table.id in receipt.tables:
                        self._publish(topic, table.id)

    def _publish(self, projection: TopicProjection, table: TableId) -> None:
        asset = naming.projection_key(projection.name, table)
        if (asset, TOPIC) in self.left:
            return
        try:
            if asset not in self.publishers:
                self.publishers[asset] = publisher(self.replication, projection, table)
                handling = self.publishers[asset].sender.handling
                self.letters[asset] = (projection, table, handling)
            receipt = self.publishers[asset].publish()
            self.published[asset] = receipt.after(self.published.get(asset))
        except TableSuspended:
            return
        except ReplicationError as error:
            self.published.pop(asset, None)
            self.context.log.warning(f"left to a run of its own: {error}")
            if not error.retryable:
                self.left.add((asset, TOPIC))

    def _project(self, projection: Projection, table: TableId, touched: set[str]) -> None:
        store = self.replication.store()
        snapshot, target = store.log(table).snapshot(), self.replication.target(projection, table)
        # A control event speaks of every range: a load that ended meanwhile is one.
        loads = len(snapshot.controls().loads)
        everything = ALL_RANGES in touched or loads != self.controls.get(table)
        asset = naming.projection_key(projection.name, table)
        if asset not in self.handlings:
            self.handlings[asset] = (projection, table, handling_of(store, projection, table))
        handling = self.handlings[asset][2]
        for id_range in ranges_of(snapshot):
            if (asset, id_range.key) not in self.left and (everything or id_range.key in touched):
                try:
                    receipt = project_range(snapshot, table, target, id_range, handling=handling)
                    self.done[(asset, id_range.key)] = (receipt, snapshot.schema)
                except TableSuspended:
                    return
                except ReplicationError as error:
                    self.done.pop((asset, id_range.key), None)
                    self.context.log.warning(f"left to a run of its own: {error}")
                    if not error.retryable:
                        self.left.add((asset, id_range.key))
        self.controls[table] = loads

    def report(self) -> None:
        """One materialization per projected range since the last report, and dead letters."""
        for projection, table, handling in self.handlings.values():
            report_open(self.context.instance, projection, table, handling)
        for (asset, id_range), done in self.done.items():
            facts = metadata.projected(*done)
            self.context.log_event(dg.AssetMaterialization(asset, partition=id_range, metadata=facts))
        for topic, table, handling in self.letters.values():
            report_open(self.context.instance, topic, table, handling)
        for asset, receipt in self.published.items():
            self.context.log_event(dg.AssetMaterialization(asset, metadata=told(receipt)))
        self.done, self.published, self.left = {}, {}, set()
