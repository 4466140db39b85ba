"""The documentation's examples of transformations and expressions, in our words, as the report shows them."""

import hashlib
import json
from typing import Any

import pytest

from replication_assets.dms.report import report
from replication_assets.dms.task import read_task
from replication_assets_tests.dms.rules_text import include, tables_of, transform

PLAYER = {
    "schema": "Club", "name": "Player", "key": ["id"],
    "columns": {"id": "int", "Pre_given": "varchar(20)", "family_SUF": "varchar(20)", "born": "date",
                "paid": "numeric(12,2)", "seen": "timestamp", "pass_no": "varchar(20)", "gone": "varchar(5)"},
    "rows": [{"id": 7, "Pre_given": "Ann", "family_SUF": "Lee", "born": "2024-02-29", "paid": 1.5,
              "seen": "2024-02-29T12:30:45", "pass_no": "C6BGJ56K", "gone": None}],
}  # fmt: skip
NAMES = ["id", "Pre_given", "family_SUF", "born", "paid", "seen", "pass_no", "gone"]


def explained(*rules: dict[str, Any], table: dict[str, Any] = PLAYER) -> dict[str, Any]:
    """What the report says of the one table."""
    numbered = [
        {"rule-id": str(at), "rule-name": f"r{at}", **rule}
        for at, rule in enumerate((include("%", "Club"), *rules), 1)
    ]
    document = report(read_task({"m.json": json.dumps({"rules": numbered})}, tables_of(table)))
    assert [each for each in document["findings"] if each["severity"] == "error"] == []
    found: dict[str, Any] = document["tables"][0]
    return found


def of_all(action: str, target: str, **more: Any) -> dict[str, Any]:
    column = {"column-name": "%"} if target == "column" else {}
    return transform(action, target, **column, **more)


@pytest.mark.parametrize(
    ("rule", "schema", "table", "columns"),
    [
        (transform("rename", "schema", value="Club1", **{"schema-name": "Club"}), "Club1", "Player", {}),
        (of_all("convert-lowercase", "schema"), "club", "Player", {}),
        (of_all("add-suffix", "schema", value="_x"), "Club_x", "Player", {}),
        (of_all("remove-prefix", "schema", value="Cl"), "ub", "Player", {}),
        (transform("rename", "table", value="P1", **{"table-name": "Player"}), "Club", "P1", {}),
        (of_all("convert-lowercase", "table"), "Club", "player", {}),
        (of_all("convert-uppercase", "table"), "Club", "PLAYER", {}),
        (of_all("add-prefix", "table", value="DMS_"), "Club", "DMS_Player", {}),
        (of_all("remove-suffix", "table", value="er"), "Club", "Play", {}),
        (of_all("remove-suffix", "table", value="_DMS"), "Club", "Player", {}),
        (of_all("replace-suffix", "table", value="s", **{"old-value": "er"}), "Club", "Plays", {}),
        (of_all("replace-prefix", "column", value="New_", **{"old-value": "Pre_"}), "Club", "Player",
         {"Pre_given": "New_given"}),
        (of_all("remove-prefix", "column", value="Pre_"), "Club", "Player", {"Pre_given": "given"}),
        (of_all("remove-suffix", "column", value="_SUF"), "Club", "Player", {"family_SUF": "family"}),
        (of_all("replace-suffix", "column", value="_s", **{"old-value": "_SUF"}), "Club", "Player",
         {"family_SUF": "family_s"}),
        (of_all("convert-uppercase", "column"), "Club", "Player", {name: name.upper() for name in NAMES}),
        (of_all("add-suffix", "column", value="_c"), "Club", "Player", {name: name + "_c" for name in NAMES}),
        (transform("rename", value="fam", **{"column-name": "family_SUF"}), "Club", "Player",
         {"family_SUF": "fam"}),
    ],
)  # fmt: skip
def test_names_of_schemas_tables_and_columns(
    rule: dict[str, Any], schema: str, table: str, columns: dict[str, str]
) -> None:
    found = explained(rule)
    assert (found["target_schema"], found["target_table"]) == (schema, table)
    assert [each["target"] for each in found["columns"]] == [columns.get(name, name) for name in NAMES]
    assert [*found["sample_rows"][0]] == [columns.get(name, name) for name in NAMES]


@pytest.mark.parametrize(
    ("rules", "column", "kind", "value"),
    [
        ([transform("change-data-type", **{
            "column-name": "paid", "data-type": {"type": "string", "length": "9"}})],
         "paid", "string(9)", "1.50"),
        ([transform("change-data-type", **{"column-name": "seen", "data-type": {"type": "date"}})],
         "seen", "date", "None"),  # It has a time of day, which a date would lose.
        ([transform("change-data-type", **{"column-name": "id", "data-type": {"type": "int8"}})],
         "id", "int8", "7"),
        ([transform("data-masking-digits-mask", value="#", **{"column-name": "pass_no"})],
         "pass_no", "wstring(20)", "C#BGJ##K"),
        ([transform("data-masking-hash-mask", **{"column-name": "Pre_given"})], "Pre_given", "wstring(64)",
         hashlib.sha256(b"Ann").hexdigest().upper()),
        ([transform("data-masking-digits-randomize", **{"column-name": "pass_no"})],
         "pass_no", "wstring(20)", "(random digits)"),
    ],
)  # fmt: skip
def test_types_and_masks(rules: list[dict[str, Any]], column: str, kind: str, value: str) -> None:
    found = explained(*rules)
    (shown,) = (each for each in found["columns"] if each["target"] == column)
    assert shown["type"] == kind
    assert str(found["sample_rows"][0][column]) == value


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("$Pre_given||'_'||$family_SUF", "string", "Ann_Lee"),
        ("upper($Pre_given)", "string", "ANN"),
        ("LOWER(substr($Pre_given, 1, 2))", "string", "an"),
        ("ltrim(rtrim('  x  '))||trim('yzy', 'y')", "string", "xz"),
        ("replace($Pre_given, 'n', 'm')", "string", "Amm"),
        ("replaceChars('abcde', 'abcd', '123')", "string", "1231e"),
        ("abs(0 - $id)", "int8", "7"),
        ("round($paid, 1)", "real8", "1.5"),
        ("max($id, 9) - min($id, 9)", "int4", "2"),
        ("ifnull($gone, 'here')", "string", "here"),
        ("nullif($Pre_given, 'Ann')", "string", "None"),
        ("coalesce($gone, $family_SUF)", "string", "Lee"),
        ("date($born, '+1 day')", "date", "2024-03-01"),
        ("time($seen)", "string", "12:30:45"),
        ("datetime($seen, '-30 minutes')", "datetime", "2024-02-29 12:00:45"),
        ("julianday($born)", "real8", "2460369.5"),
        ("strftime('%Y/%m', $seen)", "string", "2024/02"),
        ("CASE WHEN $paid > 1 THEN 'much' ELSE 'little' END", "string", "much"),
        ("CASE $id WHEN 7 THEN 'seven' END", "string", "seven"),
        ("CAST($id AS TEXT)||'!'", "string", "7!"),
        ("$gone IS NULL AND $id BETWEEN 5 AND 9 AND $Pre_given LIKE 'a%'", "boolean", "True"),
        ("$id IN (1, 7) OR NOT $id <> 7", "boolean", "True"),
        ("$id * 2 + 10 % 3", "int4", "15"),
        ("$AR_M_SOURCE_SCHEMA||'.'||$AR_M_SOURCE_TABLE_NAME", "string", "Club.Player"),
        ("$AR_H_CHANGE_SEQ", "string", "0" * 35),
        ("operation_indicator('D', 'U', 'I')", "string", "I"),
        ("$BI__Pre_given", "string", "None"),
        ("$paid", "string", "1.50"),
    ],
)
def test_expressions_of_added_columns(expression: str, kind: str, value: str) -> None:
    rule = transform("add-column", value="x", expression=expression, **{"data-type": {"type": kind}})
    found = explained(rule)
    assert found["columns"][-1] | {"rules": []} == {
        "source": None, "target": "x", "type": kind, "source_type": None, "rules": [],
        "expression": expression, "masks": [], "before_image": False,
    }  # fmt: skip
    assert str(found["sample_rows"][0]["x"]) == value


def test_an_affix_that_is_there_already_is_told_of_tables_too() -> None:
    table = PLAYER | {"name": "DMS_Player"}
    rules = [
        {"rule-id": "1", **include("%", "Club")},
        {"rule-id": "2", **of_all("add-prefix", "table", value="DMS_")},
    ]
    task = read_task({"m.json": json.dumps({"rules": rules})}, tables_of(table))
    assert [each.code for each in task.findings] == ["double-prefix"]
