"""Samples of the documentation's pages about rules, each with what its page says results."""

import json
from typing import Any

import pytest

from replication_assets.dms.report import report
from replication_assets.dms.task import read_task
from replication_assets_tests.dms.rules_text import include, tables_of, transform

CUSTOMER = {
    "schema": "cust", "name": "master", "key": ["id"],
    "columns": {"id": "int", "passport": "varchar(20)", "phone": "bigint", "born": "date",
                "since": "datetime"},
    "rows": [{"id": 1, "passport": "C6BGJ566669K", "phone": 4155501}],
}  # fmt: skip
EMPLOYEE = {
    "schema": "public", "name": "employee", "key": ["no"],
    "columns": {"no": "int", "salary": "numeric(10,2)", "name": "varchar(10)"},
    "rows": [{"no": 7, "salary": 20000.4, "name": "abc"}, {"no": 8, "salary": 19999.2, "name": None}],
}  # fmt: skip


def explained(*rules: dict[str, Any], tables: tuple[dict[str, Any], ...], target: str = "") -> dict[str, Any]:
    numbered = [{"rule-id": str(at), "rule-name": f"r{at}", **rule} for at, rule in enumerate(rules, 1)]
    return report(read_task({"m.json": json.dumps({"rules": numbered})}, tables_of(*tables), target=target))


def codes(document: dict[str, Any], *severities: str) -> list[str]:
    wanted = severities or ("error", "warning")
    return [each["code"] for each in document["findings"] if each["severity"] in wanted]


def of_column(action: str, column: str, /, **more: Any) -> dict[str, Any]:
    return transform(action, **{"column-name": column, **more})


# Selection


DEPARTMENTS = tuple(
    {"schema": "HR", "name": name, "key": ["ID"], "columns": {"ID": "int"}}
    for name in ("HRDEPT", "DEVDEPT", "DEPT")
)


def test_an_explicit_rule_takes_its_table_out_of_what_a_wildcard_excludes() -> None:
    excluded, explicit = include("%DEPT%", "HR", "exclude"), include("DEPT", "HR", "explicit")
    document = explained(excluded, explicit, tables=DEPARTMENTS)
    assert [(each["source"], each["selected_by"]) for each in document["tables"]] == [("HR.DEPT", "2")]
    assert [each["table"] for each in document["left_out"]] == ["HR.HRDEPT", "HR.DEVDEPT"]
    assert codes(document, "note") == ["explicit-wins"]


def test_an_exclude_rule_of_the_same_name_wins_over_an_explicit_one() -> None:
    document = explained(
        include("DEPT", "HR", "exclude"),
        include("DEPT", "HR", "explicit"),
        include("DEVDEPT", "HR", "explicit"),
        tables=DEPARTMENTS,
    )
    assert [each["source"] for each in document["tables"]] == ["HR.DEVDEPT"]


def test_an_include_rule_wins_over_no_exclude_rule_even_with_an_exact_name() -> None:
    document = explained(include("%DEPT", "HR", "exclude"), include("DEPT", "HR"), tables=DEPARTMENTS)
    assert document["tables"] == []


# Transformations


@pytest.mark.parametrize(
    ("data_type", "shown"),
    [
        ({"type": "string", "length": "4092", "scale": ""}, "string(4092)"),
        ({"type": "numeric", "precision": "12", "scale": "2", "length": ""}, "numeric(12, 2)"),
        ({"type": "datetime", "precision": "6"}, "datetime(6)"),
    ],
)
def test_figures_of_a_type_may_be_texts_and_empty(data_type: dict[str, str], shown: str) -> None:
    rule = of_column("change-data-type", "passport", **{"data-type": data_type})
    document = explained(include("%", "cust"), rule, tables=(CUSTOMER,))
    assert codes(document) == []
    assert document["tables"][0]["columns"][1]["type"] == shown


def test_collections_are_types_that_no_target_has() -> None:
    rule = of_column("change-data-type", "passport", **{"data-type": {"type": "set"}})
    document = explained(include("%", "cust"), rule, tables=(CUSTOMER,))
    assert [(each["code"], "collections" in each["what"]) for each in document["findings"]] == [
        ("unknown-word", True)
    ]


def test_a_locator_with_a_data_type_is_of_columns_that_have_it() -> None:
    rule = of_column(
        "change-data-type",
        "%",
        **{"data-type-name": "datetime", "data-type": {"type": "string", "length": 30}},
    )
    document = explained(include("%", "cust"), rule, tables=(CUSTOMER,))
    types = {each["target"]: each["type"] for each in document["tables"][0]["columns"]}
    assert (types["since"], types["born"]) == ("string(30)", "date")


@pytest.mark.parametrize(
    ("action", "more", "target", "schema", "table", "columns"),
    [
        ("$AR_M_SOURCE_SCHEMA||'_'||$AR_M_SOURCE_TABLE_NAME", {}, "table", "cust", "cust_master", None),
        ("upper($AR_M_SOURCE_SCHEMA)", {}, "schema", "CUST", "master", None),
        ("$AR_M_SOURCE_COLUMN_NAME||'_'||$AR_M_SOURCE_COLUMN_DATATYPE", {"column-name": "phone"}, "column",
         "cust", "master", "phone_bigint"),
    ],
)  # fmt: skip
def test_a_name_can_be_given_by_an_expression_of_names(
    action: str, more: dict[str, str], target: str, schema: str, table: str, columns: str | None
) -> None:
    document = explained(
        include("%", "cust"), transform("rename", target, expression=action, **more), tables=(CUSTOMER,)
    )
    assert codes(document) == []
    (found,) = document["tables"]
    assert (found["target_schema"], found["target_table"]) == (schema, table)
    assert columns is None or columns in [each["target"] for each in found["columns"]]


@pytest.mark.parametrize("expression", ["$passport", "$AR_H_OPERATION", "datetime('now')", "1 + 1"])
def test_a_name_is_given_by_no_row_and_no_moment(expression: str) -> None:
    rule = transform("rename", "table", expression=expression)
    document = explained(include("%", "cust"), rule, tables=(CUSTOMER,))
    assert codes(document, "error") == ["bad-expression"]
    assert document["tables"][0]["target_table"] == "master"


def test_an_added_column_that_differs_in_case_alone_from_another_is_told() -> None:
    rule = transform("add-column", value="SALARY", expression="'x'", **{"data-type": {"type": "string"}})
    assert codes(explained(include("%", "public"), rule, tables=(EMPLOYEE,))) == ["column-case"]


# Expressions


@pytest.mark.parametrize(
    ("expression", "data_type", "values"),
    [
        (" CASE WHEN round($salary)>=20000 THEN \u2018SENIOR\u2019 ELSE \u2018JUNIOR\u2019 END",
         {"type": "string"}, ["SENIOR", "JUNIOR"]),
        ("round($salary)", {"type": "int8"}, [20000, 19999]),
        ("hash_sha256($no)", {"type": "string", "length": 64}, [
            "7902699BE42C8A8E46FBBB4501726517E86B22C56A189F7625A6DA49081B2451",
            "2C624232CDD221771294DFBB310ACA000A0DF6AC8B66B696D90EF06FDEFB64A3"]),
        ('replaceChars("abcde","abcd","123")', {"type": "string", "length": 50}, ["1231e", "1231e"]),
        ("hex($name)", {"type": "string"}, ["616263", ""]),
        ("hex(zeroblob($no - 6))", {"type": "string"}, ["00", "0000"]),
        ("substr($name, -2, 1)", {"type": "string"}, ["b", None]),
        ("substr($name, 3, -2)", {"type": "string"}, ["ab", None]),
        ("trim('xx-x', 'x')", {"type": "string"}, ["-", "-"]),
        ("strftime('%j %w', '2024-02-29')", {"type": "string"}, ["060 4", "060 4"]),
        ("max($no, 7.5)", {"type": "real8"}, [7.5, 8.0]),
        ("abs('no number')", {"type": "real8"}, [0.0, 0.0]),
        ("nullif($name, 'abc')", {"type": "string"}, [None, None]),
        ("coalesce($name, 'none')", {"type": "string"}, ["abc", "none"]),
    ],
)  # fmt: skip
def test_functions_and_samples_of_the_page_about_expressions(
    expression: str, data_type: dict[str, Any], values: list[object]
) -> None:
    rule = transform("add-column", value="x", expression=expression, **{"data-type": data_type})
    document = explained(include("%", "public"), rule, tables=(EMPLOYEE,))
    assert codes(document, "error", "note") == []
    assert [row["x"] for row in document["tables"][0]["sample_rows"]] == values


def test_a_misspelled_length_of_a_sample_is_told_and_never_taken_for_a_length() -> None:
    rule = transform(
        "add-column",
        value="x",
        expression="hash_sha256($no)",
        **{"data-type": {"type": "string", "lenght": 50}},
    )
    document = explained(include("%", "public"), rule, tables=(EMPLOYEE,))
    assert [each["fix"] for each in document["findings"]] == ["did you mean 'length'?"]
    assert document["tables"][0]["columns"][-1]["type"] == "string"


# Masks


def test_a_column_is_hashed_and_made_wider() -> None:
    document = explained(
        include("%", "cust"),
        of_column(
            "change-data-type", "passport", **{"data-type": {"type": "string", "length": "100", "scale": ""}}
        ),
        of_column("data-masking-hash-mask", "passport"),
        tables=(CUSTOMER,),
    )
    assert codes(document) == []
    assert document["tables"][0]["sample_rows"][0]["passport"] == (
        "7CB06784764C9030CCC41E25C15339FEB293FFE9B329A72B5FED564E99900C75"
    )
    assert document["tables"][0]["columns"][1]["type"] == "string(100)"


def test_a_mask_is_of_the_type_that_a_rule_with_a_lower_id_made() -> None:
    text = {"data-type": {"type": "string", "length": "20"}}
    typed = of_column("change-data-type", "phone", **text)
    masked = of_column("data-masking-digits-mask", "phone", value="#")
    document = explained(include("%", "cust"), typed, masked, tables=(CUSTOMER,))
    assert codes(document) == []
    assert document["tables"][0]["sample_rows"][0]["phone"] == "#######"
    late = explained(include("%", "cust"), masked, typed, tables=(CUSTOMER,))
    (finding,) = [each for each in late["findings"] if each["severity"] == "error"]
    assert (finding["code"], finding["fix"]) == (
        "mask-type", "give rule 3, which makes it string(20), a lower rule-id than 2"
    )  # fmt: skip
    alone = explained(include("%", "cust"), masked, tables=(CUSTOMER,))
    assert codes(alone) == ["mask-type"]


@pytest.mark.parametrize("name", ["string", "wstring", "varchar"])
def test_a_mask_of_texts_is_of_texts_of_every_kind(name: str) -> None:
    rule = of_column("data-masking-digits-mask", "%", value="#", **{"data-type-name": name})
    document = explained(include("%", "cust"), rule, tables=(CUSTOMER,))
    assert codes(document) == []
    assert document["tables"][0]["sample_rows"][0]["passport"] == "C#BGJ######K"
    assert document["tables"][0]["sample_rows"][0]["phone"] == 4155501


@pytest.mark.parametrize(
    ("action", "column", "severity"),
    [
        ("data-masking-hash-mask", "Passport", "error"),
        ("data-masking-hash-mask", "pass_word%", "warning"),
        ("remove-column", "col%", "warning"),
        ("data-masking-hash-mask", "pass%", None),
    ],
)
def test_a_rule_that_fits_no_column_is_told(action: str, column: str, severity: str | None) -> None:
    document = explained(include("%", "cust"), of_column(action, column), tables=(CUSTOMER,))
    found = [(each["code"], each["severity"]) for each in document["findings"]]
    assert found == ([("unused-rule", severity)] if severity else [])


# Tags and validation


def tagged(schema: str, table: str, **tags: str) -> dict[str, Any]:
    return {
        "rule-type": "post-processing", "rule-action": "add-tag",
        "object-locator": {"schema-name": schema, "table-name": table},
        "tag-set": [{"key": key, "value": value} for key, value in tags.items()],
    }  # fmt: skip


def test_tags_are_of_the_rule_that_fits_best_with_the_names_put_in() -> None:
    tables = [
        {"schema": schema, "name": name, "columns": {"id": "int"}, "key": ["id"]}
        for schema, name in (("aat", "ITEM"), ("aat", "STOCK"), ("retail", "ITEM"))
    ]
    document = explained(
        include("%", "%"),
        tagged("%", "%", **{"dw": "${schema-name}", "${schema-name}_tag": "my_${table-name}"}),
        tagged("aat", "ITEM", tag_1="value_1"),
        tables=tuple(tables),
        target="s3",
    )
    assert {each["source"]: each["tags"] for each in document["tables"]} == {
        "aat.ITEM": {"tag_1": "value_1"},
        "aat.STOCK": {"dw": "aat", "aat_tag": "my_STOCK"},
        "retail.ITEM": {"dw": "retail", "retail_tag": "my_ITEM"},
    }


def overridden(column: str, **more: Any) -> dict[str, Any]:
    locator = {"schema-name": "cust", "table-name": "%", "column-name": column}
    if "kind" in more:
        locator["data-type"] = more.pop("kind")
    return {
        "rule-type": "validation", "rule-target": "column", "rule-action": "override-validation-function",
        "object-locator": locator, **more,
    }  # fmt: skip


def test_a_validation_function_is_of_columns_of_the_type_that_its_locator_has() -> None:
    both = "case when ${column-name} is NULL then NULL else 0 end"
    rule = overridden("%", kind="datetime", **{"source-function": both, "target-function": both})
    document = explained(include("%", "cust"), rule, tables=(CUSTOMER,))
    assert codes(document, "error", "warning", "note") == ["not-applicable"]
    assert document["tables"][0]["validation"] == [
        {"column": "%", "columns": ["since"], "source_function": both, "target_function": both}
    ]


def test_a_validation_function_has_no_effect_on_the_key_and_that_is_told() -> None:
    wide = explained(include("%", "cust"), overridden("%", **{"target-function": "x"}), tables=(CUSTOMER,))
    assert (codes(wide), codes(wide, "note")) == ([], ["not-applicable", "validation-of-key"])
    exact = explained(include("%", "cust"), overridden("id", **{"target-function": "x"}), tables=(CUSTOMER,))
    assert codes(exact) == ["validation-of-key"]


# What people's files have beside


def test_null_members_and_empty_filters_that_the_console_writes_are_no_finding() -> None:
    nothing: dict[str, Any] = {
        "parallel-load": None,
        "lob-settings": None,
        "value": None,
        "old-value": None,
        "filters": [],
    }
    settings = {
        "rule-type": "table-settings",
        "object-locator": {"schema-name": "cust", "table-name": "master"},
    }
    rule = of_column("convert-uppercase", "passport")
    document = explained(include("master", "cust"), settings | nothing, rule | nothing, tables=(CUSTOMER,))
    assert codes(document, "error", "warning", "note") == []


def test_settings_of_an_endpoint_are_told_to_be_none_of_a_task() -> None:
    texts = {"e.json": json.dumps({"S3Settings": {"BucketName": "b"}}),
             "m.json": json.dumps({"rules": [include("master", "cust") | {"rule-id": "1"}]})}  # fmt: skip
    found = read_task(texts, tables_of(CUSTOMER))
    assert [(each.code, each.place.file) for each in found.findings] == [("endpoint", "e.json")]
