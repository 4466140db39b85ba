"""Latency to DynamoDB: a reader that asks for items by their keys, as whoever serves them would.

It asks for a sample of the changes: some twenty a second, drawn at random, and not all the time. Asking for
all of them would take DynamoDB Local the time that the writers need.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.latency_sample import Numbers, Times, Work

SAMPLED = 20
"""Changes a second that are looked for."""
POLL_SECONDS = 0.05
IDLE_SHARE = 9
"""A reader that asks for much waits so many times as long as asking took."""
_AT_ONCE = 100
"""As many keys as one request may have."""


def key_of(row: int) -> str:
    """The partition key of a row's item."""
    return f"change#{row}"


class ItemReader:
    """Asks, strongly consistent, for the items of sampled changes until each holds its change."""

    def __init__(self, client: Any, table: str, work: Work) -> None:
        self._client, self._table = client, table
        chosen = np.random.default_rng(work.first).random(work.count) < SAMPLED / work.rate
        chosen[-1] = True
        self.numbers: Numbers = work.first + np.flatnonzero(chosen).astype(np.int64)
        self._keys = [key_of(row) for row in work.ids(self.numbers).tolist()]
        self.seen: Times = np.full(len(self.numbers), np.nan)
        self.gaps: list[float] = []
        """Seconds between two looks at the same item: no figure is finer."""
        self._looked = time.monotonic()

    @property
    def done(self) -> bool:
        return not np.isnan(self.seen).any()

    def look(self, newest: int) -> float:
        """Note what became readable of the changes up to `newest`; how long to wait before the next look."""
        begun = time.monotonic()
        waiting = np.flatnonzero(np.isnan(self.seen) & (self.numbers <= newest))
        for first in range(0, len(waiting), _AT_ONCE):
            self._ask(waiting[first : first + _AT_ONCE])
        now = time.monotonic()
        if len(waiting):
            self.gaps.append(now - self._looked)
        self._looked = now
        return max(POLL_SECONDS, IDLE_SHARE * (now - begun))

    def _ask(self, places: Numbers) -> None:
        # An update of a row that a later one met too: the later number is in its place.
        by_key: dict[str, list[int]] = {}
        for place in places.tolist():
            by_key.setdefault(self._keys[place], []).append(place)
        asked = {
            "Keys": [{"pk": {"S": key}} for key in by_key],
            "ProjectionExpression": "pk, #n",
            "ExpressionAttributeNames": {"#n": "number"},
            "ConsistentRead": True,
        }
        found = self._client.batch_get_item(RequestItems={self._table: asked})
        now = time.monotonic()
        for item in found["Responses"].get(self._table, ()):
            for place in by_key[item["pk"]["S"]]:
                if int(item["number"]["N"]) >= self.numbers[place]:
                    self.seen[place] = now
