"""Rules are read with everything that is wrong with them, strictly where DMS is."""

from typing import Any

import pytest

from replication_assets.dms.mapping import read_mapping
from replication_assets_tests.dms.rules_text import include, mapping_of, transform


def codes(*rules: dict[str, Any]) -> set[str]:
    return {each.code for each in mapping_of(*rules).findings if each.severity != "note"}


def test_a_selection_rule_is_read_with_numbers_as_texts_or_not() -> None:
    (rule,) = mapping_of(include("actor", **{"load-order": "2"})).selections
    assert (rule.id, rule.action, rule.load_order, str(rule.locator)) == ("1", "include", 2, "test.actor")
    assert rule.locator.table_type == "table"


def test_words_in_another_case_are_taken_and_told() -> None:
    mapping = mapping_of(include("v", locator={"table-type": "VIEW"}))
    assert mapping.selections[0].locator.table_type == "view"
    assert [(each.severity, each.code) for each in mapping.findings] == [("note", "spelled-otherwise")]


def test_all_problems_of_all_rules_are_told_at_once_with_line_and_column() -> None:
    text = """{"rules": [
  {"rule-type": "selection", "rule-id": "1", "rule-action": "includes",
   "object-locator": {"schema-name": "a"}},
  {"rule-type": "transformations", "rule-id": "2"},
  {"rule-type": "transformation", "rule-id": "3", "rule-target": "table", "rule-action": "remove-column",
   "object-locator": {"schema-name": "a", "table-name": "b"}, "valeu": "x"}
]}"""
    told = [(each.place.line, each.code) for each in read_mapping(text, "m.json").findings]
    assert told == [
        (2, "unknown-word"),
        (3, "missing-member"),
        (4, "unknown-word"),
        (5, "wrong-target"),
        (6, "unknown-member"),
    ]


def test_an_unknown_word_is_told_with_what_was_meant() -> None:
    found = [each for each in mapping_of(include(action="inculde")).findings if each.code == "unknown-word"]
    assert found[0].fix == "did you mean 'include'?"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (include("act%", action="explicit"), "wildcard-not-allowed"),
        (include("t", action="exclude", filters=[_ := {
            "filter-type": "source", "column-name": "id",
            "filter-conditions": [{"filter-operator": "null"}]}]), "filters-of-exclude"),
        (transform("rename", **{"table-name": "t", "column-name": "c"}), "missing-member"),
        (transform("replace-prefix", **{"column-name": "%"}, value="x"), "missing-member"),
        (transform("change-data-type", **{"column-name": "c"}), "missing-member"),
        (transform("change-data-type", **{"column-name": "c", "data-type": {"type": "txt"}}), "unknown-word"),
        (transform("define-primary-key", "table", **{"primary-key-def": {"name": "k", "columns": ["a"]}}),
         "wildcard-not-allowed"),
        (transform("add-column", value="x", expression="uper($a)", **{"data-type": {"type": "string"}}),
         "bad-expression"),
        (transform("add-column", value="x", expression="random()", **{"data-type": {"type": "int8"}}),
         "unstable-expression"),
        (transform("add-before-image-columns", **{"before-image-def": {"column-prefix": ""}}), "no-affix"),
        ({"rule-type": "table-settings", "object-locator": {"schema-name": "a", "table-name": "%"}},
         "wildcard-not-allowed"),
        ({"rule-type": "table-settings", "object-locator": {"schema-name": "a", "table-name": "b"},
          "parallel-load": {"type": "ranges", "columns": ["a", "b"], "boundaries": [["1"]]}}, "bad-boundary"),
        ({"rule-type": "table-settings", "object-locator": {"schema-name": "a", "table-name": "b"},
          "parallel-load": {"type": "partitions-list"}}, "missing-member"),
        ({"rule-type": "table-settings", "object-locator": {"schema-name": "a", "table-name": "b"},
          "lob-settings": {"mode": "limited"}}, "missing-member"),
        ({"rule-type": "object-mapping", "rule-action": "map-record-to-record",
          "object-locator": {"schema-name": "a", "table-name": "b"},
          "mapping-parameters": {"partition-key-type": "constant"}}, "missing-member"),
        ({"rule-type": "validation", "rule-target": "column", "rule-action": "override-validation-function",
          "object-locator": {"schema-name": "a", "table-name": "b", "column-name": "c"}}, "missing-member"),
        ({"rule-type": "post-processing", "rule-action": "add-tag",
          "object-locator": {"schema-name": "a", "table-name": "b"}}, "missing-member"),
        (include("a*"), "shell-wildcard"),
        (include("a["), "bad-wildcard"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_honoured_is_told(rule: dict[str, Any], code: str) -> None:
    assert code in codes(rule)


def test_every_action_and_target_of_the_documentation_is_read() -> None:
    affixes = [
        transform(action, target, value="x_", **{"old-value": "y_"} if "replace" in action else {},
                  **({"column-name": "%"} if target == "column" else {}))
        for affix in ("prefix", "suffix")
        for action in (f"add-{affix}", f"remove-{affix}", f"replace-{affix}")
        for target in ("schema", "table", "column")
    ]  # fmt: skip
    cased = [
        transform(action, target, **({"column-name": "%"} if target == "column" else {}))
        for action in ("convert-lowercase", "convert-uppercase")
        for target in ("schema", "table", "column")
    ]
    others = [
        transform("remove-column", **{"column-name": "a"}),
        transform("include-column", **{"column-name": "a"}),
        transform("data-masking-hash-mask", **{"column-name": "a"}),
        transform("data-masking-digits-mask", **{"column-name": "a"}, value="#"),
        transform("data-masking-digits-randomize", **{"column-name": "a"}),
        transform("add-before-image-columns", **{"before-image-def": {"column-filter": "all"}}),
    ]
    mapping = mapping_of(*affixes, *cased, *others)
    assert [each for each in mapping.findings if each.severity == "error"] == []
    assert len(mapping.transformations) == len(affixes) + len(cased) + len(others)


def test_a_list_of_rules_alone_is_told_and_read() -> None:
    mapping = read_mapping('[{"rule-type": "selection"}]', "m.json")
    assert mapping.findings[0].code == "no-rules"


def test_what_is_no_json_at_all_leaves_no_rules() -> None:
    mapping = read_mapping("rules: []", "m.json")
    assert mapping.rules == ()
    assert [each.severity for each in mapping.findings] == ["error"]
