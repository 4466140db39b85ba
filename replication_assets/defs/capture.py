"""Capture as a Dagster job per source: one op that drains the change stream.

The op writes to many assets that it does not define: it marks exactly the partitions of the
event store that each flush wrote, and in continuous mode brings the projections forward that
follow inline. Marks are a view for people; nothing is lost if they are.
"""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

from replication_assets.catalog import DeltaProjection, PostgresSourceConfig
from replication_assets.core.events import ALL_RANGES
from replication_assets.core.schema import TableId
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.failures import explained
from replication_assets.errors import NotLoaded, SlotBusy
from replication_assets.flows.capture import CaptureReceipt, FlushPolicy, FlushReceipt, capture
from replication_assets.flows.prepare import ReplicatedTable, open_table
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.read import ranges_of
from replication_assets.ports import CellCount
from replication_assets.replication import Replication

REPORT_SECONDS = 10.0
"""At most so often are partitions marked: an event costs 20 to 70 ms on SQLite."""

HANDOVER_SECONDS = 120.0
"""How long a successor waits for its predecessor to let go of the change stream."""

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def capture_job_name(source: str) -> str:
    return f"{naming.plain(source)}_capture"


def capture_job(source: PostgresSourceConfig) -> dg.JobDefinition:
    """Drain the source once (micro-batch), or until a successor takes over (continuous)."""

    @dg.op(
        name=f"capture_{naming.plain(source.name)}",
        description=f"Captures changes of `{source.name}` into the event store.",
        retry_policy=dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL),
    )
    def drain(context: dg.OpExecutionContext, replication: dg.ResourceParam[Replication]) -> None:
        with explained():
            _capture(context, replication, source)

    @dg.job(
        name=capture_job_name(source.name),
        executor_def=dg.in_process_executor,
        tags={naming.CAPTURE_TAG: source.name},
        description=f"Captures changes of `{source.name}`; kept running by its sensor.",
    )
    def job() -> None:
        drain()

    return job


def _capture(context: dg.OpExecutionContext, replication: Replication, config: PostgresSourceConfig) -> None:
    source, store = replication.source(config.name), replication.store()
    tables = [open_table(source, store, table) for table in replication.catalog.tables_of(config.name)]
    continuous = config.mode == "continuous"
    marks = _Marks(context, {table.id: table for table in tables})
    follower = _InlineFollower(context, replication) if continuous else None

    def on_flush(receipt: FlushReceipt) -> None:
        marks.add(receipt)
        if follower is not None:
            follower.follow(receipt)

    policy = FlushPolicy(seconds=0.2) if continuous else FlushPolicy()
    upto = None if continuous else source.status().head
    stop = _successor_waits(context, config.name) if continuous else (lambda: False)

    def run() -> CaptureReceipt:
        return capture(source, store, tables, upto=upto, stop=stop, policy=policy, on_flush=on_flush)

    try:
        receipt = _when_free(run)
    finally:
        marks.report()
    context.log.info(
        f"{config.name}: {receipt.rows:,} events in {receipt.flushes} flushes and {receipt.seconds:.1f} s, "
        f"durable up to {receipt.position.commit}"
    )
    context.add_output_metadata(
        {"rows": receipt.rows, "position": receipt.position.commit, "seconds": round(receipt.seconds, 3)}
    )


def _when_free(run: Callable[[], CaptureReceipt]) -> CaptureReceipt:
    """Run as soon as the change stream is free: a predecessor ends once it sees us waiting."""
    deadline = time.monotonic() + HANDOVER_SECONDS
    while True:
        try:
            return run()
        except SlotBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _successor_waits(context: dg.OpExecutionContext, source: str) -> Callable[[], bool]:
    """True once a later capture of the source has started and waits for the stream."""
    own = context.run_id
    looked = time.monotonic()

    def stop() -> bool:
        nonlocal looked
        if time.monotonic() - looked < 2.0:
            return False
        looked = time.monotonic()
        return _newest_started(context.instance, source) not in (None, own)

    return stop


def _newest_started(instance: dg.DagsterInstance, source: str) -> str | None:
    started = instance.get_run_records(
        dg.RunsFilter(tags={naming.CAPTURE_TAG: source}, statuses=[dg.DagsterRunStatus.STARTED]), limit=1
    )
    return started[0].dagster_run.run_id if started else None


@dataclass
class _Marks:
    """Rows per partition since the last report, across flushes."""

    context: dg.OpExecutionContext
    tables: dict[TableId, ReplicatedTable]
    rows: dict[tuple[TableId, str], int] = field(default_factory=dict)
    last: FlushReceipt | None = None
    reported: float = field(default_factory=time.monotonic)

    def add(self, receipt: FlushReceipt) -> None:
        self.last = receipt
        for table, cells in receipt.tables.items():
            for key, rows in self._listed(table, cells).items():
                self.rows[(table, key)] = self.rows.get((table, key), 0) + rows
        if time.monotonic() - self.reported >= REPORT_SECONDS:
            self.report()

    def _listed(self, table: TableId, cells: tuple[CellCount, ...]) -> dict[dg.MultiPartitionKey, int]:
        new = partitions.register_ranges(self.context.instance, table, {cell.id_range for cell in cells})
        if new:
            self.context.log.info(f"{table}: new id ranges {', '.join(new)}")
        return partitions.listed_cells(self.tables[table].event_dates, cells)

    def report(self) -> None:
        """One materialization per partition written since the last report."""
        if self.last is None or not self.rows:
            return
        elapsed = max(time.monotonic() - self.reported, 0.001)
        total = sum(self.rows.values())
        self.context.log.info(
            f"{total:,} events in {len(self.rows)} partitions, {total / elapsed:,.0f} a second, lag "
            f"{self.last.lag_seconds or 0:.1f} s"
        )
        for (table, key), rows in self.rows.items():
            self.context.log_event(
                dg.AssetMaterialization(
                    naming.event_store_key(table),
                    partition=key,
                    metadata=metadata.captured(self.last, rows, rows / elapsed),
                )
            )
        self.rows, self.reported = {}, time.monotonic()


@dataclass
class _InlineFollower:
    """Brings projections that follow inline forward at every flush, range by touched range."""

    context: dg.OpExecutionContext
    replication: Replication
    reported: dict[dg.AssetKey, dict[str, float]] = field(default_factory=dict)

    def follow(self, receipt: FlushReceipt) -> None:
        catalog = self.replication.catalog
        for projection in catalog.projections:
            if projection.follow == "inline":
                for table in catalog.projected(projection):
                    if table.id in receipt.tables:
                        self._project(
                            projection, table.id, {cell.id_range for cell in receipt.tables[table.id]}
                        )

    def _project(self, projection: DeltaProjection, table: TableId, touched: set[str]) -> None:
        snapshot = self.replication.store().log(table).snapshot()
        target = self.replication.target(projection, table)
        for id_range in ranges_of(snapshot):
            # A control event speaks of every range.
            if id_range.key in touched or ALL_RANGES in touched:
                try:
                    done = project_range(snapshot, table, target, id_range)
                except NotLoaded as error:
                    self.context.log.debug(str(error))
                else:
                    self._report(naming.projection_key(projection.name, table), done)

    def _report(self, asset: dg.AssetKey, done: ProjectReceipt) -> None:
        last = self.reported.setdefault(asset, {})
        if time.monotonic() - last.get(done.id_range.key, -REPORT_SECONDS) >= REPORT_SECONDS:
            last[done.id_range.key] = time.monotonic()
            facts = metadata.projected(done)
            self.context.log_event(
                dg.AssetMaterialization(asset, partition=done.id_range.key, metadata=facts)
            )


def run_age(record: dg.RunRecord, now: dt.datetime) -> float:
    """Seconds since the run started; 0 while it waits."""
    return now.timestamp() - record.start_time if record.start_time else 0.0
