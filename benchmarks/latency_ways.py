"""Latency of one catalog run in three ways, from the commit at the source to the item that a reader of
DynamoDB gets, with what each way takes to run.

Micro-batches run under Dagster's own daemon, which takes half a minute to start: the short form goes
without them.

The whole takes eight minutes at most, also where the machine is busy: a way that would not end by then is not
begun, and told as left out; a change that nobody can read a minute after the last commit counts as read then.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import latency_ceiling as ceiling
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
    CONTINUOUS: systems.continuously,
    BATCHES: systems.by_micro_batches,
    TOPIC: systems.through_the_topic,
    CONTINUOUS + INSTANT: systems.to_instant_items(systems.continuously),
    TOPIC + INSTANT: systems.to_instant_items(systems.through_the_topic),
}
SHORT = (TOPIC, CONTINUOUS + INSTANT)
"""The first ones follow the bare loop within a minute or two, and are the last to be left out."""
BATCHES_SECONDS, SECONDS = 20, 12
IDLE_SECONDS = 4
MOST_SECONDS = 480.0
LATEST_SECONDS = 60.0
"""After the last commit of a rate: what is not readable by then counts as readable then."""
ENDING_SECONDS = 15.0
WARM_WRITES, CEILING_SECONDS = (40_000, 20), (4, 1)
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
that keeps items in memory and answers at once ("instant DynamoDB") shows what is left without it. Before
the ways, a bare loop writes the same items to DynamoDB Local on the same condition, once Java has compiled
what that takes: no way to this server can be sooner."""
NOTES = """\
Costs are of our processes: sensors, runs and captures; of micro-batches the webserver and the daemon as
well, which the other two need too, to start their captures and to start them again. Their share is what
micro-batches take when idle, nearly. Memory is each process's proportional share, added up. Objects are
files that were written to event stores, each of which is a request to S3; what is read is not counted.
A change is one conditional write to DynamoDB in every way; rows that a batch met several times are written
once.

Read the last two tables with the first. At 1,000 changes a second DynamoDB Local is what changes wait for:
it takes one write after the other, and its processor time is taken from the same cores. Where the bare loop
at that rate falls behind, so does every way; where it keeps up, a continuous capture adds the time until
its next flush (a quarter of a second on average, half a second at most), the flush, and one step of its id
ranges, side by side. A micro-batch of 1,000 changes a second waits little longer than one of 100: for
Dagster."""


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
    unread: int = 0
    """Changes that were not readable when looking ended: their times are less than they took."""

    @property
    def name(self) -> str:
        return f"{self.way}, {self.rate:,} changes/s"


def measure(scale: Scale, home: Path) -> Report:
    from replication_assets_tests.dynamodb_servers import running_dynamodb_local
    from replication_assets_tests.kafka_servers import running_broker

    deadline = time.monotonic() + MOST_SECONDS
    with (
        sample_server(home) as source,
        running_dynamodb_local(lasting=True) as items,
        running_broker() as broker,
    ):
        servers = Servers(source, items, broker)
        os.environ.update(servers.environment)
        ceiling.warmed(items, scale.of(*WARM_WRITES))
        bare = ceiling.ceilings(items, RATES[-1], scale.of(*CEILING_SECONDS))
        found: list[Found] = []
        left_out: list[str] = []
        for number, (name, way) in enumerate(WAYS.items()):
            if not scale.short or name in SHORT:
                if time.monotonic() + needed(name, scale) > deadline:
                    left_out.append(name)
                    continue
                root = home / f"changes_{number}"
                root.mkdir()
                with way(servers, root, scale.of(*ROWS)) as running:
                    found += _measured(scale, name, servers, running, deadline)
    return Report(
        "latency_ways",
        "Three ways to DynamoDB",
        ABOUT,
        versions("dagster", "deltalake", "psycopg", "confluent-kafka", "boto3") + ", DynamoDB Local, tansu",
        (_latencies(found), _costs(found), ceiling.table(bare), _surroundings(found)),
        _targets(found, short=scale.short),
        (Plot("latency_ways", "Latency to an item", "share of changes", "seconds", _shares(found)),),
        "\n\n".join([NOTES, *([f"Left out, for want of time: {'; '.join(left_out)}."] if left_out else [])]),
    )


def needed(way: str, scale: Scale) -> float:
    """Seconds that a way takes when nothing is late, its start and end included: measured."""
    topic, batches = way.startswith(TOPIC), way == BATCHES
    seconds = scale.of(BATCHES_SECONDS if batches else SECONDS, 1)
    begins = 60 if batches else 35 if topic else 25
    return begins + scale.of(IDLE_SECONDS, 1) + 2 * (seconds + (20 if batches else 5)) + ENDING_SECONDS


# --- measured --------------------------------------------------------------------------------------


def _measured(scale: Scale, way: str, servers: Servers, running: Running, deadline: float) -> list[Found]:
    base, first = scale.of(*ROWS), 1
    # Not told: captures and runs start meanwhile.
    begun = Work(first, 100, 1, base, table=running.table)
    _followed(way, servers.source, running, begun, deadline)
    first += begun.count
    found = [_idle(way, running, scale.of(IDLE_SECONDS, 1))]
    for rate in RATES[: scale.of(len(RATES), 1)]:
        seconds = scale.of(BATCHES_SECONDS if way == BATCHES else SECONDS, 1)
        work = Work(first, rate, seconds, base, table=running.table)
        found.append(_followed(way, servers.source, running, work, deadline))
        first += work.count
        p50, p95 = np.percentile(found[-1].times, (50, 95))
        sys.stderr.write(f"  {found[-1].name}: {p50:.2f} s, p95 {p95:.2f} s\n")
    return found


def _idle(way: str, running: Running, seconds: float) -> Found:
    meter = Meter(running.roots, running.broker, running.stores)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        meter.look()
        time.sleep(0.2)
    return Found(way, 0, 0, np.array([]), 0.0, meter.ended())


def _followed(way: str, source: PostgresServer, running: Running, work: Work, deadline: float) -> Found:
    """Do the work, and look for its items until all are there, or it is too late."""
    reader = ItemReader(running.items.client(), running.table, work)
    told, newest = _FRESH.Queue(), _FRESH.Value("q", 0)
    writer = _FRESH.Process(target=sample.write, args=(sample.dsn(source), work, told, newest))
    meter = Meter(running.roots, running.broker, running.stores)
    writer.start()
    try:
        until = time.monotonic() + work.seconds + LATEST_SECONDS
        while not reader.done and time.monotonic() < min(until, max(deadline, until - LATEST_SECONDS)):
            pause = reader.look(newest.value)
            meter.look()
            time.sleep(pause)
        unread = np.isnan(reader.seen)
        reader.seen[unread] = time.monotonic()
        committed = told.get()[reader.numbers - work.first]
    finally:
        writer.kill()
        writer.join()
    times, gap = reader.seen - committed, float(np.median(reader.gaps))
    return Found(way, work.rate, work.count, times, gap, meter.ended(), int(unread.sum()))


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
            f"{len(each.times):,} of {each.changes:,}" + (f", {each.unread} not seen" if each.unread else ""),
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


def _surroundings(found: list[Found]) -> Table:
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
    return Table(f"Cores that were busy, of {os.cpu_count()}", headers, tuple(lines))


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
