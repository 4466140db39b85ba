"""Several jobs at a time, in threads, with an end to all of them when one fails or Ctrl-C comes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

from replication_assets.cli.exits import INTERRUPTED

Result = TypeVar("Result")


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


Job = Callable[[StopAsked], Result]


def in_parallel(jobs: Sequence[Job[Result]], limit: int) -> Iterator[Result]:
    """Results as they come. The first failure, or an interrupt, stops the others and is raised.

    A second interrupt ends the process at once: a job may wait for a lock of the source.
    """
    stop = StopAsked()
    pool = ThreadPoolExecutor(min(limit, len(jobs)), "job")
    pending: set[Future[Result]] = {pool.submit(job, stop) for job in jobs}
    try:
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BaseException:
        stop.now()
        for future in pending:
            future.cancel()
        _wait_or_leave(pending)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _wait_or_leave(pending: set[Future[Result]]) -> None:
    try:
        wait(pending)
    except KeyboardInterrupt:
        sys.stderr.write(
            "Interrupted again: ended at once. Files that nothing refers to go with `compact`.\n"
        )
        sys.stderr.flush()
        os._exit(INTERRUPTED)
