"""Conditions of DynamoDB, as a declaration writes them: read into a tree, and asked about.

They are read rather than handed on for three reasons. A deleted row leaves a tombstone, and the
condition must hold of it exactly if it holds where nothing stands: what it says of nothing is known
once it is read. Attributes get placeholders, so that none is one of DynamoDB's 573 reserved words.
And what is wrong is told before a row moves, not for each row.

Grammar: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
Of an attribute that is not there `<>` holds, and no other comparison does (seen on DynamoDB Local).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

MAX_BYTES = 4096
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

_TOKEN = re.compile(r"<=|>=|<>|[=<>(),.\[\]]|[#:]?[A-Za-z0-9_]+")
_NAME = re.compile(r"#?[A-Za-z_][A-Za-z0-9_]*|#[A-Za-z0-9_]+")
_COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")
_WORDS = ("AND", "OR", "NOT", "BETWEEN", "IN")
_ARGUMENTS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
}


@dataclass(frozen=True, slots=True)
class Path:
    """An attribute, or a part of one: names, each perhaps a placeholder, and places in lists."""

    steps: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How large an attribute is."""

    path: Path


@dataclass(frozen=True, slots=True)
class Value:
    """A placeholder, its colon included."""

    name: str


Operand: TypeAlias = "Path | Size | Value"


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Operand
    operator: str
    right: Operand


@dataclass(frozen=True, slots=True)
class Among:
    """`left IN (…)`."""

    left: Operand
    choices: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Not:
    inner: Test


@dataclass(frozen=True, slots=True)
class Both:
    """All of them hold (`AND`), or one of them does (`OR`)."""

    word: Literal["AND", "OR"]
    parts: tuple[Test, ...]


Test: TypeAlias = "Comparison | Among | Function | Not | Both"


def parse(text: str) -> Test:
    """Raises ValueError, with what is wrong, for what DynamoDB would not take."""
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    reader = _Reader(_tokens(text))
    test = reader.any_of()
    reader.require_end()
    return test


def holds_of_nothing(test: Test) -> bool:
    """Whether it holds where no item stands."""
    match test:
        case Both("AND", parts):
            return all(holds_of_nothing(part) for part in parts)
        case Both(_, parts):
            return any(holds_of_nothing(part) for part in parts)
        case Not(inner):
            return not holds_of_nothing(inner)
        case Function(name, _):
            return name == "attribute_not_exists"
        case Comparison(_, operator, _):
            return operator == "<>"
        case Among():
            return False


def operands(test: Test) -> Iterator[Operand]:
    """Whatever it compares, in order."""
    match test:
        case Both(_, parts):
            for part in parts:
                yield from operands(part)
        case Not(inner):
            yield from operands(inner)
        case Function(_, arguments):
            yield from arguments
        case Comparison(left, _, right):
            yield from (left, right)
        case Among(left, choices):
            yield from (left, *choices)


def comparisons(test: Test) -> Iterator[Comparison | Among | Function]:
    """The tests that are put together with AND, OR and NOT."""
    match test:
        case Both(_, parts):
            for part in parts:
                yield from comparisons(part)
        case Not(inner):
            yield from comparisons(inner)
        case _:
            yield test


def paths(test: Test) -> Iterator[Path]:
    for each in operands(test):
        if not isinstance(each, Value):
            yield each.path if isinstance(each, Size) else each


def value_names(test: Test) -> tuple[str, ...]:
    """Placeholders of values, each once, in order of appearance."""
    return tuple(dict.fromkeys(each.name for each in operands(test) if isinstance(each, Value)))


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"has {text[at]!r}, which means nothing there")
        tokens.append(found.group())
        at = found.end()
    return tokens


class _Reader:
    """Reads tokens from left to right: OR binds least, then AND, then NOT."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def any_of(self) -> Test:
        parts = [self._all_of()]
        while self._took("OR"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else Both("OR", tuple(parts))

    def require_end(self) -> None:
        if self._peek():
            raise ValueError(f"does not end before {self._peek()!r}")

    def _all_of(self) -> Test:
        parts = [self._negated()]
        while self._took("AND"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else Both("AND", tuple(parts))

    def _negated(self) -> Test:
        if self._took("NOT"):
            return Not(self._negated())
        if self._took("("):
            inner = self.any_of()
            self._require(")")
            return inner
        if self._peek() in _ARGUMENTS and self._peek(1) == "(":
            return self._function()
        return self._comparison()

    def _function(self) -> Test:
        name = self._next()
        arguments = self._operands()
        if len(arguments) != _ARGUMENTS[name]:
            raise ValueError(f"gives {name} {len(arguments)} operands, and it takes {_ARGUMENTS[name]}")
        asked = arguments[:1] if name.startswith("attribute") else arguments
        if not any(isinstance(each, Path) for each in asked):
            raise ValueError(f"asks {name} of what is no attribute")
        return Function(name, arguments)

    def _comparison(self) -> Test:
        left = self._operand()
        if self._took("BETWEEN"):
            low = self._operand()
            self._require("AND")
            # DynamoDB refuses bounds in the wrong order, which no two comparisons have.
            return Both("AND", (_compared(left, ">=", low), _compared(left, "<=", self._operand())))
        if self._took("IN"):
            choices = self._operands()
            if isinstance(left, Value):
                raise ValueError(f"asks whether {left.name} is among others: it says nothing of the item")
            return Among(left, choices)
        operator = self._next()
        if operator not in _COMPARATORS:
            what = f"{operator!r} where a comparison is wanted" if operator else "no end"
            raise ValueError(f"has {what}")
        return _compared(left, operator, self._operand())

    def _operands(self) -> tuple[Operand, ...]:
        self._require("(")
        found = [self._operand()]
        while self._took(","):
            found.append(self._operand())
        self._require(")")
        return tuple(found)

    def _operand(self) -> Operand:
        token = self._next()
        if token.startswith(":"):
            return Value(token)
        if token == "size" and self._took("("):
            path = self._path(self._next())
            self._require(")")
            return Size(path)
        return self._path(token)

    def _path(self, token: str) -> Path:
        if not _NAME.fullmatch(token) or token.upper() in _WORDS:
            raise ValueError(f"has {token!r} where an attribute is wanted" if token else "has no end")
        steps: list[str | int] = [token]
        while True:
            if self._took("."):
                steps.append(self._path_step())
            elif self._took("["):
                steps.append(self._place())
                self._require("]")
            else:
                return Path(tuple(steps))

    def _path_step(self) -> str:
        token = self._next()
        if not _NAME.fullmatch(token):
            raise ValueError(f"has {token!r} where a name is wanted")
        return token

    def _place(self) -> int:
        token = self._next()
        if not token.isdigit():
            raise ValueError(f"has {token!r} where a place in a list is wanted")
        return int(token)

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _took(self, word: str) -> bool:
        if self._peek().upper() != word:
            return False
        self._at += 1
        return True

    def _require(self, token: str) -> None:
        if not self._took(token):
            raise ValueError(f"lacks {token!r} before {self._peek() or 'its end'!r}")


def _compared(left: Operand, operator: str, right: Operand) -> Comparison:
    if isinstance(left, Value) and isinstance(right, Value):
        raise ValueError(f"compares {left.name} with {right.name}, and nothing of the item")
    return Comparison(left, operator, right)
