"""What follows a flush: marks on the event-store partitions it wrote, and the projections that
ask to be brought forward in the same run."""

import threading
import time
from dataclasses import dataclass, field

import dagster as dg

from replication_assets.catalog import DynamoDbProjection, Projection, TopicProjection
from replication_assets.core.baseline import is_covered
from replication_assets.core.events import ALL_RANGES
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.dead_letters import report_open
from replication_assets.defs.topic_assets import told
from replication_assets.errors import ReplicationError, TableSuspended
from replication_assets.flows.capture import FlushReceipt
from replication_assets.flows.prepare import ReplicatedTable
from replication_assets.flows.project import ProjectReceipt
from replication_assets.flows.project_beside import Lane, project_ranges
from replication_assets.flows.publish import Publisher, PublishReceipt, letters_of, publisher
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import Handling, handling_of
from replication_assets.ports import CellCount, EventStore
from replication_assets.replication import Replication

TOPIC = "topic"
"""Stands for the id range of what has none."""
RANGES_AT_ONCE = 4
"""Of one table, in DynamoDB, where ranges have nothing in common. In other targets they would wait for each
other: for the log of one Delta table, or for the locks of one database."""
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
    """Brings projections that follow inline forward at every flush, touched ranges of a table side by side.

    A projection that fails is left to its own run, which automation asks for because nothing
    is reported here: it fails there, in view, and capture goes on. A suspended table is let be.

    One thread follows, and another may report.
    """

    context: dg.OpExecutionContext
    replication: Replication
    done: dict[tuple[dg.AssetKey, str], tuple[ProjectReceipt, TableSchema]] = field(default_factory=dict)
    controls: dict[TableId, int] = field(default_factory=dict)
    handlings: dict[dg.AssetKey, list[Handling | None]] = field(default_factory=dict)
    """One for each range at once. Kept from flush to flush: each remembers what it has read of the dead
    letters, and serves one thread."""
    publishers: dict[dg.AssetKey, Publisher] = field(default_factory=dict)
    """Kept from flush to flush: a new one asks the topic what stands."""
    letters: dict[dg.AssetKey, tuple[Projection | TopicProjection, TableId, Handling | None]] = field(
        default_factory=dict
    )
    """What reports look at the dead letters with."""
    published: dict[dg.AssetKey, PublishReceipt] = field(default_factory=dict)
    left: set[tuple[dg.AssetKey, str]] = field(default_factory=set)
    """Ranges that failed in a way that trying again does not mend: not tried before the next report, since a
    projection that stops at a refused row keeps a fact about each attempt."""
    noting: threading.Lock = field(default_factory=threading.Lock)
    """Held for what both threads change."""

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
                handling = letters_of(self.replication.store(), projection, table)
                with self.noting:
                    self.letters[asset] = (projection, table, handling)
            receipt = self.publishers[asset].publish()
            with self.noting:
                self.published[asset] = receipt.after(self.published.get(asset))
        except TableSuspended:
            return
        except ReplicationError as error:
            with self.noting:
                self.published.pop(asset, None)
            self._leave(asset, TOPIC, error)

    def _project(self, projection: Projection, table: TableId, touched: set[str]) -> None:
        store = self.replication.store()
        snapshot, asset = store.log(table).snapshot(), naming.projection_key(projection.name, table)
        # A control event speaks of every range: a load that ended meanwhile is one.
        loads = len(snapshot.controls().loads)
        everything = ALL_RANGES in touched or loads != self.controls.get(table)
        ranges = [
            each
            for each in ranges_of(snapshot)
            if (asset, each.key) not in self.left and (everything or each.key in touched)
        ]
        projected = project_ranges(snapshot, table, ranges, self._lanes(projection, table, len(ranges)))
        with self.noting:
            for key, receipt in projected.done.items():
                self.done[(asset, key)] = (receipt, snapshot.schema)
            for key in projected.failed:
                self.done.pop((asset, key), None)
        for key, error in projected.failed.items():
            self._leave(asset, key, error)
        if not projected.suspended:
            self.controls[table] = loads

    def _lanes(self, projection: Projection, table: TableId, ranges: int) -> list[Lane]:
        asset, store = naming.projection_key(projection.name, table), self.replication.store()
        if asset not in self.handlings:
            self.handlings[asset] = []
            with self.noting:
                self.letters[asset] = (projection, table, handling_of(store, projection, table))
        handlings = self.handlings[asset]
        at_once = RANGES_AT_ONCE if isinstance(projection, DynamoDbProjection) else 1
        while len(handlings) < min(max(ranges, 1), at_once):
            handlings.append(handling_of(store, projection, table))
        return [
            Lane(self.replication.target(projection, table), each) for each in handlings[: max(ranges, 1)]
        ]

    def _leave(self, asset: dg.AssetKey, what: str, error: ReplicationError) -> None:
        self.context.log.warning(f"left to a run of its own: {error}")
        if not error.retryable:
            with self.noting:
                self.left.add((asset, what))

    def report(self) -> None:
        """One materialization per projected range since the last report, and dead letters."""
        with self.noting:
            done, self.done = self.done, {}
            published, self.published = self.published, {}
            self.left = set()
            letters = list(self.letters.values())
        for projection, table, handling in letters:
            report_open(self.context.instance, projection, table, handling)
        for (asset, id_range), projected in done.items():
            facts = metadata.projected(*projected)
            self.context.log_event(dg.AssetMaterialization(asset, partition=id_range, metadata=facts))
        for asset, receipt in published.items():
            self.context.log_event(dg.AssetMaterialization(asset, metadata=told(receipt)))
