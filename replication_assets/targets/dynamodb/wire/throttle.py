"""Owns how hard one table is pushed: how many requests at once, and how long to wait after a refusal.

Additive increase, multiplicative decrease, as TCP does: a throttled request halves the window,
at most once per round trip; each answer widens it by its share. Waits are drawn from the whole
interval up to an exponential bound ("full jitter"), so that writers that were throttled
together do not come back together.
"""

from __future__ import annotations

import random
from collections.abc import Callable

BASE_SECONDS = 0.05
LONGEST_SECONDS = 10.0


class Pace:
    """The pace of one table. It outlives a run of requests: the next one starts where this ended."""

    __slots__ = ("_base", "_longest", "_most", "_narrowed_at", "_random", "_window")

    def __init__(
        self,
        most: int,
        *,
        base: float = BASE_SECONDS,
        longest: float = LONGEST_SECONDS,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if most < 1:
            raise ValueError("a pace of less than one request at once")
        self._most = float(most)
        self._window = float(most)
        self._narrowed_at = float("-inf")
        self._base = base
        self._longest = longest
        self._random = draw

    @property
    def window(self) -> int:
        """How many requests may be in flight or wait for their retry."""
        return int(self._window)

    def answered(self) -> None:
        if self._window < self._most:
            self._window = min(self._most, self._window + 1 / self._window)

    def throttled(self, sent_at: float, now: float) -> None:
        """A request sent at `sent_at` was refused for its rate. Those that were in flight
        together tell of one and the same overload."""
        if sent_at > self._narrowed_at:
            self._window = max(1.0, self._window / 2)
            self._narrowed_at = now

    def wait(self, attempts: int) -> float:
        """Seconds to wait before a request is sent again that failed `attempts` times."""
        return self._random() * min(self._longest, self._base * 2.0 ** min(attempts, 30))
