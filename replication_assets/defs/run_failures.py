"""Runs of ours that failed, as conditions: from the failure until the same work succeeds.

A job that fails again and again (a capture that its sensor keeps starting) is one condition, not
one message per run. Runs that Dagster will retry by itself do not count yet. Of an error only what
this project worded is shown; of any other, its class: a message of a driver may quote a value.
"""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from replication_assets.flows.watch.alarms import Condition

FIRST_LOOK_BACK = dt.timedelta(hours=1)
_MOST_AT_ONCE = 200
_SETTLED_SECONDS = 60.0
"""A run that goes on for so long got past what made the one before it fail."""

_ASSET_JOB = "__ASSET_JOB"
_WILL_RETRY = "dagster/will_retry"
_PARTITION_TAGS = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)


@dataclass
class Failures:
    """What failed and did not succeed since, by subject and partition; and up to when runs were
    looked at (epoch seconds)."""

    seen_until: float | None = None
    open: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """Subject, partition, and of its newest failure: text, epoch seconds."""

    def look(
        self,
        instance: dg.DagsterInstance,
        jobs: Collection[str],
        assets: Collection[dg.AssetKey],
        now: dt.datetime,
        forget_after: float,
    ) -> list[Condition]:
        """Read the runs that ended since the last look."""
        since = self._since(now)
        ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
        while records := instance.get_run_records(
            dg.RunsFilter(statuses=ended, updated_after=since),
            limit=_MOST_AT_ONCE,
            order_by="update_timestamp",
            ascending=True,
        ):
            for record in records:
                if subject := _subject(record.dagster_run, jobs, assets):
                    self._take(instance, record, subject)
            since = records[-1].update_timestamp.replace(tzinfo=dt.UTC)
            if len(records) < _MOST_AT_ONCE:
                break
        self.seen_until = since.timestamp()
        self._take_running(instance, jobs, assets, now)
        self._forget(now.timestamp() - forget_after)
        return list(self._conditions())

    def _since(self, now: dt.datetime) -> dt.datetime:
        if self.seen_until is None:
            return now - FIRST_LOOK_BACK
        return dt.datetime.fromtimestamp(self.seen_until, dt.UTC)

    def _take(self, instance: dg.DagsterInstance, record: dg.RunRecord, subject: str) -> None:
        run = record.dagster_run
        partition = _partition(run)
        if run.status == dg.DagsterRunStatus.SUCCESS:
            self._succeeded(subject, partition)
        elif run.tags.get(_WILL_RETRY) != "true":
            text = f"run {run.run_id[:8]} failed: {_cause(instance, run.run_id)}"
            ended = record.end_time or record.update_timestamp.replace(tzinfo=dt.UTC).timestamp()
            self.open.setdefault(subject, {})[partition] = [text, ended]

    def _succeeded(self, subject: str, partition: str) -> None:
        partitions = self.open.get(subject, {})
        if partition:
            partitions.pop(partition, None)
        else:
            partitions.clear()
        if not partitions:
            self.open.pop(subject, None)

    def _take_running(
        self,
        instance: dg.DagsterInstance,
        jobs: Collection[str],
        assets: Collection[dg.AssetKey],
        now: dt.datetime,
    ) -> None:
        if not self.open:
            return
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        for record in instance.get_run_records(started, limit=_MOST_AT_ONCE):
            subject = _subject(record.dagster_run, jobs, assets)
            ran = now.timestamp() - record.start_time if record.start_time else 0.0
            if subject is not None and ran >= _SETTLED_SECONDS:
                self._succeeded(subject, _partition(record.dagster_run))

    def _forget(self, before: float) -> None:
        """Of work that nobody repeats: a backfill, a partition that another run covered."""
        for subject, partitions in list(self.open.items()):
            kept = {name: failed for name, failed in partitions.items() if failed[1] >= before}
            if kept:
                self.open[subject] = kept
            else:
                del self.open[subject]

    def _conditions(self) -> Iterator[Condition]:
        for subject, partitions in self.open.items():
            text = max(partitions.values(), key=lambda failed: float(failed[1]))[0]
            more = f" ({len(partitions)} partitions failed)" if len(partitions) > 1 else ""
            first = min(float(failed[1]) for failed in partitions.values())
            since = dt.datetime.fromtimestamp(first, dt.UTC)
            yield Condition("failure", subject, f"{text}{more}", "see the run in Dagster", since=since)


def _subject(run: dg.DagsterRun, jobs: Collection[str], assets: Collection[dg.AssetKey]) -> str | None:
    """What a run of ours works on; None for a run of somebody else."""
    if run.job_name != _ASSET_JOB:
        return f"job {run.job_name}" if run.job_name in jobs else None
    ours = sorted(key.to_user_string() for key in run.asset_selection or () if key in assets)
    if not ours:
        return None
    more = f" and {len(ours) - 1} more" if len(ours) > 1 else ""
    return f"asset {ours[0]}{more}"


def _partition(run: dg.DagsterRun) -> str:
    return "...".join(run.tags[tag] for tag in _PARTITION_TAGS if tag in run.tags)


def _cause(instance: dg.DagsterInstance, run_id: str) -> str:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1).records
    event = records[0].event_log_entry.dagster_event if records else None
    if event is None:
        return "its process ended, or could not be started"
    failed = event.step_failure_data
    if failed.user_failure_data is not None and failed.user_failure_data.description:
        return failed.user_failure_data.description
    error = failed.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"step {event.step_key}: {error.cls_name if error is not None else 'unknown error'}"
