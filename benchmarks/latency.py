"""Latency, from the commit in the source to the row in the hands of a reader of the projection.

Micro-batch runs under Dagster's own daemon, which takes half a minute to start: the short form
goes without it. The rest of its path is in the tests of the definitions.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks import latency_sample as sample
from benchmarks.latency_sample import Reader, Times, Work
from benchmarks.measure.machine import versions
from benchmarks.measure.processes import processor_seconds
from benchmarks.measure.report import Plot, Report, Table, Target
from benchmarks.measure.runs import Timed, run
from benchmarks.measure.scale import Scale
from benchmarks.postgres_sample import SOURCE, sample_server
from replication_assets.catalog import Catalog, DeltaProjection
from replication_assets.catalog_loading import CATALOG_VARIABLE
from replication_assets.core.schema import TableId
from replication_assets.demo.dagster_runs import DagsterRuns, make_instance
from replication_assets.demo.dagster_server import DagsterServer, next_free_port
from replication_assets.demo.folder import DemoFolder
from replication_assets.demo.postgres_server import PostgresServer

ROWS = (100_000, 1_000)
RANGES = 16
TABLE = TableId(SOURCE, "public", sample.TABLE)
_FRESH = multiprocessing.get_context("spawn")
ABOUT = """\
A writer keeps a rate, 100 transactions a second, and notes when each commit returned; a reader polls the
Delta projection every 10 ms and notes when it has the row's change in hand. Of ten changes six update any
of 100,000 rows of 300 bytes and four insert. Continuous: the capture job as Dagster runs it, with two id
ranges and the projection inline. Micro-batch: `dagster dev`, its sensor, queue, run launcher and
automation, 10 changes a second; one projection is brought forward by the capture's run, one by runs of
its own. Id ranges: one run over 16 ranges of a table, from the launch of its process; a range starts when
its load does."""
NOTES = """\
A continuous capture flushes every 0.5 s, which is half of that on average and all of it for the slowest
changes; what comes on top is a flush (two commits a table, one of the ledger) and, for each touched range,
one commit of the projection and the rewriting of the files that hold updated rows. Inserts rewrite
nothing. At 1,000 mixed changes a second a flush of 500 took 80 ms of processor time to capture and 430 ms
to project into three ranges; a quarter of the latter opens DuckDB engines, three a range, and a quarter
copies rows that did not change. Where the target is missed, one engine for all ranges of a flush, and files
smaller than a whole range, are what would help. A micro-batch waits for the sensor's tick (5 s at most),
the queue (1 s), and the start of a process that imports Dagster (2 s of processor time); a projection in
runs of its own waits for automation (5 s) and all of that once more. A run's first range waits for the
process; every further one for a replication slot and a snapshot of its own, its rows, and its commit."""
HEADERS = ("path", "changes", "p50 s", "p95 s", "p99 s", "most s", "client µs/change")


def measure(scale: Scale, home: Path) -> Report:
    with sample_server(home) as server:
        base = scale.of(*ROWS)
        sample.create(server, base)
        found = _continuous(scale, server, home / "continuous", base)
        if not scale.short:
            found |= _micro_batch(server, home / "batches", base, first=10_000_000)
        starts = _starts(server, home / "ranges")
    lines = tuple(_line(name, *measured) for name, measured in found.items())
    return Report(
        "latency",
        "Latency",
        ABOUT,
        versions("dagster", "deltalake", "psycopg"),
        (
            Table("From the commit in the source to a reader of the Delta projection", HEADERS, lines),
            Table(f"{RANGES} id ranges in one run", ("range", "starts after s"), _shown(starts)),
        ),
        _targets(found, starts, short=scale.short),
        (Plot("latency", "Latency of changes", "share of changes", "seconds", _shares(found)),),
        NOTES,
    )


def _line(name: str, times: Times, micros: float) -> tuple[str, ...]:
    shares = [f"{np.percentile(times, share):.2f}" for share in (50, 95, 99, 100)]
    return (name, f"{len(times):,}", *shares, f"{micros:,.0f}" if micros else "")


def _tell(name: str, times: Times) -> None:
    p50, p95 = np.percentile(times, (50, 95))
    sys.stderr.write(f"  {name}: {p50:.2f} s, p95 {p95:.2f} s\n")


def _shown(starts: list[float]) -> tuple[tuple[str, ...], ...]:
    chosen = (0, 1, 3, 7, 15)
    return tuple((f"{number + 1}", f"{starts[number]:.2f}") for number in chosen)


def _shares(found: dict[str, tuple[Times, float]]) -> dict[str, tuple[tuple[float, float], ...]]:
    steps = (1, *range(5, 100, 5), 99)
    return {
        name: tuple((share / 100, float(np.percentile(times, share))) for share in steps)
        for name, (times, _) in found.items()
    }


def _targets(
    found: dict[str, tuple[Times, float]], starts: list[float], *, short: bool
) -> tuple[Target, ...]:
    def p95(name: str) -> float:
        return float(np.percentile(found[name][0], 95))

    targets = [
        Target.at_most("continuous, 1,000 changes/s: p95", 1.0, p95(_named(1_000)), " s", short=short),
        Target.at_most(
            f"{RANGES} id ranges in one run: last start of the first",
            1.3,
            starts[-1] / starts[0],
            short=short,
        ),
    ]
    if not short:
        targets[1:1] = [
            Target.at_most(f"{name}: p95", 15.0, p95(name), " s") for name in (_BATCH_INLINE, _BATCH_APART)
        ]
    return tuple(targets)


# --- continuous ------------------------------------------------------------------------------------


def _named(rate: int, inserts: int = 4) -> str:
    return f"continuous, {rate:,} {'inserts' if inserts == 10 else 'changes'}/s"


def _continuous(
    scale: Scale, server: PostgresServer, root: Path, base: int
) -> dict[str, tuple[Times, float]]:
    """Rates one after the other, under one capture that brings its projection forward."""
    chosen = sample.system(server, root, "continuous")
    _prepare(chosen, root)
    capture = _FRESH.Process(target=_capture, args=(chosen, root))
    capture.start()
    found: dict[str, tuple[Times, float]] = {}
    try:
        first = 1
        seconds = scale.of(15, 1)
        # The first is not told: the capture starts meanwhile.
        for rate, inserts in ((10, 4), (100, 4), (1_000, 4), (1_000, 10)):
            work = Work(first, rate, seconds if first > 1 else 1, base, inserts)
            used = processor_seconds(capture.pid or 0)
            (times,) = _followed(server, chosen, work)
            used = processor_seconds(capture.pid or 0) - used
            if first > 1:
                found[_named(rate, inserts)] = times, used / work.count * 1e6
                _tell(_named(rate, inserts), times)
            first += work.count
    finally:
        capture.kill()
        capture.join()
    return found


def _prepare(chosen: Catalog, root: Path) -> None:
    """Loaded, projected, and known to a Dagster instance below `root`."""
    root.mkdir(exist_ok=True)
    sample.load(chosen)
    make_instance(root)
    runs = DagsterRuns(root, chosen)
    try:
        runs.set_up(SOURCE)
        runs.project(TABLE)
    finally:
        runs.close()


def _capture(chosen: Catalog, root: Path) -> None:
    """Until it is killed."""
    DagsterRuns(root, chosen).capture(SOURCE)


def _followed(server: PostgresServer, chosen: Catalog, work: Work) -> list[Times]:
    """Do the work; latencies of its changes in each projection, in the catalog's order."""
    projections = [each for each in chosen.projections if isinstance(each, DeltaProjection)]
    readers = [Reader(each, work) for each in projections]
    told = _FRESH.Queue()
    writer = _FRESH.Process(target=sample.write, args=(sample.dsn(server), work, told))
    writer.start()
    try:
        return sample.follow(readers, writer, told)
    finally:
        writer.kill()
        writer.join()


# --- micro-batch, under Dagster's daemon -----------------------------------------------------------

_BATCH_INLINE = "micro-batch, inline"
_BATCH_APART = "micro-batch, in runs of its own"
_BATCH_RATE, _BATCH_SECONDS = 10, 60


def _micro_batch(server: PostgresServer, root: Path, base: int, first: int) -> dict[str, tuple[Times, float]]:
    """Two projections of one table at once: what is apart finds the daemon as busy as it is."""
    chosen = sample.system(server, root, "micro-batch")
    folder = DemoFolder(root)
    with ExitStack() as cleanup:
        root.mkdir()
        folder.make()
        _prepare(chosen, folder.dagster_home)
        (root / "catalog").write_bytes(pickle.dumps(chosen))
        environment = {
            "DAGSTER_HOME": str(folder.dagster_home),
            CATALOG_VARIABLE: f"{sample.__name__}:from_environment",
            sample.CATALOG_FILE_VARIABLE: str(root / "catalog"),
        }
        daemon = DagsterServer(folder, environment, next_free_port(os.getpid() % 10_000 + 20_000))
        cleanup.callback(daemon.stop)
        daemon.wait_until_ready()
        daemon.start_sensor(f"{SOURCE}_offsets")
        _followed(server, chosen, Work(first, 10, 1, base))
        inline, apart = _followed(server, chosen, Work(first + 10, _BATCH_RATE, _BATCH_SECONDS, base))
    _tell(_BATCH_INLINE, inline)
    _tell(_BATCH_APART, apart)
    return {_BATCH_INLINE: (inline, 0.0), _BATCH_APART: (apart, 0.0)}


# --- id ranges in one run --------------------------------------------------------------------------


def _starts(server: PostgresServer, root: Path) -> list[float]:
    """Seconds from the launch of a run over all id ranges to the start of each one's load."""
    chosen = sample.system(server, root, "micro-batch", RANGES)
    root.mkdir()
    make_instance(root)
    runs = DagsterRuns(root, chosen)
    try:
        runs.set_up(SOURCE)
        launched = time.time()
        run(_LoadAll(chosen, root))
        (record,) = runs.instance.get_run_records(limit=1)
        entries = runs.instance.all_logs(record.dagster_run.run_id)
        told = [each.timestamp - launched for each in entries if each.message.startswith("loading ")]
    finally:
        runs.close()
    assert len(told) == RANGES
    return told


class _LoadAll:
    """Materializes all id ranges in one run, in a process that starts for it."""

    def __init__(self, chosen: Catalog, root: Path) -> None:
        self._chosen, self._root = chosen, root

    def __call__(self, timed: Timed) -> int:
        with timed:
            runs = DagsterRuns(self._root, self._chosen)
            return runs.load(self._chosen.tables[0], runs.id_ranges(TABLE)).rows
