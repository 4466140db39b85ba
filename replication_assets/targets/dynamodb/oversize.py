"""Owns what is done about items over 400 KB: they are refused, point to S3, or have parts.

What goes elsewhere and how it is found again is `core.items.oversize`'s; this module chooses by
the declared policy, and names objects and parts so that no version of an item takes away what
another one needs: objects by their content, parts by the position of their item
(`<last key>@<_position>#part#000001`). All of it is decided by the item alone, so that what a
row becomes can be told without writing it.

Refused: an item that is still too large without all attributes that may go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.items.canonical import canonical, item_size
from replication_assets.core.items.mapping import ITEMS
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.oversize import (
    MAX_ITEM_BYTES,
    ROOM_FOR_REGISTERS,
    largest_attributes,
    object_content,
    object_name,
    part_key,
    pointed,
    split_item,
)
from replication_assets.core.items.registers import ORIGIN, PARTS, POSITION, position_texts
from replication_assets.core.items.spec import Items, S3Pointer, Split

LIMIT = MAX_ITEM_BYTES - ROOM_FOR_REGISTERS
TOO_LARGE = "item-too-large"

_PART_KEY = re.compile(r"(.*)@([0-9-]{52})#part#\d{6}", re.DOTALL)

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that must be in S3 before an item points to it."""

    bucket: str
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Items that DynamoDB takes, what must be written before them, and what fits no way.

    `items` has the columns of `ITEMS`. `parts` are whole items as JSON, each with its `_position`.
    `refused` holds rows by their number in `ITEMS.row`, each with the bytes of its item.
    """

    items: pa.Table
    objects: tuple[StoredObject, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _One:
    item: Item
    objects: tuple[StoredObject, ...] = ()
    parts: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitting:
    """How items of one table are made to fit. `folder` is the table's own part of names in S3."""

    items: Items
    origin: str
    folder: str

    def fit(self, items: pa.Table) -> Fitted:
        large = pc.greater(items["size"], LIMIT).combine_chunks()
        if not pc.any(large).as_py():
            return Fitted(items)
        few = items.filter(large)
        texts: list[str | None] = []
        fitted = Fitted(items)
        positions = position_texts(few).to_pylist()
        for text, row, position in zip(
            few["item"].to_pylist(), few["row"].to_pylist(), positions, strict=True
        ):
            item = orjson.loads(text)
            found = self._fit(item, position)
            texts.append(canonical(found.item) if found else None)
            fitted = self._with(fitted, found, row, position, item)
        replaced = pc.replace_with_mask(
            items["item"].combine_chunks(), large, pa.array(texts, pa.large_string())
        )
        at = ITEMS.get_field_index("item")
        kept = items.set_column(at, ITEMS.field(at), replaced).filter(pc.is_valid(replaced))
        return Fitted(kept, fitted.objects, fitted.parts, fitted.refused)

    def _with(self, fitted: Fitted, found: _One | None, row: int, position: str, item: Item) -> Fitted:
        if found is None:
            return Fitted(
                fitted.items, fitted.objects, fitted.parts, (*fitted.refused, (row, item_size(item)))
            )
        registers = {POSITION: {"S": position}, ORIGIN: {"S": self.origin}}
        parts = tuple(
            (json.dumps({**part, **registers}, ensure_ascii=False), position) for part in found.parts
        )
        return Fitted(fitted.items, fitted.objects + found.objects, fitted.parts + parts, fitted.refused)

    def _fit(self, item: Item, position: str) -> _One | None:
        try:
            if isinstance(self.items.oversize, S3Pointer):
                return self._with_pointers(item, self.items.oversize)
            if isinstance(self.items.oversize, Split):
                return self._with_parts(item, position, self.items.oversize)
        except NotStorable:
            return None
        return None

    @property
    def _key_names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.items.keys)

    @property
    def _copied(self) -> tuple[str, ...]:
        return (self.items.ttl.name,) if self.items.ttl is not None else ()

    def _with_pointers(self, item: Item, policy: S3Pointer) -> _One | None:
        key = canonical({name: item[name] for name in self._key_names})
        kept: Item = item
        objects: list[StoredObject] = []
        keep = {*self._key_names, *self._copied}
        names = policy.attributes or [name for name, _ in largest_attributes(item, keep=keep)]
        for name in names:
            if item_size(kept) <= LIMIT:
                break
            if name in item and name not in keep:
                content = object_content(item[name])
                prefix = f"{policy.prefix.strip('/')}/{self.folder}"
                stored = StoredObject(policy.bucket, object_name(prefix, key, name, content), content)
                objects.append(stored)
                kept = pointed(kept, name, uri(stored.bucket, stored.name))
        return _One(kept, tuple(objects)) if item_size(kept) <= LIMIT else None

    def _with_parts(self, item: Item, position: str, policy: Split) -> _One:
        versioned = _versioned(item, self._key_names, position)
        split = split_item(
            versioned, key_names=self._key_names, part_bytes=policy.part_bytes, copied=self._copied
        )
        last = self._key_names[-1]
        return _One({**split.base, last: item[last]}, parts=tuple(dict(part) for part in split.parts))


def uri(bucket: str, name: str) -> str:
    return f"s3://{bucket}/{name}"


def _versioned(item: Mapping[str, Any], key_names: Sequence[str], position: str) -> Item:
    last = key_names[-1]
    return {**item, last: {"S": f"{item[last]['S']}@{position}"}}


def part_keys(item: Mapping[str, Any], key_names: Sequence[str]) -> Iterator[Item]:
    """Keys of the parts of a stored item; none of an item that is whole."""
    if PARTS not in item:
        return
    versioned = _versioned(item, key_names, item[POSITION]["S"])
    for number in range(1, int(item[PARTS]["N"]) + 1):
        yield dict(part_key(versioned, key_names, number))


def whole_key(part: Mapping[str, Any], key_names: Sequence[str]) -> tuple[Item, str] | None:
    """The key of the item that a stored part belongs to, and its `_position`."""
    last = key_names[-1]
    found = _PART_KEY.fullmatch(part[last].get("S", ""))
    if found is None:
        return None
    return {**{name: part[name] for name in key_names}, last: {"S": found[1]}}, found[2]


def pointers_of(item: Mapping[str, Any]) -> Iterator[str]:
    """Where a stored item's attributes are in S3. A document of the very form of a pointer counts
    as one, which at worst keeps an object."""
    for value in item.values():
        content = value.get("M")
        if isinstance(content, dict) and content.keys() == {"bytes", "s3", "type"}:
            yield content["s3"].get("S", "")
