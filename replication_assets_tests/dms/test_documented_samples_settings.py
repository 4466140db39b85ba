"""Samples of table settings, and what `explain` says of everything that is beside rows and columns."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication_assets.cli.app import make_app
from replication_assets.dms.report import report
from replication_assets.dms.task import read_task
from replication_assets_tests.dms.rules_text import include, tables_of, transform

SALES = {
    "schema": "HR", "name": "SALES", "key": ["SALES_NO"],
    "columns": {"SALES_NO": "int", "REGION": "varchar(10)", "DOC": "clob", "LAT": "double"},
}  # fmt: skip


NORTH = "((SALES_NO < 1000) OR ((SALES_NO = 1000) AND (REGION < 'NORTH')))"
WEST = "((SALES_NO < 3000) OR ((SALES_NO = 3000) AND (REGION < 'WEST')))"


def settings_of(**more: Any) -> dict[str, Any]:
    locator = {"schema-name": "HR", "table-name": "SALES"}
    return {
        "rule-type": "table-settings",
        "object-locator": locator,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def text_of(*rules: dict[str, Any]) -> str:
    numbered = [{"rule-id": str(at), "rule-name": f"r{at}", **rule} for at, rule in enumerate(rules, 1)]
    return json.dumps({"rules": numbered})


def explained(*rules: dict[str, Any]) -> dict[str, Any]:
    return report(read_task({"m.json": text_of(*rules)}, tables_of(SALES)))


@pytest.mark.parametrize(
    ("load", "segments"),
    [
        ({"type": "partitions-auto"}, ["partitions-auto"]),
        ({"type": "subpartitions-auto"}, ["subpartitions-auto"]),
        ({"type": "none"}, []),
        ({"type": "partitions-list", "partitions": ["ABCD", "EFGH"], "subpartitions": ["01234"]},
         ["partition ABCD", "partition EFGH", "subpartition 01234"]),
        ({"type": "partitions-auto", "number-of-partitions": "16", "batch-size": 500,
          "collection-count-from-metadata": "true", "max-records-skip-per-page": 1000000},
         ["partitions-auto"]),
        ({"type": "ranges", "columns": ["SALES_NO", "REGION"],
          "boundaries": [["1000", "NORTH"], ["3000", "WEST"]]},
         [NORTH, f"NOT {NORTH} AND {WEST}", f"NOT {WEST}"]),
    ],
)  # fmt: skip
def test_segments_of_a_parallel_load(load: dict[str, Any], segments: list[str]) -> None:
    document = explained(include("%", "HR"), settings_of(parallel_load=load))
    assert [each for each in document["findings"] if each["severity"] == "error"] == []
    assert document["tables"][0]["segments"] == segments


@pytest.mark.parametrize(
    ("columns", "code"), [(["LAT"], "segment-type"), (["DOC"], "segment-type"), (["NONE"], "unknown-column")]
)
def test_columns_that_cut_no_segments_are_refused(columns: list[str], code: str) -> None:
    load = {"type": "ranges", "columns": columns, "boundaries": [["1"]]}
    document = explained(include("%", "HR"), settings_of(parallel_load=load))
    assert code in [each["code"] for each in document["findings"] if each["severity"] == "error"]


@pytest.mark.parametrize(
    ("lobs", "mode", "size"),
    [
        ({"bulk-max-size": "100000"}, "limited", 100_000),
        ({"mode": "unlimited", "bulk-max-size": "0"}, "unlimited", 0),
        ({"mode": "unlimited", "bulk-max-size": "100000"}, "unlimited", 100_000),
        ({"mode": "none", "bulk-max-size": "100000"}, "none", 100_000),
    ],
)
def test_modes_of_large_objects(lobs: dict[str, str], mode: str, size: int) -> None:
    document = explained(include("%", "HR"), settings_of(lob_settings=lobs))
    assert document["findings"] == []
    assert document["tables"][0]["lobs"] == {"mode": mode, "bulk_max_size": size}


def told(folder: Path, *rules: dict[str, Any], endpoint: dict[str, Any] | None = None) -> str:
    (folder / "m.json").write_text(text_of(*rules))
    (folder / "t.json").write_text(json.dumps({"tables": [SALES]}))
    files = [str(folder / "m.json"), "--tables", str(folder / "t.json")]
    if endpoint is not None:
        (folder / "e.json").write_text(json.dumps({"KafkaSettings": endpoint}))
        files.append(str(folder / "e.json"))
    return CliRunner().invoke(make_app(plain=True), ["dms", "explain", *files]).stdout


def test_people_are_shown_what_is_beside_the_rows(tmp_path: Path) -> None:
    overridden = {
        "rule-type": "validation", "rule-target": "column", "rule-action": "override-validation-function",
        "object-locator": {"schema-name": "HR", "table-name": "SALES", "column-name": "REG%"},
        "source-function": "trim(${column-name})",
    }  # fmt: skip
    tags = {
        "rule-type": "post-processing", "rule-action": "add-tag",
        "object-locator": {"schema-name": "HR", "table-name": "%"},
        "tag-set": [{"key": "of", "value": "${table-name}"}],
    }  # fmt: skip
    unique = {"name": "u", "origin": "unique-index", "columns": ["REGION"]}
    shown = told(
        tmp_path,
        include("%", "HR"),
        settings_of(lob_settings={"mode": "unlimited", "bulk-max-size": "64"}),
        overridden,
        tags,
        transform("rename", "table-tablespace", value="fast", **{"schema-name": "HR"}),
        transform("define-primary-key", "table", **{
            "schema-name": "HR", "table-name": "SALES", "primary-key-def": unique}),
    )  # fmt: skip
    for line in (
        "  large objects in DMS: unlimited, 64 KB at once; here whole",
        "  validation of REGION in DMS: source trim(${column-name})",
        "  tags in S3 in DMS: of=SALES",
        "  table-tablespace in DMS: fast",
        "  key: REGION (unique index u)",
    ):
        assert line in shown.splitlines()
    assert "here its columns are the key by which rows are found" in shown


def test_people_are_shown_the_settings_of_the_endpoint_of_topics(tmp_path: Path) -> None:
    endpoint = {"Broker": "b-1.example.com:9096", "Topic": "changes", "SaslPassword": "hidden"}
    shown = told(tmp_path, include("%", "HR"), endpoint=endpoint)
    assert {"endpoint", "  brokers: b-1.example.com:9096", "  topic: changes"} <= set(shown.splitlines())
    assert "hidden" not in shown


def test_rules_that_give_way_in_many_columns_are_one_line(tmp_path: Path) -> None:
    lower, upper = (transform(f"convert-{case}case", **{"column-name": "%"}) for case in ("lower", "upper"))
    lines = told(tmp_path, include("%", "HR"), lower, upper).splitlines()
    named = ", ".join(f"column HR.SALES.{name}" for name in ("SALES_NO", "REGION", "DOC"))
    assert [each for each in lines if each.startswith("  rule 3")] == [
        f"  rule 3 (convert-uppercase) of {named} and 1 more: rule 2 wins"
    ]
