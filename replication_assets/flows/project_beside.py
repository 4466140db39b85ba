"""Project several id ranges of one table beside each other: each whole by one lane, no range twice.

Ranges know nothing of each other, so their order is free; within a range nothing is. A lane is what one
thread works with: a target and the dead letters, both of its own, since neither may be used by two threads.
The snapshot is read only, and shared.

Refused: to begin another range once the table is suspended. What has begun ends by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId
from replication_assets.errors import ReplicationError, TableSuspended
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.refusals import Handling
from replication_assets.ports import LogSnapshot, ProjectionTarget


@dataclass(frozen=True, slots=True)
class Lane:
    """What one thread brings ranges forward with."""

    target: ProjectionTarget
    handling: Handling | None


@dataclass(slots=True)
class Projected:
    """What became of each range that was begun, by its key."""

    done: dict[str, ProjectReceipt] = field(default_factory=dict)
    failed: dict[str, ReplicationError] = field(default_factory=dict)
    suspended: bool = False


def project_ranges(
    snapshot: LogSnapshot, table: TableId, ranges: Sequence[IdRange], lanes: Sequence[Lane]
) -> Projected:
    """Bring all ranges up to the snapshot, as many at once as there are lanes.

    A range that fails does not keep others from being brought forward. What is no error of the project's
    own is raised when all lanes have ended.
    """
    work = _Work(snapshot, table, list(reversed(ranges)))
    used = lanes[: max(1, len(ranges))]
    if len(used) == 1:
        work.go(used[0])
    else:
        with ThreadPoolExecutor(len(used), "ranges") as threads:
            running = [threads.submit(work.go, lane) for lane in used]
        for each in running:
            each.result()
    return work.projected


class _Work:
    def __init__(self, snapshot: LogSnapshot, table: TableId, waiting: list[IdRange]) -> None:
        self._snapshot = snapshot
        self._table = table
        self._waiting = waiting
        self._lock = threading.Lock()
        self.projected = Projected()

    def go(self, lane: Lane) -> None:
        """One range after the other, until none waits."""
        while (id_range := self._next()) is not None:
            try:
                receipt = project_range(
                    self._snapshot, self._table, lane.target, id_range, handling=lane.handling
                )
            except TableSuspended:
                self.projected.suspended = True
            except ReplicationError as error:
                self.projected.failed[id_range.key] = error
            else:
                self.projected.done[id_range.key] = receipt

    def _next(self) -> IdRange | None:
        with self._lock:
            return self._waiting.pop() if self._waiting and not self.projected.suspended else None
