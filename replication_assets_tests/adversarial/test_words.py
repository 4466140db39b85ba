"""Rules that meet what they cannot mask, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from replication_assets.core.masking.rules import (
    DigitsId,
    FreeText,
    IntegerId,
    JsonPaths,
    Keep,
    PythonRule,
    RegexReplace,
    Token,
    UuidId,
    XmlPaths,
)
from replication_assets.errors import GuardError, PolicyError, VerificationFailed
from replication_assets_tests.adversarial.vault import Attack, canaries_in

FUNCTIONS = "replication_assets_tests.adversarial.functions"


def papers(attack: Attack, **rules: tuple[str, Any]) -> Attack:
    return attack.on("papers").ruled("papers", **rules)


def function(name: str, output: str = r"m\d+") -> tuple[str, Any]:
    return ("pii.text", PythonRule(f"{FUNCTIONS}:{name}", output))


FAILING = {
    "digits of a text with letters": ("digits", ("pii.id", DigitsId("ssn")), "6 rows hold letters"),
    "integers beyond their namespace": ("big", ("pii.id", IntegerId("small")), "6 rows"),
    "a function that gives its input": ("text", function("as_it_was", ".*"), "left 6 values as they are"),
    "a function that gives one input": ("text", function("one_as_it_was", ".*"), "left 1 values as they are"),
    "a function that gives too few": ("text", function("too_few"), "gave 5 values for 6"),
    "a function that raises with values": ("text", function("raising"), "raised ValueError at line"),
    "a function beside its own pattern": ("text", function("shouting"), "its output pattern"),
}


@pytest.mark.parametrize("case", FAILING)
def test_rows_that_a_rule_cannot_mask_stop_the_mask_and_are_not_quoted(attack: Attack, case: str) -> None:
    column, rule, words = FAILING[case]
    there = papers(attack, **{column: rule})
    there.refused(GuardError, words, there.run)
    assert there.staged() == []


def test_texts_for_a_rule_of_uuids_are_refused_without_them(attack: Attack) -> None:
    there = attack.on("visits", "people").ruled("people", note=("pii.id", UuidId("person")))
    there.refused((PolicyError, GuardError), "note", there.run)  # type: ignore[arg-type]


def test_a_function_that_only_changes_the_case_is_found_by_the_raw_values_and_dropped(attack: Attack) -> None:
    there = papers(attack, text=function("shouting", "[A-Z0-9 ]+"))
    there.refused(VerificationFailed, "raw values occur: 6 in app.public.papers.text", there.run)
    assert not there.published()


def test_what_a_function_prints_is_in_no_record_of_the_refresh(
    attack: Attack, capfd: pytest.CaptureFixture[str]
) -> None:
    """The terminal of the trust zone of production has it; the target, the staging and the audit not."""
    there = papers(attack, text=function("printing"))
    there.run()
    assert canaries_in(capfd.readouterr().out) != []
    assert there.sql("SELECT count(*) FROM papers WHERE text ~ '^m[0-9]$'") == [(6,)]


def test_a_pattern_without_a_match_gives_the_text_for_others_never_the_input(attack: Attack) -> None:
    there = papers(attack, text=("pii.text", RegexReplace("never-there", "x", otherwise="gone")))
    there.run()
    assert there.sql("SELECT DISTINCT text FROM papers") == [("gone",)]


PATHS: dict[str, dict[str, Any]] = {
    "nothing named": {},
    "objects and arrays where texts were named": {
        "$.plan": Keep(),
        "$.mail": FreeText(),
        "$.list[*]": Token("t"),
        "$.list[*][*]": Token("t"),
        "$.list[*].deep": Token("t"),
    },
}


@pytest.mark.parametrize("case", PATHS)
def test_what_no_path_of_a_document_names_does_not_arrive(attack: Attack, case: str) -> None:
    there = papers(attack, doc=("pii.json", JsonPaths(PATHS[case])))
    there.run()
    assert there.sql("SELECT count(*) FROM papers WHERE doc IS NOT NULL") == [(6,)]


def test_comments_attributes_and_instructions_of_xml_do_not_arrive(attack: Attack) -> None:
    there = papers(attack, xml=("pii.xml", XmlPaths({"/r/k": Keep(), "/r/m": Token("t")})))
    there.run()
    for (document,) in there.sql("SELECT xml FROM papers"):
        assert "<k>kept</k>" in document
        assert "<!--" not in document
        assert "<?" not in document
