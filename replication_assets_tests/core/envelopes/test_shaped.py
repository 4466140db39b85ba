"""Events through a shape: rows that filters take, columns by other names, values that are computed."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.messages import Envelope
from replication_assets.core.envelopes.produced import MOVED, MessageForm, Told
from replication_assets.core.envelopes.producing import TableEvent, produced
from replication_assets.core.envelopes.shaped import ShapedEvents, told_schema
from replication_assets.core.envelopes.types import spelled_column
from replication_assets.core.positions import Position
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableSchema
from replication_assets.core.shape_specs import Computed, Shape
from replication_assets.errors import CatalogError, TargetError
from replication_assets_tests.core.envelopes.test_written import NOW, ORDERS, event

NAMES = ("id bigint", "dept text", "phone text", "at timestamp")
STAFF = TableSchema(tuple(spelled_column(each) for each in NAMES), ("id",))
MASKED = Shape(
    "shop.public.staff",
    exclude=["phone"],
    rename={"dept": "unit"},
    computed=[Computed("phone", "'x'||substr($phone, 2)", "string(20)")],
)
TECH = Shape("shop.public.staff", where=[Where("dept", [Compare("eq", ["tech"])])])


def shaped(
    shape: Shape, *events: dict[str, Any], wanted: tuple[str, ...] = (), again: bool = False
) -> list[dict[str, Any]]:
    rows = pa.Table.from_pylist(list(events), told_schema(STAFF))
    made = ShapedEvents(shape, STAFF)
    found = made.events(rows, wanted, again=again)
    assert found.schema == told_schema(made.schema)
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


def test_columns_are_left_out_renamed_and_computed() -> None:
    (found,) = shaped(MASKED, event("I", {"id": 1, "dept": "tech", "phone": "123"}, 4))
    assert (found["id"], found["unit"], found["phone"], found["_sequence"]) == (1, "tech", "x23", 4)
    assert "dept" not in found


def test_old_values_of_a_column_that_is_computed_anew_are_not_told() -> None:
    was = json.dumps({"phone": "999", "dept": "hr"})
    (found,) = shaped(MASKED, event("U", {"id": 1, "dept": "tech", "phone": "123"}, _before=was))
    assert json.loads(found["_before"]) == {"unit": "hr"}


@pytest.mark.parametrize("envelope", ["dms", "debezium"])
def test_new_values_of_columns_that_a_shape_makes_are_not_told_as_old_ones(envelope: Envelope) -> None:
    shape = replace(MASKED, types={"at": "string", "id": "int2"})
    was = json.dumps({"phone": "999", "dept": "hr", "at": "2020-01-01 00:00:00"})
    row = {"id": 1, "dept": "tech", "phone": "123", "at": dt.datetime(2024, 5, 1)}
    made = ShapedEvents(shape, STAFF)
    rows = made.events(pa.Table.from_pylist([event("U", row, _before=was)], told_schema(STAFF)))
    form = MessageForm(envelope, before_images=True)
    (message,) = produced(Told(ORDERS, made.schema, form, "feed", made.anew), rows, (), NOW)
    assert message.value is not None
    told = json.loads(message.value)
    assert told["before" if envelope == "debezium" else "before-image"] == {"id": 1, "unit": "hr"}
    assert (told["after"] if envelope == "debezium" else told["data"])["phone"] == "x23"


def test_deletes_have_nothing_computed_unless_it_is_wanted() -> None:
    delete = event("D", {"id": 1, "dept": "tech", "phone": "123"})
    (bare,) = shaped(MASKED, delete)
    assert (bare["unit"], bare["phone"]) == ("tech", None)
    (keyed,) = shaped(MASKED, delete, wanted=("phone",))
    assert keyed["phone"] == "x23"
    assert ShapedEvents(MASKED, STAFF).source_columns(("unit", "phone")) == ("dept", "phone")


def test_an_odd_value_of_a_delete_stands_under_its_new_name() -> None:
    odd = json.dumps({"at": "infinity", "phone": "never"})
    shape = Shape("shop.public.staff", rename={"at": "time"}, exclude=["phone"],
                  computed=[Computed("n", "1", "int8")])  # fmt: skip
    (found,) = shaped(shape, event("D", {"id": 1}, _overflow=odd))
    assert json.loads(found["_overflow"]) == {"time": "infinity"}


def test_an_odd_value_that_rows_are_filtered_by_is_not_mended_in_the_source() -> None:
    since = Shape("shop.public.staff", where=[Where("at", [Compare("notnull")])])
    odd = event("I", {"id": 1, "dept": "tech"}, _overflow='{"at":"infinity"}')
    with pytest.raises(TargetError, match="filter by another column: this event is to be told") as told:
        shaped(since, odd)
    assert "infinity" not in str(told.value)


def test_rows_outside_of_the_filters_are_not_told_and_end_where_they_move_out() -> None:
    found = shaped(
        TECH,
        event("I", {"id": 1, "dept": "hr", "phone": "1"}, 1),
        event("I", {"id": 2, "dept": "tech", "phone": "2"}, 2),
        event("U", {"id": 2, "dept": "hr", "phone": "3"}, 3, **{MOVED: True}),
        event("R", {"id": 4, "dept": None}, 4),
        event("D", {"id": 2}, 5),
        event("U", {"id": 1, "dept": "tech", "phone": "4"}, 6),
    )
    assert [(each["_op"], each["id"], each["phone"], each["_sequence"]) for each in found] == [
        ("I", 2, "2", 2), ("D", 2, None, 3), ("D", 2, None, 5), ("U", 1, "4", 6),
    ]  # fmt: skip
    assert [each[MOVED] for each in found] == [False] * 4
    assert found[1]["dept"] is None
    assert shaped(TECH) == []


def test_a_delete_tells_its_row_only_if_the_filters_provably_take_it() -> None:
    odd = json.dumps({"at": "infinity"})
    missing = Shape("shop.public.staff", where=[Where("dept", [Compare("null")])])
    events = [
        event("D", {"id": 1, "dept": "hr", "phone": "1"}, 1, _overflow=odd),
        event("D", {"id": 2, "dept": "tech", "phone": "2"}, 2, _overflow=odd),
        event("D", {"id": 3, "phone": "3"}, 3),
    ]
    found = shaped(TECH, *events)
    assert [(each["id"], each["dept"], each["phone"], each["_overflow"]) for each in found] == [
        (1, None, None, None), (2, "tech", "2", odd), (3, None, None, None),
    ]  # fmt: skip
    assert [each["phone"] for each in shaped(missing, *events)] == [None, None, None]
    since = Shape("shop.public.staff", where=[Where("at", [Compare("gte", ["2024-01-01"])])])
    assert [each["phone"] for each in shaped(since, *events)] == [None, None, None]


def test_the_old_row_of_an_update_is_told_only_if_the_filters_provably_took_it() -> None:
    def was(number: int, **old: Any) -> dict[str, Any]:
        row = {"id": number, "dept": "tech", "phone": "n", "at": dt.datetime(2024, 5, 1)}
        return event("U", row, number, _before=json.dumps({"phone": "o", **old}))

    found = shaped(TECH, was(1), was(2, dept="hr"), was(3, dept="tech"), was(4, dept=None))
    assert [each["_before"] is not None for each in found] == [True, False, True, False]
    assert [each["phone"] for each in found] == ["n"] * 4
    since = Shape("shop.public.staff", where=[Where("at", [Compare("gte", ["2024-01-01"])])])
    olds = ("2024-02-01 00:00:00", "2023-02-01 00:00:00", "infinity", "2024-02-01 00:00:00+01", "1/2/24")
    found = shaped(since, *(was(number, at=old) for number, old in enumerate(olds)))
    assert [each["_before"] is not None for each in found] == [True, False, False, False, False]
    some = Shape("shop.public.staff", where=[Where("id", [Compare("lte", ["9"])])])
    olds = ("7", "10", "7.5", "99999999999999999999", "x")
    found = shaped(some, *(was(number, id=old) for number, old in enumerate(olds)))
    assert [each["_before"] is not None for each in found] == [True, False, False, False, False]


def test_a_row_that_is_loaded_again_outside_of_the_filters_is_deleted() -> None:
    rows = [event("R", {"id": 1, "dept": "hr", "phone": "1"}), event("R", {"id": 2, "dept": "tech"})]
    assert [(each["_op"], each["id"]) for each in shaped(TECH, *rows)] == [("R", 2)]
    found = shaped(TECH, *rows, again=True)
    assert [(each["_op"], each["id"], each["phone"]) for each in found] == [("D", 1, None), ("R", 2, None)]
    inserted = event("I", {"id": 3, "dept": "hr"})
    assert shaped(TECH, inserted, again=True) == []


NARROW = replace(TECH, types={"id": "int1", "phone": "int4"}, rename={"phone": "number"})


@pytest.mark.parametrize("computed", [(), (Computed("n", "$dept||'!'", "string(9)"),)])
def test_rows_outside_of_the_filters_need_not_be_of_the_types(computed: tuple[Computed, ...]) -> None:
    odd = json.dumps({"at": "infinity"})
    found = shaped(
        replace(NARROW, computed=computed),
        event("D", {"id": 1000, "dept": "hr"}, 1),
        event("U", {"id": 1, "dept": "hr", "phone": "none"}, 2, _overflow=odd),
        event("I", {"id": 2, "dept": "hr", "phone": "none"}, 3),
        event("U", {"id": 1000, "dept": "hr", "phone": "1"}, 4),
        event("D", {"id": 3, "dept": "tech", "phone": "none"}, 5, _overflow=odd),
        event("I", {"id": 4, "dept": "tech", "phone": "12"}, 6),
        event("D", {"id": 5, "dept": "tech", "phone": "7"}, 7),
    )
    assert [(each["_op"], each["id"], each["number"], each["_overflow"]) for each in found] == [
        ("D", 1, None, None), ("D", 3, None, odd), ("I", 4, 12, None), ("D", 5, None, None),
    ]  # fmt: skip
    with pytest.raises(TargetError, match="'phone' is no int4"):
        shaped(NARROW, event("I", {"id": 4, "dept": "tech", "phone": "none"}))


def test_a_delete_has_what_the_key_of_its_message_needs_and_nothing_else_is_made() -> None:
    shape = replace(
        NARROW, computed=[Computed("k", "$dept||$id", "string(9)"), Computed("n", "$phone", "int1")]
    )
    found = shaped(
        shape,
        event("D", {"id": 1, "dept": "hr", "phone": "5"}, 1),
        event("U", {"id": 2, "dept": "hr", "phone": "none"}, 2),
        event("D", {"id": 3, "dept": "tech", "phone": "none"}, 3),
        wanted=("k", "number"),
    )
    assert [(each["id"], each["dept"], each["k"], each["number"], each["n"]) for each in found] == [
        (1, None, "hr1", 5, None), (2, None, "hr2", None, None), (3, "tech", "tech3", None, None),
    ]  # fmt: skip


def test_columns_that_come_and_go_have_the_names_of_the_shape() -> None:
    change = SchemaChanged(Position(1, 5, 1), False, "", added=("dept", "phone"), dropped=("at",))
    (found, truncated) = ShapedEvents(MASKED, STAFF).table_events(
        [TableEvent(change.position, NOW, change), TableEvent(change.position, NOW)]
    )
    assert found.change is not None
    assert (found.change.added, found.change.dropped) == (("unit",), ("at",))
    assert truncated.change is None


def test_a_shape_that_does_not_fit_the_columns_is_refused() -> None:
    with pytest.raises(CatalogError, match="Phone"):
        ShapedEvents(Shape("shop.public.staff", exclude=["Phone"]), STAFF)
