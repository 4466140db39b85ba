"""Capture as a Dagster job per source: one op that drains the change stream.

The op writes to many assets that it does not define: it marks exactly the partitions of the
event store that each flush wrote, and brings the projections forward that follow inline. Marks
are a view for people; nothing is lost if they are.
"""

import datetime as dt
import time
from collections.abc import Callable

import dagster as dg

from replication_assets.declarations import SourceConfig
from replication_assets.defs import naming
from replication_assets.defs.failures import explained
from replication_assets.defs.following import CaptureMarks, InlineFollower
from replication_assets.errors import SlotBusy
from replication_assets.flows.beside_capture import BesideCapture
from replication_assets.flows.capture import CaptureReceipt, FlushPolicy, FlushReceipt, capture
from replication_assets.flows.prepare import open_table
from replication_assets.flows.upkeep import RunningCompaction
from replication_assets.replication import Replication

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


def capture_job(source: SourceConfig) -> dg.JobDefinition:
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


def _capture(context: dg.OpExecutionContext, replication: Replication, config: SourceConfig) -> None:
    source, store = replication.source(config.name), replication.store()
    tables = [open_table(source, store, table) for table in replication.catalog.tables_of(config.name)]
    continuous = config.mode == "continuous"
    marks = CaptureMarks(context, store, {table.id: table for table in tables})
    follower = InlineFollower(context, replication)
    compaction = RunningCompaction(store)

    def on_flush(receipt: FlushReceipt) -> None:
        marks.add(receipt)
        compaction.count(receipt)
        beside.tell(receipt)
        if marks.due:
            report()

    def report() -> None:
        marks.report()
        follower.report()

    policy = FlushPolicy(seconds=0.5) if continuous else FlushPolicy()
    upto = None if continuous else source.status().head
    stop = _successor_waits(context, config.name) if continuous else (lambda: False)

    def run() -> CaptureReceipt:
        return capture(source, store, tables, upto=upto, stop=stop, policy=policy, on_flush=on_flush)

    try:
        with BesideCapture(follower.follow) as beside:
            receipt = _when_free(run)
    finally:
        compaction.close()
        report()
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


def run_age(record: dg.RunRecord, now: dt.datetime) -> float:
    """Seconds since the run started; 0 while it waits."""
    return now.timestamp() - record.start_time if record.start_time else 0.0
