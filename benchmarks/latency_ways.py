"""Latency of one catalog run in three ways, from the commit at the source to the item that a reader of
DynamoDB gets, with what each way takes to run.

Micro-batches run under Dagster's own daemon, which takes half a minute to start: the short form goes
without them.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import dynamodb_sample
from benchmarks import latency_sample as sample
from benchmarks import latency_systems as systems
from benchmarks.latency_costs import Costs, Meter
from benchmarks.latency_items import SAMPLED, ItemReader
from benchmarks.latency_sample import Times, Work
from benchmarks.latency_systems import Running, Servers, Way
from benchmarks.measure.machine import versions
from benchmarks.measure.report import Plot, Report, Table, Target
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import sample_server
from replication_assets.demo.postgres_server import PostgresServer

RATES = (100, 1_000)
ROWS = (10_000, 200)
BATCHES, CONTINUOUS, TOPIC = "micro-batches", "continuously", "through the topic"
INSTANT = ", instant DynamoDB"
WAYS: dict[str, Way] = {
    BATCHES: systems.by_micro_batches,
    CONTINUOUS: systems.continuously,
    TOPIC: systems.through_the_topic,
    CONTINUOUS + INSTANT: systems.to_instant_items(systems.continuously),
    TOPIC + INSTANT: systems.to_instant_items(systems.through_the_topic),
}
SHORT = (TOPIC, CONTINUOUS + INSTANT)
BATCHES_SECONDS, SECONDS = 25, 15
IDLE_SECONDS = 6
WARM_CHANGES = (10_000, 20)
_FRESH = multiprocessing.get_context("spawn")
ABOUT = f"""\
One table, PostgreSQL to DynamoDB Local, in three ways; items follow inline in each. A writer keeps a rate,
100 transactions a second, and notes when each commit returned; of ten changes six update any of
{ROWS[0]:,} rows of 300 bytes and four insert. A reader asks for the items of some {SAMPLED} changes a second,
drawn at random, strongly consistent, and notes when it gets the change. Micro-batches: `dagster dev`, its
sensor, queue and run launcher, everything as it ships. Continuously: one capture job as Dagster runs it.
Through the topic: such a job writes every event to a topic of {systems.PARTITIONS} partitions, in DMS's
envelope and in transactions; a second catalog, with an event store of its own, captures the topic in another
such job. The broker is `tansu`, in memory. All of it, servers, writer and reader included, shares the
machine's cores. DynamoDB Local takes few changes a second, and most of a core: an endpoint in its place
that keeps items in memory and answers at once ("instant DynamoDB") shows what is left without it."""
NOTES = """\
Costs are of our processes: sensors, runs and captures; of micro-batches the webserver and the daemon as
well, which the other two need too, to start their captures and to start them again. Their share is what
micro-batches take when idle, nearly. Memory is each process's proportional share, added up. Objects are
files that were written to event stores, each of which is a request to S3; what is read is not counted.
A change is one conditional write to DynamoDB in every way; rows that a batch met several times are written
once.

Read the last table with the first. When these figures were made others used the machine, about a core of the
two, and the ways were run one after the other within a quarter of an hour. At 1,000 changes a second DynamoDB
Local is what changes wait for: alone it took about as many as were written. With a target that answers at
once, the continuous capture meets its second at 100 changes a second and not at 1,000, where a flush and its
items take longer than the half second between two flushes: opening DuckDB engines, reading and writing
checkpoints through boto3, for each id range that was touched, one range after the other. Ranges side by side
would help most. A micro-batch of 1,000 changes a second waits little longer than one of 100: for Dagster."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of one way at one rate; rate 0 is when nothing happens."""

    way: str
    rate: int
    changes: int
    times: Times
    gap: float
    """Median of seconds between two looks at an item."""
    costs: Costs

    @property
    def name(self) -> str:
        return f"{self.way}, {self.rate:,} changes/s"


def measure(scale: Scale, home: Path) -> Report:
    from replication_assets_tests.dynamodb_servers import running_dynamodb_local
    from replication_assets_tests.kafka_servers import running_broker

    with sample_server(home) as source, running_dynamodb_local() as items, running_broker() as broker:
        servers = Servers(source, items, broker)
        os.environ.update(servers.environment)
        alone = _warmed(items.endpoint_url, scale.of(*WARM_CHANGES))
        found: list[Found] = []
        for number, (name, way) in enumerate(WAYS.items()):
            if not scale.short or name in SHORT:
                root = home / f"changes_{number}"
                root.mkdir()
                with way(servers, root, scale.of(*ROWS)) as running:
                    found += _measured(scale, name, servers, running)
    return Report(
        "latency_ways",
        "Three ways to DynamoDB",
        ABOUT,
        versions("dagster", "deltalake", "psycopg", "confluent-kafka", "boto3") + ", DynamoDB Local, tansu",
        (_latencies(found), _costs(found), _surroundings(found, alone)),
        _targets(found, short=scale.short),
        (Plot("latency_ways", "Latency to an item", "share of changes", "seconds", _shares(found)),),
        NOTES,
    )


# --- measured --------------------------------------------------------------------------------------


def _measured(scale: Scale, way: str, servers: Servers, running: Running) -> list[Found]:
    base, first = scale.of(*ROWS), 1
    # Not told: captures and runs start meanwhile.
    begun = Work(first, 100, 1, base, table=running.table)
    _followed(way, servers.source, running, begun)
    first += begun.count
    found = [_idle(way, running, scale.of(IDLE_SECONDS, 1))]
    for rate in RATES[: scale.of(len(RATES), 1)]:
        seconds = scale.of(BATCHES_SECONDS if way == BATCHES else SECONDS, 1)
        work = Work(first, rate, seconds, base, table=running.table)
        found.append(_followed(way, servers.source, running, work))
        first += work.count
        p50, p95 = np.percentile(found[-1].times, (50, 95))
        sys.stderr.write(f"  {found[-1].name}: {p50:.2f} s, p95 {p95:.2f} s\n")
    return found


def _warmed(endpoint_url: str, changes: int) -> float:
    """Changes a second that DynamoDB Local takes when nothing else is done.

    Java compiles what it does often: before that it takes several times as long.
    """
    target = dynamodb_sample.target(endpoint_url, "warm")
    position, id_range = dynamodb_sample.filled_up_to, dynamodb_sample.ID_RANGE
    rows = dynamodb_sample.folded(changes, 2)
    target.replace(id_range, dynamodb_sample.SCHEMA, rows, 1, position(2))
    seconds = 0.0
    for commit in (3, 4):
        changed = dynamodb_sample.changes(changes // 2, commit)
        begun = time.monotonic()
        target.apply(id_range, dynamodb_sample.SCHEMA, changed, 1, position(commit))
        seconds = time.monotonic() - begun
    return changes // 2 / seconds


def _idle(way: str, running: Running, seconds: float) -> Found:
    meter = Meter(running.roots, running.broker, running.stores)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        meter.look()
        time.sleep(0.2)
    return Found(way, 0, 0, np.array([]), 0.0, meter.ended())


def _followed(way: str, source: PostgresServer, running: Running, work: Work) -> Found:
    """Do the work, and look for its items until all are there."""
    reader = ItemReader(running.items.client(), running.table, work)
    told, newest = _FRESH.Queue(), _FRESH.Value("q", 0)
    writer = _FRESH.Process(target=sample.write, args=(sample.dsn(source), work, told, newest))
    meter = Meter(running.roots, running.broker, running.stores)
    writer.start()
    try:
        deadline = time.monotonic() + work.seconds + sample.LATEST_SECONDS
        while not reader.done:
            pause = reader.look(newest.value)
            meter.look()
            if time.monotonic() > deadline:
                missing = int(np.isnan(reader.seen).sum())
                raise RuntimeError(f"{way}: {missing} changes are not readable")
            time.sleep(pause)
        committed = told.get()[reader.numbers - work.first]
    finally:
        writer.kill()
        writer.join()
    return Found(
        way, work.rate, work.count, reader.seen - committed, float(np.median(reader.gaps)), meter.ended()
    )


# --- told ------------------------------------------------------------------------------------------


def _latencies(found: list[Found]) -> Table:
    headers = (
        "way",
        "changes/s",
        "changes looked for",
        "p50 s",
        "p95 s",
        "p99 s",
        "most s",
        "looked every s",
    )
    lines = [
        (
            each.way,
            f"{each.rate:,}",
            f"{len(each.times):,} of {each.changes:,}",
            *(f"{np.percentile(each.times, share):.2f}" for share in (50, 95, 99, 100)),
            f"{each.gap:.2f}",
        )
        for each in found
        if each.rate
    ]
    return Table("From the commit in the source to a reader of the item", headers, tuple(lines))


def _costs(found: list[Found]) -> Table:
    headers = (
        "way",
        "changes/s",
        "processes",
        "MiB",
        "client s/1,000 changes",
        "broker s/1,000 changes",
        "objects/min",
        "KiB stored/change",
    )
    return Table("What it takes meanwhile", headers, tuple(_cost(each) for each in found))


def _cost(found: Found) -> tuple[str, ...]:
    costs, thousands = found.costs, found.changes / 1000

    def each(value: float) -> str:
        return f"{value:.2f}" if found.rate else ""

    return (
        found.way,
        f"{found.rate:,}" if found.rate else "idle",
        f"{costs.processes}",
        f"{costs.mib:,.0f}",
        each(costs.client / max(thousands, 1e-9)),
        each(costs.broker / max(thousands, 1e-9)) if found.way.startswith(TOPIC) else "",
        f"{costs.objects / costs.seconds * 60:,.0f}",
        each(costs.written / 1024 / max(found.changes, 1)),
    )


def _surroundings(found: list[Found], alone: float) -> Table:
    """What else was going on: a way that waits for a processor is late."""
    headers = ("way", "changes/s", "the way and its broker", "servers, writer, reader", "others")
    lines = [
        (
            each.way,
            f"{each.rate:,}" if each.rate else "idle",
            f"{(each.costs.client + each.costs.broker) / each.costs.seconds:.2f}",
            f"{each.costs.beside / each.costs.seconds:.2f}",
            f"{each.costs.others / each.costs.seconds:.2f}",
        )
        for each in found
    ]
    title = f"Cores that were busy, of {os.cpu_count()}; DynamoDB Local alone took {alone:,.0f} changes/s"
    return Table(title, headers, tuple(lines))


def _shares(found: list[Found]) -> dict[str, tuple[tuple[float, float], ...]]:
    steps = (1, *range(5, 100, 5), 99)
    return {
        each.name: tuple((share / 100, float(np.percentile(each.times, share))) for share in steps)
        for each in found
        if each.rate
    }


def _targets(found: list[Found], *, short: bool) -> tuple[Target, ...]:
    wanted = {CONTINUOUS: 1.0, CONTINUOUS + INSTANT: 1.0, BATCHES: 15.0}
    return tuple(
        Target.at_most(
            f"{each.name}: p95",
            wanted[each.way],
            float(np.percentile(each.times, 95)),
            " s",
            short=short,
        )
        for each in found
        if each.rate and each.way in wanted
    )
