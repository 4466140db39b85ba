"""Dagster runs of the sample system: real definitions, a real instance, executed in this process.

The instance lives below the demonstration's folder, so that the Dagster UI of `demo dev` shows
the history of all of it. Loads and captures run side by side in processes of their own
(`worker.py`), as they would under a run launcher.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

import replication_assets
from replication_assets.catalog import Catalog, Table
from replication_assets.core.schema import TableId
from replication_assets.defs import naming, partitions
from replication_assets.defs.build import build_definitions
from replication_assets.defs.capture import ACTIVE, capture_job_name
from replication_assets.defs.lifecycle import setup_job_name
from replication_assets.defs.refresh.jobs import refresh_job_name
from replication_assets.errors import ReplicationError

SHIPPED_INSTANCE = Path(replication_assets.__file__).parent.parent / "dagster.yaml"
BARE_INSTANCE = "telemetry:\n  enabled: false\n"
"""Where the package was installed without its repository."""

QUIET: Mapping[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
LOGGED: Mapping[str, Any] = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load run: rows, and from when to when (epoch seconds) it read and wrote them."""

    table: str
    rows: int
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Drained:
    """One micro-batch capture: events made durable, and the seconds that it took."""

    events: int
    seconds: float


def make_instance(home: Path) -> None:
    """Write the instance's dagster.yaml: the repository's own, where there is one."""
    if SHIPPED_INSTANCE.exists():
        shutil.copy(SHIPPED_INSTANCE, home / "dagster.yaml")
    else:
        (home / "dagster.yaml").write_text(BARE_INSTANCE)


def micro_batch(catalog: Catalog) -> Catalog:
    """The same catalog, captured by runs that end once they have caught up."""
    return replace(catalog, sources=[replace(source, mode="micro-batch") for source in catalog.sources])


def without_inline(catalog: Catalog, projection: str) -> Catalog:
    """The same catalog, with one projection brought forward by runs of its own: moto's DynamoDB
    takes some hundred changes a second, and would hold up a capture that waits for it."""
    return replace(
        catalog,
        projections=[
            replace(each, follow="micro-batch") if each.name == projection else each
            for each in catalog.projections
        ],
    )


class DagsterRuns:
    """Runs of a catalog's definitions against the instance at `home`."""

    def __init__(self, home: Path, catalog: Catalog, *, log: bool = False) -> None:
        self._catalog = catalog
        self._config = LOGGED if log else QUIET
        # Dagster warns of its own use of a beta parameter whenever it copies a sensor.
        warnings.filterwarnings("ignore", category=dg.BetaWarning, module="dagster")
        # An interrupt that falls into the closing of a pooled connection is logged there, with
        # its trace, and passed on to whoever tells of it in words.
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL + 1)
        self._definitions = build_definitions(catalog)
        self.instance = dg.DagsterInstance.from_config(str(home))

    def close(self) -> None:
        self.instance.dispose()

    def set_up(self, source: str) -> None:
        self._job(setup_job_name(source))

    def capture(self, source: str) -> Drained:
        """Run the source's capture job to its end."""
        result = self._job(capture_job_name(source))
        facts = next(
            event.step_output_data.metadata
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.STEP_OUTPUT
        )
        return Drained(int(_number(facts["rows"])), _number(facts["seconds"]))

    def id_ranges(self, table: TableId) -> tuple[str, ...]:
        """Id ranges that are registered as partitions, ascending."""
        definition = partitions.id_ranges_def(table)
        return tuple(sorted(definition.get_partition_keys(dynamic_partitions_store=self.instance)))

    def load(self, table: Table, id_ranges: Sequence[str]) -> Loaded:
        """Materialize all dates of some neighbouring id ranges of the event store."""
        dates = table.event_date.pinned()
        today = dt.datetime.now(dt.UTC).date()
        # Without a date of its own a table's rows are filed under the day that they are read on.
        first = dates.first_bucket if dates.column else dates.bucket_of(today)
        start = partitions.cell_key(dates, first, id_ranges[0])
        end = partitions.cell_key(dates, dates.bucket_of(today), id_ranges[-1])
        result = self._materialize(naming.event_store_key(table.id), start, end)
        loads: dict[str, float] = {}
        rows = 0
        for event in result.get_asset_materialization_events():
            facts = event.materialization.metadata
            if "load_id" in facts:
                loads[str(facts["load_id"].value)] = _number(facts["seconds"])
                rows += int(_number(facts["rows"]))
        (step,) = self.instance.get_run_step_stats(result.run_id)
        started = step.start_time or 0.0
        return Loaded(str(table.id), rows, started, started + sum(loads.values()))

    def project(self, table: TableId) -> None:
        """Materialize every id range of each projection of the table."""
        id_ranges = self.id_ranges(table)
        for projection in self._catalog.projections:
            if table in {projected.id for projected in self._catalog.projected(projection)}:
                self._materialize(naming.projection_key(projection.name, table), id_ranges[0], id_ranges[-1])

    def reprocess(self, projection: str, table: TableId) -> None:
        """Materialize the dead letters of a table in a projection."""
        asset = naming.dead_letters_key(projection, table)
        with self._explained(asset.to_user_string()):
            job = self._definitions.resolve_implicit_global_asset_job_def()
            job.execute_in_process(run_config=self._config, instance=self.instance, asset_selection=[asset])

    def refresh(self, name: str) -> None:
        """Run the job of a refresh, all five steps of it."""
        self._job(refresh_job_name(name))

    def give_up_leftovers(self) -> int:
        """Close the books on runs that a killed demonstration left open; how many they were.

        Only while nothing runs: an open run would be waited for, or started again.
        """
        records = self.instance.get_run_records(dg.RunsFilter(statuses=ACTIVE))
        for record in records:
            self.instance.report_run_canceled(record.dagster_run, "left behind by a demonstration that ended")
        return len(records)

    def announce_end(self) -> None:
        """Say of every run that works now that it is to end: an interrupt alone is retried."""
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
        for record in self.instance.get_run_records(started):
            self.instance.report_run_canceling(record.dagster_run)

    def _job(self, name: str) -> dg.ExecuteInProcessResult:
        with self._explained(name):
            job = self._definitions.resolve_job_def(name)
            return job.execute_in_process(run_config=self._config, instance=self.instance)

    def _materialize(self, asset: dg.AssetKey, start: str, end: str) -> dg.ExecuteInProcessResult:
        # The two tags mean every combination of the dimensions' values between them.
        tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
        with self._explained(asset.to_user_string()):
            # Without its checks: everything is validated together, at the end.
            job = self._definitions.resolve_implicit_global_asset_job_def().get_subset(
                asset_selection={asset}, asset_check_selection=set()
            )
            return job.execute_in_process(run_config=self._config, instance=self.instance, tags=tags)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """A failed run as an error of ours: its cause is words, its traces are in the instance."""
        try:
            yield
        except (dg.Failure, dg.DagsterError) as error:
            raise ReplicationError(
                f"the run failed: {self._cause() or error}", where=what, fix="see its log in the UI of `dev`"
            ) from error

    def _cause(self) -> str:
        """First line of what the newest failed run failed of."""
        failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        for record in self.instance.get_run_records(failed, limit=1):
            for entry in self.instance.all_logs(record.dagster_run.run_id):
                event = entry.dagster_event
                if event is not None and event.is_step_failure and event.step_failure_data.error:
                    cause = event.step_failure_data.error
                    while cause.cause is not None:
                        cause = cause.cause
                    return cause.message.strip().splitlines()[0]
        return ""


def _number(value: dg.MetadataValue[Any]) -> float:
    return float(value.value)
