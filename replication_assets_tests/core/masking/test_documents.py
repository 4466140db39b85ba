"""Documents come out with what a path names, masked by its rule, and with nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.json_paths import steps_of
from replication_assets.core.masking.rules import (
    Address,
    Choice,
    Constant,
    Email,
    IntegerId,
    JsonPaths,
    Keep,
    Noise,
    Null,
    PersonName,
    Rule,
    Token,
    ValueRule,
    XmlPaths,
)
from replication_assets.core.masking.table_mask import TableMask
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.policies import ID, column, compiled, raw, structure_of

JSON = structure_of(ID, column("doc", "jsonb"))
XML = structure_of(ID, column("doc", "xml"))


def json_mask(paths: dict[str, ValueRule], kind: str = "jsonb") -> TableMask:
    return compiled(
        structure_of(ID, column("doc", kind)), {"id": "public", "doc": ("public", JsonPaths(paths))}
    )


def xml_mask(paths: dict[str, ValueRule]) -> TableMask:
    return compiled(XML, {"id": "public", "doc": XmlPaths(paths)})


def masked(mask: TableMask, *documents: str | None) -> list[str | None]:
    rows = [{"id": number, "doc": document} for number, document in enumerate(documents, 1)]
    out = mask.mask(raw(JSON, rows))
    assert mask.fits(out.reveal()) == ()
    found: list[str | None] = out.reveal().column("doc").to_pylist()
    return found


def fits(mask: TableMask, document: str) -> bool:
    rows = raw(JSON, [{"id": 1, "doc": document}]).reveal().select(mask.schema.names)
    return mask.fits(rows) == ()


def refused(mask: TableMask, *documents: str) -> str:
    with pytest.raises(GuardError) as raised:
        masked(mask, *documents)
    assert "s3cret" not in str(raised.value)
    assert "shop.public.customers.doc" in str(raised.value)
    return raised.value.what


# --- JSON ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "document", "expected"),
    [
        ({"$.plan": Keep()}, '{"plan": "pro", "email": "s3cret"}', '{"plan":"pro"}'),
        ({"$.a.b": Keep()}, '{"a": {"c": "s3cret", "b": [1, "s3cret"]}}', '{"a":{"b":[]}}'),
        ({"$.a.b": Keep()}, '{"a": "s3cret"}', '{"a":null}'),
        ({"$.a": Keep()}, '{"a": {"b": "s3cret"}}', '{"a":{}}'),
        ({"$.l[*]": Keep()}, '{"l": [1, null, true, {"x": "s3cret"}]}', '{"l":[1,null,true,{}]}'),
        ({"$.l[*].x": Keep()}, '{"l": [{"x": 1, "y": "s3cret"}, "s3cret"]}', '{"l":[{"x":1},null]}'),
        ({"$[*]": Keep()}, "[1, 2]", "[1,2]"),
        ({"$[*][*]": Keep()}, "[[1], 2]", "[[1],null]"),
        ({"$": Keep()}, '"plain"', '"plain"'),
        ({"$": Keep()}, '{"a": "s3cret"}', "{}"),
        ({}, '"s3cret"', "null"),
        ({}, '["s3cret"]', "[]"),
        ({}, '{"s3cret": 1}', "{}"),
        ({"$['odd name']['it\\'s']": Keep()}, '{"odd name": {"it\'s": 1}}', '{"odd name":{"it\'s":1}}'),
        ({"$.ü": Keep()}, '{"\\u00fc": "\\u00e4\\n\\""}', '{"ü":"ä\\n\\""}'),
        ({"$.b": Keep(), "$.a": Keep()}, '{"b": 1, "a": 2}', '{"a":2,"b":1}'),
        ({"$.a": Null()}, '{"a": "s3cret"}', '{"a":null}'),
        ({"$.a": Constant("x")}, '{"a": 5}', '{"a":"x"}'),
        ({"$.a": Constant(5)}, '{"a": "s3cret"}', '{"a":5}'),
        ({"$.a": Constant(True)}, '{"a": null}', '{"a":null}'),
        ({"$.a": Choice(["x"])}, '{"a": "s3cret"}', '{"a":"x"}'),
    ],
)
def test_what_no_path_names_does_not_come_out(
    paths: dict[str, ValueRule], document: str, expected: str
) -> None:
    mask = json_mask(paths)
    assert masked(mask, document, None) == [expected, None]
    assert fits(mask, document) is (json.loads(document) == json.loads(expected))


@pytest.mark.parametrize(
    "number", ["1", "-0", "1.50", "12345678901234567890123", "0.1000000000000000055511151231257827", "1e400"]
)
def test_numbers_that_are_kept_keep_every_digit(number: str) -> None:
    assert masked(json_mask({"$.n": Keep()}), f'{{"n": {number}}}') == [f'{{"n":{number}}}']


def test_values_are_masked_by_the_rule_of_their_path_and_alike_in_every_document() -> None:
    mask = json_mask({"$.mail": Email(), "$.others[*]": Email(), "$.id": IntegerId("id")})
    one, other = masked(
        mask, '{"mail": "ada@b.c", "id": 7}', '{"others": ["eva@b.c", "ADA@b.c", null], "id": 8}'
    )
    first, second = json.loads(one or ""), json.loads(other or "")
    assert first["mail"].endswith("@masked.invalid")
    assert first["mail"] == second["others"][1] != second["others"][0]
    assert second["others"][2] is None
    assert isinstance(first["id"], int)
    assert first["id"] not in (7, second["id"])


def test_a_value_in_a_document_has_the_mask_of_the_same_value_in_a_column() -> None:
    structure = structure_of(ID, column("email"), column("doc", "jsonb"))
    rules: dict[str, Rule | str] = {"id": "public", "email": Email(), "doc": JsonPaths({"$.mail": Email()})}
    rows = raw(structure, [{"id": 1, "email": "ada@b.c", "doc": '{"mail": "ada@b.c"}'}])
    (row,) = compiled(structure, rules).mask(rows).reveal().to_pylist()
    assert json.loads(row["doc"])["mail"] == row["email"]


def test_rules_by_row_draw_from_row_and_path() -> None:
    mask = json_mask({"$.l[*].name": PersonName(), "$.name": PersonName()})
    document = '{"l": [{"name": "s3cret"}, {"name": "s3cret"}], "name": "s3cret"}'
    found = [json.loads(each or "") for each in masked(mask, document, document)]
    names = [name for each in found for name in (each["name"], *(part["name"] for part in each["l"]))]
    assert len(set(names)) > 4
    assert masked(mask, document, document) == masked(mask, document, document)


def test_parts_of_an_address_beside_each_other_are_of_one_address() -> None:
    paths: dict[str, ValueRule] = {
        f"$.l[*].{part}": Address(part) for part in ("street", "city", "postcode", "line")
    }
    homes = ",".join('{"street": "s", "city": "c", "postcode": "p", "line": "l"}' for _ in range(20))
    (text,) = masked(json_mask(paths), f'{{"l": [{homes}]}}')
    found = json.loads(text or "")["l"]
    assert all(each["city"] in each["line"] and each["postcode"] in each["line"] for each in found)
    assert len({each["line"] for each in found}) > 10


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        (['{"a": "s3cret"'], "1 documents are no JSON"),
        (["s3cret", "", "NaN"], "3 documents are no JSON"),
        (['{"a": "s3cret", "a": "x"}'], "1 documents name a member twice"),
        (['{"x": {"b": 1, "b": 2}}'], "1 documents name a member twice"),
        (['{"a": "\\ud800"}'], "1 documents are no JSON"),
        (["[" * 100_000], "1 documents are too deep"),
        (['{"a": 5}', '{"a": true}', '{"a": 6}'], "2 values at $.a are of kind integer"),
        (['{"a": 5.5}'], "1 values at $.a are of kind number, which Email takes not"),
    ],
)
def test_documents_that_cannot_be_masked_are_refused_with_their_number(
    documents: list[str], said: str
) -> None:
    assert said in refused(json_mask({"$.a": Email()}), '{"a": "fine"}', *documents)


def test_numbers_that_no_column_holds_are_refused_where_they_are_masked() -> None:
    assert "too great" in refused(json_mask({"$.a": Noise()}), '{"a": 123456789012345678901}')
    assert "too great" in refused(json_mask({"$.a": Noise()}), '{"a": 1e999}')


def test_masked_numbers_are_written_without_an_exponent() -> None:
    (text,) = masked(json_mask({"$.a": Noise()}), '{"a": 1.5e-9}')
    assert "e" not in (text or "").lower()
    assert 1e-9 < json.loads(text or "")["a"] < 2e-9


def test_a_document_that_grows_beyond_its_column_is_refused() -> None:
    mask = json_mask({"$.a": Email()}, "character varying(20)")
    assert "1 masked documents are longer" in refused(mask, '{"a": "b@c.de"}')


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ('{"a": "0123456789abcdef@masked.invalid"}', True),
        ('{ "a" : null }', True),
        ("{}", True),
        ("null", True),
        ('{"a": "s3cret@real.example"}', False),
        ('{"a": "0123456789abcdef@masked.invalid", "b": null}', False),
        ('{"a": ["0123456789abcdef@masked.invalid"]}', False),
        ('{"a": 5}', False),
        ('"s3cret"', False),
        ("s3cret", False),
        ('{"a": null, "a": "s3cret"}', False),
    ],
)
def test_a_document_fits_if_the_mask_could_have_made_it(document: str, good: bool) -> None:
    assert fits(json_mask({"$.a": Email()}), document) is good


@pytest.mark.parametrize(
    "path", ["", "a", "$.", "$a", "$.a b", "$..a", "$.*", "$[0]", "$.a[", "$['']", "$.a$"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PolicyError):
        steps_of(path)
    with pytest.raises(PolicyError, match="is no path"):
        json_mask({path: Keep()})


def test_two_spellings_of_one_path_are_refused() -> None:
    with pytest.raises(PolicyError, match="are one path"):
        json_mask({"$.a": Keep(), "$['a']": Null()})


@pytest.mark.parametrize("kind", ["integer", "bytea", "uuid", "date"])
def test_documents_stand_in_columns_of_documents_or_texts(kind: str) -> None:
    with pytest.raises(PolicyError, match="JsonPaths is for json and text"):
        json_mask({}, kind)


_NODES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=4),
    max_leaves=12,
)


def pruned(node: Any, named: dict[str, Any] | None) -> Any:
    """What may come out, said once more: `named` is a tree of names, `[]` elements and `=` for kept."""
    if isinstance(node, dict):
        return {
            name: pruned(part, (named or {})[name]) for name, part in node.items() if name in (named or {})
        }
    if isinstance(node, list):
        return [pruned(part, (named or {})["[]"]) for part in node] if "[]" in (named or {}) else []
    return node if "=" in (named or {}) else None


@settings(max_examples=200, deadline=None)
@given(_NODES)
def test_any_document_comes_out_as_its_named_part(node: Any) -> None:
    mask = json_mask({"$.a": Keep(), "$.a.b": Keep(), "$.c[*]": Keep(), "$.c[*].a": Keep(), "$[*]": Keep()})
    named = {"a": {"=": 0, "b": {"=": 0}}, "c": {"[]": {"=": 0, "a": {"=": 0}}}, "[]": {"=": 0}}
    (text,) = masked(mask, json.dumps(node))
    assert json.loads(text or "") == pruned(node, named)


# --- XML -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "document", "expected"),
    [
        ({"/o/l": Keep()}, "<o><l>a</l><m>s3cret</m></o>", "<o><l>a</l><m></m></o>"),
        ({"/o/l/@w": Keep()}, '<o><l w="1" s="s3cret">s3cret</l></o>', '<o><l w="1" s=""></l></o>'),
        ({"/o": Keep()}, "<o>a<b>s3cret</b>c</o>", "<o>a<b></b>c</o>"),
        ({"/o": Keep()}, "<o> a&lt;&#13;<![CDATA[<b>]]></o>", "<o> a&lt;&#13;&lt;b&gt;</o>"),
        ({}, "<?xml version='1.0'?><!-- s3cret --><o><?s3cret s3cret?><b>s3cret</b></o>", "<o><b></b></o>"),
        ({}, '<o xmlns="urn:s3cret" xmlns:x="urn:s3cret"/>', '<o xmlns="" xmlns:x="urn:masked:x"></o>'),
        (
            {"/x:o/x:l": Keep()},
            '<x:o xmlns:x="u"><x:l>a</x:l></x:o>',
            '<x:o xmlns:x="urn:masked:x"><x:l>a</x:l></x:o>',
        ),
        ({"/o/l": Constant("<&")}, "<o> <l>s3cret</l> <l/> </o>", "<o><l>&lt;&amp;</l><l></l></o>"),
        ({"/o/@a": Constant('"')}, '<o a="s3cret"/>', "<o a='\"'></o>"),
        ({"/o/l": Null()}, "<o><l>s3cret</l></o>", "<o><l></l></o>"),
        ({"/o/l": Null()}, "<o>\n  <l>\n  </l>\n</o>", "<o><l></l></o>"),
    ],
)
def test_texts_and_attributes_that_no_path_names_are_emptied(
    paths: dict[str, ValueRule], document: str, expected: str
) -> None:
    mask = xml_mask(paths)
    assert masked(mask, document, None) == [expected, None]
    assert not fits(mask, document) or "s3cret" not in document


def test_texts_of_xml_are_masked_alike_in_every_document() -> None:
    mask = xml_mask({"/o/mail": Email(), "/o/@mail": Email(), "/o/id": Token("t")})
    one, other = masked(mask, "<o><mail>ada@b.c</mail><id>x</id></o>", '<o mail="ADA@b.c"><id>y</id></o>')
    address = (one or "").partition("<mail>")[2].partition("</mail>")[0]
    assert address.endswith("@masked.invalid")
    assert f'mail="{address}"' in (other or "")


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        (["s3cret", "", "<o>s3cret"], "3 documents are no XML"),
        (["<a/><b/>"], "1 documents are no XML"),
        (["<!DOCTYPE o><o/>"], "1 documents have a document type declaration"),
        (
            ['<!DOCTYPE o [<!ENTITY e SYSTEM "file:///etc/passwd">]><o>&e;</o>'],
            "1 documents have a document type declaration",
        ),
        (["<o>&s3cret;</o>"], "1 documents are no XML"),
    ],
)
def test_xml_that_cannot_be_masked_is_refused_with_its_number(documents: list[str], said: str) -> None:
    assert said in refused(xml_mask({"/o": Keep()}), "<o/>", *documents)


def test_masked_texts_that_xml_cannot_hold_are_refused() -> None:
    assert "1 masked values have characters" in refused(xml_mask({"/o": Constant("\x00")}), "<o>x</o>")


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ("<o><mail>0123456789abcdef@masked.invalid</mail><x/></o>", True),
        ("<o><mail/></o>", True),
        ("<o><mail>s3cret@real.example</mail></o>", False),
        ("<o>s3cret<mail/></o>", False),
        ("<o><x>s3cret</x></o>", False),
        ('<o x="s3cret"/>', False),
        ('<o xmlns:x="urn:s3cret"/>', False),
        ('<o xmlns:x="urn:masked:x"/>', True),
        ("<o><!-- s3cret --></o>", False),
        ("<o><?s3cret?></o>", False),
        ("<!DOCTYPE o><o/>", False),
        ("s3cret", False),
    ],
)
def test_an_xml_document_fits_if_the_mask_could_have_made_it(document: str, good: bool) -> None:
    assert fits(xml_mask({"/o/mail": Email()}), document) is good


@pytest.mark.parametrize("path", ["", "o", "/", "/o/", "/@a", "/o/@", "/o/*", "/o[1]", "//o", "/o/@a/b"])
def test_what_is_no_xml_path_is_refused(path: str) -> None:
    with pytest.raises(PolicyError, match="is no path"):
        xml_mask({path: Keep()})
