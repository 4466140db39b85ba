"""Owns writes that must not beat a newer item: one request per item, on a condition.

    writer = ConditionalWriter(wire, "orders")
    older = Condition("attribute_not_exists(#p) OR #p < :p", {"#p": "_position"})
    counts = writer.put([ConditionalRows(items, position_values(positions))], older, settled)

Many such requests are in flight at once, and answered in any order: two writes of one key in
one run may overtake each other, so the caller sends each key once, or conditions that any
order satisfies. Each row is told to `settled` when its outcome is final: written, stale (the
condition did not hold), or refused by DynamoDB. A tombstone is an item like any other.

A condition may fail against the row's own earlier attempt, if the connection broke after the
server had applied it. `Settled.uncertain` says that this is possible; the table is right either
way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.targets.dynamodb.wire.counts import Counts, Tally
from replication_assets.targets.dynamodb.wire.exchange import Call
from replication_assets.targets.dynamodb.wire.replies import Reply, Verdict
from replication_assets.targets.dynamodb.wire.throttle import Pace
from replication_assets.targets.dynamodb.wire.wire import Wire
from replication_assets.targets.dynamodb.wire.writes import as_binary, rows_per_step

# What a position is made of, so that it needs no escaping in JSON.
_PLAIN = r"^[0-9A-Za-z.:+_-]*$"


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the item that the table has. `names` stands in for attribute names
    (`#p`), the values (`:p`) come with each row."""

    expression: str
    names: Mapping[str, str] = field(default_factory=dict)


def position_values(positions: pa.Array, name: str = ":p") -> pa.Array:
    """The values of a condition on a position, a text of fixed width: `{":p":{"S":"..."}}`."""
    if not pc.all(pc.match_substring_regex(positions, _PLAIN), min_count=0).as_py():
        raise ValueError("a position may hold digits, letters and . : + _ - only")
    parts = (f'{{"{name}":{{"S":"', positions, '"}}', "")
    return pc.binary_join_element_wise(
        *(part if part is positions else pa.scalar(part, positions.type) for part in parts)
    )


@dataclass(frozen=True, slots=True)
class ConditionalRows:
    """JSON of items (or of keys, to delete) and, beside each, JSON of its condition's values.
    `values` is None for a condition that has none."""

    items: pa.Array
    values: pa.Array | None = None


class Outcome(Enum):
    WRITTEN = "written"
    STALE = "stale"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the row at `index`, counted from 0 over all rows of the run.

    `code` and `reason` tell why it was refused. `old` is the item that was replaced or deleted, or
    that the condition did not hold of, where it was asked for and there was one.
    """

    index: int
    outcome: Outcome
    code: str = ""
    reason: str = ""
    old: dict[str, Any] | None = None
    uncertain: bool = False


class ConditionalWriter:
    """Conditional writes to one table. Keeps the pace that the table allowed."""

    def __init__(
        self,
        wire: Wire,
        table: str,
        *,
        pace: Pace | None = None,
        before_request: Callable[[], None] | None = None,
    ) -> None:
        """`before_request` is called before every request and may raise, which ends the run."""
        self._wire = wire
        self._table = table
        self._pace = pace or wire.pace()
        self._before_request = before_request

    def put(
        self,
        rows: Iterable[ConditionalRows],
        condition: Condition,
        settled: Callable[[Settled], None],
        *,
        return_old: bool = False,
    ) -> Counts:
        """Write each item if the condition holds of the item that it would replace."""
        form = _form("PutItem", "Item", self._table, condition, return_old)
        return self._run(form, rows, settled)

    def delete(
        self,
        keys: Iterable[ConditionalRows],
        condition: Condition,
        settled: Callable[[Settled], None],
        *,
        return_old: bool = False,
    ) -> Counts:
        """Delete each key if the condition holds of its item. Mind that a condition which needs
        the item to exist makes a missing one stale."""
        form = _form("DeleteItem", "Key", self._table, condition, return_old)
        return self._run(form, keys, settled)

    def _run(
        self, form: _Form, rows: Iterable[ConditionalRows], settled: Callable[[Settled], None]
    ) -> Counts:
        tally = Tally()
        exchange = self._wire.exchange(
            form.calls(rows),
            pace=self._pace,
            tally=tally,
            where=f"DynamoDB table {self._table}",
            before_request=self._before_request,
        )
        for call, reply in exchange:
            settled(_settled(call, reply, tally))
        return tally.counts()


def _settled(call: Call[int], reply: Reply, tally: Tally) -> Settled:
    if reply.verdict is Verdict.DONE:
        tally.items += 1
        tally.write_units += reply.content.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
        old = reply.content.get("Attributes")
        return Settled(call.subject, Outcome.WRITTEN, old=old, uncertain=call.uncertain)
    if reply.verdict is Verdict.CONDITION_FAILED:
        tally.stale += 1
        return Settled(call.subject, Outcome.STALE, old=reply.content.get("Item"), uncertain=call.uncertain)
    tally.refused += 1
    return Settled(call.subject, Outcome.REFUSED, reply.code, reply.reason)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a conditional request is written: what stands before the values, and before the item."""

    operation: str
    head: bytes
    values: bytes
    item: bytes

    def calls(self, rows: Iterable[ConditionalRows]) -> Iterator[Call[int]]:
        first = 0
        for each in rows:
            items = as_binary(each.items)
            values = as_binary(each.values).cast(items.type) if each.values is not None else None
            if values is not None and len(values) != len(items):
                raise ValueError("every item needs the values of its condition")
            per_step = rows_per_step(items, len(items))
            for start in range(0, len(items), per_step):
                bodies = self._bodies(items.slice(start, per_step), values, start)
                for index, body in enumerate(bodies.to_pylist(), first + start):
                    yield Call(self.operation, body, index)
            first += len(items)

    def _bodies(self, items: pa.Array, values: pa.Array | None, start: int) -> pa.Array:
        def fixed(text: bytes) -> pa.Scalar:
            return pa.scalar(text, items.type)

        parts = [fixed(self.head)]
        if values is not None:
            parts += [fixed(self.values), values.slice(start, len(items))]
        return pc.binary_join_element_wise(*parts, fixed(self.item), items, fixed(b"}"), fixed(b""))


def _form(operation: str, kind: str, table: str, condition: Condition, return_old: bool) -> _Form:
    request: dict[str, Any] = {
        "TableName": table,
        "ConditionExpression": condition.expression,
        "ReturnConsumedCapacity": "TOTAL",
        "ReturnValues": "ALL_OLD" if return_old else "NONE",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD" if return_old else "NONE",
    }
    if condition.names:
        request["ExpressionAttributeNames"] = dict(condition.names)
    return _Form(
        operation,
        head=orjson.dumps(request)[:-1],
        values=b',"ExpressionAttributeValues":',
        item=b',"%s":' % kind.encode(),
    )
