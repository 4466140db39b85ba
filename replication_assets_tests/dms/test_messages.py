"""Object mappings to Kafka and Kinesis: the documentation's samples in our words, topic, key and data."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from replication_assets.dms.report import report
from replication_assets.dms.task import read_task
from replication_assets_tests.dms.rules_text import include, tables_of, transform

GUEST = {
    "schema": "Hotel", "name": "Guests", "key": ["RoomId"],
    "columns": {"FirstName": "varchar(20)", "LastName": "varchar(20)", "RoomId": "int",
                "HomeCity": "varchar(50)",
                "HomePhone": "varchar(20)", "WorkCity": "varchar(50)", "WorkPhone": "varchar(20)",
                "Born": "date", "Rate": "numeric(10,2)", "Left": "timestamp", "Notes": "varchar(9)"},
    "rows": [{"FirstName": "Ida", "LastName": "Moss", "RoomId": 7, "HomeCity": "Bergen", "HomePhone": "11",
              "WorkCity": "Oslo", "WorkPhone": "22", "Born": "1988-02-29", "Rate": 99.5,
              "Left": "2024-05-01T10:00:00", "Notes": None}],
}  # fmt: skip
ALL = {
    "FirstName": "Ida", "LastName": "Moss", "RoomId": 7, "HomeCity": "Bergen", "HomePhone": "11",
    "WorkCity": "Oslo", "WorkPhone": "22", "Born": "1988-02-29", "Rate": 99.5, "Left": "2024-05-01T10:00:00Z",
}  # fmt: skip
CONTACT = {
    "Home": {"City": "${HomeCity}", "Phone": "${HomePhone}"},
    "Work": {"City": "${WorkCity}", "Note": "${Notes}"},
}


def to_stream(
    action: str = "map-record-to-record", parameters: dict[str, Any] | None = None, /, **more: Any
) -> dict[str, Any]:
    locator = {"schema-name": "Hotel", "table-name": "Guests"}
    head = {"rule-type": "object-mapping", "rule-action": action, "object-locator": locator, **more}
    return head if parameters is None else {**head, "mapping-parameters": parameters}


def table_of(*rules: dict[str, Any], target: str = "", tables: Sequence[Any] = (GUEST,)) -> dict[str, Any]:
    """What the report says of the one table, which has no error."""
    numbered = [
        {"rule-id": str(at), "rule-name": f"r{at}", **rule}
        for at, rule in enumerate((include("%", "Hotel"), *rules), 1)
    ]
    task = read_task({"m.json": json.dumps({"rules": numbered})}, tables_of(*tables), target=target)
    assert [str(each) for each in task.findings if each.severity == "error"] == []
    (table,) = report(task)["tables"]
    found: dict[str, Any] = table
    return found


def message_of(*rules: dict[str, Any], target: str = "") -> dict[str, Any]:
    (message,) = table_of(*rules, target=target)["sample_messages"]
    found: dict[str, Any] = message
    return found


@pytest.mark.parametrize(
    ("target", "key", "kind"), [("kafka", "7", "primary-key"), ("kinesis", "Hotel.Guests", "schema-table")]
)
@pytest.mark.parametrize("rules", [(), (to_stream(),)])
def test_every_column_is_data_by_default_and_null_is_left_out(
    rules: tuple[dict[str, Any], ...], target: str, key: str, kind: str
) -> None:
    message = message_of(*rules, target=target)
    assert message["value"] == {
        "data": ALL,
        "metadata": {"record-type": "data", "operation": "load", "partition-key-type": kind,
                     "schema-name": "Hotel", "table-name": "Guests"},
    }  # fmt: skip
    assert (message["topic"], message["key"]) == (None, key)


def test_a_rule_without_a_table_is_taken_for_a_stream_without_knowing_the_target() -> None:
    assert message_of(to_stream())["value"]["data"] == ALL


def test_a_rule_may_name_its_topic_and_the_type_of_its_key() -> None:
    message = message_of(
        to_stream(
            "map-record-to-document", {"partition-key-type": "schema-table"}, **{"kafka-target-topic": "t"}
        )
    )
    assert (message["topic"], message["key"]) == ("t", "Hotel.Guests")
    assert message["value"]["data"] == {"_doc": ALL}


def test_excluded_columns_in_another_case_stay_out_and_documents_are_filled() -> None:
    parameters = {
        "partition-key-type": "attribute-name", "partition-key-name": "Guest",
        "exclude-columns": ["firstname", "lastname", "homecity", "homephone", "workcity", "workphone"],
        "attribute-mappings": [
            {"target-attribute-name": "Guest", "attribute-type": "scalar", "attribute-sub-type": "string",
             "value": "${lastname}, ${firstname}"},
            {"target-attribute-name": "Contact", "attribute-type": "document", "attribute-sub-type": "json",
             "value": CONTACT}],
    }  # fmt: skip
    message = message_of(to_stream("map-record-to-record", parameters, **{"target-table-name": "GuestData"}))
    assert message["key"] == "Moss, Ida"
    assert message["value"]["data"] == {
        "RoomId": 7, "Born": "1988-02-29", "Rate": 99.5, "Left": "2024-05-01T10:00:00Z", "Guest": "Moss, Ida",
        "Contact": {"Home": {"City": "Bergen", "Phone": "11"}, "Work": {"City": "Oslo"}},
    }  # fmt: skip


def test_a_constant_key_and_attributes_in_their_short_form() -> None:
    parameters = {
        "partition-key": {"value": "one"},
        "exclude-columns": [name for name in GUEST["columns"] if name != "RoomId"],
        "attribute-mappings": [
            {"attribute-name": "Guest", "value": "${FirstName},${LastName}"},
            {"attribute-name": "Contact", "value": CONTACT},
            {"attribute-name": "Born", "value": "${Born}"}],
    }  # fmt: skip
    message = message_of(to_stream("map-record-to-document", parameters))
    assert message["key"] == "one"
    assert message["value"]["data"] == {
        "_doc": {"RoomId": 7}, "Guest": "Ida,Moss", "Born": "1988-02-29",
        "Contact": {"Home": {"City": "Bergen", "Phone": "11"}, "Work": {"City": "Oslo"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("number", "${RoomId}", 7),
        ("number", "${Rate}", 99.5),
        ("string", "${Rate}", "99.50"),
        ("boolean", "true", True),
        ("string", "x", "x"),
        ("string", "${Notes}", None),
    ],
)
def test_scalars_are_of_their_sub_type(kind: str, value: str, expected: object) -> None:
    attribute = {"target-attribute-name": "a", "attribute-type": "scalar", "attribute-sub-type": kind,
                 "value": value}  # fmt: skip
    rule = to_stream(
        "map-record-to-record", {"partition-key-type": "primary-key", "attribute-mappings": [attribute]}
    )
    assert message_of(rule)["value"]["data"].get("a") == expected


def test_names_masks_and_filters_come_before_messages() -> None:
    keep = {"filter-type": "source", "column-name": "RoomId",
            "filter-conditions": [{"filter-operator": "gte", "value": "8"}]}  # fmt: skip
    message = message_of(
        transform("rename", value="room", **{"column-name": "RoomId"}),
        transform("data-masking-digits-mask", value="*", **{"column-name": "HomePhone"}),
        to_stream("map-record-to-record", {"partition-key-type": "primary-key", "attribute-mappings": [
            {"attribute-name": "phone", "value": "${HomePhone}"},
            {"attribute-name": "r", "value": "${room}"}]}),
    )  # fmt: skip
    data = message["value"]["data"]
    assert (data["room"], data["HomePhone"], data["phone"], data["r"]) == (7, "**", "**", "7")
    narrow = include("Guests", "Hotel", filters=[keep])
    assert table_of(narrow, target="kafka")["sample_messages"] == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"partition-key-type": "attribute-name"}, "missing-member"),
        ({"partition-key-type": "constant"}, "missing-member"),
        ({"partition-key-type": "attribute-name", "partition-key-name": "Nobody"}, "unknown-column"),
        ({"partition-key-type": "primary-key", "exclude-columns": ["Nobody"]}, "unknown-column"),
        (
            {
                "partition-key-type": "primary-key",
                "attribute-mappings": [{"attribute-name": "a", "value": {"b": "${Nobody}"}}],
            },
            "unknown-column",
        ),
    ],
)
def test_what_cannot_be_sent_is_told_and_no_message_is_shown(parameters: dict[str, Any], code: str) -> None:
    rules = [
        {"rule-id": "1", **include("%", "Hotel")},
        {"rule-id": "2", **to_stream("map-record-to-record", parameters)},
    ]
    task = read_task({"m.json": json.dumps({"rules": rules})}, tables_of(GUEST))
    assert code in {each.code for each in task.findings if each.severity == "error"}
    if code == "unknown-column":
        (table,) = report(task)["tables"]
        assert "sample_messages" not in table


def test_the_command_shows_topic_key_and_message(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from replication_assets.cli.app import make_app

    rules = [{"rule-id": "1", **include("%", "Hotel")},
             {"rule-id": "2", **to_stream(**{"kafka-target-topic": "guests"})}]  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps({"rules": rules}))
    (tmp_path / "t.json").write_text(json.dumps({"tables": [GUEST]}))
    arguments = ["dms", "explain", str(tmp_path / "m.json"), "--tables", str(tmp_path / "t.json")]
    result = CliRunner().invoke(make_app(plain=True), arguments)
    assert result.exit_code == 0
    assert "topic guests" in result.stdout
    assert "message key: primary-key in full loads, schema-table for changes" in result.stdout
    assert '"HomeCity":"Bergen"' in result.stdout
