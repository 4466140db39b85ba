"""JSON with the place of every value and member, and what keeps a text from being JSON.

What people leave in such files and DMS refuses (comments, commas before a bracket, a missing comma,
a byte order mark) is named and read on, so that one look lists everything. Where the text cannot be
understood any further, reading ends with what stands there. RFC 8259 otherwise; member names that
occur twice are named, because parsers differ in which they take.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeAlias

from replication_assets.dms.findings import Findings, Place

_BLANK = re.compile(r"[ \t\r\n]+")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_LAX_STRING = re.compile(r'"((?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_WORD = re.compile(r"[A-Za-z_]\w*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_MOST_LEVELS = 100


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, a number (as it is written), true, false or null."""

    value: str | bool | None
    number: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    value: Node
    place: Place


@dataclass(frozen=True, slots=True)
class Object:
    members: tuple[Member, ...]
    place: Place


Node: TypeAlias = Scalar | Array | Object


class _Unreadable(Exception):
    """Reading cannot go on; what is wrong has been told."""


def parse_json(text: str, file: str, findings: Findings) -> Node | None:
    """The document, or None where its text ends in something that cannot be understood."""
    reader = _Reader(text, file, findings)
    try:
        return reader.document()
    except _Unreadable:
        return None


def plain(node: Node) -> object:
    """The value without its places; numbers stay the text that they are written as."""
    if isinstance(node, Object):
        return {member.name: plain(member.value) for member in node.members}
    if isinstance(node, Array):
        return [plain(item) for item in node.items]
    return node.value


class _Reader:
    def __init__(self, text: str, file: str, findings: Findings) -> None:
        self._text, self._file, self._findings = text, file, findings
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._at = 0

    def document(self) -> Node:
        if self._text.startswith("\ufeff"):
            self._told(
                "json-bom", "the file begins with a byte order mark", "save it as UTF-8 without one", 0
            )
            self._at = 1
        self._skip()
        if self._at == len(self._text):
            self._stop("the file is empty", 'write {"rules": [...]}')
        node = self._value(0)
        self._skip()
        if self._at < len(self._text):
            self._told("json-trailing", "text after the end of the document", "delete it", self._at)
        return node

    def _place(self, at: int) -> Place:
        line = bisect_right(self._lines, at)
        return Place(self._file, line, at - self._lines[line - 1] + 1)

    def _told(self, code: str, what: str, fix: str, at: int) -> None:
        self._findings.error(code, f"not JSON: {what}", fix, self._place(at))

    def _stop(self, what: str, fix: str) -> None:
        self._told("json-syntax", what, fix, self._at)
        raise _Unreadable

    def _skip(self) -> None:
        while True:
            blank = _BLANK.match(self._text, self._at)
            if blank:
                self._at = blank.end()
            comment = _COMMENT.match(self._text, self._at)
            if not comment:
                return
            self._told("json-comment", "a comment, which JSON has not", "delete it", self._at)
            self._at = comment.end()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _value(self, level: int) -> Node:
        if level > _MOST_LEVELS:
            self._stop(f"more than {_MOST_LEVELS} levels of brackets", "check the brackets")
        place, first = self._place(self._at), self._peek()
        if first == "{":
            return self._object(place, level)
        if first == "[":
            return self._array(place, level)
        if first == '"':
            return Scalar(self._string(), False, place)
        number = _NUMBER.match(self._text, self._at)
        if number:
            self._at = number.end()
            return Scalar(number.group(), True, place)
        return self._constant(place)

    def _constant(self, place: Place) -> Scalar:
        word = _WORD.match(self._text, self._at)
        if word is None:
            self._stop(
                f"a value is missing before {self._peek()!r}"
                if self._peek()
                else "the file ends within a value",
                "complete it, or close the bracket",
            )
            raise AssertionError
        if word.group().lower() not in _CONSTANTS:
            self._stop(f"{word.group()[:30]!r} without quotes", 'write texts as "..."')
        if word.group() not in _CONSTANTS:
            self._told(
                "json-word", f"{word.group()} is not spelled in small letters", "write it so", self._at
            )
        self._at = word.end()
        return Scalar(_CONSTANTS[word.group().lower()], False, place)

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            # Of a text that is not closed everything up to the next one would be a part.
            found = _LAX_STRING.match(self._text, self._at)
            if found is None or not re.match(r"\s*[,:}\]]", self._text[found.end() :]):
                self._stop(
                    "a text that is not closed, or has a line break or a wrong escape in it", "mend the text"
                )
                raise AssertionError
            what = "a line break or a tab within a text"
            self._told("json-control", what, "write \\n or \\t, or delete it", self._at)
        self._at = found.end()
        body = _ESCAPE.sub(lambda part: _unescaped(part.group(1), part.group(2)), found.group(1))
        return body.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _array(self, place: Place, level: int) -> Array:
        items: list[Node] = []
        self._at += 1
        while not self._closed("]", bool(items)):
            items.append(self._value(level + 1))
        return Array(tuple(items), place)

    def _object(self, place: Place, level: int) -> Object:
        members: dict[str, Member] = {}
        self._at += 1
        while not self._closed("}", bool(members)):
            member = self._member(level)
            if member.name in members:
                line = members[member.name].place.line
                what = f"member {member.name!r} stands here twice, first in line {line}"
                self._findings.error("json-duplicate", what, "keep one of them", member.place)
            members[member.name] = member
        return Object(tuple(members.values()), place)

    def _member(self, level: int) -> Member:
        at = self._at
        if self._peek() != '"':
            self._stop("the name of a member is not a text in quotes", 'write members as "name": value')
        name = self._string()
        self._skip()
        if self._peek() != ":":
            self._stop(f"no colon after {name!r}", 'write members as "name": value')
        self._at += 1
        self._skip()
        return Member(name, self._value(level + 1), self._place(at))

    def _closed(self, bracket: str, begun: bool) -> bool:
        """Past what separates the next element; whether there is none."""
        self._skip()
        comma = self._peek() == ","
        comma_at = self._at
        if comma:
            self._at += 1
            self._skip()
            if not begun:
                self._told("json-comma", "a comma before the first element", "delete it", comma_at)
        if self._peek() == bracket:
            if comma and begun:
                self._told("json-comma", f"a comma before {bracket}", "delete it", comma_at)
            self._at += 1
            return True
        if begun and not comma:
            if self._peek() not in ('"', "{", "["):
                here = repr(self._peek()) if self._peek() else "the end of the file"
                self._stop(f"{here} where , or {bracket} is expected", "check the brackets")
            self._told("json-comma", "a comma is missing before this", "add it", self._at)
        return False


def _unescaped(code: str | None, letter: str | None) -> str:
    return chr(int(code, 16)) if code is not None else _ESCAPED.get(letter or "", letter or "")
