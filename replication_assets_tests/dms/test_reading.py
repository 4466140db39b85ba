"""Documented rules in their shorter forms, and what is told of those that say too little."""

from typing import Any

import pytest

from replication_assets.dms.applying import apply_mapping
from replication_assets.dms.rules import LobSettings
from replication_assets_tests.dms.rules_text import (
    ACTOR,
    include,
    mapping_of,
    outcome_of,
    tables_of,
    transform,
)


def settings_of(**members: Any) -> dict[str, Any]:
    locator = {"schema-name": "test", "table-name": "actor"}
    return {"rule-type": "table-settings", "object-locator": locator, **members}


def only(column: str, value: object, operator: str = "gte") -> dict[str, Any]:
    condition = {"filter-operator": operator, "value": value}
    return {"filter-type": "source", "column-name": column, "filter-conditions": [condition]}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"bulk-max-size": "100000"}, LobSettings("limited", 100_000)),
        ({"mode": "limited", "bulk-max-size": 16}, LobSettings("limited", 16)),
        ({"mode": "unlimited", "bulk-max-size": "0"}, LobSettings("unlimited", 0)),
        ({"mode": "none", "bulk-max-size": "100000"}, LobSettings("none", 100_000)),
    ],
)
def test_large_objects_are_limited_unless_another_mode_is_said(
    given: dict[str, Any], read: LobSettings
) -> None:
    mapping = mapping_of(settings_of(**{"lob-settings": given}))
    assert mapping.findings == ()
    assert mapping.table_settings[0].lobs == read


def test_limited_large_objects_need_a_size() -> None:
    mapping = mapping_of(settings_of(**{"lob-settings": {"mode": "limited", "bulk-max-size": "0"}}))
    assert [each.code for each in mapping.findings] == ["missing-member"]


@pytest.mark.parametrize(
    "rule",
    [
        transform("rename", "table", value=None, **{"table-name": "actor"}),
        transform("replace-prefix", "table", value="a", **{"old-value": None}),
        transform("change-data-type", **{"column-name": "id", "data-type": None}),
    ],
)
def test_a_member_that_is_needed_and_null_is_missing(rule: dict[str, Any]) -> None:
    assert "missing-member" in {each.code for each in mapping_of(rule).findings}


@pytest.mark.parametrize("value", [None, "", "##", " ", "é", "\n"])
def test_digits_are_masked_with_one_printable_letter(value: str | None) -> None:
    rule = transform("data-masking-digits-mask", value=value, **{"column-name": "first_name"})
    mapping = mapping_of(rule)
    assert [each.severity for each in mapping.findings] == ["error"]
    assert mapping.transformations == ()


def test_numbers_and_truths_are_texts_of_filters() -> None:
    mapping = mapping_of(include("actor", filters=[only("id", 5), only("old", True, "eq")]))
    assert [c.values for f in mapping.selections[0].filters for c in f.conditions] == [("5",), ("true",)]


def test_a_set_of_one_letter_is_that_letter_and_the_name_is_exact() -> None:
    outcome = apply_mapping(mapping_of(include("a[_]b", "dms[_]x", action="explicit")), None)
    assert [str(each.source) for each in outcome.tables] == ["dms_x.a_b"]
    taken = ACTOR | {"schema": "dms_x", "name": "a_b"}
    assert outcome_of(include("a[_]b", "dms[_]x"), tables=(taken, taken | {"name": "axb"})).left_out


def test_the_exact_name_decides_over_a_wildcard_and_its_filters_are_applied() -> None:
    narrow = include("actor", filters=[only("id", "100")]) | {"load-order": 7}
    outcome = outcome_of(include("%"), narrow, tables=(ACTOR, ACTOR | {"name": "film"}))
    first, second = outcome.tables
    assert (first.source.name, first.selected_by, first.load_order) == ("actor", "2", 7)
    assert [each.column for each in first.filters] == ["id"]
    assert second.filters == ()
    assert [(each.code, each.severity) for each in outcome.findings] == [("ambiguous-filters", "warning")]


def test_two_wildcards_with_other_filters_are_refused() -> None:
    mapping = mapping_of(include("a%", filters=[only("id", "1")]), include("%r", filters=[only("id", "2")]))
    outcome = apply_mapping(mapping, tables_of(ACTOR))
    assert [(each.code, each.severity) for each in outcome.findings] == [("ambiguous-filters", "error")]
