"""Items over 400 KB: what goes elsewhere comes back the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.items.canonical import canonical, item_size
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.oversize import (
    MAX_ITEM_BYTES,
    largest_attributes,
    object_content,
    object_name,
    pointed,
    rejoined,
    split_item,
)

BIG = {
    "pk": {"S": "order#1"},
    "sk": {"S": "v1"},
    "small": {"N": "7"},
    "ttl": {"N": "1700000000"},
    "text": {"S": "é€😀" * 60_000},
    "list": {"L": [{"S": "x" * 100}] * 2_000},
}
KEYS = ("pk", "sk")


def test_the_largest_attributes_come_first_and_keys_not_at_all() -> None:
    assert largest_attributes(BIG, keep=KEYS) == [
        ("text", 540_004),
        ("list", 202_007),
        ("ttl", 10),
        ("small", 7),
    ]


def test_a_split_item_keeps_what_is_small_and_its_parts_have_keys_and_expiry() -> None:
    done = split_item(BIG, key_names=KEYS, part_bytes=350_000, copied=("ttl",))
    assert set(done.base) == {"pk", "sk", "small", "ttl", "list", "_parts"}
    assert done.base["_parts"] == {"N": "2"}
    assert [part["sk"]["S"] for part in done.parts] == ["v1#part#000001", "v1#part#000002"]
    assert all(part["pk"] == BIG["pk"] and part["ttl"] == BIG["ttl"] for part in done.parts)
    assert all(item_size(each) < MAX_ITEM_BYTES - 1000 for each in (done.base, *done.parts))
    assert all(item_size(part) <= 350_000 for part in done.parts)
    assert canonical(rejoined(done.base, done.parts)) == canonical(BIG)


@given(st.dictionaries(st.text("abcé", min_size=1, max_size=3), st.text("aé😀", max_size=3_000), max_size=5))
def test_what_is_split_comes_back_the_same(attributes: dict[str, str]) -> None:
    item: dict[str, Any] = {"pk": {"S": "k"}, **{f"x{n}": {"S": text} for n, text in attributes.items()}}
    done = split_item(item, key_names=("pk",), part_bytes=2_000, limit=200)
    assert item_size(done.base) <= 200
    assert all(item_size(part) <= 2_000 for part in done.parts)
    assert canonical(rejoined(done.base, done.parts)) == canonical(item)


def test_a_key_without_room_for_a_part_is_refused() -> None:
    item = {**BIG, "sk": {"S": "s" * 1020}}
    with pytest.raises(NotStorable, match="key-too-long"):
        split_item(item, key_names=KEYS, part_bytes=350_000)


def test_keys_and_expiry_that_are_too_large_alone_are_refused() -> None:
    with pytest.raises(NotStorable, match="item-too-large"):
        split_item(BIG, key_names=KEYS, part_bytes=350_000, copied=("text", "list"))


def test_an_attribute_in_s3_leaves_a_map_that_finds_it() -> None:
    done = pointed(BIG, "text", "s3://bucket/key")
    assert done["text"] == {
        "M": {"bytes": {"N": "540000"}, "s3": {"S": "s3://bucket/key"}, "type": {"S": "S"}}
    }
    assert {name: value for name, value in done.items() if name != "text"} == {
        name: value for name, value in BIG.items() if name != "text"
    }


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"S": "é"}, "é".encode()),
        ({"B": "AP8="}, b"\x00\xff"),
        ({"M": {"b": {"N": "1"}, "a": {"NULL": True}}}, b'{"M":{"a":{"NULL":true},"b":{"N":"1"}}}'),
    ],
)
def test_the_object_holds_the_content_alone(value: dict[str, Any], content: bytes) -> None:
    assert object_content(value) == content


def test_the_object_of_another_content_has_another_name() -> None:
    names = {
        object_name("/big/", key, attribute, content)
        for key in ("k1", "k2")
        for attribute in ("a", "b")
        for content in (b"1", b"2")
    }
    assert len(names) == 8
    assert all(name.startswith("big/") and "//" not in name for name in names)
    assert object_name("", "k", "a", b"") == object_name("", "k", "a", b"")
