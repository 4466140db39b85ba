"""Messages that are declared: what they leave out, nest, make of columns, and what their keys are."""

from __future__ import annotations

import decimal
import json
from typing import Any

import pytest

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.produced import Produced
from replication_assets.core.envelopes.producing import TableEvent
from replication_assets.core.envelopes.specs import DmsEnvelope, Messages, envelope_problems, spec_problems
from replication_assets.core.envelopes.types import spelled_column
from replication_assets.core.items.spec import Attribute
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CatalogError
from replication_assets_tests.core.envelopes.test_written import NOW, ORDERS, event, messages, told

NAMES = ("store bigint", "first text", "last text", "paid numeric(38,10)", "ok boolean", "pic bytea")
CUSTOMERS = TableSchema(tuple(spelled_column(each) for each in NAMES), ("store",))
ROW = {"store": 5, "first": "Randy", "last": 'Mar"sh'}


def made(row: dict[str, Any], dms: DmsEnvelope | None = None, op: str = "I", **declared: Any) -> Produced:
    form = told("dms", CUSTOMERS, dms=dms or DmsEnvelope(), messages=Messages(str(ORDERS), **declared))
    (found,) = messages(form, event(op, row))
    return found


def data(row: dict[str, Any], dms: DmsEnvelope | None = None, op: str = "I", **declared: Any) -> Any:
    return json.loads(made(row, dms, op, **declared).value or b"")["data"]


BARE = DmsEnvelope(nulls=False)
NAME = Attribute("name", "${last}, ${first}")


def test_the_envelope_is_word_for_word_as_dms_documents_it() -> None:
    """IncludeNullAndEmpty, IncludeTransactionDetails and IncludePartitionValue are false."""
    dms = DmsEnvelope(nulls=False, transaction_details=False, table_in_key=False)
    form = told("dms", CUSTOMERS, dms=dms, format="json")
    (found,) = messages(form, event("U", ROW, _transaction_id=4711))
    assert (found.key, (found.value or b"").decode()) == (
        b"5",
        (
            "{\n"
            '\t"data":\t{\n'
            '\t\t"store":\t5,\n'
            '\t\t"first":\t"Randy",\n'
            '\t\t"last":\t"Mar\\"sh"\n'
            "\t},\n"
            '\t"metadata":\t{\n'
            f'\t\t"timestamp":\t"{NOW}",\n'
            '\t\t"record-type":\t"data",\n'
            '\t\t"operation":\t"update",\n'
            '\t\t"partition-key-type":\t"primary-key",\n'
            '\t\t"schema-name":\t"public",\n'
            '\t\t"table-name":\t"orders",\n'
            '\t\t"transaction-id":\t4711\n'
            "\t}\n"
            "}"
        ),
    )


def test_transaction_details_are_the_number_within_it_the_time_and_the_position() -> None:
    changed, loaded = messages(told("dms", CUSTOMERS), event("I", ROW, 3), event("R", ROW, 4))
    metadata = json.loads(changed.value or b"")["metadata"]
    assert metadata["transaction-record-id"] == 3
    assert metadata["commit-timestamp"] == "2026-06-01T11:59:59.123456Z"
    assert metadata["stream-position"] == "00000001-0000000000000007-0000000000000003"
    assert "transaction-record-id" not in json.loads(loaded.value or b"")["metadata"]


def test_attributes_are_beside_the_columns_that_they_are_made_of() -> None:
    contact = Attribute("contact", fields=[Attribute("home", fields=[Attribute("first", "${first}")])])
    given = [
        NAME,
        contact,
        Attribute("list", elements=[Attribute("", "${first}"), Attribute("", constant=1)]),
    ]
    assert data(ROW, BARE, attributes=given, exclude=["last", "pic"]) == {
        "store": 5, "first": "Randy", "name": 'Mar"sh, Randy', "contact": {"home": {"first": "Randy"}},
        "list": ["Randy", 1],
    }  # fmt: skip
    assert data(ROW, BARE, attributes=given[:1], columns="none") == {"name": 'Mar"sh, Randy'}


def test_columns_that_are_not_left_out_can_stand_in_one_document() -> None:
    found = data(ROW, attributes=[NAME], exclude=["ok", "pic", "first"], columns="document")
    assert found == {"_doc": {"store": 5, "last": 'Mar"sh', "paid": None}, "name": 'Mar"sh, Randy'}


def test_an_attribute_is_told_in_place_of_a_column_of_its_name() -> None:
    hidden = Attribute("last", constant="hidden")
    assert data(ROW, BARE, attributes=[hidden]) == {"store": 5, "first": "Randy", "last": "hidden"}


@pytest.mark.parametrize(
    ("attribute", "row", "told_as"),
    [
        (Attribute("a", "${paid}"), {"paid": "12345678901234567.5"}, "12345678901234567.5000000000"),
        (Attribute("a", "${first}", type="number"), {"first": "007"}, '"007"'),
        (Attribute("a", "-${store}.50", type="number"), {}, "-5.50"),
        (Attribute("a", "${ok}", type="string"), {"ok": True}, '"true"'),
        (Attribute("a", "${ok}", type="boolean"), {"ok": False}, "false"),
        (Attribute("a", "${first}", type="boolean"), {"first": "1"}, "true"),
        (Attribute("a", "${first}", type="boolean"), {"first": "2"}, '"2"'),
        (Attribute("a", "${first}", type="json"), {"first": '{"b": [1e3]}'}, '{"b": [1e3]}'),
        (Attribute("a", "${first}", type="json"), {"first": "NaN"}, '"NaN"'),
        (Attribute("a", constant="1.50", type="number"), {}, "1.50"),
        (Attribute("a", constant=True), {}, "true"),
        (Attribute("a", "${pic}", type="string"), {"pic": b"\x00\xff"}, '"0x00ff"'),
    ],
)
def test_an_attribute_has_the_type_that_it_was_given(
    attribute: Attribute, row: dict[str, Any], told_as: str
) -> None:
    typed = row | ({"paid": decimal.Decimal(row["paid"])} if "paid" in row else {})
    found = made({"store": 5, **typed}, attributes=[attribute], columns="none")
    assert f'"data":{{"a":{told_as}}}' in (found.value or b"").decode()


def test_null_is_told_or_left_out_and_an_empty_text_stays() -> None:
    row = {"store": 5, "first": "", "last": None}
    nested = Attribute("both", fields=[NAME])
    assert data(row, BARE, attributes=[nested]) == {"store": 5, "first": ""}
    assert data(row, attributes=[nested], exclude=["ok", "pic", "paid"]) == {
        "store": 5, "first": "", "last": None, "both": {"name": None},
    }  # fmt: skip


def test_a_delete_tells_what_its_event_has_and_no_attribute_of_what_it_lacks() -> None:
    assert data({"store": 5}, op="D", attributes=[NAME, Attribute("kind", constant="customer")]) == {
        "store": 5, "kind": "customer",
    }  # fmt: skip


def test_binary_values_can_do_without_their_prefix() -> None:
    assert data({"store": 5, "pic": b"\xab"}, DmsEnvelope(nulls=False, hex_prefix=False))["pic"] == "ab"


@pytest.mark.parametrize(
    ("declared", "dms", "key", "kind", "shown"),
    [
        ({"key": "${last}, ${first}"}, {}, b'Mar"sh, Randy', "attribute-name", 'Mar"sh, Randy'),
        ({"key": "one"}, {}, b"one", "constant", "one"),
        ({"key": "${paid}"}, {}, b"public.orders", "attribute-name", "public.orders"),
        ({}, {"table_in_key": True}, b"public.orders.5", "primary-key", "public.orders.5"),
        ({"schema_name": "crm", "table_name": "people"}, {"table_in_key": True}, b"crm.people.5",
         "primary-key", "crm.people.5"),
    ],
)  # fmt: skip
def test_keys_are_as_they_were_declared_and_told_in_the_metadata(
    declared: dict[str, Any], dms: dict[str, Any], key: bytes, kind: str, shown: str
) -> None:
    envelope = DmsEnvelope(partition_value=True, **dms)
    form = told(
        "dms", CUSTOMERS, dms=envelope, include_table=bool(dms), messages=Messages(str(ORDERS), **declared)
    )
    (found,) = messages(form, event("I", ROW))
    metadata = json.loads(found.value or b"")["metadata"]
    assert (found.key, metadata["partition-key-type"], metadata["partition-key-value"]) == (key, kind, shown)
    names = (declared.get("schema_name", "public"), declared.get("table_name", "orders"))
    assert (metadata["schema-name"], metadata["table-name"]) == names


def test_old_values_of_what_is_left_out_are_left_out_too() -> None:
    row = event("U", ROW, _before='{"first":"secret","last":"was"}')
    declared = Messages(str(ORDERS), exclude=["first"])
    for columns, expected in (("all", {"store": 5, "last": "was"}), ("key", {"store": 5})):
        dms = DmsEnvelope(before_field="old", before_columns=columns)  # type: ignore[arg-type]
        (found,) = messages(told("dms", CUSTOMERS, before_images=True, dms=dms, messages=declared), row)
        assert json.loads(found.value or b"")["old"] == expected
        assert b"secret" not in (found.value or b"") + found.key
    hidden = Messages(str(ORDERS), columns="none")
    (found,) = messages(told("dms", CUSTOMERS, before_images=True, messages=hidden), row)
    assert json.loads(found.value or b"")["before-image"] == {}


def test_columns_that_are_left_out_are_in_no_control_record() -> None:
    change = SchemaChanged(Position(1, 5, 1), False, "", added=("first", "last"), dropped=("pic",))
    event_ = TableEvent(change.position, NOW, change)
    declared = Messages(str(ORDERS), exclude=["first", "pic"])

    def controls(**dms: Any) -> list[Any]:
        form = told("dms", CUSTOMERS, dms=DmsEnvelope(**dms), messages=declared)
        return [json.loads(each.value or b"") for each in messages(form, of_table=(event_,))]

    (one,) = controls()
    assert one["control"] == {"table-def": {"columns": {"last": {"type": "text"}}}}
    (bare,) = controls(control_details=False, transaction_details=False)
    assert "control" not in bare
    assert "stream-position" not in bare["metadata"]
    assert controls(alter_operations=False) == []


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"exclude": ["First"]}, "exclude: 'First' is no column of the table. Fix: did you mean first?"),
        ({"key": "${nobody}"}, "key: 'nobody' is no column"),
        (
            {"attributes": [Attribute("a", fields=[Attribute("b", "${c}")])]},
            "attribute 'a': 'c' is no column",
        ),
        ({"key": "${"}, "key: the template has a ${"),
    ],
)
def test_a_declaration_that_does_not_fit_the_columns_tells_nothing(
    declared: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(CatalogError) as failure:
        made(ROW, **declared)
    assert complaint in str(failure.value)


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"key": "", }, "key is empty"),
        ({"key": "x", "partition_key": "schema-table"}, "has a key and a partition_key"),
        ({"attributes": [NAME, NAME]}, "2 attributes are called 'name'"),
        ({"attributes": [Attribute("_doc", "x")], "columns": "document"}, "2 attributes are called '_doc'"),
        ({"attributes": [Attribute("a")]}, "has nothing"),
        ({"attributes": [Attribute("a", "x", type="string-set")]}, "cannot be 'string-set' in JSON"),
        ({"attributes": [Attribute("a", constant="x", type="number")]}, "the constant is no number"),
        ({"attributes": [Attribute("a", constant="NaN", type="json")]}, "the constant is no json"),
        ({"attributes": [Attribute("a", fields=[NAME, NAME])]}, "names field 'name' twice"),
        ({"table_name": ""}, "table_name is empty"),
    ],
)  # fmt: skip
def test_a_declaration_that_is_wrong_by_itself_says_how_to_mend_it(
    declared: dict[str, Any], complaint: str
) -> None:
    (problem,) = spec_problems(Messages("shop.public.orders", **declared))
    assert complaint in problem
    assert "Fix: " in problem


def test_old_values_do_not_take_the_place_of_the_row() -> None:
    assert list(envelope_problems(DmsEnvelope(before_field="data")))
    assert not list(envelope_problems(DmsEnvelope()))
