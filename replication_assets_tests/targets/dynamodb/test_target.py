"""The DynamoDB target: the contract of all targets, and what is DynamoDB's own."""

from __future__ import annotations

import dataclasses
import datetime as dt
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.changes import RangeChanges
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import Attribute, ItemKey, Ttl
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import CommitConflict, TargetError, TargetUnavailable
from replication_assets.ports import RangeCheckpoint, TargetNeeds
from replication_assets.targets.dynamodb import range_writer
from replication_assets.targets.dynamodb.capacity_record import LEASE_SECONDS, CapacityRecord
from replication_assets.targets.dynamodb.conversion import together
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    A,
    B,
    ProjectionTargetContract,
    Row,
    apply,
    at,
    changes,
    fill,
    holds,
    random_histories_equal_a_dict,
    row,
    table,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.places import BY_ID, EXACT, DynamoDbPlace


class TestContract(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, dynamodb: DynamoDbServer) -> DynamoDbPlace:
        return DynamoDbPlace(dynamodb, EXACT)

    @pytest.fixture
    def place_of_any_columns(self, dynamodb: DynamoDbServer) -> DynamoDbPlace:
        return DynamoDbPlace(dynamodb)

    def test_a_new_column_is_null_in_old_rows_and_a_dropped_one_in_new_rows(
        self, place_of_any_columns: DynamoDbPlace
    ) -> None:
        super().test_a_new_column_is_null_in_old_rows_and_a_dropped_one_in_new_rows(place_of_any_columns)

    # The target asks for whole rows, and tells rows apart by the key of their item alone.
    test_unchanged_columns_keep_the_stored_value = None
    test_unchanged_columns_keep_their_odd_value_and_no_other = None
    test_unchanged_columns_without_a_stored_row_are_refused_by_name = None
    test_equal_rows_without_key_are_counted_and_deleted_one_by_one = None
    test_odd_values_tell_equal_rows_without_key_apart = None
    test_a_row_without_key_may_come_and_go_in_the_same_changes = None
    test_deleting_a_row_without_key_that_is_not_there_is_refused = None
    test_rows_that_nothing_tells_apart_are_not_repaired = None


def test_any_history_in_any_pieces_equals_a_dict(dynamodb: DynamoDbServer) -> None:
    random_histories_equal_a_dict(lambda: DynamoDbPlace(dynamodb))


@pytest.fixture
def place(dynamodb: DynamoDbServer) -> DynamoDbPlace:
    return DynamoDbPlace(dynamodb)


def by_key(place: DynamoDbPlace) -> dict[str, dict[str, Any]]:
    return {item["pk"]["S"]: item for item in place.items_stored()}


# --- items, tombstones ---


def test_an_item_tells_its_event_and_where_it_came_from(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5, 3), id=1, name="x")], at(5, 3))
    (item,) = place.items_stored()
    assert item["_position"] == {"S": "0000000001-00000000000000000005-00000000000000000003"}
    assert item["_origin"] == {"S": "shop.public.orders#r0001"}
    assert item["name"] == {"S": "x"}


def test_a_deleted_row_leaves_a_tombstone_that_expires(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1, name="secret")], at(5))
    before = int(time.time())
    apply(place.target, changes(deletes=[row(at(6, 2), id=1)]), at(6, 2))
    (item,) = place.items_stored()
    assert set(item) == {"pk", "_position", "_origin", "_deleted", "_expires"}
    assert before + 86_400 <= int(item["_expires"]["N"]) <= time.time() + 86_400
    ttl = place.server.client().describe_time_to_live(TableName=place.into)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "_expires"
    assert ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")


def test_a_late_write_of_a_deleted_row_does_not_bring_it_back(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    apply(place.target, changes(deletes=[row(at(7, 1), id=1), row(at(7, 2), id=2)]), at(7, 2))
    writes_of(place.rival(), changes([row(at(6, 1), id=1, name="late"), row(at(6, 2), id=2)]))
    holds(place, [])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7, 2), 0)


def test_tombstones_go_when_they_are_old_and_nothing_else_does(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    apply(place.target, changes(deletes=[row(at(6, 1), id=1)]), at(6, 1))
    assert place.target.vacuum(dt.timedelta(hours=1)) == 0
    assert list(place.target.tidy(dt.timedelta(0))) == [
        "1 tombstones, parts and objects deleted that nothing needs"
    ]
    holds(place, [row(at(5), id=2)])
    assert set(by_key(place)) == {"order#2"}


def test_the_time_to_live_of_the_declaration_is_the_one_of_tombstones(dynamodb: DynamoDbServer) -> None:
    items = dataclasses.replace(BY_ID, ttl=Ttl("gone_at", column="day", days=10))
    place = DynamoDbPlace(dynamodb, items)
    fill(place.target, [row(at(5), id=1, day=dt.date(2100, 1, 1)), row(at(5), id=2)], at(5))
    apply(place.target, changes(deletes=[row(at(6, 1), id=2)]), at(6, 1))
    stored = by_key(place)
    assert stored["order#1"]["gone_at"] == {
        "N": str(int(dt.datetime(2100, 1, 11, tzinfo=dt.UTC).timestamp()))
    }
    assert int(stored["order#2"]["gone_at"]["N"]) > time.time()


def test_rows_that_expire_are_not_missed_when_they_are_gone(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, dataclasses.replace(BY_ID, ttl=Ttl("gone_at", column="day", days=10)))
    rows = [
        row(at(5), id=1, day=dt.date(2000, 1, 1)),
        row(at(5), id=2),
        row(at(5), id=3, day=dt.date(2100, 1, 1)),
    ]
    fill(place.target, rows, at(5))
    expected = ['{"pk":{"S":"order#2"}}', '{"pk":{"S":"order#3"}}']
    image = [
        each for batch in place.target.image(KEYED, table(rows).to_batches()) for each in batch.to_pylist()
    ]
    assert [each["item_key"] for each in image] == expected
    view = [each for batch in place.target.view(KEYED).read() for each in batch.to_pylist()]
    assert sorted(each["item_key"] for each in view) == expected


def test_a_table_that_expires_items_by_an_attribute_of_its_own_keeps_it(place: DynamoDbPlace) -> None:
    client = place.server.client()
    client.create_table(
        TableName=place.into,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.update_time_to_live(
        TableName=place.into, TimeToLiveSpecification={"Enabled": True, "AttributeName": "theirs"}
    )
    fill(place.target, [row(at(5), id=1)], at(5))
    apply(place.target, changes(deletes=[row(at(6, 1), id=1)]), at(6, 1))
    assert "theirs" in by_key(place)["order#1"]


# --- filled again ---


def test_a_row_that_a_new_load_does_not_find_is_buried(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    fill(place.target, [row(at(5), id=1)], at(9))
    holds(place, [row(at(5), id=1)])
    late = changes([row(at(8, 1), id=2, name="late")])
    writes_of(place, late)
    holds(place, [row(at(5), id=1)])


def writes_of(place: DynamoDbPlace, these: RangeChanges, schema: TableSchema = KEYED) -> None:
    """Send the writes of some changes alone, as a run does that was overtaken."""
    conversion = place.target._conversion(ItemMapping(place.items, schema), A)
    prepared = conversion.rows(these.upserts)
    graves = conversion.graves(these, prepared, at(99), "")
    writes = together(prepared, graves, distinct=False)
    writer = range_writer.RangeWriter(place.target._data, conversion)
    writer.put(prepared, writes, writes["register"], range_writer.OLDER)


def test_a_rebuild_writes_rows_anew_whose_event_is_the_same(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1, name="wrong")], at(5))
    fill(place.target, [row(at(5), id=1, name="right")], at(5))
    holds(place, [row(at(5), id=1, name="right")])


def test_a_fill_leaves_items_of_later_events(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    apply(place.target, changes([row(at(9, 1), id=1, name="later"), row(at(9, 2), id=2)]), at(9, 2))
    fill(place.target, [row(at(5), id=1)], at(6))
    holds(place, [row(at(9, 1), id=1, name="later"), row(at(9, 2), id=2)])
    apply(place.target, changes([row(at(9, 1), id=1, name="later"), row(at(9, 2), id=2)]), at(9, 2))
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(9, 2), 2)


def test_rows_of_a_load_ahead_of_the_checkpoint_go_when_the_next_one_does_not_find_them(
    place: DynamoDbPlace,
) -> None:
    fill(place.target, [row(at(50), id=1), row(at(50), id=2)], at(40))
    fill(place.target, [row(at(60), id=1)], at(40))
    holds(place, [row(at(60), id=1)])
    apply(place.target, changes([row(at(50), id=2, name="came back")]), at(50))
    holds(place, [row(at(60), id=1), row(at(50), id=2, name="came back")])


def test_another_declaration_of_the_items_means_to_fill_again(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1, name="x")], at(5))
    changed = place.rival(dataclasses.replace(place.items, attributes=[Attribute("kind", constant="order")]))
    assert changed.target.checkpoint(A) is None
    fill(changed.target, [row(at(5), id=1, name="x")], at(5))
    holds(changed, [row(at(5), id=1, name="x")])
    assert by_key(place)["order#1"]["kind"] == {"S": "order"}
    assert changed.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)
    assert place.target.checkpoint(A) is None


def test_a_table_that_was_dropped_or_made_again_is_filled_again(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    place.drop()
    assert place.target.checkpoint(A) is None
    with pytest.raises(TargetError, match="never filled"):
        apply(place.target, changes([row(at(6, 1), id=1)]), at(6, 1))
    fill(place.target, [row(at(5), id=1)], at(5))
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)
    holds(place, [row(at(5), id=1)])


def test_deleting_what_is_watched_for_an_emptied_table_is_not_taken_for_one(place: DynamoDbPlace) -> None:
    rows = [row(at(5), id=i) for i in range(8)]
    fill(place.target, rows, at(5))
    apply(place.target, changes(deletes=[row(at(6, i + 1), id=i) for i in range(7)]), at(6, 7))
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 7), 1)
    apply(place.target, changes(deletes=[row(at(7, 1), id=7)]), at(7, 1))
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7, 1), 0)


def test_a_projection_that_is_reset_begins_from_nothing(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5), A)
    fill(place.target, [row(at(5), id=900)], at(5), B)
    place.target.reset(KEYED)
    assert place.items_stored() == []
    assert place.target.checkpoint(A) is None
    fill(place.target, [row(at(4), id=1)], at(4), A)
    holds(place, [row(at(4), id=1)])


def test_items_that_somebody_else_left_are_written_over(place: DynamoDbPlace) -> None:
    fill(place.target, [], at(5))
    client = place.server.client()
    for key in ("order#1", "order#2"):
        client.put_item(TableName=place.into, Item={"pk": {"S": key}, "legacy": {"S": "x"}})
    fill(place.target, [row(at(6), id=1)], at(6))
    apply(place.target, changes([row(at(7, 1), id=2)]), at(7, 1))
    holds(place, [row(at(6), id=1), row(at(7, 1), id=2)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7, 1), 2)


# --- keys ---

TWO_KEYS = TableSchema(
    (
        Column("region", "text", pa.string()),
        Column("number", "bigint", pa.int64()),
        Column("email", "text", pa.string()),
    ),
    ("region", "number"),
)


def two(commit: int, sequence: int, region: str, number: int, email: str | None = None) -> Row:
    return row(at(commit, sequence), region=region, number=number, email=email)


def test_a_composite_key_may_be_spread_over_partition_and_sort_key(dynamodb: DynamoDbServer) -> None:
    items = dataclasses.replace(
        BY_ID,
        partition_key=ItemKey("pk", "region#${region}"),
        sort_key=ItemKey("sk", "${number}", type="number"),
    )
    place = DynamoDbPlace(dynamodb, items)
    fill(place.target, [two(5, 0, "eu", 1), two(5, 0, "eu", 2), two(5, 0, "us", 1)], at(5), schema=TWO_KEYS)
    these = changes([two(6, 1, "eu", 2, "a@b")], [two(6, 2, "eu", 1)], TWO_KEYS)
    apply(place.target, these, at(6, 2), schema=TWO_KEYS)
    holds(place, [two(6, 1, "eu", 2, "a@b"), two(5, 0, "us", 1)], schema=TWO_KEYS)
    assert {(item["pk"]["S"], item["sk"]["N"]) for item in place.live()} == {
        ("region#eu", "2"),
        ("region#us", "1"),
    }
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 2), 2)


BY_EMAIL = dataclasses.replace(BY_ID, partition_key=ItemKey("pk", "mail#${email}"))
PEOPLE = TableSchema((Column("id", "bigint", pa.int64()), Column("email", "text", pa.string())), ("id",))


def person(commit: int, sequence: int, number: int, email: str | None = None) -> Row:
    return row(at(commit, sequence), id=number, email=email)


def moves(
    upserts: Sequence[Row] = (), deletes: Sequence[Row] = (), former: Sequence[Row] = ()
) -> RangeChanges:
    these = changes(upserts, deletes, PEOPLE)
    return dataclasses.replace(these, former=table(former, PEOPLE))


def test_former_rows_are_asked_for_unless_items_follow_the_key_of_the_table(dynamodb: DynamoDbServer) -> None:
    follows, moving = DynamoDbPlace(dynamodb), DynamoDbPlace(dynamodb, BY_EMAIL)
    assert follows.target.needs == moving.target.needs == TargetNeeds(whole_rows=True, former_rows=True)
    fill(follows.target, [row(at(5), id=1)], at(5))
    fill(moving.target, [person(5, 0, 1, "a")], at(5), schema=PEOPLE)
    for place, asked in ((follows, False), (moving, True)):
        assert place.target.checkpoint(A) is not None
        assert place.target.needs == TargetNeeds(whole_rows=True, former_rows=asked)


def test_an_item_moves_when_the_columns_of_its_key_change(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, BY_EMAIL)
    first = [person(5, 0, 1, "a"), person(5, 0, 2, "b"), person(5, 0, 3, "c")]
    fill(place.target, first, at(5), schema=PEOPLE)
    # 1 goes from a by x to b, which 2 has left for a; 3 is deleted.
    former = [*first, person(6, 1, 1, "x")]
    these = moves([person(6, 3, 1, "b"), person(6, 2, 2, "a")], [person(6, 4, 3)], former)
    apply(place.target, these, at(6, 4), schema=PEOPLE)
    holds(place, [person(6, 3, 1, "b"), person(6, 2, 2, "a")], schema=PEOPLE)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 4), 2)
    for late in (moves([person(6, 1, 1, "x")]), moves([person(5, 0, 3, "c")])):
        writes_of(place, late, PEOPLE)
    holds(place, [person(6, 3, 1, "b"), person(6, 2, 2, "a")], schema=PEOPLE)


def test_an_item_that_moved_away_does_not_take_the_one_that_came_after_it_along(
    dynamodb: DynamoDbServer,
) -> None:
    place = DynamoDbPlace(dynamodb, BY_EMAIL)
    fill(place.target, [person(5, 0, 1, "a")], at(5), A, PEOPLE)
    fill(place.target, [], at(5), B, PEOPLE)
    # 900, of another range, took a when 1 had been deleted; 1 came back with b later on.
    apply(place.target, moves([person(7, 1, 900, "a")]), at(9), B, PEOPLE)
    apply(place.target, moves([person(8, 1, 1, "b")], former=[person(5, 0, 1, "a")]), at(9), A, PEOPLE)
    holds(place, [person(8, 1, 1, "b")], A, PEOPLE)
    holds(place, [person(7, 1, 900, "a")], B, PEOPLE)
    for id_range in (A, B):
        assert place.target.checkpoint(id_range) == RangeCheckpoint(BASELINE, at(9), 1)


def test_a_row_that_goes_to_another_range_keeps_its_item_whoever_writes_first(
    dynamodb: DynamoDbServer,
) -> None:
    for order in ((A, B), (B, A)):
        place = DynamoDbPlace(dynamodb, BY_EMAIL)
        fill(place.target, [person(5, 0, 1, "a")], at(5), A, PEOPLE)
        fill(place.target, [], at(5), B, PEOPLE)
        leaves = moves(deletes=[person(6, 1, 1)], former=[person(5, 0, 1, "a")])
        comes = moves([person(6, 1, 900, "a")])
        for id_range in order:
            apply(place.target, leaves if id_range == A else comes, at(6, 1), id_range, PEOPLE)
        holds(place, [], A, PEOPLE)
        holds(place, [person(6, 1, 900, "a")], B, PEOPLE)
        assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 1), 0)
        assert place.target.checkpoint(B) == RangeCheckpoint(BASELINE, at(6, 1), 1)


def test_changes_without_former_rows_are_refused_where_items_move(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, BY_EMAIL)
    fill(place.target, [person(5, 0, 1, "a")], at(5), schema=PEOPLE)
    with pytest.raises(TargetError, match="former"):
        apply(place.target, changes([person(6, 1, 1, "b")], schema=PEOPLE), at(6, 1), schema=PEOPLE)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)


LOG = TableSchema(
    (Column("device", "text", pa.string()), Column("tick", "bigint", pa.int64())), append_only=True
)


def test_a_table_without_key_is_kept_where_columns_tell_its_rows_apart(dynamodb: DynamoDbServer) -> None:
    items = dataclasses.replace(
        BY_ID, partition_key=ItemKey("pk", "${device}"), sort_key=ItemKey("sk", "${tick}", type="number")
    )
    place = DynamoDbPlace(dynamodb, items)
    first = [row(at(5), device="a", tick=i) for i in range(3)]
    fill(place.target, first, at(5), schema=LOG)
    new = row(at(6, 1), device="b", tick=1)
    apply(place.target, changes([new], schema=LOG, insert_only=True), at(6, 1), schema=LOG)
    apply(place.target, changes([], [row(at(7, 1), device="a", tick=0)], LOG), at(7, 1), schema=LOG)
    holds(place, [*first[1:], new], schema=LOG)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7, 1), 3)


def test_two_source_tables_share_a_table_and_leave_each_other_alone(dynamodb: DynamoDbServer) -> None:
    orders = DynamoDbPlace(dynamodb, shared=True)
    people = DynamoDbPlace(
        dynamodb,
        dataclasses.replace(BY_ID, partition_key=ItemKey("pk", "person#${id}")),
        into=orders.into,
        control=orders.control,
        source=TableId("shop", "public", "people"),
        shared=True,
    )
    fill(orders.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    fill(people.target, [person(5, 0, 1, "a"), person(5, 0, 2, "b")], at(5), schema=PEOPLE)
    fill(orders.target, [row(at(6), id=2)], at(6))
    holds(orders, [row(at(6), id=2)])
    holds(people, [person(5, 0, 1, "a"), person(5, 0, 2, "b")], schema=PEOPLE)
    orders.server.client().put_item(TableName=orders.into, Item={"pk": {"S": "somebody's"}})
    seen = [each for batch in orders.target.view(KEYED).read() for each in batch.to_pylist()]
    assert [each["item_key"] for each in seen if not each["_deleted"]] == ['{"pk":{"S":"order#2"}}']
    orders.target.reset(KEYED)
    holds(people, [person(5, 0, 1, "a"), person(5, 0, 2, "b")], schema=PEOPLE)


def test_an_item_that_no_projection_wrote_is_told_to_be_nobodys(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    place.server.client().put_item(TableName=place.into, Item={"pk": {"S": "planted"}})
    seen = pa.Table.from_batches(list(place.target.view(KEYED).read()))
    assert dict(zip(seen["item_key"].to_pylist(), seen["_id_range"].to_pylist(), strict=True)) == {
        '{"pk":{"S":"order#1"}}': A,
        '{"pk":{"S":"planted"}}': None,
    }


def test_the_view_tells_what_was_deleted_after_the_checkpoint_and_nothing_before(
    place: DynamoDbPlace,
) -> None:
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    apply(place.target, changes(deletes=[row(at(6, 1), id=1)]), at(6, 1))
    view = place.target.view(KEYED)
    assert view.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 1), 1)
    apply(place.target, changes(deletes=[row(at(7, 1), id=2)]), at(7, 1))
    (seen,) = [each for batch in view.read([A]) for each in batch.to_pylist()]
    assert seen["item_key"] == '{"pk":{"S":"order#2"}}'
    assert seen["_deleted"]
    assert (seen["_commit_position"], seen["_sequence"]) == (7, 1)


# --- values ---


def test_values_arrive_exactly(place: DynamoDbPlace) -> None:
    values: Row = {
        "amount": Decimal("-" + "9" * 34 + ".9999"),
        "name": "",
        "raw": b"\x00\xff",
        "ratio": float("nan"),
        "real": float("-inf"),
        "flag": False,
        "small": -32768,
    }
    fill(place.target, [row(at(5), id=1, **values)], at(5))
    (item,) = place.server.client().scan(TableName=place.into)["Items"]
    stored = {name: value for name, value in item.items() if name in values}
    assert stored.pop("amount") in ({"N": "-" + "9" * 34 + ".9999"},)
    assert stored == {
        "name": {"S": ""},
        "raw": {"B": b"\x00\xff"},
        "ratio": {"S": "NaN"},
        "real": {"S": "-Infinity"},
        "flag": {"BOOL": False},
        "small": {"N": "-32768"},
    }


class Refused:
    """Keeps what is refused, and goes on."""

    def __init__(self) -> None:
        self.all: list[Refusal] = []

    def __call__(self, refusals: Sequence[Refusal]) -> None:
        self.all += refusals


DOCUMENTS = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        Column("doc", "jsonb", pa.string()),
        Column("tags", "text[]", pa.string()),
    ),
    ("id",),
)


def document(commit: int, sequence: int, number: int, doc: str | None, tags: str | None = None) -> Row:
    return row(at(commit, sequence), id=number, doc=doc, tags=tags)


def test_a_malformed_value_is_refused_and_the_rest_of_the_row_kept(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, dataclasses.replace(BY_ID, types={"tags": "string-set"}))
    refused = Refused()
    rows = table(
        [document(5, 0, 1, '{"a": [1.50, null]}', "{}"), document(5, 0, 2, "{broken", "{a,b}")], DOCUMENTS
    )
    place.target.replace(A, DOCUMENTS, rows.to_batches(), BASELINE, at(5), refuse=refused)
    stored = by_key(place)
    assert stored["order#1"]["doc"] == {"M": {"a": {"L": [{"N": "1.5"}, {"NULL": True}]}}}
    assert "tags" not in stored["order#1"]
    assert sorted(stored["order#2"]["tags"]["SS"]) == ["a", "b"]
    assert "doc" not in stored["order#2"]
    assert [(each.column, each.reason, each.key) for each in refused.all] == [
        ("doc", "malformed-json", '{"id":"2"}')
    ]


def test_a_row_that_is_refused_leaves_what_stands_there(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, BY_EMAIL)
    refused = Refused()
    fill(place.target, [person(5, 0, 1, "a"), person(5, 0, 2, "b")], at(5), schema=PEOPLE)
    these = moves(
        [person(6, 1, 1, ""), person(6, 2, 2, "c")], former=[person(5, 0, 1, "a"), person(5, 0, 2, "b")]
    )
    place.target.apply(A, PEOPLE, these, BASELINE, at(6, 2), refuse=refused)
    assert [(each.key, each.reason, each.position) for each in refused.all] == [
        ('{"id":"1"}', "key-is-empty", at(6, 1))
    ]
    holds(place, [person(5, 0, 1, "a"), person(6, 2, 2, "c")], schema=PEOPLE)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 2), 2)


def test_a_row_that_is_refused_when_its_range_is_filled_again_leaves_what_stands_there(
    place: DynamoDbPlace,
) -> None:
    fill(place.target, [row(at(5), id=1, name="kept"), row(at(5), id=2)], at(5))
    refused = Refused()
    rows = table([row(at(6, 1), id=1, big="x" * 500_000), row(at(6, 2), id=3)])
    checkpoint = place.target.replace(A, KEYED, rows.to_batches(), BASELINE, at(7), refuse=refused)
    assert [each.reason for each in refused.all] == ["item-too-large"]
    holds(place, [row(at(5), id=1, name="kept"), row(at(6, 2), id=3)])
    assert checkpoint == place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7), 2)


def test_a_refusal_that_may_not_pass_leaves_the_checkpoint_where_it_was(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    with pytest.raises(TargetError, match="out-of-range"):
        apply(place.target, changes([row(at(6, 1), id=2, ratio=5e-324)]), at(6, 1))
    holds(place, [row(at(5), id=1)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)


# --- several writers, and crashes ---


def test_who_comes_second_waits_and_goes_on_from_there(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb)
    fill(place.target, [row(at(5), id=1)], at(5))
    first, second = place.rival(), place.rival()
    inside = threading.Event()
    record = first.target._checkpoints.record

    def slowly(*args: Any) -> None:
        inside.set()
        time.sleep(0.5)
        record(*args)

    first.target._checkpoints.record = slowly  # type: ignore[method-assign]
    these = changes([row(at(6, 1), id=1, name="first"), row(at(6, 2), id=2)])
    running = threading.Thread(target=lambda: apply(first.target, these, at(6, 2)))
    running.start()
    assert inside.wait(30)
    wider = changes([row(at(7, 1), id=1, name="second")], [row(at(7, 2), id=2)])
    assert apply(second.target, wider, at(7, 2)) == RangeCheckpoint(BASELINE, at(7, 2), 1)
    running.join()
    holds(place, [row(at(7, 1), id=1, name="second")])
    assert apply(place.target, these, at(6, 2)) == RangeCheckpoint(BASELINE, at(7, 2), 1)


@pytest.mark.parametrize("work", ["apply", "replace"])
def test_who_would_have_to_wait_long_is_told(dynamodb: DynamoDbServer, work: str) -> None:
    place = DynamoDbPlace(dynamodb, lease_seconds=6)
    fill(place.target, [row(at(5), id=1)], at(5))
    rival = place.rival(lease_seconds=6)
    inside, go_on = threading.Event(), threading.Event()
    record = rival.target._checkpoints.record

    def stalled(*args: Any) -> None:
        inside.set()
        assert go_on.wait(30)
        record(*args)

    rival.target._checkpoints.record = stalled  # type: ignore[method-assign]
    these = changes([row(at(6, 1), id=2)])
    running = threading.Thread(target=lambda: apply(rival.target, these, at(6, 1)))
    running.start()
    assert inside.wait(30)
    attempt = {
        "apply": lambda: apply(place.target, these, at(6, 1)),
        "replace": lambda: fill(place.target, [row(at(5), id=1)], at(5)),
    }[work]
    with pytest.raises(CommitConflict, match="brought forward"):
        attempt()
    go_on.set()
    running.join()
    holds(place, [row(at(5), id=1), row(at(6, 1), id=2)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 1), 2)


def test_a_run_that_stalled_while_its_range_was_filled_anew_writes_no_more(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, lease_seconds=1)
    fill(place.target, [row(at(5), id=1)], at(5))
    stalled = place.rival(lease_seconds=1)
    upload = stalled.target._data.upload

    def overtaken(*args: Any) -> None:
        """The last thing before the writes. 2 came and went until the fill, which does not know it."""
        fill(place.target, [row(at(5), id=1)], at(9))
        upload(*args)

    stalled.target._data.upload = overtaken  # type: ignore[method-assign]
    without_heartbeat(stalled)
    with pytest.raises(CommitConflict, match="lease"):
        apply(stalled.target, changes([row(at(6, 1), id=2)]), at(6, 1))
    holds(place, [row(at(5), id=1)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(9), 1)


def without_heartbeat(place: DynamoDbPlace) -> None:
    """As if the process stood still."""

    def fails(*_: Any) -> bool:
        raise TargetUnavailable("no answer")

    place.target._control.heartbeat = fails  # type: ignore[method-assign]


def test_who_finds_a_range_being_filled_is_told_at_once(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, lease_seconds=4)
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> Any:
        yield from table([row(at(5), id=1)]).to_batches()
        inside.set()
        assert go_on.wait(30)
        yield from table([row(at(5), id=2)]).to_batches()

    filler = threading.Thread(target=lambda: place.target.replace(A, KEYED, slow(), BASELINE, at(5)))
    filler.start()
    assert inside.wait(30)
    rival = place.rival(lease_seconds=4)
    with pytest.raises(CommitConflict, match="being filled"):
        fill(rival.target, [row(at(5), id=9)], at(5))
    go_on.set()
    filler.join()
    holds(place, [row(at(5), id=1), row(at(5), id=2)])


def test_ranges_of_a_new_table_are_filled_at_once_by_several_runs(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb)
    ranges = [f"r{number:04}" for number in range(4)]
    rows = {id_range: [row(at(5), id=i * 10 + n) for i in range(30)] for n, id_range in enumerate(ranges)}
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(fill, place.rival().target, rows[each], at(5), each) for each in ranges]
        assert [run.result().rows for run in runs] == [30] * 4
    for id_range in ranges:
        holds(place, rows[id_range], id_range)


def test_a_filler_that_lost_its_lease_writes_no_more(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, lease_seconds=4)

    def overtaken() -> Any:
        yield from table([row(at(5), id=1)]).to_batches()
        record = place.target._control.read(place.source, A)
        place.target._control.write(dataclasses.replace(record, state="unfinished"), expecting=record)
        time.sleep(3)
        yield from table([row(at(5), id=2)]).to_batches()

    with pytest.raises(CommitConflict, match="lease"):
        place.target.replace(A, KEYED, overtaken(), BASELINE, at(5))
    assert set(by_key(place)) == {"order#1"}
    assert place.target.checkpoint(A) is None


def test_a_fill_that_fails_can_be_done_again_at_once(place: DynamoDbPlace) -> None:
    def broken() -> Any:
        yield from table([row(at(6), id=i) for i in range(30)]).to_batches()
        raise RuntimeError("source failed")

    with pytest.raises(RuntimeError, match="source failed"):
        place.target.replace(A, KEYED, broken(), BASELINE, at(6))
    assert place.target.checkpoint(A) is None
    started = time.monotonic()
    fill(place.target, [row(at(6), id=1)], at(6))
    assert time.monotonic() - started < place.settings.lease_seconds
    holds(place, [row(at(6), id=1)])


def test_a_fill_that_fails_before_it_wrote_anything_leaves_the_range_as_it_was(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    with pytest.raises(TargetError, match="out-of-range"):
        fill(place.target, [row(at(6), id=1, ratio=5e-324)], at(6))
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)
    apply(place.target, changes([row(at(6, 1), id=2)]), at(6, 1))
    holds(place, [row(at(5), id=1), row(at(6, 1), id=2)])


def die_while_filling(place: DynamoDbPlace) -> None:
    def rows() -> Any:
        yield from table([row(at(5), id=i, name="first") for i in range(60)]).to_batches()
        os.kill(os.getpid(), signal.SIGKILL)

    DynamoDbPlace.rival(place).target.replace(A, KEYED, rows(), BASELINE, at(5))


def die_before_the_checkpoint(place: DynamoDbPlace) -> None:
    mine = place.rival()
    mine.target._checkpoints.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    apply(
        mine.target,
        changes([row(at(6, 1), id=1, name="new"), row(at(6, 2), id=3)], [row(at(6, 3), id=2)]),
        at(6, 3),
    )


def killed(work: Any, place: DynamoDbPlace) -> None:
    worker = mp.get_context("fork").Process(target=work, args=(place,))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL


def test_a_killed_fill_is_taken_over_and_leaves_nothing_of_its_own(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, lease_seconds=4)
    killed(die_while_filling, place)
    assert place.target.checkpoint(A) is None
    rows = [row(at(7), id=i, name="second") for i in range(5, 50)]
    fill(place.target, rows, at(7))
    holds(place, rows)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7), 45)


def test_a_killed_apply_is_repeated_and_counted_once(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, lease_seconds=3)
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    killed(die_before_the_checkpoint, place)
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 2)
    these = changes([row(at(6, 1), id=1, name="new"), row(at(6, 2), id=3)], [row(at(6, 3), id=2)])
    apply(place.target, these, at(6, 3))
    holds(place, [row(at(6, 1), id=1, name="new"), row(at(6, 2), id=3)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 3), 2)


def test_a_control_table_that_is_lost_costs_filling_anew_and_no_row(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    place.server.client().delete_table(TableName=place.control)
    assert place.target.checkpoint(A) is None
    fill(place.target, [row(at(6), id=2)], at(6))
    holds(place, [row(at(6), id=2)])


def test_credentials_are_in_no_repr(place: DynamoDbPlace) -> None:
    assert "tests-secret" not in repr(place.target) + repr(place.settings)


# --- capacity ---


@pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)
def test_a_table_is_on_demand_while_it_is_filled_and_provisioned_after(dynamodb: DynamoDbServer) -> None:
    place = DynamoDbPlace(dynamodb, on_demand_loads=True)
    client = dynamodb.client()
    client.create_table(
        TableName=place.into,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 9},
    )
    seen = []

    def rows() -> Any:
        told = client.describe_table(TableName=place.into)["Table"]
        seen.append(told.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"))
        yield from table([row(at(5), id=1)]).to_batches()
        raise RuntimeError("source failed")

    with pytest.raises(RuntimeError, match="source failed"):
        place.target.replace(A, KEYED, rows(), BASELINE, at(5))
    told = client.describe_table(TableName=place.into)["Table"]
    assert seen == ["PAY_PER_REQUEST"]
    assert told["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
    assert told["ProvisionedThroughput"]["WriteCapacityUnits"] == 9


@pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)
def test_upkeep_puts_back_capacity_that_a_killed_fill_left_raised_and_none_that_a_living_one_holds(
    dynamodb: DynamoDbServer,
) -> None:
    place, client = DynamoDbPlace(dynamodb), dynamodb.client()
    fill(place.target, [row(at(5), id=1)], at(5))
    key = {"projection": {"S": "(capacity)"}, "subject": {"S": place.into}}
    long_ago = CapacityRecord(client, place.control, key, now=lambda: time.time() - LEASE_SECONDS - 60)

    def billing() -> str:
        told = client.describe_table(TableName=place.into)["Table"]
        return str(told["BillingModeSummary"]["BillingMode"])

    assert long_ago.begin("killed", '[["", 7, 9]]')
    assert CapacityRecord(client, place.control, key).join("alive") is not None
    assert list(place.target.tidy(dt.timedelta(days=1))) == []
    assert billing() == "PAY_PER_REQUEST"
    long_ago.leave("alive")
    assert list(place.target.tidy(dt.timedelta(days=1))) == [
        "capacity that a killed fill had raised put back"
    ]
    assert billing() == "PROVISIONED"
    assert list(place.target.tidy(dt.timedelta(days=1))) == []


def test_what_writing_cost_is_told_once(place: DynamoDbPlace) -> None:
    fill(place.target, [row(at(5), id=i) for i in range(30)], at(5))
    figures = place.target.figures()
    assert figures["items_written"] == 30
    assert figures["write_units"] > 0
    assert place.target.figures()["items_written"] == 0
