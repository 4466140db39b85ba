"""Files that take one table by a range each: one table with one form, whatever else the files say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replication_assets.core.range_specs import ByBounds
from replication_assets.core.row_filters import Compare, Where
from replication_assets.dms.compiling import Compiled, compile_task
from replication_assets.dms.task import read_task
from replication_assets_tests.dms.rules_text import ACTOR, include, tables_of, transform


def between(low: int, high: int, *further: dict[str, Any]) -> dict[str, Any]:
    found = {"filter-operator": "between", "start-value": str(low), "end-value": str(high)}
    mine = {"filter-type": "source", "column-name": "id", "filter-conditions": [found]}
    return include("actor", filters=[mine, *further])


NAMED: dict[str, Any] = {
    "filter-type": "source",
    "column-name": "first_name",
    "filter-conditions": [{"filter-operator": "eq", "value": "Ann"}],
}


def compiled(*files: list[dict[str, Any]]) -> tuple[Compiled, set[str]]:
    texts = {}
    for number, rules in enumerate(files):
        numbered = [{"rule-id": str(at), "rule-name": str(at), **rule} for at, rule in enumerate(rules, 1)]
        texts[f"{number}.json"] = json.dumps({"rules": numbered})
    task = read_task(texts, tables_of(ACTOR))
    found = compile_task(task, source="app", region="eu-west-1", lake="lake")
    return found, {each.code for each in (*task.findings, *found.refused) if each.severity == "error"}


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (transform("data-masking-hash-mask", **{"column-name": "first_name"}), "columns"),
        (transform("remove-column", **{"column-name": "first_name"}), "columns"),
        (transform("rename", "table", value="players"), "names"),
    ],
)
def test_files_whose_rules_differ_are_refused_whichever_comes_first(rule: dict[str, Any], what: str) -> None:
    plain, ruled = [between(1, 100)], [between(101, 200), rule]
    for files in ((plain, ruled), (ruled, plain)):
        _, errors = compiled(*files)
        assert errors == {"differing-rules"}
    _, errors = compiled([between(1, 100), rule], ruled)
    assert errors == set()


def test_a_filter_that_every_file_has_is_the_tables() -> None:
    found, errors = compiled([between(1, 100, NAMED)], [between(101, 200, NAMED)])
    assert errors == set()
    (table,) = found.tables
    assert table.id_ranges == ByBounds((101,))
    assert list(table.where) == [Where("first_name", (Compare("eq", ("Ann",)),))]


def test_a_filter_that_one_file_has_is_refused() -> None:
    _, errors = compiled([between(1, 100, NAMED)], [between(101, 200)])
    assert "not-ranges" in errors


def test_a_key_that_is_defined_is_the_one_that_must_stay() -> None:
    key = {"name": "pk", "columns": ["first_name"]}
    exactly = {"schema-name": "test", "table-name": "actor", "primary-key-def": key}
    defined = transform("define-primary-key", "table", **exactly)
    _, errors = compiled([include("actor"), defined, transform("remove-column", **{"column-name": "id"})])
    assert errors == set()
    mask = transform("data-masking-hash-mask", **{"column-name": "first_name"})
    _, errors = compiled([include("actor"), defined, mask])
    assert errors == {"not-declared"}
