"""Expressions as text to their parts, by SQLite's grammar and precedence
(https://sqlite.org/lang_expr.html).

Not taken, though SQLite knows it: subqueries, aggregates and window functions, collations, bind
parameters. They are named, with the character where they stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from replication_assets.core.expressions.functions import DOCUMENTED, FUNCTIONS, MANY
from replication_assets.core.expressions.syntax import (
    BEFORE,
    HEADERS,
    METADATA,
    Among,
    Between,
    Binary,
    Blob,
    Call,
    Case,
    Cast,
    ColumnValue,
    Expression,
    Expression_,
    Like,
    Number,
    Postfix,
    Text,
    Unary,
    Variable,
    Word,
)

_TOKEN = re.compile(
    r"""(?P<blank>\s+)
      | (?P<blob>[xX]'(?:[0-9a-fA-F]{2})*')
      | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<column>\$\{[^}]+\}|\$[A-Za-z_][\w]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<operator>\|\||<<|>>|<=|>=|<>|==|!=|[-+*/%<>=&|~(),])
      """,
    re.VERBOSE,
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("<<", ">>", "&", "|"),
    ("+", "-"),
    ("*", "/", "%"),
    ("||",),
)
"""Binary operators from the weakest to the strongest, above comparisons."""
_EQUALITY = {"=", "==", "!=", "<>"}
_ORDER = {"<", "<=", ">", ">="}
_CONSTANTS = {"NULL", "TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"}
_TYPES = {"TEXT", "INTEGER", "INT", "REAL", "NUMERIC", "BLOB", "VARCHAR", "CHAR", "BIGINT", "DOUBLE", "FLOAT"}
_REFUSED = {"SELECT": "a subquery", "COLLATE": "a collation", "OVER": "a window", "EXISTS": "a subquery"}
_MOST_DEPTH = 100


class ExpressionError(Exception):
    """What is wrong with an expression, and at which character from 0. Never leaves the project."""

    def __init__(self, what: str, at: int, fix: str) -> None:
        self.what, self.at, self.fix = what, at, fix
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_expression(text: str) -> Expression:
    """Raises ExpressionError."""
    parser = _Parser(_tokens(text), len(text))
    root = parser.expression()
    parser.end()
    return Expression(text, root)


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            what, fix = f"{text[at]!r} means nothing here", "delete it"
            if text[at] in "'\"":
                what, fix = "a text that is not closed", f"close it with {text[at]}"
            if text[at] == "$":
                what, fix = "a $ without the name of a column", "write $COLUMN"
            raise ExpressionError(what, at, fix)
        if match.lastgroup != "blank":
            found.append(_Token(match.lastgroup, match.group(), at))
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[_Token], end: int) -> None:
        self._tokens, self._end, self._at, self._depth = tokens, end, 0, 0

    def end(self) -> None:
        token = self._peek()
        if token is not None:
            raise ExpressionError(
                f"{token.text!r} where the expression should end", token.at, "delete the rest"
            )

    def expression(self) -> Expression_:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise ExpressionError(f"more than {_MOST_DEPTH} levels", self._where(), "make it simpler")
        left = self._and()
        while self._word("OR"):
            left = Binary("OR", left, self._and())
        self._depth -= 1
        return left

    def _and(self) -> Expression_:
        left = self._not()
        while self._word("AND"):
            left = Binary("AND", left, self._not())
        return left

    def _not(self) -> Expression_:
        if self._word("NOT"):
            return Unary("NOT", self._not())
        return self._equality()

    def _equality(self) -> Expression_:
        left = self._ordering()
        while True:
            operator = self._operator(_EQUALITY)
            if operator:
                left = Binary(operator, left, self._ordering())
            elif self._word("IS"):
                left = Binary("IS NOT" if self._word("NOT") else "IS", left, self._ordering())
            elif self._word("ISNULL"):
                left = Postfix(left, "ISNULL")
            elif self._word("NOTNULL"):
                left = Postfix(left, "NOTNULL")
            else:
                further = self._negatable(left)
                if further is None:
                    return left
                left = further

    def _negatable(self, left: Expression_) -> Expression_ | None:
        begun = self._at
        negated = self._word("NOT")
        if negated and self._word("NULL"):
            return Postfix(left, "NOTNULL")
        if self._word("BETWEEN"):
            low = self._ordering()
            self._expect_word("AND")
            return Between(left, negated, low, self._ordering())
        if self._word("IN"):
            return Among(left, negated, self._members())
        for operator in ("LIKE", "GLOB"):
            if self._word(operator):
                pattern = self._ordering()
                escape = self._ordering() if self._word("ESCAPE") else None
                return Like(left, negated, operator, pattern, escape)
        self._at = begun
        return None

    def _members(self) -> tuple[Expression_, ...]:
        self._expect("(")
        return self._list()

    def _list(self) -> tuple[Expression_, ...]:
        """Up to the closing bracket."""
        if self._operator({")"}):
            return ()
        members = [self.expression()]
        while self._operator({","}):
            members.append(self.expression())
        self._expect(")")
        return tuple(members)

    def _ordering(self) -> Expression_:
        left = self._level(0)
        while operator := self._operator(_ORDER):
            left = Binary(operator, left, self._level(0))
        return left

    def _level(self, level: int) -> Expression_:
        if level == len(_LEVELS):
            return self._unary()
        left = self._level(level + 1)
        while operator := self._operator(set(_LEVELS[level])):
            left = Binary(operator, left, self._level(level + 1))
        return left

    def _unary(self) -> Expression_:
        operator = self._operator({"-", "+", "~"})
        return Unary(operator, self._unary()) if operator else self._primary()

    def _primary(self) -> Expression_:
        token = self._next("a value")
        if token.kind == "text":
            mark = token.text[0]
            return Text(token.text[1:-1].replace(mark * 2, mark))
        if token.kind == "number":
            return Number(token.text)
        if token.kind == "blob":
            return Blob(token.text[2:-1])
        if token.kind == "column":
            return _column(token)
        if token.text == "(":
            inner = self.expression()
            self._expect(")")
            return inner
        if token.kind == "word":
            return self._word_value(token)
        raise ExpressionError(f"{token.text!r} where a value is expected", token.at, "write a value there")

    def _word_value(self, token: _Token) -> Expression_:
        word = token.text.upper()
        if word in _REFUSED:
            raise ExpressionError(
                f"{_REFUSED[word]}, which expressions have not", token.at, "write it without"
            )
        if word == "CASE":
            return self._case()
        following = self._peek()
        if following is None or following.text != "(":
            if word in _CONSTANTS:
                return Word(word)
            fix = f"write ${token.text} for the column, or '{token.text}' for a text"
            raise ExpressionError(f"{token.text!r} is neither a function nor a text", token.at, fix)
        self._expect("(")
        if word == "CAST":
            return self._cast()
        return _call(token, self._list())

    def _case(self) -> Case:
        operand = None if self._is_word("WHEN") else self.expression()
        whens = []
        while self._word("WHEN"):
            condition = self.expression()
            self._expect_word("THEN")
            whens.append((condition, self.expression()))
        if not whens:
            raise ExpressionError("CASE without WHEN", self._where(), "write CASE WHEN ... THEN ... END")
        otherwise = self.expression() if self._word("ELSE") else None
        self._expect_word("END")
        return Case(operand, tuple(whens), otherwise)

    def _cast(self) -> Cast:
        operand = self.expression()
        self._expect_word("AS")
        token = self._next("a type")
        if token.text.upper() not in _TYPES:
            fix = f"use one of {', '.join(sorted(_TYPES))}"
            raise ExpressionError(f"{token.text!r} is no type of SQLite", token.at, fix)
        if self._operator({"("}):
            self._list()
        self._expect(")")
        return Cast(operand, token.text.upper())

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _where(self) -> int:
        token = self._peek()
        return token.at if token is not None else self._end

    def _next(self, expected: str) -> _Token:
        token = self._peek()
        if token is None:
            raise ExpressionError(
                f"the expression ends where {expected} is expected", self._end, "complete it"
            )
        self._at += 1
        return token

    def _operator(self, operators: set[str]) -> str | None:
        token = self._peek()
        if token is None or token.kind != "operator" or token.text not in operators:
            return None
        self._at += 1
        return token.text

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "word" and token.text.upper() == word

    def _word(self, word: str) -> bool:
        found = self._is_word(word)
        self._at += found
        return found

    def _expect(self, operator: str) -> None:
        if self._operator({operator}) is None:
            raise ExpressionError(f"{operator} is missing", self._where(), f"write {operator} there")

    def _expect_word(self, word: str) -> None:
        if not self._word(word):
            raise ExpressionError(f"{word} is missing", self._where(), f"write {word} there")


def _column(token: _Token) -> ColumnValue | Variable:
    name = token.text[2:-1] if token.text.startswith("${") else token.text[1:]
    known = next((each for each in (*HEADERS, *METADATA) if each == name.upper()), None)
    if known is not None:
        return Variable(known, token.at)
    if re.match(r"AR_[HM]_", name, re.IGNORECASE):
        close = get_close_matches(name.upper(), [*HEADERS, *METADATA], n=1, cutoff=0.4)
        fix = f"did you mean ${close[0]}?" if close else f"use one of {', '.join(HEADERS)}"
        raise ExpressionError(f"${name} is no header that DMS has", token.at, fix)
    if name.startswith(BEFORE):
        return ColumnValue(name.removeprefix(BEFORE), True, token.at)
    return ColumnValue(name, False, token.at)


def _call(token: _Token, arguments: tuple[Expression_, ...]) -> Call:
    by_lower = {name.lower(): name for name in FUNCTIONS}
    name = by_lower.get(token.text.lower())
    if name is None:
        close = get_close_matches(token.text.lower(), list(by_lower), n=1, cutoff=0.6)
        fix = f"did you mean {by_lower[close[0]]}?" if close else f"use one of {', '.join(DOCUMENTED)}"
        raise ExpressionError(f"{token.text}() is no function of expressions", token.at, fix)
    least, most = FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"
        what = f"{name}() takes {wanted} arguments, not {len(arguments)}"
        raise ExpressionError(what, token.at, f"give it {wanted}")
    return Call(name, arguments, token.at)
