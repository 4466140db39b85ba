"""Live traffic on the sample database: everything that an application does to its tables.

Owns the writers: each is one thread with one connection, its own random numbers and its own share
of the keys, so the same seed on the same database issues the same statements. Bounded by a rate
and, where given, by a number of transactions. An error in a writer is raised by `stop`, never lost.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from random import Random
from typing import Self

import psycopg

from replication_assets.demo.traffic_writer import TrafficWriter

# A writer that fell behind (a checkpoint, a lock) catches up for this long, in seconds, no more.
MAX_BACKLOG = 1.0


class Traffic:
    """`with Traffic(dsn, rate=50) as traffic:` writes until the block ends.

    `rate` is in transactions per second of all writers together.
    """

    def __init__(
        self,
        dsn: str,
        *,
        seed: int = 1,
        rate: float = 50.0,
        writers: int = 1,
        transactions: int | None = None,
    ) -> None:
        """`transactions` is the number after which each writer stops by itself."""
        if rate <= 0 or writers < 1:
            raise ValueError("traffic needs a positive rate and at least one writer")
        self._dsn = dsn
        self._interval = writers / rate
        self._transactions = transactions
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._failures: list[Exception] = []
        self._threads = [
            threading.Thread(
                target=self._write, args=(share, writers, seed), name=f"traffic-{share}", daemon=True
            )
            for share in range(writers)
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def counts(self) -> dict[str, int]:
        """Transactions so far, by what they did; rolled-back ones are counted as such."""
        with self._lock:
            return dict(self._counts)

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the transactions in hand; raises what a writer died of."""
        self._stopping.set()
        self.join()

    def join(self) -> None:
        """Wait until the writers end by themselves (`transactions`), and raise what one died of."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._failures:
            raise self._failures[0]

    def _write(self, share: int, shares: int, seed: int) -> None:
        try:
            with psycopg.connect(self._dsn, application_name="sample traffic") as connection:
                writer = TrafficWriter(connection, Random(seed * 1000 + share), share, shares)
                self._write_until_stopped(writer)
        except Exception as failure:  # noqa: BLE001  # handed to stop(), which raises it
            self._failures.append(failure)

    def _write_until_stopped(self, writer: TrafficWriter) -> None:
        written = 0
        due = time.monotonic()
        while not self._stopping.is_set() and written != self._transactions:
            done = writer.transaction()
            with self._lock:
                self._counts[done] += 1
            written += 1
            due = max(due + self._interval, time.monotonic() - MAX_BACKLOG)
            self._stopping.wait(max(0.0, due - time.monotonic()))
