"""Events through a shape: rows that filters take, columns by other names, values that are computed."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.produced import MOVED
from replication_assets.core.envelopes.producing import TableEvent
from replication_assets.core.envelopes.shaped import ShapedEvents, told_schema
from replication_assets.core.envelopes.types import spelled_column
from replication_assets.core.positions import Position
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableSchema
from replication_assets.core.shape_specs import Computed, Shape
from replication_assets.errors import CatalogError
from replication_assets_tests.core.envelopes.test_written import NOW, event

NAMES = ("id bigint", "dept text", "phone text", "at timestamp")
STAFF = TableSchema(tuple(spelled_column(each) for each in NAMES), ("id",))
MASKED = Shape(
    "shop.public.staff",
    exclude=["phone"],
    rename={"dept": "unit"},
    computed=[Computed("phone", "'x'||substr($phone, 2)", "string(20)")],
)
TECH = Shape("shop.public.staff", where=[Where("dept", [Compare("eq", ["tech"])])])


def shaped(shape: Shape, *events: dict[str, Any], wanted: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    rows = pa.Table.from_pylist(list(events), told_schema(STAFF))
    made = ShapedEvents(shape, STAFF)
    found = made.events(rows, wanted)
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
