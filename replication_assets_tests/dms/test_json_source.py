"""JSON with places: what is wrong is told with its line and column, and all of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import parse_json, plain


def told(text: str) -> list[str]:
    findings = Findings()
    parse_json(text, "f", findings)
    return [f"{each.place.line}:{each.place.column} {each.code}" for each in findings.listed()]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_json_is_read_as_the_standard_library_reads_it(document: object) -> None:
    for text in (json.dumps(document, indent=1), json.dumps(document, ensure_ascii=False)):
        findings = Findings()
        node = parse_json(text, "f", findings)
        assert list(findings) == []
        assert node is not None
        assert plain(node) == json.loads(text)


def test_numbers_keep_their_digits() -> None:
    node = parse_json('{"a": 1.50, "b": -12e3}', "f", Findings())
    assert node is not None
    assert plain(node) == {"a": "1.50", "b": "-12e3"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": 1,\n "b": 2,}', ["2:8 json-comma"]),
        ('{"a": [1\n "x"]}', ["2:2 json-comma"]),
        ('{"a": 1 // why\n}', ["1:9 json-comment"]),
        ('{"a": 1, "a": 2}', ["1:10 json-duplicate"]),
        ('{"a": True}', ["1:7 json-word"]),
        ('\ufeff{"a": 1}', ["1:1 json-bom"]),
        ('{"a": 1} x', ["1:10 json-trailing"]),
        ('{"a": \n', ["2:1 json-syntax"]),
        ("", ["1:1 json-syntax"]),
        ('{"a": "b\n"}', ["1:7 json-control"]),
        ('{"a": "b\n, "c": 1}', ["1:7 json-syntax"]),
        ('{"a" 1}', ["1:6 json-syntax"]),
        ("{'a': 1}", ["1:2 json-syntax"]),
    ],
)
def test_what_is_no_json_is_told_with_its_place(text: str, where: list[str]) -> None:
    assert told(text) == where


def test_all_that_can_be_read_over_is_told_at_once() -> None:
    assert told('{"a": [1, 2,],\n// c\n"b": {"c": 1,}\n"d": TRUE}') == [
        "1:12 json-comma",
        "2:1 json-comment",
        "3:13 json-comma",
        "4:1 json-comma",
        "4:6 json-word",
    ]


def test_brackets_without_end_are_refused_and_not_followed() -> None:
    assert told("[" * 5000) == ["1:102 json-syntax"]
