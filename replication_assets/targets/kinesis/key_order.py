"""Which messages may be sent next: of each key the first that is not acknowledged.

Kinesis keeps no order among the records of a request, and takes some of them while it refuses others. So no
request has two records of a key, and a later one of a key waits for the answer to the earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush


class KeyOrder:
    """Messages by their places in `keys`. `sizes` are in bytes."""

    def __init__(self, keys: Sequence[bytes], sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._after = [-1] * len(keys)
        self._ready: list[int] = []
        last: dict[bytes, int] = {}
        for at, key in enumerate(keys):
            before = last.get(key)
            if before is None:
                self._ready.append(at)  # rising, and so a heap
            else:
                self._after[before] = at
            last[key] = at

    def __bool__(self) -> bool:
        return bool(self._ready)

    def take(self, most: int, most_bytes: int) -> list[int]:
        """The next ones, each of another key; at least one. All are to be settled before the next call."""
        taken = [heappop(self._ready)]
        size = self._sizes[taken[0]]
        while self._ready and len(taken) < most and size + self._sizes[self._ready[0]] <= most_bytes:
            size += self._sizes[self._ready[0]]
            taken.append(heappop(self._ready))
        return taken

    def stands(self, at: int) -> None:
        """It is acknowledged: the next one of its key may go."""
        if self._after[at] >= 0:
            heappush(self._ready, self._after[at])

    def again(self, at: int) -> None:
        """It was not taken."""
        heappush(self._ready, at)
