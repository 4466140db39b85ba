"""What a team types first: files as the API gives them, wildcards without tables, targets by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from replication_assets.cli.app import make_app
from replication_assets.dms.lint import UNKNOWN_TABLES
from replication_assets.dms.report import report
from replication_assets.dms.task import Task, read_task
from replication_assets_tests.dms.rules_text import ACTOR, include, tables_of, transform


def text_of(*rules: dict[str, Any]) -> str:
    numbered = [{"rule-id": str(at), "rule-name": str(at), **rule} for at, rule in enumerate(rules, 1)]
    return json.dumps({"rules": numbered})


def ran(folder: Path, command: str, text: str, *more: str) -> Result:
    (folder / "m.json").write_text(text)
    (folder / "t.json").write_text(json.dumps({"tables": [ACTOR]}))
    return CliRunner().invoke(make_app(plain=True), ["dms", command, str(folder / "m.json"), *more])


def codes(task: Task) -> set[str]:
    return {each.code for each in task.findings}


def test_tables_of_a_wildcard_are_never_left_out_in_silence(tmp_path: Path) -> None:
    rules = text_of(include("%"), include("actor"))
    found = ran(tmp_path, "import", rules)
    assert found.exit_code == 2
    assert "give the source's tables with --tables" in found.stderr
    assert "Table(" not in found.stdout
    assert "which tables test.% takes is not known" in ran(tmp_path, "explain", rules).stdout
    assert ran(tmp_path, "import", rules, "--tables", str(tmp_path / "t.json")).exit_code == 0
    assert UNKNOWN_TABLES not in codes(read_task({"m": rules}, tables_of(ACTOR)))


def test_a_column_that_is_kept_although_a_rule_removes_it_is_told() -> None:
    lower = transform("convert-lowercase", **{"column-name": "%"})
    removed = transform("remove-column", **{"column-name": "first_name"})
    assert "remove-gives-way" in codes(
        read_task({"m": text_of(include("actor"), lower, removed)}, tables_of(ACTOR))
    )
    assert "remove-gives-way" not in codes(
        read_task({"m": text_of(include("actor"), removed, lower)}, tables_of(ACTOR))
    )


@pytest.mark.parametrize("as_text", [True, False])
def test_tasks_are_read_as_the_api_describes_them(as_text: bool) -> None:
    settings: Any = {"FullLoadSettings": {"MaxFullLoadSubTasks": 7}}
    mappings: Any = json.loads(text_of(include("actor")))
    if as_text:
        settings, mappings = json.dumps(settings), json.dumps(mappings)
    described = {"ReplicationTasks": [{"TableMappings": mappings, "ReplicationTaskSettings": settings}]}
    task = read_task({"d.json": json.dumps(described)})
    assert list(task.grouped) == ["test.actor"]
    assert task.settings[0].value("FullLoadSettings", "MaxFullLoadSubTasks") == 7


def test_the_target_schema_is_that_of_the_tables_in_a_database(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"TargetMetadata": {"TargetSchema": "dw"}}))
    more = (str(tmp_path / "s.json"), "--tables", str(tmp_path / "t.json"), "--target", "postgres")
    found = ran(tmp_path, "import", text_of(include("actor")), *more)
    assert found.exit_code == 0, found.output
    assert 'into="dw"' in found.stdout


@pytest.mark.parametrize("command", ["lint", "explain", "import"])
def test_a_target_that_is_none_is_refused(tmp_path: Path, command: str) -> None:
    found = ran(tmp_path, command, text_of(include("actor")), "--target", "dynamo")
    assert found.exit_code == 2
    assert "dynamodb" in found.stderr


def test_a_table_whose_key_nobody_knows_becomes_no_items_and_that_is_told(tmp_path: Path) -> None:
    found = ran(tmp_path, "import", text_of(include("actor")), "--target", "dynamodb")
    assert found.exit_code == 0
    assert "has no object mapping, and goes to the lakehouse" in found.stderr


def test_a_table_without_an_object_mapping_is_items_of_its_name_by_its_key(tmp_path: Path) -> None:
    renamed = transform("rename", value="actor_id", **{"column-name": "id"})
    prefixed = transform("add-prefix", "table", value="t_")
    more = ("--tables", str(tmp_path / "t.json"), "--target", "dynamodb")
    found = ran(tmp_path, "import", text_of(include("actor"), renamed, prefixed), *more)
    assert found.exit_code == 0, found.output
    assert 'into="t_actor"' in found.stdout or '"t_actor"' in found.stdout
    table = ACTOR | {"rows": [{"id": 1, "first_name": "Ann", "paid": 2}]}
    rules = text_of(include("actor"), renamed, prefixed)
    document = report(read_task({"m": rules}, tables_of(table), target="dynamodb"))["tables"][0]
    assert document["object_mapping"] is None
    assert document["sample_items"] == [
        {"actor_id": {"N": "1"}, "first_name": {"S": "Ann"}, "paid": {"N": "2"}}
    ]
    composite = read_task({"m": rules}, tables_of(ACTOR | {"key": ["id", "first_name"]}), target="dynamodb")
    assert "no-item-key" in codes(composite)
