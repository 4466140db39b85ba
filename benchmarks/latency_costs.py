"""What a way to run a catalog costs while it is looked at: processor time, memory, processes, and what it
writes to the event store.

Memory is the proportional share of each process, so that pages which several share count once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure.processes import processor_seconds, tree

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Costs:
    """`seconds` of the clock; `client` and `broker` are processor seconds; `objects` are files of the event
    stores that were written, each a request to an object store."""

    seconds: float
    client: float
    broker: float
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
        self._client_before = _used(self._roots)
        self._broker_before = _used(self._broker)
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
        client, broker = _used(self._roots), _used(self._broker)
        seconds = time.monotonic() - self._begun
        new = self._stored() - self._files
        return Costs(
            seconds,
            client - self._client_before,
            broker - self._broker_before,
            self._mib,
            self._processes,
            len(new),
            sum(size for _, size, _ in new),
        )

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


def _used(roots: Sequence[int]) -> float:
    return sum(processor_seconds(root) for root in roots)


def _proportional_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        # It ended since, or its memory is gone already.
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
