"""JSON, XML and arrays as DynamoDB values, and what is refused of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.items.canonical import value_size
from replication_assets.core.items.documents import (
    array_elements,
    from_json,
    number_set,
    string_set,
)
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.spec import Attribute
from replication_assets.core.items.xml_documents import from_xml, parsed
from replication_assets.errors import CatalogError
from replication_assets_tests.core.items.tables import SCHEMA, converted, only, reasons

NAMES = st.text(min_size=1, max_size=8).filter(lambda name: not any("\ud800" <= c <= "\udfff" for c in name))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**37), 10**37) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


def plain(value: dict[str, Any]) -> Any:
    """The obvious inverse: a DynamoDB value as a JSON document."""
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content)
    if kind == "L":
        return [plain(each) for each in content]
    if kind == "M":
        return {name: plain(each) for name, each in content.items()}
    return None if kind == "NULL" else content


@given(DOCUMENTS, st.booleans())
def test_a_json_document_comes_back_from_its_value(document: Any, ascii_only: bool) -> None:
    value = from_json(json.dumps(document, ensure_ascii=ascii_only), 0)
    assert plain(json.loads(value.text)) == document
    assert value.size == value_size(json.loads(value.text))


@given(DOCUMENTS)
def test_the_order_and_layout_of_a_json_document_do_not_show(document: Any) -> None:
    assert from_json(json.dumps(document, indent=2), 0) == from_json(json.dumps(document, sort_keys=True), 0)


def test_numbers_of_a_json_document_are_exact() -> None:
    text = "[0.1, 1.10, 12345678901234567890.123456789, 1E+3, -0.0]"
    values = json.loads(from_json(text, 0).text)["L"]
    assert [each["N"] for each in values] == ["0.1", "1.1", "12345678901234567890.123456789", "1000", "0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "malformed-json"),
        ("{", "malformed-json"),
        ("{'a': 1}", "malformed-json"),
        ("[1] [2]", "malformed-json"),
        ("\ufeff[1]", "malformed-json"),
        ("[NaN]", "malformed-json"),
        ("[-Infinity]", "malformed-json"),
        ('"\\ud800"', "malformed-json"),
        ('{"\\udfff": 1}', "malformed-json"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "duplicate-name"),
        ('{"": 1}', "empty-name"),
        ("[" * 32 + "]" * 32, "too-deep"),
        ("[" * 100_000, "too-deep"),
        ("[" + "1" * 39 + "]", "number-too-precise"),
        ("[1e400]", "number-out-of-range"),
    ],
)
def test_a_json_document_that_no_value_can_hold_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotStorable) as raised:
        from_json(text, 0)
    assert raised.value.reason == reason


def test_a_document_inside_a_map_has_one_level_less() -> None:
    deepest = "[" * 31 + "1" + "]" * 31
    assert from_json(deepest, 0).text.count("L") == 31
    with pytest.raises(NotStorable, match="too-deep"):
        from_json(deepest, 1)


# --- XML -------------------------------------------------------------------------------


def test_xml_becomes_a_map_by_the_documented_convention() -> None:
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><!-- note --><order id="7" xmlns:x="urn:x">\n'
        "  <x:line>a &amp; b</x:line>\n  <x:line n='2'> c </x:line><note/>"
        "<![CDATA[ <free> ]]><?php x?> text é</order>"
    )
    assert parsed(text) == {
        "order": {
            "@id": "7",
            "@xmlns:x": "urn:x",
            "x:line": ["a & b", {"@n": "2", "#text": " c "}],
            "note": "",
            "#text": "\n  \n   <free>  text é",
        }
    }


def test_blanks_of_a_leaf_are_kept_and_blanks_between_children_dropped() -> None:
    assert parsed("<a> <b>  </b> <c>\n</c> </a>") == {"a": {"b": "  ", "c": "\n"}}


def test_one_child_is_no_list_and_three_are_one() -> None:
    assert parsed("<a><b>1</b></a>") == {"a": {"b": "1"}}
    assert parsed("<a><b>1</b><c/><b/><b><d/></b></a>") == {"a": {"b": ["1", "", {"d": ""}], "c": ""}}


LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><lolz>&c;</lolz>'
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "malformed-xml"),
        ("text", "malformed-xml"),
        ("<a>", "malformed-xml"),
        ("<a></b>", "malformed-xml"),
        ("<a/><b/>", "malformed-xml"),
        ("<a>&nbsp;</a>", "malformed-xml"),
        ("<a>\x00</a>", "malformed-xml"),
        ("<a b='1' b='2'/>", "malformed-xml"),
        (LAUGHS, "xml-entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "xml-entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "xml-entities"),
        ("<!DOCTYPE a><a/>", "xml-entities"),
        ("<a>" * 32 + "</a>" * 32, "too-deep"),
        ("<a>" * 100_000, "too-deep"),
    ],
)
def test_xml_that_is_malformed_or_defines_entities_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotStorable) as raised:
        from_xml(text, 0)
    assert raised.value.reason == reason


def test_xml_of_31_elements_inside_each_other_is_as_deep_as_an_item_can_be() -> None:
    text = "<a>" * 31 + "x" + "</a>" * 31
    assert from_xml(text, 0).text.count('"M"') == 31
    with pytest.raises(NotStorable, match="too-deep"):
        from_xml(text, 1)


# --- arrays ----------------------------------------------------------------------------


def array_text(elements: list[Any]) -> str:
    """As PostgreSQL prints an array of texts: everything that could be misread is quoted."""
    printed = []
    for each in elements:
        if isinstance(each, list):
            printed.append(array_text(each))
        elif each is None:
            printed.append("NULL")
        elif not each or each.upper() == "NULL" or any(c in '{}",\\' or c.isspace() for c in each):
            printed.append('"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"')
        else:
            printed.append(each)
    return "{" + ",".join(printed) + "}"


@given(st.lists(st.none() | TEXTS, max_size=6))
def test_an_array_of_texts_comes_back_from_its_output_form(elements: list[str | None]) -> None:
    assert array_elements(array_text(elements)) == elements
    assert array_elements(json.dumps(elements)) == elements


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("{}", []),
        ("{{1,2},{3,4}}", [["1", "2"], ["3", "4"]]),
        ("[0:1]={a,b}", ["a", "b"]),
        ("[1:1][-2:-1]={{a,b}}", [["a", "b"]]),
        ('{"NULL",null}', ["NULL", None]),
        ("[]", []),
    ],
)
def test_forms_of_arrays_are_read(text: str, elements: list[Any]) -> None:
    assert array_elements(text) == elements


@pytest.mark.parametrize(
    "text", ["", "a", "{", "}", "{a", "{a,}", "{,a}", "{a}{b}", "{{a}{b}}", '{"a}', "{a},", "[1", "{}}", "7"]
)
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(NotStorable, match="malformed-array"):
        array_elements(text)


def test_sets_have_each_member_once_and_in_order() -> None:
    values = [string_set('{b,a,b,""}', 0), number_set("{10,9,1.0,1}", 0)]
    assert [value.text for value in values if value] == ['{"SS":["","a","b"]}', '{"NS":["1","10","9"]}']
    assert string_set("{}", 0) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{NULL}", "null-in-set"), ("{{1}}", "not-a-scalar"), ("{x}", "not-a-number"), ("{NaN}", "not-finite")],
)
def test_members_that_no_set_can_have_are_refused(text: str, reason: str) -> None:
    with pytest.raises(NotStorable) as raised:
        number_set(text, 0)
    assert raised.value.reason == reason


# --- selected parts --------------------------------------------------------------------------

SHEET = '<order id="7"><line w="1"><sku>a</sku></line><line w="2"/><secret>s</secret></order>'


def test_items_keep_the_selected_parts_of_documents_as_maps_and_lists() -> None:
    items = only(
        "doc",
        "sheet",
        select={"sheet": ["/order/@id", "/order/line"], "doc": ["$.n", "$.inner[*].x"]},
        attributes=[Attribute("copy", "${name}", type="json")],
    )
    row = {"doc": '{"n":0.10,"inner":[{"x":1,"y":2},{"y":3}],"z":1}', "sheet": SHEET, "name": "[1]"}
    (item,) = converted(items, row).items.column("item").to_pylist()
    found = {name: value for name, value in json.loads(item).items() if name != "pk"}
    assert found == {
        "doc": {"M": {"n": {"N": "0.1"}, "inner": {"L": [{"M": {"x": {"N": "1"}}}]}}},
        "sheet": {
            "M": {
                "order": {
                    "M": {
                        "@id": {"S": "7"},
                        "line": {
                            "L": [{"M": {"@w": {"S": "1"}, "sku": {"S": "a"}}}, {"M": {"@w": {"S": "2"}}}]
                        },
                    }
                }
            }
        },
        "copy": {"L": [{"N": "1"}]},
    }


def test_refused_documents_are_told_in_the_words_of_the_parser_and_their_rows_stay() -> None:
    done = converted(only("doc", "sheet"), {"sheet": "<a><b></a>", "doc": '{"a": secret}'})
    assert reasons(done) == [("doc", "malformed-json"), ("sheet", "malformed-xml")]
    assert [refusal.detail for refusal in done.refusals] == [
        "attribute doc from doc: Expecting value at line 1, column 7",
        "attribute sheet from sheet: mismatched tag at line 1, column 9",
    ]
    (item,) = done.items.column("item").to_pylist()
    assert list(json.loads(item)) == ["pk"]


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ({"nope": ["/a"]}, "select 'nope' is no column of the table"),
        ({"name": ["/a"]}, "select 'name' is of a column that is no document"),
        ({"sheet": ["a"]}, "select 'a' is no path of XML"),
        ({"doc": ["/a"]}, "select '/a' is no path of JSON"),
    ],
)
def test_a_selection_that_does_not_fit_is_told(select: dict[str, list[str]], told: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(told)):
        ItemMapping(only("doc", "sheet", "name", select=select), SCHEMA)
