"""What is done for every flush of a capture, in a thread of its own: the capture does not wait for it.

A flush is durable before anybody hears of it, so what follows may come later, and may be done once for
several flushes: those that came while it was at work are told together. So a step grows when it is late, and
shrinks again when it has caught up, and what waits is never more than one receipt.

A failure is raised by the next flush, or at the end of the capture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from replication_assets.flows.capture import FlushReceipt
from replication_assets.ports import CellCount


class BesideCapture:
    """Use as a context: at its end all that was told is done. Left by an exception, only what has begun."""

    def __init__(self, follow: Callable[[FlushReceipt], None]) -> None:
        self._follow = follow
        self._thread = ThreadPoolExecutor(1, "following")
        self._lock = threading.Lock()
        self._waiting: FlushReceipt | None = None
        self._steps: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._next()
        self._thread.shutdown()
        if kind is None:
            self._raise_failure()

    def tell(self, receipt: FlushReceipt) -> None:
        """Raises what an earlier step failed with."""
        self._raise_failure()
        with self._lock:
            self._waiting = receipt if self._waiting is None else together(self._waiting, receipt)
        # The first of several that were told meanwhile finds all of them, the others nothing.
        self._steps.append(self._thread.submit(self._step))

    def _step(self) -> None:
        receipt = self._next()
        if receipt is not None:
            self._follow(receipt)

    def _next(self) -> FlushReceipt | None:
        with self._lock:
            receipt, self._waiting = self._waiting, None
            return receipt

    def _raise_failure(self) -> None:
        ended = [step for step in self._steps if step.done()]
        self._steps = [step for step in self._steps if step not in ended]
        for step in ended:
            step.result()


def together(earlier: FlushReceipt, later: FlushReceipt) -> FlushReceipt:
    """Both flushes as one, as durable as the later."""
    tables = dict(earlier.tables)
    for table, cells in later.tables.items():
        counts = {(cell.id_range, cell.event_date): cell.rows for cell in tables.get(table, ())}
        for cell in cells:
            at = cell.id_range, cell.event_date
            counts[at] = counts.get(at, 0) + cell.rows
        tables[table] = tuple(CellCount(*at, rows) for at, rows in counts.items())
    return replace(later, tables=tables)
