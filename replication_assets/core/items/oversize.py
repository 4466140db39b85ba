"""Items over DynamoDB's 400 KB: what can go elsewhere, and how a reader finds it again.

An attribute in S3 leaves a map behind: `{"s3": "s3://bucket/key", "type": "S", "bytes": 412345}`.
The object holds the text of a string, the bytes of a binary value, and for all other types the
value as DynamoDB's JSON. Its name contains a digest of its content, so that a repeated or late
write never changes what an item points to.

A split item keeps its small attributes and `_parts`, the number of items beside it. Their last
key is the item's own and `#part#000001` and so on; the texts of their `_part`, joined in order,
are a JSON object of the attributes that were taken out (`rejoined`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from replication_assets.core.items.canonical import Item, Value, canonical, item_size, value_size
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.registers import PART, PARTS

MAX_ITEM_BYTES = 409_600
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
ROOM_FOR_REGISTERS = 1024
SORT_KEY_BYTES = 1024


def largest_attributes(item: Item, *, keep: Collection[str] = ()) -> list[tuple[str, int]]:
    """Attributes that may go, with their bytes, the largest first; of equal ones by name."""
    sizes = [(name, len(name.encode()) + value_size(v)) for name, v in item.items() if name not in keep]
    return sorted(sizes, key=lambda each: (-each[1], each[0]))


# --- S3 --------------------------------------------------------------------------------


def object_content(value: Value) -> bytes:
    """What the object in S3 holds."""
    ((kind, content),) = value.items()
    if kind == "S":
        return str(content).encode()
    if kind == "B":
        return base64.b64decode(content)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def object_name(prefix: str, key: str, attribute: str, content: bytes) -> str:
    """A name in the bucket for one content of one attribute of the item with this `key` text."""
    item = hashlib.sha256(f"{key}\n{attribute}".encode()).hexdigest()[:32]
    folder = prefix.strip("/")
    return f"{folder + '/' if folder else ''}{item}/{hashlib.sha256(content).hexdigest()}"


def pointed(item: Item, attribute: str, uri: str) -> dict[str, Value]:
    """The item with a map that points to the object in place of the attribute."""
    ((kind, _),) = item[attribute].items()
    size = len(object_content(item[attribute]))
    pointer: Value = {"M": {"bytes": {"N": str(size)}, "s3": {"S": uri}, "type": {"S": kind}}}
    return {**item, attribute: pointer}


# --- items beside it -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SplitItem:
    """`base` has the item's own key. `parts` are complete items, without registers."""

    base: dict[str, Value]
    parts: tuple[dict[str, Value], ...]


def split_item(
    item: Item,
    *,
    key_names: Sequence[str],
    part_bytes: int,
    copied: Collection[str] = (),
    limit: int = MAX_ITEM_BYTES - ROOM_FOR_REGISTERS,
) -> SplitItem:
    """Take the largest attributes out until the rest fits `limit`. `copied` attributes (a time
    to live) stay and are in the parts as well.

    Raises:
        NotStorable: `key-too-long` with the number of a part, or `item-too-large` because keys
            and copied attributes alone exceed the limit.
    """
    base, taken = dict(item), {}
    rest = item_size(item) + len(PARTS) + 8
    for name, size in largest_attributes(item, keep={*key_names, *copied}):
        if rest <= limit:
            break
        taken[name] = base.pop(name)
        rest -= size
    if rest > limit:
        raise NotStorable("item-too-large")
    frame = {name: item[name] for name in (*key_names, *copied) if name in item}
    room = part_bytes - item_size(frame) - len(PART) - 16
    texts = _cut(canonical(taken).encode(), max(room, 1024))
    parts = tuple(
        {**frame, **part_key(item, key_names, number), PART: {"S": text}}
        for number, text in enumerate(texts, start=1)
    )
    return SplitItem({**base, PARTS: {"N": str(len(parts))}}, parts)


def part_key(item: Item, key_names: Sequence[str], number: int) -> dict[str, Value]:
    """The key of a part of the item, counted from 1. Raises NotStorable: `key-too-long`."""
    last = f"{item[key_names[-1]]['S']}#part#{number:06}"
    if len(last.encode()) > (SORT_KEY_BYTES if len(key_names) > 1 else 2 * SORT_KEY_BYTES):
        raise NotStorable("key-too-long")
    return {**{name: item[name] for name in key_names}, key_names[-1]: {"S": last}}


def rejoined(base: Item, parts: Sequence[Item]) -> dict[str, Value]:
    """The item that was split, from its base and all its parts in order."""
    taken = json.loads("".join(part[PART]["S"] for part in parts))
    return {name: value for name, value in {**base, **taken}.items() if name != PARTS}


def _cut(text: bytes, size: int) -> list[str]:
    """Pieces of at most `size` bytes, between characters."""
    pieces, start = [], 0
    while start < len(text):
        end = min(start + size, len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(text[start:end].decode())
        start = end
    return pieces
