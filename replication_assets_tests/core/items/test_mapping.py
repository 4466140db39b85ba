"""Rows as items: which attribute a value becomes, and what is refused of it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import Attribute, ItemKey, Items, Ttl
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CatalogError
from replication_assets_tests.core.items.tables import COLUMNS, PK, SCHEMA, converted, only, reasons, rows_of

UTC = dt.UTC


def attribute_of(column: str, value: Any, **declared: Any) -> Any:
    """What a value becomes as an attribute of its own; None if it becomes none."""
    done = converted(only(column, **declared), {column: value})
    assert done.refusals == ()
    (item,) = done.items["item"].to_pylist()
    return json.loads(item).get(column)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("id", -(2**63), {"N": "-9223372036854775808"}),
        ("name", "", {"S": ""}),
        ("name", 'a "quoted"\\ \n\t\x01 line é€😀', {"S": 'a "quoted"\\ \n\t\x01 line é€😀'}),
        ("total", Decimal("1.50"), {"N": "1.5"}),
        ("total", Decimal("-0.00"), {"N": "0"}),
        ("fine", Decimal("0.0000000001"), {"N": "0.0000000001"}),
        (
            "fine",
            Decimal("1234567890123456789012345678.0123456789"),
            {"N": "1234567890123456789012345678.0123456789"},
        ),
        (
            "any_number",
            "00012345678901234567890123456789012345678.0",
            {"N": "12345678901234567890123456789012345678"},
        ),
        ("any_number", "-0.1250e3", {"N": "-125"}),
        ("any_number", "1e100", {"N": "1E+100"}),
        ("any_number", "NaN", {"S": "NaN"}),
        ("ratio", 0.1, {"N": "0.1"}),
        ("ratio", 1e-7, {"N": "0.0000001"}),
        ("ratio", 1e22, {"N": "10000000000000000000000"}),
        ("ratio", -0.0, {"N": "0"}),
        ("ratio", float("nan"), {"S": "NaN"}),
        ("ratio", float("-inf"), {"S": "-Infinity"}),
        ("small", 0.1, {"N": "0.1"}),
        ("paid", False, {"BOOL": False}),
        ("made_at", dt.datetime(2024, 2, 29, 23, 59, 59, 1, UTC), {"S": "2024-02-29T23:59:59.000001Z"}),
        ("local_at", dt.datetime(1, 1, 1), {"S": "0001-01-01T00:00:00.000000"}),
        ("day", dt.date(1969, 12, 31), {"S": "1969-12-31"}),
        ("raw", b"\x00\xff", {"B": "AP8="}),
        ("raw", b"", {"B": ""}),
        ("doc", '{"a": [1, null]}', {"M": {"a": {"L": [{"N": "1"}, {"NULL": True}]}}}),
        ("sheet", "<a>x</a>", {"M": {"a": {"S": "x"}}}),
        ("tags", "{a,b}", {"S": "{a,b}"}),
        ("name", None, None),
        ("doc", None, None),
    ],
)
def test_a_value_becomes_the_attribute_of_its_type(column: str, value: Any, expected: Any) -> None:
    assert attribute_of(column, value) == expected


@pytest.mark.parametrize(
    ("column", "kind", "value", "expected"),
    [
        ("doc", "string", '{"a":1}', {"S": '{"a":1}'}),
        ("id", "string", 7, {"S": "7"}),
        ("name", "number", "007.0", {"N": "7"}),
        ("name", "boolean", "T", {"BOOL": True}),
        ("id", "boolean", 0, {"BOOL": False}),
        ("tags", "string-set", '{b,"a b",b}', {"SS": ["a b", "b"]}),
        ("tags", "string-set", "{}", None),
        ("tags", "number-set", "{2,1.0,1}", {"NS": ["1", "2"]}),
        ("tags", "number-list", "{2,NULL,1.0}", {"L": [{"N": "2"}, {"NULL": True}, {"N": "1"}]}),
        ("tags", "string-list", "{{a},{b}}", {"L": [{"L": [{"S": "a"}]}, {"L": [{"S": "b"}]}]}),
    ],
)
def test_a_column_can_be_given_another_type(column: str, kind: Any, value: Any, expected: Any) -> None:
    assert attribute_of(column, value, types={column: kind}) == expected


@pytest.mark.parametrize(
    ("column", "kind", "value", "reason"),
    [
        ("any_number", None, "1e126", "number-out-of-range"),
        ("any_number", None, "1e-131", "number-out-of-range"),
        ("any_number", None, "1" * 39, "number-too-precise"),
        ("ratio", None, 1e200, "number-out-of-range"),
        ("name", "number", "seven", "not-a-number"),
        ("name", "number", " 7", "not-a-number"),
        ("name", "boolean", "perhaps", "not-a-boolean"),
        ("id", "boolean", 2, "not-a-boolean"),
        ("doc", None, '{"a":', "malformed-json"),
        ("sheet", None, "<a>", "malformed-xml"),
        ("tags", "string-set", "{a,NULL}", "null-in-set"),
        ("tags", "string-set", "{a", "malformed-array"),
    ],
)
def test_a_value_that_cannot_be_converted_is_refused_and_the_rest_of_its_row_is_kept(
    column: str, kind: Any, value: Any, reason: str
) -> None:
    items = only(column, "day", types={column: kind} if kind else {})
    day = dt.date(2024, 1, 1)
    row = {column: value, "day": day} | ({} if column == "id" else {"id": 5})
    done = converted(items, row)
    kept = json.loads(done.items["item"][0].as_py())
    assert kept.pop("pk") is not None
    assert kept == {"day": {"S": "2024-01-01"}}
    (refusal,) = done.refusals
    assert (refusal.column, refusal.reason) == (column, reason)
    assert refusal.position == Position(0, 7, 0)
    assert json.loads(refusal.key) == {"id": str(row["id"])}
    assert str(value) not in refusal.detail


def test_nan_goes_to_the_dead_letters_where_declared() -> None:
    done = converted(only("ratio", nan="dead-letter"), {"ratio": float("nan")}, {"ratio": 1.5})
    assert reasons(done) == [("ratio", "not-finite")]
    assert [json.loads(text).get("ratio") for text in done.items["item"].to_pylist()] == [None, {"N": "1.5"}]


def test_values_that_a_typed_column_cannot_hold_become_strings() -> None:
    overflow = '{"total":"NaN","made_at":"infinity","day":"0044-03-15 BC"}'
    done = converted(only("total", "made_at", "day"), {"_overflow": overflow}, {"total": Decimal(1)})
    first, second = (json.loads(text) for text in done.items["item"].to_pylist())
    assert first == {
        "pk": {"S": "order#0"},
        "total": {"S": "NaN"},
        "made_at": {"S": "infinity"},
        "day": {"S": "0044-03-15 BC"},
    }
    assert second == {"pk": {"S": "order#1"}, "total": {"N": "1"}}


def test_values_of_another_class_in_boolean_and_binary_columns_are_refused() -> None:
    overflow = json.dumps({"paid": "'\"}},'", "raw": "'text'"})
    done = converted(only("paid", "raw", "small"), {"_overflow": overflow, "small": 1.5}, {"paid": True})
    assert reasons(done) == [("paid", "not-a-boolean"), ("raw", "not-binary")]
    first, second = (json.loads(text) for text in done.items["item"].to_pylist())
    assert first == {"pk": {"S": "order#0"}, "small": {"N": "1.5"}}
    assert second == {"pk": {"S": "order#1"}, "paid": {"BOOL": True}}


def test_null_is_an_attribute_of_type_null_where_declared() -> None:
    items = only("name", "doc", "tags", nulls="null", types={"tags": "string-set"})
    done = converted(items, {"tags": "{}"}, {"name": "x", "doc": "null", "tags": None})
    first, second = (json.loads(text) for text in done.items["item"].to_pylist())
    assert first == {"pk": {"S": "order#0"}, "name": {"NULL": True}, "doc": {"NULL": True}}
    assert second == {
        "pk": {"S": "order#1"},
        "name": {"S": "x"},
        "doc": {"NULL": True},
        "tags": {"NULL": True},
    }
    assert done.items["size"].to_pylist() == [10 - 1 + 5 + 4, 9 + 5 + 4 + 5]


def test_templates_constants_maps_and_lists_are_declared() -> None:
    items = only(
        attributes=[
            Attribute("kind", constant="order"),
            Attribute("version", constant=3),
            Attribute("migrated", constant="1", type="number"),
            Attribute("live", constant=True),
            Attribute("label", "${name} costs $${ ${total}"),
            Attribute("amount", "${total}"),
            Attribute("contact", fields=[Attribute("by", "${name}"), Attribute("on", "${day}")]),
            Attribute("pair", elements=[Attribute("", "${name}"), Attribute("", "${day}")]),
        ],
        sort_key=ItemKey("sk", "at#${made_at}"),
    )
    at = dt.datetime(2024, 1, 2, 3, 4, 5, 600000, UTC)
    done = converted(items, {"name": 'n"', "total": Decimal("2.50"), "made_at": at})
    assert json.loads(done.items["item"][0].as_py()) == {
        "pk": {"S": "order#0"},
        "sk": {"S": "at#2024-01-02T03:04:05.600000Z"},
        "kind": {"S": "order"},
        "version": {"N": "3"},
        "migrated": {"N": "1"},
        "live": {"BOOL": True},
        "label": {"S": 'n" costs ${ 2.5'},
        "amount": {"N": "2.5"},
        "contact": {"M": {"by": {"S": 'n"'}}},
        "pair": {"L": [{"S": 'n"'}, {"NULL": True}]},
    }
    assert done.items["key"].to_pylist() == [
        '{"pk":{"S":"order#0"},"sk":{"S":"at#2024-01-02T03:04:05.600000Z"}}'
    ]


def test_columns_can_be_members_of_one_document() -> None:
    done = converted(only("name", "total", columns="document"), {"name": "a"}, {})
    first, second = (json.loads(text) for text in done.items["item"].to_pylist())
    assert first == {"pk": {"S": "order#0"}, "_doc": {"M": {"name": {"S": "a"}}}}
    assert second == {"pk": {"S": "order#1"}, "_doc": {"M": {}}}


def test_columns_can_stay_out() -> None:
    items = Items("a.b.c", "orders", partition_key=PK, columns="none")
    assert converted(items, {"name": "a"}).items["item"].to_pylist() == ['{"pk":{"S":"order#0"}}']


def test_an_expiry_is_a_column_and_some_days_in_epoch_seconds() -> None:
    at = dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    for column, value, expected in (
        ("made_at", at, 86_400 - 1),
        ("local_at", at.replace(tzinfo=None), 86_400 - 1),
        ("day", dt.date(2024, 1, 1), 1_704_067_200 + 86_400),
    ):
        items = only(ttl=Ttl("expires", column=column, days=1))
        (item,) = converted(items, {column: value}).items["item"].to_pylist()
        assert json.loads(item)["expires"] == {"N": str(expected)}


def test_null_and_infinity_never_expire_and_impossible_dates_are_refused() -> None:
    rows = [{}, {"_overflow": '{"day":"infinity"}'}, {"_overflow": '{"day":"-infinity"}'}]
    done = converted(only(ttl=Ttl("expires", column="day")), *rows)
    assert ["expires" in text for text in done.items["item"].to_pylist()] == [False] * 3
    assert reasons(done) == [("day", "ttl-out-of-range")]


# --- keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "kind", "row", "reason"),
    [
        ("n#${name}", "string", {"name": None}, "key-is-null"),
        ("n#${name}", "string", {"name": ""}, "key-is-empty"),
        ("${name}-${id}", "string", {"name": ""}, "key-is-empty"),
        ("${name}", "string", {"name": "x" * 2049}, "key-too-long"),
        ("${name}", "number", {"name": "x"}, "key-not-a-number"),
        ("${ratio}", "number", {"ratio": float("nan")}, "key-not-finite"),
        ("${raw}", "binary", {"raw": b""}, "key-is-empty"),
        ("${raw}", "binary", {"raw": None}, "key-is-null"),
    ],
)
def test_a_row_without_a_key_is_refused_whole(template: str, kind: Any, row: Any, reason: str) -> None:
    items = only("doc", partition_key=ItemKey("pk", template, type=kind))
    sound = {"name": "7", "ratio": 7.0, "raw": b"7"}
    done = converted(items, sound, {**row, "doc": "{"}, sound)
    assert reasons(done) == [(None, reason)]
    assert done.items["row"].to_pylist() == [0, 2]
    assert done.items["_sequence"].to_pylist() == [0, 2]


def test_a_sort_key_has_a_limit_of_its_own() -> None:
    items = only(sort_key=ItemKey("sk", "${name}"))
    done = converted(items, {"name": "é" * 512}, {"name": "é" * 512 + "x"})
    assert reasons(done) == [(None, "key-too-long")]


@pytest.mark.parametrize(
    ("kind", "column", "values"),
    [("number", "any_number", ["1.50", "1.5", "015e-1"]), ("string", "fine", ["1.5", "1.50", "1.500"])],
)
def test_equal_numbers_are_equal_keys(kind: Any, column: str, values: list[str]) -> None:
    items = only(partition_key=ItemKey("pk", f"${{{column}}}", type=kind))
    given = [{column: Decimal(value) if column == "fine" else value} for value in values]
    assert len(set(converted(items, *given).items["key"].to_pylist())) == 1


def test_keys_alone_are_those_of_whole_items() -> None:
    mapping = ItemMapping(only(sort_key=ItemKey("a", "s#${id}")), SCHEMA)
    rows = rows_of({"id": 1}, {"id": None}, {"id": 3})
    done = mapping.keys(rows.select(["id", "_epoch", "_commit_position", "_sequence"]))
    assert done.keys["key"].to_pylist() == mapping.convert(rows).items["key"].to_pylist()
    assert done.keys["row"].to_pylist() == [0, 2]
    assert [refusal.reason for refusal in done.refusals] == ["key-is-null"]


def test_a_mapping_knows_whether_updates_move_items_and_rows_share_them() -> None:
    schema = TableSchema(COLUMNS, ("id", "day"))

    def mapped(*templates: str, of: TableSchema = schema) -> tuple[bool, bool]:
        keys = [ItemKey(f"k{at}", template) for at, template in enumerate(templates)]
        sort_key = keys[1] if len(keys) > 1 else None
        mapping = ItemMapping(only(partition_key=keys[0], sort_key=sort_key), of)
        return mapping.follows_key, mapping.covers_key

    assert mapped("${id}#${day}") == (True, True)
    assert mapped("${id}", "${day}") == (True, True)
    assert mapped("${id}") == (True, False)
    assert mapped("${id}#${day}#${name}") == (False, True)
    assert mapped("${name}") == (False, False)
    assert mapped("${id}", of=TableSchema(COLUMNS)) == (False, False)


def test_a_mapping_knows_which_attributes_a_column_has_a_part_in() -> None:
    items = only(
        "name",
        "day",
        attributes=[Attribute("m", fields=[Attribute("x", "${day}")])],
        ttl=Ttl("t", column="day"),
    )
    mapping = ItemMapping(items, SCHEMA)
    assert mapping.attributes_of("day") == {"day", "m", "t"}
    assert mapping.attributes_of("id") == {"pk"}
    assert mapping.attributes_of("tags") == set()


def test_batches_of_a_table_are_one_result() -> None:
    rows = rows_of(*({"name": str(at)} for at in range(5)))
    mapping = ItemMapping(only("name"), SCHEMA)
    split = pa.concat_tables([rows.slice(0, 2), rows.slice(2, 0), rows.slice(2)])
    assert mapping.convert(split).items.equals(mapping.convert(rows).items)
    assert mapping.convert(rows.slice(0, 0)).items.num_rows == 0


# --- misfits ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        (
            only(partition_key=ItemKey("pk", "x#${idd}")),
            "'idd' is no column of the table. Fix: did you mean id",
        ),
        (only(partition_key=ItemKey("pk", "x#${ID}")), "did you mean id?"),
        (only(partition_key=ItemKey("pk", "${raw}")), "cannot be string: column 'raw' is binary"),
        (only(partition_key=ItemKey("pk", "a#${name}", type="binary")), "is not one binary column"),
        (only(attributes=[Attribute("x", "${made_at}", type="number")]), "is no number"),
        (only(attributes=[Attribute("x", "${day}", type="boolean")]), "is no boolean"),
        (only(attributes=[Attribute("x", "${id}", type="json")]), "is no text"),
        (only(attributes=[Attribute("x", fields=[Attribute("y", "${nope}")])]), "'nope' is no column"),
        (
            only("name", types={"nam": "json"}),
            "types 'nam' is no column of the table. Fix: did you mean name",
        ),
        (only("day", types={"day": "json"}), "column 'day' cannot be json"),
        (only(exclude=["NAME"]), "exclude 'NAME' is no column of the table. Fix: did you mean name?"),
        (only(ttl=Ttl("x", column="name")), "is no date or timestamp"),
        (only("name", attributes=[Attribute("name", constant="x")]), "would be hidden by an attribute"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused_with_its_fix(items: Items, problem: str) -> None:
    with pytest.raises(CatalogError) as raised:
        ItemMapping(items, SCHEMA)
    assert problem in str(raised.value)


def test_all_misfits_are_told_at_once() -> None:
    items = only(exclude=["nope"], ttl=Ttl("x", column="nothing"), types={"never": "xml"})
    with pytest.raises(CatalogError) as raised:
        ItemMapping(items, SCHEMA)
    assert len(raised.value.problems) == 3
