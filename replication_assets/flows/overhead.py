"""What capture costs a source: the same mix of transactions, on a scratch database, with and without it.

Ways take turns, each on a table made anew, and each round begins with another one. Clients run in processes
of their own that are started once; so does whoever reads the changes. It reads, decodes and acknowledges,
and stores nothing: what capture does after that is done elsewhere.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from replication_assets.core.overhead import (
    BY_LOG,
    BY_TRIGGERS,
    KINDS,
    NONE,
    UNREAD,
    WAYS,
    Mix,
    Overhead,
    Rates,
)
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceNotReady, SourceUnavailable
from replication_assets.ports import ChangeSource
from replication_assets.ports.scratch import ScratchClient, ScratchDatabase

ROWS = 20_000
"""What selects and updates choose from."""
_DELETES_A_SECOND = 6_000
"""Rows that are there for one client to delete."""
_NEW = 10**12
_ACKNOWLEDGED_SECONDS = 0.5
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OverheadPlan:
    """How much is run. A way takes `seconds` in each round, and somewhat more to be set up."""

    mix: Mix
    rounds: int = 5
    seconds: float = 5.0


def measure_overhead(
    scratch: ScratchDatabase,
    captures: Mapping[str, ChangeSource],
    plan: OverheadPlan,
    tell: Callable[[str], None],
) -> Overhead:
    """Run everything; `captures` are sources by way, `tell` is given a line for each run. Leaves nothing
    behind, however it ends.

    Raises:
        SourceNotReady: something of its names is there already.
    """
    with ExitStack() as stack:
        scratch.create()
        stack.callback(scratch.remove)
        for capture in captures.values():
            _require_nothing(capture)
        scratch.fill(ROWS)
        left_out = _left_out(scratch, captures)
        ways = [way for way in WAYS if way not in left_out]
        clients = stack.enter_context(_client_processes(scratch, plan))
        runs: dict[str, list[Rates]] = {way: [] for way in ways}
        for turn in range(plan.rounds):
            for way in [*ways[turn % len(ways) :], *ways[: turn % len(ways)]]:
                rates = _run(scratch, captures.get(way), way, clients, plan)
                runs[way].append(rates)
                tell(f"round {turn + 1} of {plan.rounds}, {way}: {rates.writes:,.0f} writes/s")
    return Overhead(scratch.where, plan.mix, plan.seconds, runs, left_out)


def _require_nothing(capture: ChangeSource) -> None:
    there = capture.remains()
    if there:
        raise SourceNotReady(
            f"something of this name is there already: {', '.join(there)}",
            where=capture.name,
            fix="if an earlier run left it, remove it; if not, it belongs to a source of this name",
        )


def _left_out(scratch: ScratchDatabase, captures: Mapping[str, ChangeSource]) -> dict[str, str]:
    """Ways that the server or its settings do not allow, and why."""
    found = {}
    for way in (BY_LOG, UNREAD, BY_TRIGGERS):
        capture = captures.get(way)
        if capture is None:
            found[way] = "this engine has none"
            continue
        lacking = capture.missing([_captured(scratch, capture)])
        if lacking:
            found[way] = "; ".join(lacking)
    return found


def _captured(scratch: ScratchDatabase, capture: ChangeSource) -> tuple[TableId, TableSchema]:
    table = scratch.table(capture.name)
    return table, capture.reflect(table)


def _run(
    scratch: ScratchDatabase,
    capture: ChangeSource | None,
    way: str,
    clients: Sequence[Connection],
    plan: OverheadPlan,
) -> Rates:
    deletes = plan.mix.clients[KINDS.index("delete")]
    scratch.fill(ROWS + round(deletes * plan.seconds * _DELETES_A_SECOND))
    with ExitStack() as stack:
        if capture is not None and way != NONE:
            stack.callback(capture.teardown, force=True)
            captured = _captured(scratch, capture)
            start = capture.setup([captured]).start
            capture.confirm_setup()
            if way != UNREAD:
                stack.enter_context(_reading(capture, captured, start))
        return _rates(clients, plan.seconds)


def _rates(clients: Sequence[Connection], seconds: float) -> Rates:
    for client in clients:
        client.send(seconds)
    totals = dict.fromkeys(KINDS, 0.0)
    for client in clients:
        try:
            found = client.recv()
        except EOFError:
            found = None
        if not isinstance(found, dict):
            raise SourceUnavailable(
                "a client failed", where="clients", fix=str(found or "see its own message above")
            )
        for kind, rate in found.items():
            totals[kind] += rate
    insert, select, update, delete = (totals[kind] for kind in KINDS)
    return Rates((insert, select, update, delete))


# --- clients, in processes of their own -----------------------------------------------------


@contextmanager
def _client_processes(scratch: ScratchDatabase, plan: OverheadPlan) -> Iterator[list[Connection]]:
    """One pipe for each process. A process runs its clients in threads, and ends with its pipe."""
    fresh = multiprocessing.get_context("spawn")
    kinds = plan.mix.kinds()
    count = min(len(kinds), max(4, 2 * (os.cpu_count() or 1)))
    pipes: list[Connection] = []
    processes = []
    # Begun with the first process otherwise, and would let interrupts through meanwhile.
    resource_tracker.ensure_running()
    try:
        for number in range(count):
            ours, theirs = fresh.Pipe()
            process = fresh.Process(
                target=_serve_clients, args=(scratch, plan.mix, kinds[number::count], theirs), daemon=True
            )
            # A process that is interrupted before it was told what to do complains on its way out.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            if not pipe.poll(_START_SECONDS) or pipe.recv() != "ready":
                raise SourceUnavailable("clients did not start", where=scratch.where)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _serve_clients(
    scratch: ScratchDatabase, mix: Mix, clients: Sequence[tuple[str, int]], pipe: Connection
) -> None:
    # Ctrl-C reaches every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shares = dict(zip(KINDS, mix.clients, strict=True))
    workers = [_Client(scratch, kind, number, shares[kind]) for kind, number in clients]
    # The pipe may end before a client has begun.
    with suppress(EOFError, BrokenPipeError):
        pipe.send("ready")
        while True:
            seconds = pipe.recv()
            threads = [threading.Thread(target=each.run, args=(seconds,)) for each in workers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            failed = next((each.failed for each in workers if each.failed), "")
            totals = dict.fromkeys(KINDS, 0.0)
            for each in workers:
                totals[each.kind] += each.rate
            pipe.send(failed or totals)


class _Client:
    """One client: transactions of one kind, as fast as they go."""

    def __init__(self, scratch: ScratchDatabase, kind: str, number: int, share: int) -> None:
        """`number` is one of `share` clients of its kind."""
        self._scratch, self.kind, self._number, self._share = scratch, kind, number, share
        self._chance = random.Random(f"{kind} {number}")
        self.rate, self.failed = 0.0, ""

    def run(self, seconds: float) -> None:
        try:
            with self._scratch.client() as client:
                self.rate = self._rate(client, seconds)
        except Exception as error:  # noqa: BLE001  # told by the process that asked
            self.failed = f"{type(error).__name__}: {error}"

    def _rate(self, client: ScratchClient, seconds: float) -> float:
        work: Callable[[int], bool] = getattr(client, self.kind)
        done = turn = 0
        began = time.monotonic()
        until = began + seconds
        while time.monotonic() < until:
            done += work(self._key(turn))
            turn += 1
        return done / (time.monotonic() - began)

    def _key(self, turn: int) -> int:
        if self.kind == "insert":
            return _NEW * (self._number + 1) + turn
        if self.kind == "delete":
            # Clients of this kind share what is there to be deleted.
            return ROWS + 1 + turn * self._share + self._number
        return self._chance.randint(1, ROWS)


# --- who reads, in a process of its own -----------------------------------------------------


@contextmanager
def _reading(capture: ChangeSource, captured: tuple[TableId, TableSchema], start: int) -> Iterator[None]:
    """Changes are read while the block runs."""
    fresh = multiprocessing.get_context("spawn")
    stop = fresh.Event()
    process = fresh.Process(target=_read, args=(capture, captured, start, stop), daemon=True)
    process.start()
    try:
        until = time.monotonic() + _START_SECONDS
        while not capture.status().active:
            if not process.is_alive() or time.monotonic() > until:
                raise SourceUnavailable("the capture did not start", where=capture.name)
            time.sleep(0.02)
        yield
        if not process.is_alive():
            raise SourceUnavailable("the capture failed", where=capture.name)
    finally:
        stop.set()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()


def _read(
    capture: ChangeSource, captured: tuple[TableId, TableSchema], start: int, stop: threading.Event
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with capture.changes([captured], epoch=1, after=start, upto=None, stop=stop.is_set) as stream:
        told = time.monotonic()
        for chunk in stream:
            if chunk.through is not None and time.monotonic() - told > _ACKNOWLEDGED_SECONDS:
                stream.acknowledge(chunk.through)
                told = time.monotonic()
