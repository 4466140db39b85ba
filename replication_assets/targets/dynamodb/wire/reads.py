"""Owns reading many items: a whole table in parallel segments, and items by their keys.

    reader = TableReader(wire, "orders")
    for items in reader.scan(segments=8): ...                 # lists of items, a page each
    for items in reader.get_items([keys]): ...                # keys: pa.Array of JSON

Items come as DynamoDB writes them (`{"pk":{"S":"a"},"n":{"N":"1.0"}}`): numbers stay text, so
nothing of them is lost. All reads are consistent. At most one page (1 MB) per segment is on its
way at a time, so that who reads slowly is not overrun. A scan is no snapshot: of items that
are written meanwhile it gives either state.

`counts` tells what the reads of this reader cost so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.counts import Counts, Tally
from replication_assets.targets.dynamodb.wire.exchange import Call, Exchange
from replication_assets.targets.dynamodb.wire.replies import Reply, Verdict
from replication_assets.targets.dynamodb.wire.throttle import Pace
from replication_assets.targets.dynamodb.wire.wire import Wire
from replication_assets.targets.dynamodb.wire.writes import as_binary

Item: TypeAlias = dict[str, Any]

KEYS_PER_REQUEST = 100
"""DynamoDB's limit of BatchGetItem; a request whose items exceed 16 MB is answered in parts."""


@dataclass(frozen=True, slots=True)
class Expressions:
    """What to read of the items, and which, in DynamoDB's expressions: `names` stands in for
    attribute names (`#p`), `values` for values (`:p`)."""

    projection: str | None = None
    filter: str | None = None
    key_condition: str | None = None
    names: Mapping[str, str] | None = None
    values: Mapping[str, Any] | None = None

    def parameters(self) -> dict[str, Any]:
        given = {
            "ProjectionExpression": self.projection,
            "FilterExpression": self.filter,
            "KeyConditionExpression": self.key_condition,
            "ExpressionAttributeNames": dict(self.names) if self.names else None,
            "ExpressionAttributeValues": dict(self.values) if self.values else None,
        }
        return {name: value for name, value in given.items() if value is not None}


def attributes(names: Sequence[str]) -> Expressions:
    """Only these attributes of each item, whatever their names are (`a.b`, `size`)."""
    aliases = {f"#a{place}": name for place, name in enumerate(names)}
    return Expressions(projection=", ".join(aliases), names=aliases)


class TableReader:
    """Reads of one table. Keeps the pace that the table allowed."""

    def __init__(self, wire: Wire, table: str, *, pace: Pace | None = None) -> None:
        self._wire = wire
        self._table = table
        self._pace = pace or wire.pace()
        self._tally = Tally()

    @property
    def counts(self) -> Counts:
        return self._tally.counts()

    def scan(
        self,
        segments: int = 4,
        *,
        only: Expressions | None = None,
        page_items: int | None = None,
    ) -> Iterator[list[Item]]:
        """Every item of the table, a page at a time; `page_items` bounds a page below its 1 MB."""
        fixed = {
            "TableName": self._table,
            "ConsistentRead": True,
            "ReturnConsumedCapacity": "TOTAL",
            "TotalSegments": segments,
            **(only or Expressions()).parameters(),
            **({"Limit": page_items} if page_items else {}),
        }
        return self._pages("Scan", [{**fixed, "Segment": segment} for segment in range(segments)])

    def query(self, only: Expressions, *, page_items: int | None = None) -> Iterator[list[Item]]:
        """The items of one partition key, in the order of their sort keys."""
        request = {
            "TableName": self._table,
            "ConsistentRead": True,
            "ReturnConsumedCapacity": "TOTAL",
            **only.parameters(),
            **({"Limit": page_items} if page_items else {}),
        }
        return self._pages("Query", [request])

    def get_items(self, keys: Iterable[pa.Array], *, only: Expressions | None = None) -> Iterator[list[Item]]:
        """The items of these keys (JSON, each key once), in any order; what is not there is left out."""
        exchange = self._exchange(self._get_calls(keys, (only or Expressions()).parameters()))
        for call, reply in exchange:
            answer = self._answer(call.operation, reply)
            self._tally.read_units += sum(used["CapacityUnits"] for used in answer["ConsumedCapacity"])
            items: list[Item] = answer["Responses"].get(self._table, [])
            self._tally.items += len(items)
            self._follow_up(exchange, call, answer.get("UnprocessedKeys"))
            if items:
                yield items

    def _pages(self, operation: str, requests: Sequence[dict[str, Any]]) -> Iterator[list[Item]]:
        calls = [Call(operation, orjson.dumps(request), request) for request in requests]
        exchange = self._exchange(calls)
        for call, reply in exchange:
            answer = self._answer(operation, reply)
            self._tally.read_units += answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
            items: list[Item] = answer["Items"]
            self._tally.items += len(items)
            if answer.get("LastEvaluatedKey"):
                request = {**call.subject, "ExclusiveStartKey": answer["LastEvaluatedKey"]}
                exchange.follow_up(Call(operation, orjson.dumps(request), request))
            if items:
                yield items

    def _get_calls(self, keys: Iterable[pa.Array], parameters: Mapping[str, Any]) -> Iterator[Call[int]]:
        options = orjson.dumps({"ConsistentRead": True, **parameters})[:-1]
        before = b'{"RequestItems":{%s:%s,"Keys":[' % (orjson.dumps(self._table), options)
        after = b']}},"ReturnConsumedCapacity":"TOTAL"}'
        for array in keys:
            texts = as_binary(array)
            for start in range(0, len(texts), KEYS_PER_REQUEST):
                some = texts.slice(start, KEYS_PER_REQUEST).to_pylist()
                yield Call("BatchGetItem", before + b",".join(some) + after, len(some))

    def _follow_up(self, exchange: Exchange[int], call: Call[int], left: Mapping[str, Any] | None) -> None:
        """Ask again for the keys that were left out: at once if the answer was full, else slower."""
        if not left:
            return
        count = len(left[self._table]["Keys"])
        self._tally.unprocessed += count
        body = orjson.dumps({"RequestItems": left, "ReturnConsumedCapacity": "TOTAL"})
        again = Call(call.operation, body, count, sent_at=call.sent_at)
        if count < call.subject:
            exchange.follow_up(again)
            return
        again.attempts, again.failing_since = call.attempts, call.failing_since
        exchange.left_undone(again)

    def _exchange(self, calls: Iterable[Call[Any]]) -> Exchange[Any]:
        return self._wire.exchange(calls, pace=self._pace, tally=self._tally, where=self._where)

    def _answer(self, operation: str, reply: Reply) -> dict[str, Any]:
        if reply.verdict is not Verdict.DONE:
            raise TargetError(f"{operation} was refused: {reply.code}", where=self._where, fix=reply.reason)
        return reply.content

    @property
    def _where(self) -> str:
        return f"DynamoDB table {self._table}"
