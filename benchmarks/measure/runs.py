"""Runs of paths, each in a process of its own, by turns, so that a noisy moment meets them all.

A path is a function that can be pickled. It is given a `Timed`, prepares what it needs, puts
`with timed:` around what is measured, once, and returns how many rows it moved. Imports,
connections and warm-up stay outside. Paths that are run together start when all are ready.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any, Self

from benchmarks.measure.processes import peak_mib, processor_seconds

READY_SECONDS = 600
_FRESH = multiprocessing.get_context("spawn")

Path = Callable[["Timed"], int]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a path, or the median of several. `client` and `server` are processor seconds;
    `peak_mib` is that of the greediest of its processes."""

    rows: int
    seconds: float
    client: float
    server: float
    peak_mib: float
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds

    def client_micros(self) -> float:
        """Per row."""
        return self.client / self.rows * 1e6

    def server_micros(self) -> float:
        return self.server / self.rows * 1e6


class Timed(AbstractContextManager["Timed"]):
    """What a path measures with; `figures` takes whatever else it wants to tell."""

    def __init__(self, barrier: Barrier | None, servers: Sequence[int]) -> None:
        self._barrier, self._servers = barrier, tuple(servers)
        self.figures: dict[str, float] = {}
        self.begun = self.ended = self.client = 0.0
        self.server_begun = self.server_ended = 0.0

    def __enter__(self) -> Self:
        if self._barrier is not None:
            self._barrier.wait(READY_SECONDS)
        self.server_begun = self._used_by_servers()
        self.client = processor_seconds(os.getpid())
        self.begun = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = time.monotonic()
        self.client = processor_seconds(os.getpid()) - self.client
        self.server_ended = self._used_by_servers()

    def _used_by_servers(self) -> float:
        return sum(processor_seconds(pid) for pid in self._servers)


def run(path: Path, servers: Sequence[int] = ()) -> Run:
    """Run a path alone. `servers` are the processes whose time counts as the server's."""
    return run_together([path], servers)


def run_here(path: Path) -> Run:
    """In this very process: for short runs, most of which a process for each would be."""
    timed = Timed(None, ())
    rows = path(timed)
    return Run(rows, timed.ended - timed.begun, timed.client, 0.0, peak_mib(), timed.figures)


def run_together(paths: Sequence[Path], servers: Sequence[int] = ()) -> Run:
    """Run paths at the same time; rows and processor time are added up."""
    with _FRESH.Manager() as manager:
        barrier = manager.Barrier(len(paths)) if len(paths) > 1 else None
        with ProcessPoolExecutor(len(paths), mp_context=_FRESH, max_tasks_per_child=1) as workers:
            asked = [workers.submit(_run, path, barrier, tuple(servers)) for path in paths]
            told = [each.result() for each in asked]
    return Run(
        sum(rows for rows, *_ in told),
        max(timed["ended"] for _, timed, _, _ in told) - min(timed["begun"] for _, timed, _, _ in told),
        sum(timed["client"] for _, timed, _, _ in told),
        max(timed["server_ended"] for _, timed, _, _ in told)
        - min(timed["server_begun"] for _, timed, _, _ in told),
        max(peak for _, _, peak, _ in told),
        {name: value for _, _, _, figures in told for name, value in figures.items()},
    )


def _run(
    path: Path, barrier: Any, servers: Sequence[int]
) -> tuple[int, dict[str, float], float, dict[str, float]]:
    timed = Timed(barrier, servers)
    rows = path(timed)
    marks = ("begun", "ended", "client", "server_begun", "server_ended")
    return rows, {name: getattr(timed, name) for name in marks}, peak_mib(), timed.figures


def by_turns(paths: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, Run]:
    """Each path `rounds` times, one after the other and then again; the run of median seconds."""
    runs: dict[str, list[Run]] = {name: [] for name in paths}
    for _ in range(rounds):
        for name, path in paths.items():
            runs[name].append(path())
            sys.stderr.write(f"  {name}: {runs[name][-1].rate:,.0f} rows/s\n")
    return {name: median(each) for name, each in runs.items()}


def median(runs: Sequence[Run]) -> Run:
    """The run with the median of seconds (the slower one of two)."""
    return sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)
