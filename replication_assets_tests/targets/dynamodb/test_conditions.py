"""Items that are written on a declared condition, beside that what stands there is older."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.changes import RangeChanges
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import Attribute, Items, Split, WriteCondition
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.dynamodb.settings import fingerprint
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    A,
    ProjectionTargetContract,
    Row,
    at,
    changes,
    holds,
    row,
    table,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.places import BY_ID, EXACT, DynamoDbPlace

ABSENT = WriteCondition("attribute_not_exists(pk)", on_change=True)
"""Only where nothing stands."""
NEWER = WriteCondition(
    "attribute_not_exists(small) OR small <= :small",
    values=[Attribute(":small", "${small}")],
    on_change=True,
)
ALWAYS = WriteCondition(
    "attribute_not_exists(nobody) OR size(nobody) > :n",
    values=[Attribute(":n", constant=-1)],
    on_change=True,
)


FINGERPRINT = "07bd3121ee85f1dd10f9e78d14d773d5"


def conditioned(server: DynamoDbServer, condition: WriteCondition, **more: Any) -> DynamoDbPlace:
    return DynamoDbPlace(server, dataclasses.replace(BY_ID, condition=condition), **more)


class Refused(list[Refusal]):
    """What a target refused, in the order that it did."""

    def __call__(self, refusals: Sequence[Refusal]) -> None:
        self.extend(refusals)

    @property
    def told(self) -> list[tuple[str, str]]:
        return sorted((each.key, each.reason) for each in self)


def fill(place: DynamoDbPlace, rows: Sequence[Row], position: Position) -> tuple[RangeCheckpoint, Refused]:
    refused = Refused()
    batches = table(rows).to_batches()
    return place.target.replace(A, KEYED, batches, BASELINE, position, refuse=refused), refused


def apply(place: DynamoDbPlace, these: RangeChanges, position: Position) -> tuple[RangeCheckpoint, Refused]:
    refused = Refused()
    return place.target.apply(A, KEYED, these, BASELINE, position, refuse=refused), refused


def put_foreign(place: DynamoDbPlace, key: str, **attributes: dict[str, Any]) -> None:
    """An item of the service whose table it is."""
    place.target.replace("other", KEYED, [], BASELINE, at(1))
    place.server.client().put_item(TableName=place.into, Item={"pk": {"S": key}, **attributes})


def item(place: DynamoDbPlace, key: str) -> dict[str, Any]:
    (found,) = (each for each in place.items_stored() if each["pk"]["S"] == key)
    return found


class TestContract(ProjectionTargetContract, TargetViewContract):
    """A condition that always holds changes nothing of what every target promises."""

    @pytest.fixture
    def place(self, dynamodb_local: DynamoDbServer) -> DynamoDbPlace:
        return DynamoDbPlace(dynamodb_local, dataclasses.replace(EXACT, condition=ALWAYS))

    # As in `test_target`.
    test_a_new_column_is_null_in_old_rows_and_a_dropped_one_in_new_rows = None
    test_unchanged_columns_keep_the_stored_value = None
    test_unchanged_columns_keep_their_odd_value_and_no_other = None
    test_unchanged_columns_without_a_stored_row_are_refused_by_name = None
    test_equal_rows_without_key_are_counted_and_deleted_one_by_one = None
    test_odd_values_tell_equal_rows_without_key_apart = None
    test_a_row_without_key_may_come_and_go_in_the_same_changes = None
    test_deleting_a_row_without_key_that_is_not_there_is_refused = None
    test_rows_that_nothing_tells_apart_are_not_repaired = None


def test_a_load_leaves_what_the_condition_protects_and_tells_its_rows(dynamodb: DynamoDbServer) -> None:
    place = conditioned(dynamodb, ABSENT)
    put_foreign(place, "order#2", owner={"S": "the service"})
    checkpoint, refused = fill(place, [row(at(5, n), id=n, name="new") for n in (1, 2, 3)], at(5, 3))
    assert refused.told == [('{"id":"2"}', "condition-not-met")]
    assert item(place, "order#2") == {"pk": {"S": "order#2"}, "owner": {"S": "the service"}}
    holds(place, [row(at(5, n), id=n, name="new") for n in (1, 3)])
    assert checkpoint == RangeCheckpoint(BASELINE, at(5, 3), 2)


def test_changes_leave_what_the_condition_protects_only_where_it_is_declared_for_them(
    dynamodb: DynamoDbServer,
) -> None:
    for on_change in (True, False):
        place = conditioned(dynamodb, dataclasses.replace(ABSENT, on_change=on_change))
        fill(place, [row(at(5, 1), id=1, name="loaded")], at(5, 1))
        checkpoint, refused = apply(
            place, changes([row(at(6, 1), id=1, name="changed"), row(at(6, 2), id=2)]), at(6, 2)
        )
        assert refused.told == ([('{"id":"1"}', "condition-not-met")] if on_change else [])
        first = row(at(5, 1), id=1, name="loaded") if on_change else row(at(6, 1), id=1, name="changed")
        holds(place, [first, row(at(6, 2), id=2)])
        assert checkpoint == RangeCheckpoint(BASELINE, at(6, 2), 2)


def test_values_of_the_row_decide(dynamodb: DynamoDbServer) -> None:
    place = conditioned(dynamodb, NEWER)
    put_foreign(place, "order#1", small={"N": "7"})
    put_foreign(place, "order#2", small={"N": "8"})
    rows = [row(at(5, 1), id=1, small=7), row(at(5, 2), id=2, small=7), row(at(5, 3), id=3, small=1)]
    _, refused = fill(place, rows, at(5, 3))
    assert refused.told == [('{"id":"2"}', "condition-not-met")]
    holds(place, [rows[0], rows[2]])
    _, refused = apply(place, changes([row(at(6, 1), id=1, small=6), row(at(6, 2), id=3, small=2)]), at(6, 2))
    assert refused.told == [('{"id":"1"}', "condition-not-met")]
    holds(place, [rows[0], row(at(6, 2), id=3, small=2)])


def test_a_row_whose_value_to_compare_is_null_is_refused_and_the_others_are_written(
    dynamodb: DynamoDbServer,
) -> None:
    place = conditioned(dynamodb, NEWER)
    _, refused = fill(place, [row(at(5, 1), id=1), row(at(5, 2), id=2, small=2)], at(5, 2))
    assert refused.told == [('{"id":"1"}', "condition-is-null")]
    holds(place, [row(at(5, 2), id=2, small=2)])


def test_a_fill_that_was_broken_off_goes_on_without_refusing_its_own_items(dynamodb: DynamoDbServer) -> None:
    place = conditioned(dynamodb, ABSENT)
    rows = [row(at(5, n), id=n, name=f"{n}") for n in range(1, 6)]

    class BrokenOff(Exception):
        pass

    def some() -> Any:
        yield from table(rows[:3]).to_batches()
        raise BrokenOff

    with pytest.raises(BrokenOff):
        place.target.replace(A, KEYED, some(), BASELINE, at(5, 5), refuse=Refused())
    checkpoint, refused = fill(place.rival(), rows, at(5, 5))
    assert refused == []
    assert checkpoint == RangeCheckpoint(BASELINE, at(5, 5), 5)
    holds(place, rows)


def test_changes_whose_checkpoint_was_lost_are_applied_again_without_refusals(
    dynamodb: DynamoDbServer,
) -> None:
    place, client = conditioned(dynamodb, ABSENT), dynamodb.client()
    fill(place, [row(at(5), id=9)], at(5))
    (former,) = (
        each for each in client.scan(TableName=place.control)["Items"] if each["subject"]["S"].endswith(A)
    )
    these = changes([row(at(6, 1), id=1), row(at(6, 2), id=9, name="x")])
    first = apply(place, these, at(6, 2))
    # As a process leaves it that is killed before it records what it reached.
    client.put_item(TableName=place.control, Item=former)
    assert apply(place.rival(), these, at(6, 2)) == first
    assert first[1].told == [('{"id":"9"}', "condition-not-met")]
    holds(place, [row(at(6, 1), id=1), row(at(5), id=9)])


def test_a_late_write_is_stale_and_no_refusal(dynamodb: DynamoDbServer) -> None:
    place = conditioned(dynamodb, ABSENT)
    fill(place, [row(at(7), id=1, name="newest")], at(5))
    _, refused = apply(place, changes([row(at(6), id=1, name="late")]), at(6))
    assert refused == []
    holds(place, [row(at(7), id=1, name="newest")])


def test_of_a_deleted_row_a_condition_holds_if_it_holds_where_nothing_stands(
    dynamodb: DynamoDbServer,
) -> None:
    for condition, comes_back in (
        (ABSENT, True),
        (WriteCondition("attribute_exists(pk) AND small <> :n", values=[Attribute(":n", constant=9)],
                        on_load=False, on_change=True), False),
        (WriteCondition("NOT attribute_exists(pk)", on_change=True), True),
    ):  # fmt: skip
        place = conditioned(dynamodb, condition)
        fill(place, [row(at(5), id=1)], at(5))
        apply(place, changes(deletes=[row(at(6), id=1)]), at(6))
        holds(place, [])
        _, refused = apply(place, changes([row(at(7), id=1, name="again")]), at(7))
        assert bool(refused) is not comes_back
        holds(place, [row(at(7), id=1, name="again")] if comes_back else [])


def test_a_deleted_row_never_takes_an_item_with_it_that_no_projection_wrote(
    dynamodb: DynamoDbServer,
) -> None:
    place = conditioned(dynamodb, ABSENT)
    put_foreign(place, "order#1", owner={"S": "the service"})
    fill(place, [row(at(5, 1), id=1), row(at(5, 2), id=2)], at(5, 2))
    checkpoint, refused = apply(place, changes(deletes=[row(at(6, 1), id=1), row(at(6, 2), id=2)]), at(6, 2))
    assert refused == []
    assert item(place, "order#1") == {"pk": {"S": "order#1"}, "owner": {"S": "the service"}}
    assert "_deleted" in item(place, "order#2")
    assert checkpoint == RangeCheckpoint(BASELINE, at(6, 2), 0)


def test_mending_asks_the_condition_too(dynamodb: DynamoDbServer) -> None:
    place = conditioned(dynamodb, dataclasses.replace(ABSENT, on_change=False))
    put_foreign(place, "order#1", owner={"S": "the service"})
    checkpoint, _ = fill(place, [row(at(5, 1), id=1), row(at(5, 2), id=2)], at(5, 2))
    place.server.client().delete_item(TableName=place.into, Key={"pk": {"S": "order#2"}})
    refused, gone = Refused(), pa.schema([pa.field("item_key", pa.string())]).empty_table()
    rows = table([row(at(5, 1), id=1), row(at(5, 2), id=2)])
    place.target.repair(A, KEYED, rows, gone, checkpoint, refuse=refused)
    assert refused.told == [('{"id":"1"}', "condition-not-met")]
    holds(place, [row(at(5, 2), id=2)])


def test_an_item_that_a_condition_stops_leaves_none_of_its_parts(dynamodb_local: DynamoDbServer) -> None:
    items = dataclasses.replace(BY_ID, condition=ABSENT, oversize=Split(part_bytes=100_000))
    place = DynamoDbPlace(dynamodb_local, items)
    put_foreign(place, "order#1", owner={"S": "the service"})
    _, refused = fill(place, [row(at(5, 1), id=1, big="x" * 500_000)], at(5, 1))
    assert refused.told == [('{"id":"1"}', "condition-not-met")]
    assert item(place, "order#1") == {"pk": {"S": "order#1"}, "owner": {"S": "the service"}}
    assert [each["pk"] for each in place.items_stored()] == [{"S": "order#1"}]


def test_a_declaration_without_a_condition_makes_the_items_that_it_always_made() -> None:
    """Or every range would be filled anew."""
    items = Items("shop.public.orders", "orders", partition_key=BY_ID.partition_key)
    assert fingerprint(items) == FINGERPRINT
    assert fingerprint(dataclasses.replace(items, condition=ABSENT)) != FINGERPRINT
    assert ItemMapping(items, KEYED).guard is None
