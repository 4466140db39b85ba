"""`demo run`: the whole job on a real system, from an empty folder to a row-by-row comparison.

Loads run beside live traffic and a live capture, since that is where replication loses rows.
Then capture is down while changes pile up, catches up, and everything is compared.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from replication_assets.catalog import Projection
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.demo import backlog, monolith
from replication_assets.demo.catalog import SOURCE
from replication_assets.demo.dagster_runs import DagsterRuns, Drained, Loaded
from replication_assets.demo.figures import Lag, TableReport, capture_lag, stored_events
from replication_assets.demo.progress import Progress
from replication_assets.demo.refresh import RefreshReport
from replication_assets.demo.report import Outcome, print_next_steps, print_outcome
from replication_assets.demo.system import SampleSystem, running
from replication_assets.demo.traffic import Traffic
from replication_assets.flows.capture import capture
from replication_assets.flows.prepare import ReplicatedTable, open_table
from replication_assets.flows.validation.findings import Validation
from replication_assets.flows.validation.projection import validate_projection
from replication_assets.flows.validation.source import validate_source

WRITERS = 2


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`events` rows in the greatest table, `seconds` of traffic after the loads at `rate`
    transactions a second, `backlog` transactions of 150 changes that pile up."""

    folder: Path
    port: int
    events: int = 200_000
    seconds: float = 10.0
    rate: float = 100.0
    backlog: int = 400


def run(options: RunOptions, console: Console) -> Outcome:
    """The demonstration. Raises ReplicationError; leaves nothing running, and the folder to look at."""
    progress = Progress(console)
    with running(options.folder, options.port, fresh=True) as system:
        _create(system, options, progress)
        with system.dagster_runs() as runs:
            with progress.step("Set up: publication, slot, logs, id ranges as partitions") as step:
                runs.set_up(SOURCE)
                ranges = [len(runs.id_ranges(table.id)) for table in system.catalog.tables]
                step.done(
                    f"Set up: publication and slot, {len(ranges)} logs, {sum(ranges)} id ranges as partitions"
                )
            live = _live(system, runs, options, progress)
            caught_up = _catch_up(system, options, progress)
            _project(system, progress)
            _dead_letter(system, progress)
            refreshed = _refresh(system, progress)
        reports = _validate(system, live.loads, progress)
        catalog = system.catalog
    outcome = Outcome(reports, live.transactions, live.lag, caught_up, refreshed, progress.seconds)
    print_outcome(console, outcome)
    print_next_steps(console, catalog, options.folder.absolute(), options.port)
    return outcome


def _create(system: SampleSystem, options: RunOptions, progress: Progress) -> None:
    progress.say(
        f"PostgreSQL {system.version} runs on 127.0.0.1:{system.server.port}; "
        f"everything is in {system.folder.root}"
    )
    with progress.step("Create the sample monolith") as step:
        system.create_database(options.events)
        rows = monolith.row_counts(system.dsn)
        step.done("Sample monolith: " + ", ".join(f"{count:,} {name}" for name, count in rows.items()))


@dataclass(frozen=True, slots=True)
class Live:
    """What happened while applications wrote."""

    loads: list[Loaded]
    transactions: int
    lag: Lag


def _live(system: SampleSystem, runs: DagsterRuns, options: RunOptions, progress: Progress) -> Live:
    """Traffic, a continuous capture that keeps the lakehouse up, and loads beside both."""
    with progress.step("Start the capture"):
        program = system.capture_process()
    with program:
        since = dt.datetime.now(dt.UTC)
        with Traffic(system.dsn, rate=options.rate, writers=WRITERS) as traffic:
            with progress.step("Load all tables by id range, beside live traffic") as step:
                loads = system.load_all(runs, step.show)
                rows = sum(load.rows for load in loads)
                step.done(f"Loaded {rows:,} rows by id range, in parallel, beside live traffic")
            system.folder.mark_loaded()
            with progress.step("Materialize lakehouse and DynamoDB, beside live traffic") as step:
                system.project_all(step.show)
                step.done("Lakehouse and DynamoDB tables filled from the event store")
            with progress.step("Live: inserts, updates, deletes, changes of keys, rollbacks") as step:
                _wait(traffic, options.seconds, step.show)
                counts = traffic.counts
                step.done(f"Live: {sum(counts.values()):,} transactions of {len(counts)} kinds")
        until = dt.datetime.now(dt.UTC)
        with progress.step("Hand the capture over") as step:
            # The continuous capture sees a successor waiting, flushes and lets go.
            tail = system.drain(step.show)
            program.answer()
            step.done(f"Handed the capture over to a second one, which found {tail.events:,} events to go")
    tables = [table.id for table in system.catalog.tables]
    lag = capture_lag(system.catalog, tables, SOURCE, since, until)
    return Live(loads, sum(counts.values()), lag)


def _wait(traffic: Traffic, seconds: float, show: Callable[[str], None]) -> None:
    deadline = time.monotonic() + seconds
    while traffic.running and time.monotonic() < deadline:
        show(f"{sum(traffic.counts.values()):,} transactions")
        time.sleep(0.1)


def _catch_up(system: SampleSystem, options: RunOptions, progress: Progress) -> Drained:
    """Changes pile up while no capture runs; then one drains them."""
    with progress.step("Stop capturing while changes pile up") as step:
        backlog.pile_up(system.dsn, transactions=options.backlog)
        step.done(f"{options.backlog:,} transactions piled up while nothing captured")
    with progress.step("Catch up") as step:
        drained = system.drain(step.show)
        step.done(f"Caught up with {drained.events:,} changes")
    return drained


def _project(system: SampleSystem, progress: Progress) -> None:
    with progress.step("Bring lakehouse and DynamoDB up to date") as step:
        system.project_all(step.show)
        step.done("Lakehouse and DynamoDB are up to date")


def _dead_letter(system: SampleSystem, progress: Progress) -> None:
    with progress.step("Write a row that DynamoDB cannot hold as declared") as step:
        report = system.dead_letter(step.show)
        step.done(
            f"Dead letters: {report.refused} kept ({report.column}: {report.reason}, the rest of the item "
            f"written), {report.left} after the row was mended and reprocessed"
        )


def _refresh(system: SampleSystem, progress: Progress) -> RefreshReport:
    with progress.step("Refresh the testers' database: plan, mask, load, verify, publish") as step:
        report = system.refresh(step.show)
        passed = sum(passed for _, passed, _ in report.proofs)
        step.done(
            f"Testers' database: {report.rows:,} rows of {report.tables} tables, masked, in "
            f"{report.seconds:.1f} s; {passed} of {len(report.proofs)} proofs passed"
        )
    return report


def _validate(system: SampleSystem, loads: Sequence[Loaded], progress: Progress) -> list[TableReport]:
    """Every table: the event store against the source, each projection against the event store."""
    source, store = system.source, system.store
    tables = [open_table(source, store, table) for table in system.catalog.tables]
    reports = []
    with progress.step("Validate: source, event store, lakehouse, DynamoDB") as step:
        for table in tables:
            step.show(str(table.id))
            at_source = validate_source(
                source, store, table, catch_up=lambda position: _reach(system, tables, position)
            )
            projected = {
                each.name: _projection(system, each, table.id) for each in system.projections(table.id)
            }
            reports.append(
                TableReport(
                    table.id,
                    at_source.rows,
                    stored_events(store, table.id),
                    {name: found.rows for name, found in projected.items()},
                    sum(each.mismatches for each in (at_source, *projected.values())),
                    _rate([load for load in loads if load.table == str(table.id)]),
                )
            )
        rows = sum(report.source_rows for report in reports)
        step.done(f"Validated {rows:,} rows at the source, and every projection of them")
    return reports


def _projection(system: SampleSystem, projection: Projection, table: TableId) -> Validation:
    target = system.replication.target(projection, table)
    letters = system.store.dead_letters(projection.name, table)
    return validate_projection(system.store, target, table, projection=projection.name, letters=letters)


def _reach(system: SampleSystem, tables: Sequence[ReplicatedTable], position: Position) -> None:
    """Capture up to where the source was read: nothing of ours is in between, its own upkeep may be."""
    capture(system.source, system.store, tables, upto=position.commit)


def _rate(loads: Sequence[Loaded]) -> float:
    """Rows a second of all loads of a table together, over the time in which any of them worked."""
    busy, until = 0.0, 0.0
    for load in sorted(loads, key=lambda load: load.started):
        busy += max(0.0, load.ended - max(load.started, until))
        until = max(until, load.ended)
    return sum(load.rows for load in loads) / busy if busy else 0.0
