"""`demo dev`: the sample system left running, with traffic and the Dagster UI, until Ctrl-C.

Everything is done by Dagster itself here: its daemon keeps a capture running, its automation
brings projections forward. This process makes the traffic and prints a line of figures.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from replication_assets.demo.catalog import SOURCE
from replication_assets.demo.dagster_runs import DagsterRuns
from replication_assets.demo.dagster_server import DagsterServer, next_free_port
from replication_assets.demo.figures import capture_lag, projected_rows, stored_events
from replication_assets.demo.interrupts import undisturbed
from replication_assets.demo.progress import Progress
from replication_assets.demo.system import SampleSystem, running
from replication_assets.demo.traffic import Traffic

FIGURES_SECONDS = 10.0
SENSOR = f"{SOURCE}_offsets"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """`events` rows when it starts from nothing, `rate` transactions a second, for ever."""

    folder: Path
    port: int
    events: int = 200_000
    rate: float = 20.0
    ui_port: int = 3000


def dev(options: DevOptions, console: Console) -> None:
    """Run until Ctrl-C or SIGTERM, then stop Dagster, traffic and server, in this order.

    Raises:
        ReplicationError: something does not start, or one of them ended by itself.
    """
    progress = Progress(console)
    with running(options.folder, options.port, fresh=False) as system, system.dagster_runs() as runs:
        try:
            _prepare(system, runs, options, progress)
            # Another seed than last time: the keys that it made are taken.
            with Traffic(system.dsn, rate=options.rate, seed=int(time.time())) as traffic:
                _serve(system, runs, traffic, options, progress)
        except KeyboardInterrupt:
            progress.say("\nStopped: Dagster, traffic, PostgreSQL. `dev` continues from here.")


def _prepare(system: SampleSystem, runs: DagsterRuns, options: DevOptions, progress: Progress) -> None:
    progress.say(
        f"PostgreSQL {system.version} runs on 127.0.0.1:{system.server.port}; "
        f"everything is in {system.folder.root}"
    )
    runs.give_up_leftovers()
    if system.folder.loaded:
        return
    with progress.step("Create the sample monolith"):
        system.create_database(options.events)
    with progress.step("Set up: publication, slot, logs, id ranges as partitions"):
        runs.set_up(SOURCE)
    with progress.step("Load all tables by id range") as step:
        system.load_all(runs, step.show)
    with progress.step("Materialize lakehouse and DynamoDB") as step:
        system.project_all(step.show)
    with progress.step("Refresh the testers' database") as step:
        # A copy is as of a position that is captured, and nothing captured yet.
        system.drain(step.show)
        system.refresh(step.show)
    system.folder.mark_loaded()


def _serve(
    system: SampleSystem, runs: DagsterRuns, traffic: Traffic, options: DevOptions, progress: Progress
) -> None:
    server = DagsterServer(system.folder, system.environment, next_free_port(options.ui_port))
    try:
        with progress.step("Start Dagster"):
            server.wait_until_ready()
            server.start_sensor(SENSOR)
        _say_what_to_look_at(system, server.url, progress)
        _print_figures(system, server, traffic, progress)
    finally:
        undisturbed(lambda: _stop(server, runs))


def _stop(server: DagsterServer, runs: DagsterRuns) -> None:
    """Runs are told first that they are meant to end: else they would start again."""
    runs.announce_end()
    server.stop()
    runs.give_up_leftovers()


def _say_what_to_look_at(system: SampleSystem, url: str, progress: Progress) -> None:
    progress.say(f"\n[bold]The Dagster UI: {url}[/bold]")
    for path, what in [
        ("asset-groups", "the graph: source tables, event store, lakehouse"),
        (
            "assets/event_store/shop/public/order_events",
            "partitions, date x id range: Materialize loads again",
        ),
        ("assets/lake/shop/public/orders?view=events", "what each projection did; the plots of its figures"),
        ("assets/service/shop/public/widgets/checks", "validation; the dead letters stand beside it"),
        ("runs", "shop_capture runs on and on: its log tells events a second, and lag"),
        ("assets/qa/shop/public/customers", "the masked copy for testers, made anew every night"),
        ("jobs/qa_nightly", "its steps: plan, mask, load, verify, publish"),
        ("automation", f"{SENSOR} keeps the capture alive, projections_follow moves the lakehouse"),
    ]:
        progress.say(f"  {url}/{path}  [dim]{what}[/dim]")
    progress.say(f'Write to the source yourself: psql "{system.dsn}"')
    progress.say("Ctrl-C stops everything.\n")


def _print_figures(system: SampleSystem, server: DagsterServer, traffic: Traffic, progress: Progress) -> None:
    looked = dt.datetime.now(dt.UTC)
    before = _events(system)
    due = time.monotonic()
    while server.running and traffic.running:
        due += FIGURES_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        now, events = dt.datetime.now(dt.UTC), _events(system)
        progress.say(_figures(system, traffic, looked, now, events, events - before))
        looked, before = now, events
    if not server.running:
        raise server.ended("it ended by itself")


def _figures(
    system: SampleSystem, traffic: Traffic, since: dt.datetime, now: dt.datetime, events: int, new: int
) -> str:
    tables = [table.id for table in system.catalog.tables]
    projection = system.catalog.projections[0]
    rows = sum(
        projected_rows(system.store, system.replication.target(projection, table), table) for table in tables
    )
    lag = capture_lag(system.catalog, tables, SOURCE, since, now)
    late = f"lag {lag.median:.1f} s median, {lag.p95:.1f} s p95" if lag.events else "nothing new captured yet"
    return (
        f"{now:%H:%M:%S}  {Counter(traffic.counts).total():,} transactions, {events:,} events stored "
        f"(+{new:,}), {late}, {rows:,} rows in the lake"
    )


def _events(system: SampleSystem) -> int:
    return sum(stored_events(system.store, table.id) for table in system.catalog.tables)
