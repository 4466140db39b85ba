"""Everything that is stored is read, once, as it is stored."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.reads import Expressions, TableReader, attributes
from replication_assets.targets.dynamodb.wire.wire import Wire
from replication_assets.targets.dynamodb.wire.writes import TableWriter
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.tables_for_tests import create_table, numbered


def fill(wire: Wire, table: str, items: list[str]) -> None:
    TableWriter(wire, table, ("pk",)).batch_put([pa.array(items, pa.string())], lambda _: None)


def keys(*numbers: int) -> pa.Array:
    return pa.array([f'{{"pk":{{"S":"k{each:05}"}}}}' for each in numbers], pa.string())


@pytest.mark.parametrize("segments", [1, 5])
def test_a_scan_gives_every_item_once(wire: Wire, table: str, segments: int) -> None:
    items = numbered(200)
    fill(wire, table, items)
    reader = TableReader(wire, table)
    pages = list(reader.scan(segments, page_items=17))
    read = [item for page in pages for item in page]
    assert sorted(read, key=lambda item: str(item["pk"])) == [json.loads(item) for item in items]
    assert len(pages) >= 200 / 17
    assert reader.counts.items == 200
    assert reader.counts.read_units > 0


def test_a_scan_that_is_left_early_sends_no_more_and_leaves_the_wire_of_use(wire: Wire, table: str) -> None:
    fill(wire, table, numbered(200))
    reader = TableReader(wire, table)
    scan = reader.scan(2, page_items=10)
    next(scan)
    scan.close()
    assert reader.counts.requests <= 3
    assert sum(map(len, TableReader(wire, table).scan())) == 200


def test_items_can_be_written_while_a_scan_is_open(wire: Wire, table: str) -> None:
    fill(wire, table, numbered(100))
    for page in TableReader(wire, table).scan(3, page_items=20):
        fill(wire, table, [json.dumps({**item, "seen": {"BOOL": True}}) for item in page])
    assert all(item["seen"] for page in TableReader(wire, table).scan() for item in page)


def test_only_the_attributes_asked_for_are_read(wire: Wire, table: str) -> None:
    fill(wire, table, ['{"pk":{"S":"a"},"size":{"N":"1"},"a.b":{"NULL":true},"t":{"S":"x"}}'])
    pages = TableReader(wire, table).scan(only=attributes(["pk", "size", "a.b"]))
    assert list(pages) == [[{"pk": {"S": "a"}, "size": {"N": "1"}, "a.b": {"NULL": True}}]]


def test_items_are_read_by_their_keys_and_missing_ones_left_out(wire: Wire, table: str) -> None:
    fill(wire, table, numbered(250))
    reader = TableReader(wire, table)
    pages = reader.get_items([keys(*range(0, 250, 2)), keys(), keys(999, *range(1, 250, 2))])
    read = sorted(int(item["n"]["N"]) for page in pages for item in page)
    assert read == list(range(250))
    assert reader.counts.requests == 4


def test_keys_whose_items_exceed_an_answer_are_asked_for_again(wire: Wire, table: str) -> None:
    fill(wire, table, numbered(50, text="x" * 390_000))
    reader = TableReader(wire, table)
    read = [item for page in reader.get_items([keys(*range(50))]) for item in page]
    assert sorted(int(item["n"]["N"]) for item in read) == list(range(50))
    assert all(len(item["t"]["S"]) == 390_000 for item in read)


def test_a_partition_is_read_in_the_order_of_its_sort_keys(dynamodb: DynamoDbServer, wire: Wire) -> None:
    table = create_table(dynamodb, sort_key=True)
    items = [f'{{"pk":{{"S":"p{each % 2}"}},"sk":{{"S":"{each:03}"}}}}' for each in range(60)]
    TableWriter(wire, table, ("pk", "sk")).batch_put([pa.array(items)], lambda _: None)
    only = Expressions(key_condition="#k = :k", names={"#k": "pk"}, values={":k": {"S": "p1"}})
    pages = TableReader(wire, table).query(only, page_items=7)
    assert [int(item["sk"]["S"]) for page in pages for item in page] == list(range(1, 60, 2))


def test_an_expression_that_dynamodb_does_not_take_is_an_error(wire: Wire, table: str) -> None:
    with pytest.raises(TargetError, match="ValidationException"):
        list(TableReader(wire, table).scan(only=Expressions(filter="#x <", names={"#x": "n"})))
