"""What a way to run a catalog costs while it is looked at: processor time, memory, processes, and what it
writes to the event store.

Memory is the proportional share of each process, so that pages which several share count once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure.processes import machine_seconds, processor_seconds, tree

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Costs:
    """`seconds` of the clock; `client`, `broker`, `beside` (servers, writer and reader) and `others` (whoever
    else uses the machine) are processor seconds; `objects` are files of the event stores that were written,
    each a request to an object store."""

    seconds: float
    client: float
    broker: float
    beside: float
    others: float
    mib: float
    processes: int
    objects: int
    written: int


class Meter:
    """Begins with its making. `roots` are processes of ours, `broker` those of the topic's service."""

    def __init__(self, roots: Sequence[int], broker: Sequence[int], stores: Sequence[Path]) -> None:
        self._roots, self._broker, self._stores = tuple(roots), tuple(broker), tuple(stores)
        self._mib, self._processes = 0.0, 0
        self._files = self._stored()
        self._used_before = self._used()
        self._begun = time.monotonic()
        self._looked = 0.0

    def look(self) -> None:
        """Note memory and processes, once a second at most."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        processes = [pid for root in self._roots for pid in tree(root)]
        self._processes = max(self._processes, len(processes))
        self._mib = max(self._mib, sum(_proportional_mib(pid) for pid in processes))

    def ended(self) -> Costs:
        used = self._used()
        client, broker, measuring, machine = (
            now - then for now, then in zip(used, self._used_before, strict=True)
        )
        seconds = time.monotonic() - self._begun
        new = self._stored() - self._files
        return Costs(
            seconds,
            client,
            broker,
            measuring - client - broker,
            machine - measuring,
            self._mib,
            self._processes,
            len(new),
            sum(size for _, size, _ in new),
        )

    def _used(self) -> tuple[float, float, float, float]:
        """Of the way, of the broker, of all that this process started, and of the whole machine."""
        client = sum(processor_seconds(root) for root in self._roots)
        broker = sum(processor_seconds(root) for root in self._broker)
        return client, broker, processor_seconds(os.getpid()), machine_seconds()

    def _stored(self) -> set[tuple[str, int, int]]:
        """Files by path, size and time: one that is written anew is another one."""
        found = set()
        for store in self._stores:
            for path in store.rglob("*"):
                try:
                    told = path.stat()
                except FileNotFoundError:
                    continue
                if path.is_file():
                    found.add((str(path), told.st_size, told.st_mtime_ns))
        return found


def _proportional_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        # It ended since, or its memory is gone already.
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
