"""Owns the declared condition of writes beside the projection's own, and what its failing means.

DynamoDB tells that a condition failed, not which part of it. What stands there tells: where it
is older than the write, or nobody's, or nothing, the declared part failed, and the row is refused.
A row whose own item stands there already is in place: a fill that was broken off had written it.

Deleted rows are buried whatever the condition says, but never over an item that no projection
wrote: it is what a condition is declared to protect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.items.canonical import canonical
from replication_assets.core.items.guards import Guard
from replication_assets.core.items.registers import POSITION
from replication_assets.targets.dynamodb.conversion import Prepared
from replication_assets.targets.dynamodb.wire.conditional_writes import Condition

NOT_MET = "condition-not-met"
EXPLAINED = "the declared condition does not hold of what stands under the key"

_OWN = "attribute_not_exists(#k) OR attribute_exists(#p)"


def beside(guard: Guard, order: Condition) -> Condition:
    """`order`, and what is declared."""
    return Condition(guard.beside(order.expression), {**order.names, **guard.names})


def of_graves(order: Condition, partition_key: str) -> Condition:
    """`order`, and that nobody else's item stands there."""
    return Condition(f"({order.expression}) AND ({_OWN})", {**order.names, "#k": partition_key})


def with_values(values: pa.Array, prepared: Prepared, rows: pa.ChunkedArray) -> pa.Array:
    """`values` of conditions on positions (JSON objects, one for each of `rows`), and those of the
    declared condition."""
    assert prepared.condition_values is not None
    declared = prepared.condition_values.take(rows.combine_chunks())
    opened = pc.binary_slice(values.cast(pa.large_binary()), 0, -1).cast(declared.type)
    comma = pc.if_else(pc.equal(declared, ""), "", ",").cast(declared.type)
    closing, nothing = pa.scalar("}", declared.type), pa.scalar("", declared.type)
    return pc.binary_join_element_wise(opened, comma, declared, closing, nothing)


def is_refused(old: Mapping[str, Any] | None, body: str, bound: str, *, or_equal: bool) -> bool:
    """Whether a write failed for the declared condition. `old` is what stands there, `bound` what it had
    to be older than, `or_equal` whether as old would do."""
    if old is None or POSITION not in old:
        return True
    stands = str(old[POSITION]["S"])
    if not (stands < bound or (or_equal and stands == bound)):
        return False
    return canonical(old) != canonical(orjson.loads(body))
