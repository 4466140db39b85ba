"""Several jobs at a time, in threads, with an end to all of them when one fails or Ctrl-C comes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event

from replication_assets.cli.exits import INTERRUPTED


class Stopped(Exception):
    """A job noticed that it should end; what it wrote was discarded."""


class StopAsked:
    """Asked by jobs, now and then, whether they should end."""

    def __init__(self) -> None:
        self._event = Event()

    def now(self) -> None:
        self._event.set()

    def check(self) -> None:
        """Raises Stopped once an end was asked for."""
        if self._event.is_set():
            raise Stopped


Job = Callable[[StopAsked], None]


def in_parallel(jobs: Sequence[Job], limit: int) -> None:
    """All jobs, `limit` at a time. The first failure, or an interrupt, stops the others; it is raised
    when they have ended.

    A second interrupt ends the process at once: a job may wait for a lock of the source.
    """
    stop = StopAsked()
    pool = ThreadPoolExecutor(min(limit, len(jobs)), "job")
    pending: set[Future[None]] = {pool.submit(job, stop) for job in jobs}
    try:
        while pending:
            # With a timeout, so that an interrupt is noticed meanwhile.
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
    except BaseException:
        stop.now()
        for future in pending:
            future.cancel()
        _wait_or_leave(pending)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _wait_or_leave(pending: set[Future[None]]) -> None:
    try:
        wait(pending)
    except KeyboardInterrupt:
        sys.stderr.write(
            "Interrupted again: ended at once. Files that nothing refers to go with `compact`.\n"
        )
        sys.stderr.flush()
        os._exit(INTERRUPTED)
