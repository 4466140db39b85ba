"""An older item never beats a newer one, and every row is told what became of it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.conditional_writes import (
    Condition,
    ConditionalRows,
    ConditionalWriter,
    Outcome,
    Settled,
    position_values,
)
from replication_assets.targets.dynamodb.wire.wire import Wire
from replication_assets_tests.dynamodb_servers import DynamoDbServer, items_of

# A reserved word, on purpose.
NEWER = Condition("attribute_not_exists(#k) OR #p < :p", {"#k": "pk", "#p": "size"})


def rows(*versions: tuple[str, int], more: str = "") -> ConditionalRows:
    """Items by key and version, each with the condition value of its version."""
    items = [f'{{"pk":{{"S":"{key}"}},"size":{{"S":"{version:05}"}}{more}}}' for key, version in versions]
    positions = pa.array([f"{version:05}" for _, version in versions], pa.string())
    return ConditionalRows(pa.array(items, pa.string()), position_values(positions))


def stored(server: DynamoDbServer, table: str) -> dict[str, int]:
    return {item["pk"]["S"]: int(item["size"]["S"]) for item in items_of(server, table)}


def outcomes(settled: Sequence[Settled]) -> list[Outcome]:
    return [each.outcome for each in sorted(settled, key=lambda each: each.index)]


def test_the_greatest_version_of_each_key_stands_whatever_the_order(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    versions = [(f"k{key}", version) for key in range(20) for version in range(15)] * 2
    random.Random(4).shuffle(versions)
    settled: list[Settled] = []
    counts = ConditionalWriter(wire, table).put(
        [rows(*versions[:100]), rows(), rows(*versions[100:])], NEWER, settled.append
    )
    assert stored(dynamodb, table) == {f"k{key}": 14 for key in range(20)}
    assert sorted(each.index for each in settled) == list(range(600))
    assert counts.items + counts.stale == 600
    assert counts.items >= 20
    assert outcomes(settled).count(Outcome.STALE) == counts.stale


def test_what_is_equal_or_older_is_stale_and_changes_nothing(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    writer = ConditionalWriter(wire, table)
    settled: list[Settled] = []
    writer.put([rows(("a", 5), ("b", 5), ("c", 5))], NEWER, lambda _: None)
    counts = writer.put([rows(("a", 4), ("b", 5), ("c", 6), ("d", 0))], NEWER, settled.append)
    assert outcomes(settled) == [Outcome.STALE, Outcome.STALE, Outcome.WRITTEN, Outcome.WRITTEN]
    assert stored(dynamodb, table) == {"a": 5, "b": 5, "c": 6, "d": 0}
    assert (counts.items, counts.stale, counts.retried) == (2, 2, 0)
    assert counts.write_units > 0


def test_the_replaced_item_is_handed_back_where_it_is_asked_for(wire: Wire, table: str) -> None:
    writer = ConditionalWriter(wire, table)
    settled: list[Settled] = []
    writer.put([rows(("a", 1))], NEWER, lambda _: None)
    writer.put([rows(("a", 2), ("b", 2))], NEWER, settled.append, return_old=True)
    by_index = {each.index: each.old for each in settled}
    assert by_index == {0: {"pk": {"S": "a"}, "size": {"S": "00001"}}, 1: None}


def test_an_item_that_cannot_be_stored_is_refused_alone(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    settled: list[Settled] = []
    good, bad = rows(("a", 1), ("b", 1)), rows(("c", 1), more=',"x":{"N":"secret 4711"}')
    counts = ConditionalWriter(wire, table).put([good, bad], NEWER, settled.append)
    assert outcomes(settled) == [Outcome.WRITTEN, Outcome.WRITTEN, Outcome.REFUSED]
    assert "4711" not in repr(settled)
    assert next(each.code for each in settled if each.code) == "ValidationException"
    assert stored(dynamodb, table) == {"a": 1, "b": 1}
    assert counts.refused == 1


def test_keys_are_deleted_on_a_condition(dynamodb: DynamoDbServer, wire: Wire, table: str) -> None:
    writer = ConditionalWriter(wire, table)
    writer.put([rows(("a", 1), ("b", 2))], NEWER, lambda _: None)
    keys = pa.array(['{"pk":{"S":"a"}}', '{"pk":{"S":"b"}}', '{"pk":{"S":"c"}}'])
    values = position_values(pa.array(["00001"] * 3))
    settled: list[Settled] = []
    writer.delete(
        [ConditionalRows(keys, values)],
        Condition("#p = :p", {"#p": "size"}),
        settled.append,
        return_old=True,
    )
    assert outcomes(settled) == [Outcome.WRITTEN, Outcome.STALE, Outcome.STALE]
    # The item that was deleted, the one that the condition did not hold of, and none.
    old = [{"pk": {"S": "a"}, "size": {"S": "00001"}}, {"pk": {"S": "b"}, "size": {"S": "00002"}}, None]
    assert [each.old for each in sorted(settled, key=lambda each: each.index)] == old
    assert stored(dynamodb, table) == {"b": 2}


def test_a_condition_without_values_takes_none(dynamodb: DynamoDbServer, wire: Wire, table: str) -> None:
    settled: list[Settled] = []
    only_new = Condition("attribute_not_exists(#k)", {"#k": "pk"})
    items = rows(("a", 1), ("a", 1)).items
    ConditionalWriter(wire, table).put([ConditionalRows(items)], only_new, settled.append)
    assert sorted(each.outcome.name for each in settled) == ["STALE", "WRITTEN"]


# moto does not check names that are not used, and breaks on expressions that it cannot read.
@pytest.mark.parametrize("dynamodb", ["dynamodb_local"], indirect=True)
def test_a_wrong_condition_is_no_fault_of_the_items(wire: Wire, table: str) -> None:
    unused = Condition("attribute_not_exists(#k) OR #p < :p", {"#k": "pk", "#p": "size", "#q": "size"})
    with pytest.raises(TargetError, match="PutItem was refused: ValidationException"):
        ConditionalWriter(wire, table).put([rows(("a", 1))], unused, lambda _: None)


def test_a_position_that_would_break_the_json_is_not_sent() -> None:
    with pytest.raises(ValueError, match="a position may hold"):
        position_values(pa.array(['1"}}']))


def test_what_is_called_before_every_request_can_end_the_run(
    dynamodb: DynamoDbServer, wire: Wire, table: str
) -> None:
    calls = iter(range(3))

    def lease() -> None:
        if next(calls) == 2:
            raise TargetError("the lease ended")

    writer = ConditionalWriter(wire, table, before_request=lease)
    with pytest.raises(TargetError, match="the lease ended"):
        writer.put([rows(*((f"k{each}", 1) for each in range(30)))], NEWER, lambda _: None)
    assert len(stored(dynamodb, table)) <= 2
