"""Batches of items are written whole, whatever DynamoDB leaves undone or refuses of them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.throttle import Pace
from replication_assets.targets.dynamodb.wire.wire import Wire
from replication_assets.targets.dynamodb.wire.writes import Refusal, TableWriter
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.targets.dynamodb.tables_for_tests import numbered


def refuse(refusal: Refusal) -> None:
    raise AssertionError(refusal)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()], ids=str
)
def test_every_item_of_every_array_is_stored(
    dynamodb: DynamoDbServer, wire: Wire, table: str, kind: pa.DataType
) -> None:
    items = numbered(130)
    arrays = [pa.array(part, pa.string()).cast(kind) for part in (items[:60], [], items[60:61], items[61:])]
    counts = TableWriter(wire, table, ("pk",)).batch_put(arrays, refuse)
    assert sorted(item["n"]["N"] for item in items_of(dynamodb, table)) == sorted(str(n) for n in range(130))
    assert counts.items == 130
    assert counts.requests == 3 + 1 + 3
    assert counts.write_units > 0


def test_the_guilty_items_of_a_batch_are_named_and_the_rest_is_written(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    items = numbered(60)
    items[7] = '{"pk":{"S":""},"n":{"N":"7"}}'
    items[30] = '{"pk":{"N":"30"}}'
    items[59] = '{"pk":{"S":"k59"},"n":{"N":"not a number 4711"}}'
    refused: list[Refusal] = []
    counts = TableWriter(wire, table, ("pk",)).batch_put([pa.array(items)], refused.append)
    assert sorted(each.index for each in refused) == [7, 30, 59]
    assert {each.code for each in refused} == {"ValidationException"}
    assert "4711" not in repr(refused)
    assert len(items_of(dynamodb, table)) == counts.items == 57
    assert counts.refused == 3


def nested(levels: int) -> str:
    return '{"L":[' * levels + '{"S":"4711"}' + "]}" * levels


# moto stores most of these.
@pytest.mark.parametrize("dynamodb", ["dynamodb_local"], indirect=True)
def test_a_refusal_says_why_and_quotes_no_value(wire: Wire, table: str) -> None:
    reasons = {
        f'{{"pk":{{"S":"k"}},"x":{{"S":"{"4711" * 102_500}"}}}}': "400 KB",
        '{"pk":{"S":"k"},"x":{"N":"471147114711471147114711471147114711471"}}': "38 significant digits",
        '{"pk":{"S":"k"},"x":{"N":"4711e126"}}': "greater than DynamoDB stores",
        '{"pk":{"S":"k"},"x":{"N":"4711e-140"}}': "nearer to zero",
        '{"pk":{"S":"k"},"x":{"N":"4711x"}}': "none that DynamoDB stores",
        '{"pk":{"S":"k"},"x":{"SS":["4711","4711"]}}': "a set holds a value twice",
        '{"pk":{"S":"k"},"x":{"SS":[]}}': "a set is empty",
        f'{{"pk":{{"S":"k"}},"x":{nested(33)}}}': "deeper than 32 levels",
        '{"pk":{"S":"k"},"x":{"S":"4711","N":"1"}}': "no type of DynamoDB, or more than one",
        '{"pk":{"S":""},"x":{"S":"4711"}}': "a key attribute is an empty string",
        '{"pk":{"N":"4711"}}': "another type than the table's key",
        '{"other":{"S":"4711"}}': "a key attribute is missing",
        f'{{"pk":{{"S":"{"4711" * 513}"}}}}': "2048 bytes",
    }
    for item, reason in reasons.items():
        refused: list[Refusal] = []
        TableWriter(wire, table, ("pk",)).batch_put([pa.array([item])], refused.append)
        assert [each.code for each in refused] == ["ValidationException"]
        assert reason in refused[0].reason
        assert "4711" not in repr(refused)


def test_two_items_with_one_key_in_a_request_are_an_error_of_the_caller(wire: Wire, table: str) -> None:
    with pytest.raises(TargetError, match="items 0 to 1 hold two with the same key"):
        TableWriter(wire, table, ("pk",)).batch_put([pa.array([*numbered(1), *numbered(1)])], refuse)


def test_large_items_are_sent_in_smaller_requests(dynamodb: DynamoDbServer, wire: Wire, table: str) -> None:
    items = [*numbered(12, text="x" * 390_000)]
    counts = TableWriter(wire, table, ("pk",)).batch_put([pa.array(items)], refuse)
    assert counts.requests == 3
    assert len(items_of(dynamodb, table)) == 12


def test_deleted_keys_are_gone_and_missing_ones_no_error(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    writer = TableWriter(wire, table, ("pk",))
    writer.batch_put([pa.array(numbered(40))], refuse)
    keys = [f'{{"pk":{{"S":"k{each:05}"}}}}' for each in range(10, 50)]
    counts = writer.batch_delete([pa.array(keys)], refuse)
    assert counts.items == 40
    assert sorted(item["n"]["N"] for item in items_of(dynamodb, table)) == sorted(str(n) for n in range(10))


def test_a_missing_table_is_told_as_such(wire: Wire) -> None:
    with pytest.raises(TargetError, match=r"ResourceNotFoundException.*the table does not exist"):
        TableWriter(wire, fresh_table_name(), ("pk",)).batch_put([pa.array(numbered(1))], refuse)


def test_arrays_are_taken_no_faster_than_they_are_written(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    taken: list[int] = []

    def arrays() -> Iterator[pa.Array]:
        for each in range(20):
            taken.append(each)
            yield pa.array(numbered(2_000, text="x" * 100)[each * 100 : each * 100 + 100])

    begun: list[int] = []
    one_at_a_time = Pace(1)
    writer = TableWriter(
        wire, table, ("pk",), pace=one_at_a_time, before_request=lambda: begun.append(len(taken))
    )
    assert writer.batch_put(arrays(), refuse).items == 2_000
    assert begun == [1 + request // 4 for request in range(80)]


def test_a_missing_element_is_refused_before_anything_is_sent(wire: Wire, table: str) -> None:
    with pytest.raises(ValueError, match="an item is missing"):
        TableWriter(wire, table, ("pk",)).batch_put([pa.array([None, *numbered(1)])], refuse)
