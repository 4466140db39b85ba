"""Whatever goes wrong on the way, every item arrives, and every row is told what became of it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

import pyarrow as pa
import pytest

from replication_assets.errors import TargetUnavailable
from replication_assets.targets.dynamodb.wire.conditional_writes import (
    Condition,
    ConditionalRows,
    ConditionalWriter,
    Outcome,
    Settled,
    position_values,
)
from replication_assets.targets.dynamodb.wire.exchange import Patience
from replication_assets.targets.dynamodb.wire.reads import TableReader
from replication_assets.targets.dynamodb.wire.writes import Refusal, TableWriter
from replication_assets_tests.dynamodb_servers import DynamoDbServer, items_of
from replication_assets_tests.targets.dynamodb.faulty_proxy import Faults, FaultyProxy, faulty_proxy
from replication_assets_tests.targets.dynamodb.tables_for_tests import numbered, open_wire

EVERYTHING = Faults(
    throttled=0.1,
    unprocessed=0.3,
    failed=0.05,
    failed_after=0.05,
    reset_before=0.05,
    reset_after=0.05,
    slow=0.05,
)
NEWER = Condition("attribute_not_exists(#k) OR #p < :p", {"#k": "pk", "#p": "v"})
KINDS = {"throttled", "failed", "failed_after", "reset_before", "reset_after", "slow"}


@pytest.fixture
def proxy(dynamodb: DynamoDbServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(dynamodb.endpoint_url, EVERYTHING, seed=5) as running:
        yield running


def refuse(refusal: Refusal) -> None:
    raise AssertionError(refusal)


def test_a_batch_write_loses_nothing_to_any_fault(
    dynamodb: DynamoDbServer, proxy: FaultyProxy, table: str
) -> None:
    items = numbered(2_000)
    with open_wire(dynamodb, endpoint_url=proxy.endpoint_url) as wire:
        counts = TableWriter(wire, table, ("pk",)).batch_put(
            [pa.array(items[:1_034]), pa.array(items[1_034:])], refuse
        )
    stored = sorted(items_of(dynamodb, table), key=lambda item: str(item["pk"]))
    assert stored == [json.loads(item) for item in items]
    assert set(proxy.injected) == KINDS | {"unprocessed"}
    assert counts.items == 2_000
    assert counts.throttled == proxy.injected["throttled"]
    assert counts.unprocessed > proxy.injected["unprocessed"]
    assert counts.requests == sum(proxy.requests.values())
    lost = ("failed", "failed_after", "reset_before", "reset_after")
    assert counts.unanswered == sum(proxy.injected[each] for each in lost)


def test_the_guilty_items_are_named_among_faults(
    dynamodb: DynamoDbServer, proxy: FaultyProxy, table: str
) -> None:
    items = numbered(500)
    guilty = [3, 77, 78, 400, 499]
    for each in guilty:
        items[each] = f'{{"pk":{{"N":"{each}"}}}}'
    refused: list[Refusal] = []
    with open_wire(dynamodb, endpoint_url=proxy.endpoint_url) as wire:
        TableWriter(wire, table, ("pk",)).batch_put([pa.array(items)], refused.append)
    assert sorted(each.index for each in refused) == guilty
    assert len(items_of(dynamodb, table)) == 495


def test_conditional_writes_settle_every_row_once_and_the_newest_stands(
    dynamodb: DynamoDbServer, proxy: FaultyProxy, table: str
) -> None:
    keys, versions = range(150), range(4)
    shuffled = list(itertools.product(keys, versions))
    random.Random(3).shuffle(shuffled)
    items = [f'{{"pk":{{"S":"{key}"}},"v":{{"S":"{version:03}"}}}}' for key, version in shuffled]
    values = position_values(pa.array([f"{version:03}" for _, version in shuffled]))
    settled: list[Settled] = []
    with open_wire(dynamodb, endpoint_url=proxy.endpoint_url) as wire:
        counts = ConditionalWriter(wire, table).put(
            [ConditionalRows(pa.array(items), values)], NEWER, settled.append
        )
    assert {item["pk"]["S"]: item["v"]["S"] for item in items_of(dynamodb, table)} == {
        str(key): "003" for key in keys
    }
    assert sorted(each.index for each in settled) == list(range(len(shuffled)))
    assert set(proxy.injected) == KINDS
    assert counts.items + counts.stale == len(shuffled)
    assert counts.retried > 0
    # A write whose answer was lost finds itself when it is sent again.
    newest = [each for each in settled if shuffled[each.index][1] == versions[-1]]
    assert all(each.outcome is Outcome.WRITTEN or each.uncertain for each in newest)


def test_reads_give_every_item_once_through_faults(
    dynamodb: DynamoDbServer, proxy: FaultyProxy, table: str
) -> None:
    with open_wire(dynamodb) as direct:
        TableWriter(direct, table, ("pk",)).batch_put([pa.array(numbered(900))], refuse)
    with open_wire(dynamodb, endpoint_url=proxy.endpoint_url) as wire:
        reader = TableReader(wire, table)
        scanned = [int(item["n"]["N"]) for page in reader.scan(4, page_items=20) for item in page]
        keys = pa.array([f'{{"pk":{{"S":"k{each:05}"}}}}' for each in range(900)])
        got = [int(item["n"]["N"]) for page in reader.get_items([keys]) for item in page]
    assert sorted(scanned) == list(range(900))
    assert sorted(got) == list(range(900))
    assert reader.counts.unprocessed > 0
    assert reader.counts.throttled == proxy.injected["throttled"]


def test_a_table_that_only_throttles_is_given_up_after_the_longest_age(
    dynamodb: DynamoDbServer, table: str
) -> None:
    patience = Patience(max_age=0.3)
    with (
        faulty_proxy(dynamodb.endpoint_url, Faults(throttled=1.0)) as proxy,
        open_wire(dynamodb, endpoint_url=proxy.endpoint_url, patience=patience) as wire,
        pytest.raises(TargetUnavailable, match="ProvisionedThroughputExceededException") as raised,
    ):
        TableWriter(wire, table, ("pk",)).batch_put([pa.array(numbered(100))], refuse)
    assert raised.value.retryable
    assert table in str(raised.value)
    assert proxy.requests.total() > 5


def test_a_throttled_table_is_asked_for_less_at_once_and_recovers(
    dynamodb: DynamoDbServer, table: str
) -> None:
    with (
        faulty_proxy(dynamodb.endpoint_url, Faults(throttled=0.5), seed=1) as proxy,
        open_wire(dynamodb, endpoint_url=proxy.endpoint_url) as wire,
    ):
        pace = wire.pace()
        writer = TableWriter(wire, table, ("pk",), pace=pace)
        writer.batch_put([pa.array(numbered(500))], refuse)
        assert pace.window < 8
        proxy.faults = Faults()
        writer.batch_put([pa.array(numbered(5_000))], refuse)
        assert pace.window == 16


def test_an_answer_that_does_not_come_is_asked_for_again(dynamodb: DynamoDbServer, table: str) -> None:
    patience = Patience(answer=0.2, max_age=20)
    with (
        faulty_proxy(dynamodb.endpoint_url, Faults(slow=0.3, slow_seconds=2.0), seed=2) as proxy,
        open_wire(dynamodb, endpoint_url=proxy.endpoint_url, patience=patience) as wire,
    ):
        counts = TableWriter(wire, table, ("pk",)).batch_put([pa.array(numbered(250))], refuse)
    assert proxy.injected["slow"] > 0
    assert counts.retried >= proxy.injected["slow"]
    assert len(items_of(dynamodb, table)) == 250


def test_nobody_listening_is_told_after_the_longest_age(dynamodb: DynamoDbServer) -> None:
    with faulty_proxy(dynamodb.endpoint_url, Faults()) as proxy:
        closed = proxy.endpoint_url
    with (
        open_wire(dynamodb, endpoint_url=closed, patience=Patience(max_age=0.2)) as wire,
        pytest.raises(TargetUnavailable, match="ConnectionRefusedError"),
    ):
        wire.call("ListTables", {})
