"""`dms lint` and `dms explain` on the files of real migrations."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication_assets.cli.app import make_app
from replication_assets_tests.dms.rules_text import ACTOR, include, transform

SEEDS = Path(__file__).parent / "seeds"
RANGES = [str(SEEDS / f"table_mappings{number}.json") for number in (1, 2, 3, 4)]


def ran(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(make_app(plain=True), ["dms", *arguments])
    return result.exit_code, result.stdout


def explained(*arguments: str) -> tuple[int, dict[str, Any]]:
    code, output = ran("explain", *arguments, "--json")
    return code, json.loads(output)


def test_four_files_of_ranges_are_one_table_with_four_id_ranges() -> None:
    code, document = explained(*RANGES, str(SEEDS / "task_settings.json"))
    assert code == 0
    (table,) = document["tables"]
    assert (table["source"], table["kind"]) == ("dbo.vw_Dynamodbmigration", "view")
    assert [(each["low"], each["high"]) for each in table["id_ranges"]] == [
        (None, 100_000_001),
        (100_000_001, 200_000_001),
        (200_000_001, 300_000_001),
        (300_000_001, None),
    ]
    codes = {each["code"] for each in document["findings"]}
    assert {"range-above", "range-below", "range-null", "lob-truncation"} <= codes
    assert not {"range-gap", "range-overlap"} & codes


def test_a_missing_file_of_ranges_is_a_gap_with_its_fix() -> None:
    code, output = ran("lint", RANGES[0], RANGES[2], "--json")
    gaps = [each for each in json.loads(output)["findings"] if each["code"] == "range-gap"]
    assert code == 3
    assert gaps[0]["fix"] == "begin the next range at 100000001"


def test_items_are_shown_exactly_as_the_mapping_says() -> None:
    _, document = explained(*RANGES, "--tables", str(SEEDS / "order_events_columns.json"))
    (item,) = document["tables"][0]["sample_items"]
    assert item == {
        "PK": {"S": "agg#agg#a-1"},
        "SK": {"S": "evt#2024-01-01T00:00:00"},
        "itemtype": {"S": "event"},
        "Ver": {"N": "1"},
        "ConvId": {"S": "c-1"},
        "created": {"S": "2024-01-01T00:00:00"},
        "itemdata": {"S": '{"a":1}'},
        "expiry": {"N": "1924905600"},
        "Migrated": {"N": "1"},
    }
    assert "double-prefix" in {each["code"] for each in document["findings"]}


def test_every_setting_of_a_task_is_told_with_what_becomes_of_it() -> None:
    _, document = explained(
        str(SEEDS / "customer-password-migration.json"), str(SEEDS / "task_settings.json")
    )
    given = json.loads((SEEDS / "task_settings.json").read_text())
    named = {(each["section"], each["setting"]) for each in document["settings"]}
    assert all(
        (section, name) in named
        for section, members in given.items()
        if section != "Logging"
        for name in members
    )
    assert all(each["here"] and each["verdict"] for each in document["settings"])


def test_a_mapping_with_a_partition_key_only_is_a_table_with_one() -> None:
    _, document = explained(str(SEEDS / "customer-password-migration.json"))
    items = document["tables"][0]["items"]
    assert items["table"] == "customer-credentials-prod"
    assert items["keys"] == [{"name": "PK", "type": "string", "template": "${PK}"}]


def test_settings_in_a_wrong_section_and_under_wrong_names_are_found() -> None:
    code, output = ran(
        "lint",
        str(SEEDS / "lakehouse_mapping.json"),
        str(SEEDS / "lakehouse_settings.json"),
        "--target",
        "s3",
    )
    assert code == 3
    assert "TargetSchema stands in FullLoadSettings" in output
    assert "did you mean 'StopTaskCachedChangesApplied'?" in output
    assert "BatchApplyEnabled with s3: DMS may lose changes" in output


def test_a_mapping_without_fault_is_no_finding(tmp_path: Path) -> None:
    rule = {
        "rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
        "object-locator": {"schema-name": "public", "table-name": "%"},
    }  # fmt: skip
    file = tmp_path / "m.json"
    file.write_text(json.dumps({"rules": [rule]}))
    assert ran("lint", str(file))[0] == 0


def test_no_json_ends_with_findings_and_a_missing_file_with_usage(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"rules": [')
    assert ran("explain", str(tmp_path / "m.json"))[0] == 3
    assert ran("explain", str(tmp_path / "none.json"))[0] == 2


@pytest.mark.parametrize("command", ["lint", "explain"])
def test_the_report_for_people_names_file_line_and_column(command: str) -> None:
    _, output = ran(command, RANGES[3])
    assert f"{RANGES[3]}:3:5" in output


def test_items_are_made_of_renamed_and_added_columns_too(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [
        include("actor"),
        transform("rename", value="given", **{"column-name": "first_name"}),
        transform("add-column", value="both", expression="$id||'-'||$first_name",
                  **{"data-type": {"type": "string", "length": 60}}),
        {"rule-type": "object-mapping", "rule-action": "map-record-to-record", "target-table-name": "actors",
         "object-locator": {"schema-name": "test", "table-name": "actor"},
         "mapping-parameters": {
             "partition-key-name": "pk", "exclude-columns": ["note", "paid"],
             "attribute-mappings": [
                 {"target-attribute-name": "pk", "attribute-type": "scalar", "attribute-sub-type": "string",
                  "value": "a#${first_name}"}]}},
    ]  # fmt: skip
    numbered = [{"rule-id": str(at), "rule-name": f"r{at}", **rule} for at, rule in enumerate(rules, 1)]
    (tmp_path / "m.json").write_text(json.dumps({"rules": numbered}))
    table = ACTOR | {"rows": [{"id": 1, "first_name": "Ann", "note": "n", "paid": 1}]}
    (tmp_path / "t.json").write_text(json.dumps({"tables": [table]}))
    code, document = explained(str(tmp_path / "m.json"), "--tables", str(tmp_path / "t.json"))
    assert code == 0
    assert document["tables"][0]["sample_items"] == [
        {"pk": {"S": "a#Ann"}, "id": {"N": "1"}, "given": {"S": "Ann"}, "both": {"S": "1-Ann"}}
    ]


def test_every_member_of_the_report_is_documented(tmp_path: Path) -> None:
    table = ACTOR | {"rows": [{"id": 1}]}
    (tmp_path / "m.json").write_text(json.dumps({"rules": [{"rule-id": "1", **include("actor")}]}))
    (tmp_path / "t.json").write_text(json.dumps({"tables": [table]}))
    _, document = explained(
        str(tmp_path / "m.json"), "--tables", str(tmp_path / "t.json"), "--target", "kafka"
    )
    text = (Path(__file__).parents[2] / "docs" / "dms.md").read_text()
    told = set(re.findall(r"`(\w+)`", text[text.index("## The report for programs") :]))
    assert {*document, *document["tables"][0], *document["tables"][0]["columns"][0]} <= told
