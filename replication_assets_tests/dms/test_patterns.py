"""Wildcards of object locators."""

import pytest

from replication_assets.dms.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("%", "", True),
        ("Act%", "Actor", True),
        ("act%", "Actor", False),
        ("_ctor", "Actor", True),
        ("a_b", "axb", True),
        ("a[_]b", "axb", False),
        ("a[_]b", "a_b", True),
        ("[ab]1", "b1", True),
        ("[ab]1", "c1", False),
        ("[a-d]%", "dog", True),
        ("[a-d]%", "eel", False),
        ("a.c", "abc", False),
        ("a\nb%", "a\nbc\nd", True),
        ("x[", "x[", True),
    ],
)
def test_a_wildcard_matches_as_documented(pattern: str, name: str, matches: bool) -> None:
    assert Pattern(pattern).matches(name) is matches


def test_an_escape_character_makes_a_wildcard_an_ordinary_letter() -> None:
    assert Pattern("TEST#_T%", "#").matches("TEST_TABLE")
    assert not Pattern("TEST#_T%", "#").matches("TESTXTABLE")


def test_a_name_without_wildcards_is_exact_and_an_underscore_is_a_letter_of_names() -> None:
    assert Pattern("order_events").exact
    assert not Pattern("order%").exact
    assert Pattern("order#%", "#").exact


def test_a_set_that_is_not_closed_is_a_problem() -> None:
    assert Pattern("a[b").problem() is not None
    assert Pattern("a[d-a]").problem() is not None
    assert Pattern("a[b]").problem() is None
