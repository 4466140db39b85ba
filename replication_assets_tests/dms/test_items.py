"""Object mappings to DynamoDB: the documentation's samples, and what must not fail open."""

import json
from typing import Any

import pytest

from replication_assets.dms.findings import Finding, Findings
from replication_assets.dms.items import mapped_items
from replication_assets.dms.report import report
from replication_assets.dms.samples import sample_items, sample_rows
from replication_assets.dms.task import Task, read_task
from replication_assets_tests.dms.rules_text import include, outcome_of, tables_of, transform

CUSTOMER = {
    "schema": "test",
    "name": "customer",
    "columns": {
        "FirstName": "varchar(20)", "LastName": "varchar(20)", "NickName": "varchar(20)", "StoreId": "int",
        "HomeAddress": "varchar(50)", "HomePhone": "varchar(20)", "income": "numeric(10,2)",
        "active": "boolean",
    },
    "rows": [
        {"FirstName": "Randy", "LastName": "Marsh", "NickName": "Rand", "StoreId": 5,
         "HomeAddress": "221B Baker", "HomePhone": "123", "income": 10.5, "active": True},
    ],
}  # fmt: skip
EXCLUDED = ["FirstName", "LastName", "HomeAddress", "HomePhone", "active", "StoreId"]


def scalar(name: str, value: str, kind: str = "string") -> dict[str, Any]:
    head = {"target-attribute-name": name, "attribute-type": "scalar"}
    return {**head, "attribute-sub-type": kind, "value": value}


def mapped(
    *attributes: dict[str, Any],
    action: str = "map-record-to-record",
    keys: tuple[str, ...] = ("CustomerName",),
    excluded: list[str] = EXCLUDED,
    table: dict[str, Any] = CUSTOMER,
    more: dict[str, Any] | None = None,
) -> tuple[list[dict[str, Any]], list[Finding]]:
    names = dict(zip(("partition-key-name", "sort-key-name"), keys, strict=False))
    rule = {
        "rule-type": "object-mapping",
        "rule-action": action,
        "object-locator": {"schema-name": "test", "table-name": table["name"]},
        "target-table-name": "customer_t",
        "mapping-parameters": {
            **names,
            "exclude-columns": excluded,
            "attribute-mappings": list(attributes),
            **(more or {}),
        },
    }
    (outcome,) = outcome_of(include(), rule, tables=(table,)).tables
    findings = Findings()
    items = mapped_items(outcome, "shop", findings)
    if items is None:
        return [], list(findings)
    return sample_items(items, outcome, sample_rows(outcome.source))[0], list(findings)


NAME = scalar("CustomerName", "${FirstName},${LastName}")


def test_record_to_record_makes_an_attribute_of_each_column_that_is_not_excluded() -> None:
    contact = {
        "target-attribute-name": "ContactDetails", "attribute-type": "document",
        "attribute-sub-type": "dynamodb-map",
        "value": {"M": {"Home": {"M": {"Address": {"S": "${HomeAddress}"}, "Phone": {"S": "${HomePhone}"}}}}},
    }  # fmt: skip
    (item,), _ = mapped(NAME, contact)
    assert item == {
        "CustomerName": {"S": "Randy,Marsh"},
        "ContactDetails": {"M": {"Home": {"M": {"Address": {"S": "221B Baker"}, "Phone": {"S": "123"}}}}},
        "NickName": {"S": "Rand"},
        "income": {"N": "10.5"},
    }


def test_record_to_document_puts_them_into_one_map() -> None:
    (item,), _ = mapped(NAME, action="map-record-to-document")
    assert item == {
        "CustomerName": {"S": "Randy,Marsh"},
        "_doc": {"M": {"NickName": {"S": "Rand"}, "income": {"N": "10.5"}}},
    }


def test_a_column_that_a_mapping_uses_is_an_attribute_all_the_same() -> None:
    (item,), _ = mapped(NAME, excluded=["HomeAddress", "HomePhone", "active", "StoreId"])
    assert item["FirstName"] == {"S": "Randy"}


def test_excluded_columns_in_another_case_stay_out_and_are_told() -> None:
    (item,), findings = mapped(NAME, excluded=[each.lower() for each in EXCLUDED])
    assert set(item) == {"CustomerName", "NickName", "income"}
    assert {each.code for each in findings} == {"spelled-otherwise"}


def test_an_excluded_column_that_is_none_is_refused_and_nothing_is_mapped() -> None:
    items, findings = mapped(NAME, excluded=["FristName"])
    assert items == []
    assert [each.code for each in findings] == ["unknown-column"]


def test_constants_and_numbers_are_of_their_sub_type() -> None:
    (item,), _ = mapped(
        NAME,
        scalar("Migrated", "1", "number"),
        scalar("kind", "customer"),
        scalar("old", "true", "boolean"),
        scalar("store", "${StoreId}", "number"),
        scalar("storeText", "${StoreId}"),
    )
    assert item["Migrated"] == {"N": "1"}
    assert item["kind"] == {"S": "customer"}
    assert item["old"] == {"BOOL": True}
    assert item["store"] == {"N": "5"}
    assert item["storeText"] == {"S": "5"}


def test_a_template_may_be_json_text_around_columns() -> None:
    (item,), _ = mapped(NAME, scalar("info", '{"Name":"${FirstName}","Home":{"Phone":"${\nHomePhone}"}}'))
    assert json.loads(item["info"]["S"]) == {"Name": "Randy", "Home": {"Phone": "123"}}


def test_lists_are_documents_too() -> None:
    both = {
        "target-attribute-name": "both", "attribute-type": "document", "attribute-sub-type": "dynamodb-list",
        "value": {"L": [{"S": "${FirstName}"}, {"N": "${StoreId}"}]},
    }  # fmt: skip
    (item,), _ = mapped(NAME, both)
    assert item["both"] == {"L": [{"S": "Randy"}, {"N": "5"}]}


def test_a_sort_key_without_a_mapping_is_the_column_with_its_type() -> None:
    (item,), _ = mapped(NAME, keys=("CustomerName", "StoreId"))
    assert item["StoreId"] == {"N": "5"}


def test_without_a_partition_key_name_the_only_key_column_is_it() -> None:
    (item,), _ = mapped(keys=(), table=CUSTOMER | {"key": ["StoreId"]}, excluded=[])
    assert item["StoreId"] == {"N": "5"}
    none, findings = mapped(keys=(), excluded=[])
    assert none == []
    assert [each.code for each in findings] == ["no-item-key"]


def test_null_is_no_attribute() -> None:
    rows = [CUSTOMER["rows"][0] | {"NickName": None}]  # type: ignore[index]
    (item,), _ = mapped(NAME, table=CUSTOMER | {"rows": rows})
    assert "NickName" not in item


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        (scalar("x", "${Nobody}"), "unknown-column"),
        (scalar("x", "one", "number"), "bad-constant"),
        (scalar("x", "${FirstName"), "bad-template"),
        (scalar("x", "$${FirstName}"), "dollar"),
        (
            {"target-attribute-name": "x", "attribute-type": "document", "value": {"M": {"a": "b"}}},
            "bad-document",
        ),
        (
            {"target-attribute-name": "x", "attribute-type": "document", "value": {"SS": ["b"]}},
            "bad-document",
        ),
    ],
)
def test_what_cannot_be_mapped_is_refused_by_name(attribute: dict[str, Any], code: str) -> None:
    items, findings = mapped(NAME, attribute)
    assert items == []
    assert [each.code for each in findings] == [code]


def test_a_condition_expression_does_not_stand_in_the_way_of_showing_items() -> None:
    items, _ = mapped(NAME, more={"condition-expression": {"expression": "attribute_not_exists(a)"}})
    assert [set(each) for each in items] == [{"CustomerName", "NickName", "income"}]


def test_a_column_that_a_mapped_attribute_hides_is_told() -> None:
    (item,), findings = mapped(NAME, scalar("NickName", "${FirstName}"))
    assert item["NickName"] == {"S": "Randy"}
    assert "hidden-column" in {each.code for each in findings}


def task_of(table: dict[str, Any], parameters: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """What the report says of the one table, and its errors."""
    task = read(table, parameters)
    (found,) = report(task)["tables"]
    return found, [each for each in task.findings if each.severity == "error"]


def read(table: dict[str, Any], parameters: dict[str, Any]) -> Task:
    rule = {
        "rule-id": "2", "rule-name": "2",
        "rule-type": "object-mapping", "rule-action": "map-record-to-record",
        "object-locator": {"schema-name": "test", "table-name": table["name"]},
        "target-table-name": "customer_t", "mapping-parameters": parameters,
    }  # fmt: skip
    rules = [{"rule-id": "1", "rule-name": "1", **include()}, rule]
    return read_task({"m.json": json.dumps({"rules": rules})}, tables_of(table))


MARKED = {"partition-key-name": "StoreId", "exclude-columns": EXCLUDED[:4]}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([{"name": ":m", "value": {"N": "1"}}], [{"name": "#a", "value": "Migrated"}]),
        ({":m": {"N": "1"}}, {"#a": "Migrated"}),
    ],
)
def test_a_condition_is_shown_with_what_its_placeholders_stand_for(values: object, names: object) -> None:
    condition = {
        "expression": "attribute_not_exists(#a) OR #a < :m", "apply-during-cdc": "true",
        "expression-attribute-values": values, "expression-attribute-names": names,
    }  # fmt: skip
    table, errors = task_of(CUSTOMER, MARKED | {"condition-expression": condition})
    assert errors == []
    assert table["condition"] == {
        "expression": "attribute_not_exists(#a) OR #a < :m", "attribute_values": {":m": {"N": "1"}},
        "attribute_names": {"#a": "Migrated"}, "during_full_load": True, "during_cdc": True,
    }  # fmt: skip
    assert table["sample_items"]


@pytest.mark.parametrize(
    "condition",
    [
        {"expression": "a = :v"},
        {"expression": "#a = b", "expression-attribute-values": {":v": {"S": "x"}}},
        {"expression": "attribute_exists(a)", "expression-attribute-names": {"#a": "a"}},
    ],
)
def test_placeholders_that_are_not_given_and_not_used_are_errors(condition: dict[str, Any]) -> None:
    _, errors = task_of(CUSTOMER, MARKED | {"condition-expression": condition})
    assert {each.code for each in errors} == {"condition-placeholder"}


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ({"expression": "version <="}, "bad-condition"),
        ({"expression": "exists(version)"}, "bad-condition"),
        ({"expression": "a = :v", "expression-attribute-values": {":v": {"SS": ["x"]}}}, "bad-document"),
        ({"expression": "a = :v", "expression-attribute-values": {":v": {"S": "${Nope}"}}}, "unknown-column"),
    ],
)
def test_a_condition_that_dynamodb_would_not_take_is_an_error(condition: dict[str, Any], code: str) -> None:
    _, errors = task_of(CUSTOMER, MARKED | {"condition-expression": condition})
    assert {each.code for each in errors} == {code}


def test_a_condition_that_lets_nothing_be_written_over_is_told() -> None:
    condition = {
        "expression": "attribute_not_exists ( #k )", "expression-attribute-names": {"#k": "StoreId"}
    }  # fmt: skip
    told = read(CUSTOMER, MARKED | {"condition-expression": condition}).findings
    assert "condition-of-nothing" in {each.code for each in told}
    other = {**condition, "expression": "attribute_not_exists(#k) OR version < other"}
    told = read(CUSTOMER, MARKED | {"condition-expression": other}).findings
    assert "condition-of-nothing" not in {each.code for each in told}


def test_a_condition_that_is_never_asked_is_told() -> None:
    condition = {"expression": "attribute_exists(a)", "apply-during-full-load": False}
    table, errors = task_of(CUSTOMER, MARKED | {"condition-expression": condition})
    assert errors == []
    assert (table["condition"]["during_full_load"], table["condition"]["during_cdc"]) == (False, False)


def test_a_row_without_a_key_is_told_beside_the_items() -> None:
    rows = [*CUSTOMER["rows"], {"FirstName": "Al"}]
    table, _ = task_of(CUSTOMER | {"rows": rows}, MARKED)
    assert len(table["sample_items"]) == 1
    (refused,) = table["sample_items_refused"]
    assert refused.startswith("a row: ")


def test_a_template_may_use_the_name_that_a_transformation_gave() -> None:
    rename = transform("rename", value="given", **{"column-name": "FirstName"})
    rule = {
        "rule-type": "object-mapping", "rule-action": "map-record-to-record", "target-table-name": "c_t",
        "object-locator": {"schema-name": "test", "table-name": "customer"},
        "mapping-parameters": {
            "partition-key-name": "pk", "exclude-columns": EXCLUDED[1:],
            "attribute-mappings": [scalar("pk", "a#${given}"), scalar("old", "${FirstName}")]},
    }  # fmt: skip
    rules = [
        {"rule-id": str(n), "rule-name": str(n), **r} for n, r in enumerate([include(), rename, rule], 1)
    ]
    task = read_task({"m.json": json.dumps({"rules": rules})}, tables_of(CUSTOMER))
    (item,) = report(task)["tables"][0]["sample_items"]
    assert (item["pk"], item["old"], item["given"]) == ({"S": "a#Randy"}, {"S": "Randy"}, {"S": "Randy"})
