"""Columns of documents as JSON: exact, in one spelling, by paths; hostile ones are refused, in words."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.documents import columns as module
from replication_assets.core.documents.columns import DocumentColumns, fingerprint
from replication_assets.core.documents.spec import Document, document_problems
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import CatalogError

TABLE = "shop.public.orders"
SCHEMA = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        Column("body", "xml", pa.string(), False),
        Column("note", "text", pa.string()),
        Column("total", "numeric(9,2)", pa.decimal128(9, 2)),
    ),
    ("id",),
)
LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><l>&c;</l>'
)


def columns(**declared: Any) -> DocumentColumns:
    return DocumentColumns.of([Document(TABLE, "body", **declared)], SCHEMA, "test")


def rows(*bodies: str | None) -> pa.RecordBatch:
    filled = [
        {
            "id": at,
            "body": body,
            "note": f"note {at}",
            "_epoch": 1,
            "_commit_position": 7,
            "_sequence": at,
        }
        for at, body in enumerate(bodies)
    ]
    return pa.Table.from_pylist(filled, schema=row_schema(SCHEMA)).to_batches()[0]


def one(body: str, **declared: Any) -> str | None:
    """The JSON of a document; None if it is refused."""
    done, _ = columns(**declared).convert(rows(body))
    text: str | None = done.column("body")[0].as_py()
    return text


def refusal(body: str, **declared: Any) -> tuple[str, str]:
    done, refusals = columns(**declared).convert(rows(body))
    assert done.column("body")[0].as_py() is None
    assert [each.column for each in refusals] == ["body"]
    return refusals[0].reason, refusals[0].detail


# --- round trips ----------------------------------------------------------------------------

LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
TEXTS = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text == text.strip() and text)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,6}", fullmatch=True).filter(
    lambda name: not name.lower().startswith("xml")
)
ELEMENTS: st.SearchStrategy[Any] = st.recursive(
    TEXTS,
    lambda inner: st.fixed_dictionaries({}, optional={"#text": TEXTS}).flatmap(
        lambda text: st.tuples(
            st.dictionaries(NAMES.map(lambda name: f"@{name}"), TEXTS, max_size=2),
            st.dictionaries(NAMES, inner | st.lists(inner, min_size=2, max_size=3), min_size=1, max_size=3),
        ).map(lambda parts: {**parts[0], **parts[1], **text})
    ),
    max_leaves=5,
)


def as_xml(name: str, value: Any) -> str:
    """The obvious inverse of the documented rules."""
    if isinstance(value, str):
        return f"<{name}>{escape(value)}</{name}>"
    attributes = "".join(f" {k[1:]}={quoteattr(v)}" for k, v in value.items() if k.startswith("@"))
    children = "".join(
        as_xml(k, each)
        for k, v in value.items()
        if not k.startswith(("@", "#"))
        for each in (v if isinstance(v, list) else [v])
    )
    return f"<{name}{attributes}>{escape(value.get('#text', ''))}{children}</{name}>"


@given(NAMES, ELEMENTS)
def test_an_xml_document_becomes_the_json_that_it_was_made_from(name: str, value: Any) -> None:
    text = one(as_xml(name, value))
    assert text is not None
    assert json.loads(text) == {name: value}


JSONS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, min_size=1), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSONS)
def test_a_json_document_stays_itself_in_one_spelling(value: Any) -> None:
    text = one(json.dumps(value, indent=3), format="json")
    assert text == one(json.dumps(value, ensure_ascii=False, sort_keys=True), format="json")
    assert text is not None
    assert json.loads(text) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_of_json_keep_every_digit(number: Decimal) -> None:
    assert one(f'{{"n":{number}}}', format="json") == f'{{"n":{number}}}'


def test_cdata_namespaces_mixed_text_and_repeated_elements_follow_the_rules() -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-16"?><o xmlns="urn:o" xmlns:x="urn:x" id="7"><!-- no --><?do it?>'
        "<x:l>1.10</x:l><x:l n='2'><![CDATA[<b> & c]]></x:l><p>some <b>bold</b> text</p><e/></o>"
    )
    assert json.loads(one(body) or "") == {
        "o": {
            "@xmlns": "urn:o",
            "@xmlns:x": "urn:x",
            "@id": "7",
            "x:l": ["1.10", {"@n": "2", "#text": "<b> & c"}],
            "p": {"#text": "some  text", "b": "bold"},
            "e": "",
        }
    }


# --- selected parts -------------------------------------------------------------------------

ORDER = (
    '<order id="7"><line w="1"><sku>a</sku><qty>1</qty></line><line w="2"/>'
    '<note lang="en">n</note><c>x</c></order>'
)


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        (["/order/@id"], {"order": {"@id": "7"}}),
        (["/order/line/sku"], {"order": {"line": [{"sku": "a"}]}}),
        (["/order/line/@w"], {"order": {"line": [{"@w": "1"}, {"@w": "2"}]}}),
        (["/order/note/text()", "/order/c/text()"], {"order": {"note": {"#text": "n"}, "c": "x"}}),
        (["/order/note", "/order/absent"], {"order": {"note": {"@lang": "en", "#text": "n"}}}),
        (["/other"], {}),
        (["/order/c/deeper"], {}),
    ],
)
def test_of_xml_the_named_parts_are_kept(paths: list[str], kept: Any) -> None:
    assert json.loads(one(ORDER, select=paths) or "") == kept


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        (["$.plan"], {"plan": None}),
        (["$.emails[*].to", "$.a.b"], {"emails": [{"to": 1}, {"to": 2.50}], "a": {"b": []}}),
        (["$['odd name']"], {"odd name": True}),
        (["$"], None),
        (["$.plan.inner", "$.nothing"], {}),
    ],
)
def test_of_json_the_named_parts_are_kept(paths: list[str], kept: Any) -> None:
    document = (
        '{"plan":null,"emails":[{"to":1,"x":0},{"x":1},{"to":2.50}],"odd name":true,"a":{"b":[],"c":0}}'
    )
    found = json.loads(one(document, format="json", select=paths) or "")
    assert found == (kept if kept is not None else json.loads(document))


@settings(max_examples=15)
@given(ELEMENTS)
def test_a_selection_of_the_root_is_the_whole_document(value: Any) -> None:
    body = as_xml("r", value)
    assert one(body, select=["/r"]) == one(body)


# --- refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ("<a><b></a>", "malformed-xml", "mismatched tag at line 1, column 9"),
        ("<a>\n&secret;</a>", "malformed-xml", "undefined entity at line 2, column 1"),
        ("", "malformed-xml", "no element found at line 1, column 1"),
        ("<a>s\x00ecret</a>", "malformed-xml", "not well-formed (invalid token) at line 1, column 5"),
        ("<a>&#0;</a>", "malformed-xml", "reference to invalid character number at line 1, column 4"),
        ("<a/>secret", "malformed-xml", "junk after document element at line 1, column 5"),
        ('<a secret="1" secret="2"/>', "malformed-xml", "duplicate attribute at line 1, column 15"),
        (LAUGHS, "xml-entities", "a document type declaration, which could define entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "xml-entities", "a document type declaration"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "http://h/x">]><a>&x;</a>', "xml-entities", "a document type"),
        ("<a>" * 70 + "</a>" * 70, "too-deep", "levels of values inside each other"),
        ("<a>" * 200_000, "too-deep", "levels"),
    ],
)
def test_hostile_and_broken_xml_is_refused_in_the_words_of_the_parser(
    body: str, reason: str, words: str
) -> None:
    found, detail = refusal(body)
    assert found == reason
    assert words in detail
    assert "secret" not in detail


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ('{"a": secret}', "malformed-json", "Expecting value at line 1, column 7"),
        ('{"a": 1,\n"b" 2}', "malformed-json", "Expecting"),
        ('["\\secret"]', "malformed-json", "Invalid"),
        ('["a\nb"]', "malformed-json", "Invalid control character at line 1, column 4"),
        ("[NaN]", "malformed-json", "NaN and infinity are not JSON"),
        ('["\\ud800"]', "malformed-json", "half a surrogate pair"),
        ('{"a":1,"a":2}', "duplicate-name", "names a member twice"),
        ("[" * 70 + "]" * 70, "too-deep", "levels of values inside each other"),
        ("[" * 200_000, "too-deep", "levels"),
    ],
)
def test_broken_json_is_refused_in_the_words_of_the_parser(body: str, reason: str, words: str) -> None:
    found, detail = refusal(body, format="json")
    assert found == reason
    assert words in detail
    assert "secret" not in detail


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_document_or_a_refusal_that_shows_nothing_of_it(text: str) -> None:
    for kind in ("xml", "json"):
        done, refusals = columns(format=kind).convert(rows(text))
        found = done.column("body")[0].as_py()
        assert (found is None) == (len(refusals) == 1)
        if found is not None:
            json.loads(found)


def test_a_document_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication_assets.core.documents.columns.MAX_LETTERS", 10)
    assert refusal("<a>12345678</a>")[0] == "document-too-large"
    assert one("<a>12</a>") == '{"a":"12"}'


# --- rows -----------------------------------------------------------------------------------


def test_other_columns_are_as_they_were_and_each_bad_row_is_told_by_key_and_position() -> None:
    batch = rows("<a>1</a>", None, "<a>", "<a>1</a>", "<a>")
    done, refusals = columns().convert(batch)
    assert done.column("body").to_pylist() == ['{"a":"1"}', None, None, '{"a":"1"}', None]
    assert done.drop_columns(["body"]).equals(batch.drop_columns(["body"]))
    assert [(each.key, each.position, each.column) for each in refusals] == [
        ('{"id":"2"}', Position(1, 7, 2), "body"),
        ('{"id":"4"}', Position(1, 7, 4), "body"),
    ]
    assert refusals[0].detail == "column body: no element found at line 1, column 4"


def test_the_schema_says_json_and_that_a_document_may_be_missing() -> None:
    column = columns().schema.column("body")
    assert (column.source_type, column.arrow, column.nullable) == ("json", pa.string(), True)
    assert columns().schema.column("note") == SCHEMA.column("note")


def test_distinct_documents_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(text: str) -> str:
        read.append(text)
        return text

    monkeypatch.setattr(module, "_READ", {"xml": reading})
    done, _ = columns().convert(rows(*["<a/>", "<b/>"] * 50, None))
    assert sorted(read) == ["<a/>", "<b/>"]
    assert done.column("body").to_pylist() == ['"<a/>"', '"<b/>"'] * 50 + [None]


# --- declarations ---------------------------------------------------------------------------


def test_everything_that_does_not_fit_the_columns_is_told_at_once() -> None:
    declared = [Document(TABLE, name) for name in ("nope", "id", "total")]
    with pytest.raises(CatalogError) as raised:
        DocumentColumns.of(declared, TableSchema(SCHEMA.columns, ()), "projection lake")
    told = str(raised.value)
    for words in ("without a key", "'nope' is no column", "'total' (numeric(9,2)) is no text"):
        assert words in told
    with pytest.raises(CatalogError, match="'id' is a column of the key"):
        DocumentColumns.of([Document(TABLE, "id")], SCHEMA, "projection lake")


def test_paths_that_are_none_are_told_with_an_example() -> None:
    declared = [
        Document(TABLE, "body", select=["order/line", "/order/@id/x", "/a", "/a"]),
        Document(TABLE, "body", format="json", select=["plan", "$.a[0]", "$..b"]),
    ]
    told = list(document_problems(declared))
    assert sum("is no path of XML. Fix: as /order/line" in each for each in told) == 2
    assert sum("is no path of JSON. Fix: as $.plan" in each for each in told) == 3
    assert sum("is named twice" in each for each in told) == 1
    assert sum("is declared twice" in each for each in told) == 1


def test_another_declaration_has_another_fingerprint() -> None:
    declared = [
        [],
        [Document(TABLE, "body")],
        [Document(TABLE, "note")],
        [Document(TABLE, "body", format="json")],
        [Document(TABLE, "body", select=["/a"])],
        [Document(TABLE, "body", select=["/a", "/b"])],
    ]
    found = [fingerprint(each) for each in declared]
    assert len(set(found)) == len(found)
    assert all(0 <= each < 2**63 for each in found)
