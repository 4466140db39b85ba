"""The statements that LogMiner prints (`SQL_REDO`), taken apart.

    insert into "O"."T"("A","B") values ('1',NULL)
    update "O"."T" set "A" = '2' where "A" = '1' and "B" IS NULL
    delete from "O"."T" where "A" = '1' and "B" IS NULL

A value is NULL, a number, a quoted text with doubled quotes, a call of one of `FUNCTIONS` with quoted texts,
an empty large object, or several of them joined by `||`. Anything else is not understood, and said to be:
what LogMiner prints of types that it does not support ("Unsupported Type"), and of tables that its
dictionary does not know any more (columns `COL 1`, values in hexadecimal digits) is none of these, or does
not fit the columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

FUNCTIONS = frozenset(
    {"TO_DATE", "TO_TIMESTAMP", "TO_TIMESTAMP_TZ", "TO_YMINTERVAL", "TO_DSINTERVAL", "HEXTORAW", "UNISTR"}
)

_INSERT = re.compile(r'insert into "(?P<owner>[^"]+)"\."(?P<table>[^"]+)"\s?\(')
_UPDATE = re.compile(r'update "(?P<owner>[^"]+)"\."(?P<table>[^"]+)"(?: a)? set ')
_DELETE = re.compile(r'delete from "(?P<owner>[^"]+)"\."(?P<table>[^"]+)"(?: a)? where ')
_COLUMN = re.compile(r'"(?P<name>[^"]+)"')
_VALUES = re.compile(r"\) ?values ?\(")
_EQUALS = re.compile(r" = ")
_IS_NULL = re.compile(r" IS NULL", re.IGNORECASE)
_AND = re.compile(r" and ")
_WHERE = re.compile(r" where ")
_COMMA = re.compile(r", ?")
_JOIN = re.compile(r" ?\|\| ?")
_TEXT = re.compile(r"'(?P<text>(?:[^']|'')*)'")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NULL = re.compile(r"NULL")
_EMPTY = re.compile(r"(?P<function>EMPTY_CLOB|EMPTY_BLOB)\(\)")
_CALL = re.compile(r"(?P<function>[A-Z_]+)\('(?P<text>(?:[^']|'')*)'(?: ?, ?'(?:[^']|'')*')*\)")
_PLAIN = re.compile(
    r"\"(?P<name>[^\"]+)\" (?:IS NULL|= '(?P<text>(?:[^']|'')*+)')(?:(?P<more> and )|(?=;?\s*$))"
)
_END = re.compile(r";?\s*$")


class NotUnderstood(ValueError):
    """The statement is not of the documented form. Its text is never quoted: it holds cell values."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a statement. `function` is what it was passed through, empty for none; `text` is None for
    NULL."""

    text: str | None
    function: str = ""


NULL = Value(None)
Image: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Redo:
    """What a statement says of one row: `new` has the columns that it sets, `old` those that it had."""

    operation: Literal["I", "U", "D"]
    owner: str
    table: str
    new: Image
    old: Image


def parse_redo(text: str) -> Redo:
    """Raises NotUnderstood."""
    for pattern, read in ((_INSERT, _insert), (_UPDATE, _update), (_DELETE, _delete)):
        found = pattern.match(text)
        if found is not None:
            return read(Reader(text, found.end()), found["owner"], found["table"])
    raise NotUnderstood("neither insert, update nor delete")


def _insert(reader: Reader, owner: str, table: str) -> Redo:
    names = [reader.name()]
    while reader.skip(_COMMA):
        names.append(reader.name())
    reader.expect(_VALUES)
    values = [reader.value()]
    while reader.skip(_COMMA):
        values.append(reader.value())
    reader.expect(re.compile(r"\)"))
    reader.expect(_END)
    if len(names) != len(values) or len(set(names)) < len(names):
        raise NotUnderstood("columns and values do not pair")
    return Redo("I", owner, table, dict(zip(names, values, strict=True)), {})


def _update(reader: Reader, owner: str, table: str) -> Redo:
    new: Image = {}
    while True:
        reader.assignment(new)
        if not reader.skip(_COMMA):
            break
    old: Image = {}
    if reader.skip(_WHERE):
        reader.conditions(old)
    reader.expect(_END)
    return Redo("U", owner, table, new, old)


def _delete(reader: Reader, owner: str, table: str) -> Redo:
    old: Image = {}
    reader.conditions(old)
    reader.expect(_END)
    return Redo("D", owner, table, {}, old)


class Reader:
    """A place in a statement."""

    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at

    def expect(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise NotUnderstood(f"nothing known at character {self._at}")
        self._at = found.end()
        return found

    def skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        if found is None:
            return False
        self._at = found.end()
        return True

    def name(self) -> str:
        return self.expect(_COLUMN)["name"]

    def assignment(self, image: Image) -> None:
        name = self.name()
        self.expect(_EQUALS)
        self._keep(image, name, self.value())

    def conditions(self, image: Image) -> None:
        while True:
            plain = _PLAIN.match(self._text, self._at)
            if plain is not None:
                # Nearly every condition: read in one step.
                self._at = plain.end()
                text = plain["text"]
                self._keep(image, plain["name"], Value(text.replace("''", "'")) if text else NULL)
                if plain["more"] is None:
                    return
                continue
            name = self.name()
            if self.skip(_IS_NULL):
                self._keep(image, name, NULL)
            else:
                self.expect(_EQUALS)
                self._keep(image, name, self.value())
            if not self.skip(_AND):
                return

    def value(self) -> Value:
        first = self._part()
        if not self.skip(_JOIN):
            return first
        texts, functions = [_plain(first)], {first.function}
        while True:
            part = self._part()
            texts.append(_plain(part))
            functions.add(part.function)
            if not self.skip(_JOIN):
                break
        # Text of which only some characters are beyond the database's character set.
        if functions == {"HEXTORAW"}:
            return Value("".join(texts), "HEXTORAW")
        if functions <= {"", "UNISTR"}:
            return Value("".join(texts))
        raise NotUnderstood("values of several kinds are joined")

    def _part(self) -> Value:
        text, at = self._text, self._at
        for pattern in (_TEXT, _CALL, _NULL, _NUMBER, _EMPTY):
            found = pattern.match(text, at)
            if found is not None:
                self._at = found.end()
                return _value(pattern, found)
        raise NotUnderstood(f"no value known at character {at}")

    @staticmethod
    def _keep(image: Image, name: str, value: Value) -> None:
        if name in image:
            raise NotUnderstood("a column stands twice")
        image[name] = value


def _value(pattern: re.Pattern[str], found: re.Match[str]) -> Value:
    if pattern is _NULL:
        return NULL
    if pattern is _NUMBER:
        return Value(found[0])
    if pattern is _EMPTY:
        # Not NULL, and of no other type: its function tells it from both.
        return Value("", found["function"])
    function = "" if pattern is _TEXT else found["function"]
    if function and function not in FUNCTIONS:
        raise NotUnderstood(f"function {function} is not known")
    text = found["text"].replace("''", "'")
    if not text:
        # An empty text is NULL in Oracle, whoever wrote it, and so is what a function makes of it.
        return NULL
    return Value(_unistr(text)) if function == "UNISTR" else Value(text, function)


def _plain(value: Value) -> str:
    return value.text or ""


_ESCAPE = re.compile(r"\\(\\|[0-9a-fA-F]{4})")


def _unistr(text: str) -> str:
    """`\\00e9` is a unit of UTF-16, a doubled backslash is one."""
    if re.search(r"\\(?!\\|[0-9a-fA-F]{4})", _ESCAPE.sub("", text)):
        raise NotUnderstood("an escape of UNISTR is not known")
    units = _ESCAPE.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1], 16)), text)
    # Surrogates of a pair stand beside one another.
    try:
        return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise NotUnderstood("half of a character") from None
