"""JSON, XML and arrays as DynamoDB values: maps, lists and sets.

The one part of the conversion that works value by value, because documents have a shape each.
Numbers never pass through a float. Every refusal is a code; what was read is never shown.

Values are written as DynamoDB's JSON in one spelling: names sorted, members of sets sorted,
numbers as `numbers` spells them, no blanks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring as quoted_json
from typing import TypeAlias, cast

from replication_assets.core.items.numbers import NUMBER_BYTES, NotStorable, canonical_number

MAX_DEPTH = 31
"""Maps and lists inside each other that an item can have: a scalar within is the 32nd level.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

Node: TypeAlias = "str | NumberText | bool | list[Node] | dict[str, Node] | None"
"""A document in Python's own containers; numbers as their text."""


class NumberText(str):
    """A JSON number as written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A value as DynamoDB's JSON, and the bytes that it counts for."""

    text: str
    size: int


Convert: TypeAlias = Callable[[str, int], "Written | None"]
"""Writes a text as a value, at this many levels below the item. None: no attribute."""


def number_size(text: str) -> int:
    return min(len(text) // 2 + 2, NUMBER_BYTES)


def from_json(text: str, depth: int) -> Written:
    """Raises NotStorable: `malformed-json`, `duplicate-name`, `empty-name`, `too-deep`, or what
    `canonical_number` refuses."""
    try:
        return written(decoded(text), depth)
    except RecursionError:
        raise NotStorable("too-deep") from None
    except UnicodeEncodeError:
        raise NotStorable("malformed-json", "half a surrogate pair") from None


def decoded(text: str) -> Node:
    """The document as maps, lists, texts and numbers.

    Raises:
        NotStorable: `malformed-json` with the parser's words, `duplicate-name`, `empty-name`.
        RecursionError: it is deeper than Python follows.
    """
    try:
        node: Node = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # What stands behind a colon would be the text itself.
        words = error.msg.partition(":")[0].removesuffix(" at")
        detail = f"{words} at line {error.lineno}, column {error.colno}"
        raise NotStorable("malformed-json", detail) from None
    return node


def _no_constant(_: str) -> Node:
    raise NotStorable("malformed-json", "NaN and infinity are not JSON")


def _members(pairs: list[tuple[str, Node]]) -> dict[str, Node]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStorable("duplicate-name")
    if "" in members:
        raise NotStorable("empty-name")
    return members


_DECODER = json.JSONDecoder(
    parse_float=NumberText, parse_int=NumberText, parse_constant=_no_constant, object_pairs_hook=_members
)


def written(node: Node, depth: int) -> Written:
    """A node as a value, `depth` levels below the item."""
    return Written(*_write(node, depth))


_CONSTANTS: dict[Node, tuple[str, int]] = {
    None: ('{"NULL":true}', 1),
    True: ('{"BOOL":true}', 1),
    False: ('{"BOOL":false}', 1),
}


def _write(node: Node, depth: int) -> tuple[str, int]:
    kind = type(node)
    if kind is str:
        text = cast(str, node)
        return f'{{"S":{quoted_json(text)}}}', _length(text)
    if kind is NumberText:
        return _number(cast(str, node))
    if kind is dict:
        return _map(cast("dict[str, Node]", node), depth)
    if kind is list:
        return _list(cast("list[Node]", node), depth)
    return _CONSTANTS[node]


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


@lru_cache(maxsize=4096)
def _number(text: str) -> tuple[str, int]:
    number = canonical_number(text)
    return f'{{"N":"{number}"}}', number_size(number)


def _list(elements: list[Node], depth: int) -> tuple[str, int]:
    if depth >= MAX_DEPTH:
        raise NotStorable("too-deep")
    size, texts = 3 + len(elements), []
    for element in elements:
        text, own = _write(element, depth + 1)
        texts.append(text)
        size += own
    return f'{{"L":[{",".join(texts)}]}}', size


def _map(members: dict[str, Node], depth: int) -> tuple[str, int]:
    if depth >= MAX_DEPTH:
        raise NotStorable("too-deep")
    size, texts = 3 + len(members), []
    for name in sorted(members):
        text, own = _write(members[name], depth + 1)
        texts.append(f"{quoted_json(name)}:{text}")
        size += _length(name) + own
    return f'{{"M":{{{",".join(texts)}}}}}', size


# --- arrays ----------------------------------------------------------------------------

_BOUNDS = re.compile(r"(?:\[[+-]?\d+:[+-]?\d+\])+=")
_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^{}",\\\s](?:[^{}",\\]|\\.)*)|([{}]))\s*(,?)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def array_elements(text: str) -> list[Node]:
    """A PostgreSQL array in its output form (`{1,NULL,"a b"}`), or a JSON array.

    Raises:
        NotStorable: `malformed-array`, or what `from_json` refuses.
    """
    if text.lstrip().startswith("["):
        bounds = _BOUNDS.match(text)
        if bounds is None:
            return _json_elements(text)
        text = text[bounds.end() :]
    stack: list[list[Node]] = [[]]
    at, comma = 0, True
    while at < len(text):
        found = _ELEMENT.match(text, at)
        if found is None or len(stack) > MAX_DEPTH + 1:
            raise NotStorable("malformed-array" if found is None else "too-deep")
        at = found.end()
        comma = _take(stack, found, comma)
    if len(stack) != 1 or len(stack[0]) != 1 or not isinstance(stack[0][0], list) or comma:
        raise NotStorable("malformed-array")
    return stack[0][0]


def _take(stack: list[list[Node]], found: re.Match[str], comma: bool) -> bool:
    """Add one element or bracket; returns whether a comma follows, so that something must come."""
    quoted, bare, bracket, follows = found.groups()
    if bracket == "}":
        if len(stack) < 2 or (comma and stack[-1]):
            raise NotStorable("malformed-array")
        stack.pop()
        return bool(follows)
    if not comma or (len(stack) == 1 and bracket is None) or (bracket and follows):
        raise NotStorable("malformed-array")
    if bracket == "{":
        inner: list[Node] = []
        stack[-1].append(inner)
        stack.append(inner)
        return True
    if quoted is not None:
        stack[-1].append(_ESCAPED.sub(r"\1", quoted))
    else:
        stack[-1].append(None if bare.upper() == "NULL" else _ESCAPED.sub(r"\1", bare.rstrip()))
    return bool(follows)


def _json_elements(text: str) -> list[Node]:
    try:
        elements = json.loads(text, parse_float=NumberText, parse_int=NumberText, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise NotStorable("malformed-array") from None
    if not isinstance(elements, list):
        raise NotStorable("malformed-array")
    return elements


def string_list(text: str, depth: int) -> Written:
    return written(_mapped(array_elements(text), str), depth)


def number_list(text: str, depth: int) -> Written:
    return written(_mapped(array_elements(text), NumberText), depth)


def _mapped(elements: Iterable[Node], kind: type[str]) -> list[Node]:
    return [_element(each, kind) for each in elements]


def _element(element: Node, kind: type[str]) -> Node:
    if isinstance(element, list):
        return _mapped(element, kind)
    return None if element is None else kind(_scalar(element))


def _scalar(element: Node) -> str:
    if isinstance(element, bool):
        return "true" if element else "false"
    if not isinstance(element, str):
        raise NotStorable("not-a-scalar")
    return element


def string_set(text: str, depth: int) -> Written | None:  # noqa: ARG001  (one signature for all)
    """Members once each, in order; None for no members, which no set can have."""
    members = sorted({_member(each) for each in array_elements(text)})
    if not members:
        return None
    listed = ",".join(quoted_json(member) for member in members)
    return Written(f'{{"SS":[{listed}]}}', sum(len(member.encode()) for member in members))


def number_set(text: str, depth: int) -> Written | None:  # noqa: ARG001
    members = sorted({canonical_number(_member(each)) for each in array_elements(text)})
    if not members:
        return None
    listed = ",".join(f'"{member}"' for member in members)
    return Written(f'{{"NS":[{listed}]}}', sum(number_size(member) for member in members))


def _member(element: Node) -> str:
    if element is None:
        raise NotStorable("null-in-set")
    return str(_scalar(element))
