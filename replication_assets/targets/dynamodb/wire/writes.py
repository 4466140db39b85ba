"""Owns writing many items at once: BatchWriteItem, for items that nobody else writes meanwhile.

    writer = TableWriter(wire, "orders", key=("pk", "sk"))
    counts = writer.batch_put(items, refused.append)          # items: Iterable[pa.Array]
    counts = writer.batch_delete(keys, refused.append)

Each element of the arrays (string or binary, any width) is the JSON of one item, or of one key,
as DynamoDB writes it: `{"pk":{"S":"a"},"n":{"N":"1"}}`. They are joined into requests by Arrow,
without a look inside. The arrays are taken one by one as connections come free, so an iterator
of them is back-pressure enough.

Mind that a request without an answer (`Counts.unanswered`) is sent again, and that the lost one
may yet be done by the server, after the other: what it wrote then stands over a newer item
that was written in between. It is seconds at most, but no condition guards against it.

What comes back as unprocessed is sent again, slower; a request that DynamoDB refuses is cut in
halves until the items at fault are alone, and those are handed to `refused`; all others are
written. An item is named by its place in the whole sequence, from 0.

Refused: two items with one key in one request (TargetError). DynamoDB does not take them, and
across two requests the later one may lose: the caller sends each key once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.counts import Counts, Tally
from replication_assets.targets.dynamodb.wire.exchange import Call, Exchange
from replication_assets.targets.dynamodb.wire.replies import Reply, Verdict
from replication_assets.targets.dynamodb.wire.throttle import Pace
from replication_assets.targets.dynamodb.wire.wire import Wire

ITEMS_PER_REQUEST = 25
# DynamoDB takes 16 MB; but as many requests are in memory as there are connections.
BYTES_PER_REQUEST = 2_000_000
# So much is joined at once: enough for Arrow, little for the memory.
BYTES_PER_STEP = 4_000_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that DynamoDB does not store: its place, AWS's error code, and why, without values."""

    index: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Batch:
    """The items of one request, and the place of each in the sequence."""

    items: pa.Array
    places: Sequence[int]

    def part(self, chosen: Sequence[int]) -> _Batch:
        return _Batch(self.items.take(pa.array(chosen, pa.int64())), [self.places[each] for each in chosen])


class TableWriter:
    """Writes to one table. Keeps the pace that the table allowed from one call to the next."""

    def __init__(
        self,
        wire: Wire,
        table: str,
        key: Sequence[str],
        *,
        pace: Pace | None = None,
        before_request: Callable[[], None] | None = None,
    ) -> None:
        """`before_request` is called before every request and may raise, which ends the run."""
        self._wire = wire
        self._table = table
        self._key = tuple(key)
        self._pace = pace or wire.pace()
        self._before_request = before_request

    def batch_put(self, items: Iterable[pa.Array], refused: Callable[[Refusal], None]) -> Counts:
        """Write every item, whatever the table holds. Repeatable."""
        return self._run(_Form(self._table, b'{"PutRequest":{"Item":', "PutRequest", "Item"), items, refused)

    def batch_delete(self, keys: Iterable[pa.Array], refused: Callable[[Refusal], None]) -> Counts:
        """Delete by key; a key that is not there is no error. Repeatable."""
        return self._run(
            _Form(self._table, b'{"DeleteRequest":{"Key":', "DeleteRequest", "Key"), keys, refused
        )

    def _run(self, form: _Form, items: Iterable[pa.Array], refused: Callable[[Refusal], None]) -> Counts:
        tally = Tally()
        where = f"DynamoDB table {self._table}"
        exchange = self._wire.exchange(
            form.calls(items),
            pace=self._pace,
            tally=tally,
            where=where,
            before_request=self._before_request,
        )
        for call, reply in exchange:
            if reply.verdict is Verdict.DONE:
                self._done(form, call, reply, exchange, tally)
            else:
                self._refused(form, call, reply, exchange, tally, refused)
        return tally.counts()

    def _done(
        self, form: _Form, call: Call[_Batch], reply: Reply, exchange: Exchange[_Batch], tally: Tally
    ) -> None:
        tally.write_units += sum(used["CapacityUnits"] for used in reply.content.get("ConsumedCapacity", ()))
        left = reply.content.get("UnprocessedItems", {}).get(self._table)
        if not left:
            tally.items += len(call.subject.places)
            return
        rest = self._unprocessed(call.subject, [request[form.kind][form.field] for request in left])
        tally.unprocessed += len(rest.places)
        tally.items += len(call.subject.places) - len(rest.places)
        again = form.call(rest)
        again.sent_at = call.sent_at
        if len(rest.places) == len(call.subject.places):
            again.attempts, again.failing_since = call.attempts, call.failing_since
        exchange.left_undone(again)

    def _unprocessed(self, batch: _Batch, left: Sequence[dict[str, Any]]) -> _Batch:
        """The items of a batch that DynamoDB gave back, found by key. It writes numbers its own
        way, so where a key is not found the whole batch is sent again, which does no harm."""
        wanted = {self._key_of(item) for item in left}
        keys = [self._key_of(orjson.loads(item)) for item in batch.items.to_pylist()]
        chosen = [each for each, key in enumerate(keys) if key in wanted]
        return batch.part(chosen) if len(chosen) == len(left) else batch

    def _key_of(self, item: dict[str, Any]) -> bytes:
        return orjson.dumps([item.get(name) for name in self._key])

    def _refused(
        self,
        form: _Form,
        call: Call[_Batch],
        reply: Reply,
        exchange: Exchange[_Batch],
        tally: Tally,
        refused: Callable[[Refusal], None],
    ) -> None:
        batch = call.subject
        count = len(batch.places)
        if "item keys contains duplicates" in reply.message:
            raise TargetError(
                f"items {batch.places[0]} to {batch.places[-1]} hold two with the same key",
                where=f"DynamoDB table {self._table}",
                fix="declare a key template that differs for every row",
            )
        if count == 1:
            tally.refused += 1
            refused(Refusal(batch.places[0], reply.code, reply.reason))
            return
        for half in (range(count // 2), range(count // 2, count)):
            exchange.follow_up(form.call(batch.part(half)))


@dataclass(frozen=True, slots=True)
class _Form:
    """How a BatchWriteItem request of one table and one kind is written."""

    table: str
    opening: bytes
    kind: str
    field: str

    def calls(self, arrays: Iterable[pa.Array]) -> Iterator[Call[_Batch]]:
        place = 0
        for array in arrays:
            items = as_binary(array)
            starts = _starts(items)
            per_step = rows_per_step(items, len(starts))
            for step in range(0, len(starts) - 1, per_step):
                bounds = starts[step : step + per_step + 1]
                for body, start, stop in zip(self._bodies(items, bounds), bounds, bounds[1:], strict=False):
                    places = range(place + start, place + stop)
                    yield Call("BatchWriteItem", body, _Batch(items.slice(start, stop - start), places))
            place += len(items)

    def call(self, batch: _Batch) -> Call[_Batch]:
        (body,) = self._bodies(batch.items, [0, len(batch.items)])
        return Call("BatchWriteItem", body, batch)

    def _bodies(self, items: pa.Array, bounds: Sequence[int]) -> Iterator[bytes]:
        first = bounds[0]
        slices = items.slice(first, bounds[-1] - first)
        offsets = pa.array([each - first for each in bounds], pa.int32())
        joined = pc.binary_join(
            pa.ListArray.from_arrays(offsets, slices), pa.scalar(b"}}," + self.opening, items.type)
        )
        before = b'{"RequestItems":{%s:[%s' % (orjson.dumps(self.table), self.opening)
        after = b'}}]},"ReturnConsumedCapacity":"TOTAL"}'
        for body in joined.to_pylist():
            yield before + body + after


def as_binary(array: pa.Array) -> pa.Array:
    """Item JSON as Arrow binary, without a copy where it is text of the same width."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count:
        raise ValueError("an item is missing: every element must be the JSON of an item")
    if pa.types.is_string(array.type):
        return array.view(pa.binary())
    if pa.types.is_large_string(array.type):
        return array.view(pa.large_binary())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return array
    return array.cast(pa.large_binary())


def rows_per_step(items: pa.Array, parts: int) -> int:
    """How many of the equal `parts` of an array are joined at once."""
    return max(1, BYTES_PER_STEP * parts // max(1, int(items.nbytes)))


def _starts(items: pa.Array) -> list[int]:
    """Where requests begin, and the end: 25 items each, fewer where they are large."""
    count = len(items)
    if count == 0:
        return []
    sizes = pc.binary_length(items).to_numpy()
    if int(sizes.max()) * ITEMS_PER_REQUEST <= BYTES_PER_REQUEST:
        return [*range(0, count, ITEMS_PER_REQUEST), count]
    ends = np.cumsum(sizes, dtype=np.int64)
    starts = [0]
    while starts[-1] < count:
        start = starts[-1]
        before = int(ends[start - 1]) if start else 0
        fits = int(np.searchsorted(ends, before + BYTES_PER_REQUEST, side="right"))
        starts.append(min(max(fits, start + 1), start + ITEMS_PER_REQUEST, count))
    return starts
