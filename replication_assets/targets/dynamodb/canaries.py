"""Owns the few items of each range whose absence tells that a table was emptied.

DynamoDB cannot say that items were deleted behind our back, and counting them reads the whole
table. So a checkpoint remembers some keys. A key that the projection deletes itself stays as a
tombstone; an item that may expire is asked about only before its time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.targets.dynamodb.control import Canary
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.wire.reads import attributes

MOST = 5


def survivors(canaries: Sequence[Canary], writes: pa.Table, expiry: str) -> tuple[Canary, ...]:
    """The canaries after some writes (`bodies.WRITES`): with the expiry that they have now, and
    new ones among the writes where they are few. Those that last come first."""
    known = pa.array([canary.key for canary in canaries], pa.large_string())
    touched = writes.filter(pc.is_in(writes["key"], value_set=known))
    changed = {canary.key: canary for canary in _of(touched, expiry)}
    kept = [changed.get(canary.key, canary) for canary in canaries]
    if sum(canary.until is None for canary in kept) < MOST:
        fresh = _of(writes.filter(pc.is_valid(writes["row"])).slice(0, MOST), expiry)
        kept += [canary for canary in fresh if canary.key not in {each.key for each in kept}]
    lasting = sorted(kept, key=lambda canary: (canary.until is not None, -(canary.until or 0)))
    return tuple(lasting[:MOST])


def all_gone(table: DataTable, canaries: Sequence[Canary]) -> bool:
    """Whether none of those is there that should be."""
    now = time.time()
    keys = [canary.key for canary in canaries if canary.until is None or canary.until > now]
    if not keys:
        return False
    found: Iterable[list[Any]] = table.reader.get_items(
        [pa.array(keys, pa.large_string())], only=attributes(table.key_names)
    )
    return not any(page for page in found)


def _of(writes: pa.Table, expiry: str) -> list[Canary]:
    found = []
    for key, body in zip(writes["key"].to_pylist(), writes["body"].to_pylist(), strict=True):
        until = orjson.loads(body).get(expiry, {}).get("N")
        found.append(Canary(key, int(until) if until is not None else None))
    return found
